//! A Redis of a test's own, on a port of its own, that ends with this process.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::guardian;

/// A running server with nothing in it.
pub(crate) struct Redis {
    pub(crate) port: u16,
    _folder: TempDir,
}

// === impl Redis ===

impl Redis {
    /// Starts one; `arguments` are those of `redis-server`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        // Somebody may take the port between the two: then the server ends, and another is tried.
        for _ in 0..5 {
            if let Some(started) = Self::try_start(arguments) {
                return started;
            }
        }
        panic!("no redis-server starts: scripts/ensure.sh redis");
    }

    fn try_start(arguments: &[&str]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().expect("a folder for Redis");
        let mut child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts: scripts/ensure.sh redis");
        guardian::ends_with_us(child.id(), "TERM");
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if child.try_wait().expect("the server can be waited for").is_some() {
                return None;
            }
            // A server that wants a password answers too.
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { port, _folder: folder });
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        None
    }

    /// Its address: `redis://127.0.0.1:PORT/DATABASE`.
    pub(crate) fn url(&self, database: u8) -> String {
        format!("redis://127.0.0.1:{}/{database}", self.port)
    }

    /// What `redis-cli -n DATABASE ARGUMENTS` prints, a line each.
    pub(crate) fn cli(&self, database: u8, arguments: &[&str]) -> Vec<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "-n", &database.to_string()])
            .args(arguments)
            .output()
            .expect("redis-cli runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Sets so many keys `PREFIX0`, `PREFIX1`, …
    pub(crate) fn fill(&self, database: u8, prefix: &str, count: u32) {
        let script = "for i = 0, ARGV[2] - 1 do redis.call('SET', ARGV[1] .. i, i) end";
        self.cli(database, &["EVAL", script, "0", prefix, &count.to_string()]);
    }

    /// The keys of a database, sorted.
    pub(crate) fn keys(&self, database: u8) -> Vec<String> {
        let mut keys = self.cli(database, &["KEYS", "*"]);
        keys.sort();
        keys
    }
}
