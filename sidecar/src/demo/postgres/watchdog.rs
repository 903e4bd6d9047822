//! A shell that outlives us by a moment, to clear away what we could not.
//!
//! SIGKILL runs no `Drop`. The kernel still closes our end of a pipe, and the shell at its
//! other end, in a process group of its own, then stops the process and removes the directory.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Each line names the process to stop, or a group where it is negative; the last one counts, 0 is none. `$1` is the
/// directory, empty where there is none.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
pid=0
while read -r line; do pid=$line; done
if [ "$pid" -ne 0 ]; then
    kill -s INT -- "$pid" 2>/dev/null
    tries=0
    while [ "$tries" -lt 50 ] && kill -s 0 -- "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -s KILL -- "$pid" 2>/dev/null
fi
tries=0
while [ "$tries" -lt 50 ] && [ -n "$1" ] && [ -e "$1" ]; do
    rm -rf "$1" 2>/dev/null || sleep 0.1
    tries=$((tries + 1))
done
"#;

/// The shell, and our end of its pipe. Dropping it lets the shell do its work and waits for it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// None once dropped: closing it is the signal.
    pipe: Option<ChildStdin>,
}

// === impl Watchdog ===

impl Watchdog {
    /// Guards `directory` where there is one, and no process yet.
    pub(crate) fn start(directory: Option<&Path>) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        let directory = directory.map_or_else(|| OsStr::new(""), Path::as_os_str);
        command.arg("-c").arg(SCRIPT).arg("pacecar-watchdog").arg(directory);
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Guards the process `pid` instead of the one before.
    pub(crate) fn watch(&mut self, pid: u32) -> io::Result<()> {
        self.tell(i64::from(pid))
    }

    /// Guards the process group `pid` with all its processes instead of the one before.
    pub(crate) fn watch_group(&mut self, pid: u32) -> io::Result<()> {
        self.tell(-i64::from(pid))
    }

    /// Guards the directory only.
    pub(crate) fn watch_nobody(&mut self) {
        let _ = self.tell(0);
    }

    fn tell(&mut self, pid: i64) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{pid}"),
            None => Ok(()),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipe.take();
        let _ = self.shell.wait();
    }
}
