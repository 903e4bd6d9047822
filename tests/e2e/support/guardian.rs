//! Ends what the tests started when the test process ends, however it ends.
//!
//! Statics are not dropped, and a killed process drops nothing. So a small shell waits for the
//! end of its standard input, which closes with this process, and then clears up.

use std::os::unix::process::CommandExt as _;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::Mutex;

/// The open ends of all guardians; they close with the process.
static OPEN: Mutex<Vec<ChildStdin>> = Mutex::new(Vec::new());

const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
kill -s "$2" "$1" 2>/dev/null
tries=0
# Nobody may be there to reap it: a zombie has ended.
lives() { [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
while lives "$1" && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
lives "$1" && kill -s KILL "$1" 2>/dev/null
"#;

/// Sends `signal` to `pid` when this process is gone, and KILL five seconds later.
pub(crate) fn ends_with_us(pid: u32, signal: &str) {
    let mut child = Command::new("sh")
        .args(["-c", SCRIPT, "guardian", &pid.to_string(), signal])
        .stdin(Stdio::piped())
        // Not ours: who reads the tests' output through a pipe must not wait for it.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to a whole group; this one has work to do after it.
        .process_group(0)
        .spawn()
        .expect("sh starts");
    OPEN.lock().unwrap().push(child.stdin.take().unwrap());
}
