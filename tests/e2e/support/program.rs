//! The program: started with arguments, watched against a time limit, read when it has ended.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::plan::Plan;

/// How long a test waits for the program unless it says otherwise. A hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A call of the program, being put together.
pub(crate) struct Pacecar {
    command: Command,
    stdin: Option<Vec<u8>>,
    limit: Duration,
    summary: Option<PathBuf>,
    /// Holds the summary until it is read.
    folder: Option<tempfile::TempDir>,
    /// Holds the plan until the program has ended.
    plan: Option<Arc<tempfile::TempDir>>,
}

/// The program while it runs.
pub(crate) struct Running {
    child: Child,
    begun: Instant,
    limit: Duration,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    /// What came on standard error so far.
    heard: Arc<Mutex<Vec<u8>>>,
    summary: Option<PathBuf>,
    _folder: Option<tempfile::TempDir>,
    _plan: Option<Arc<tempfile::TempDir>>,
}

/// What the program left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
    summary: Option<String>,
}

// === impl Pacecar ===

impl Pacecar {
    /// `pacecar ARGUMENTS`, in an environment without anything that pacecar would read.
    pub(crate) fn new<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
        command.args(arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let read = ["PACECAR_", "K6_", "OTEL_", "AUTH_", "JOB_"].iter().any(|prefix| text.starts_with(prefix))
                || text.ends_with("_URL")
                || ["NO_COLOR", "RUST_LOG"].contains(&text.as_ref());
            if read {
                command.env_remove(&name);
            }
        }
        // Many of them run at once: each has a port of its own.
        command.env("PACECAR_ADDRESS", "127.0.0.1:0");
        Self { command, stdin: None, limit: LIMIT, summary: None, folder: None, plan: None }
    }

    /// `pacecar run PLAN`, with its summary exported to where [`Ended::summary`] finds it.
    pub(crate) fn run(plan: &impl Plan) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the summary");
        let file = folder.path().join("summary.json");
        let mut this = Self::new([OsStr::new("run"), plan.path().as_os_str()]).arg("--summary-export").arg(&file);
        this.summary = Some(file);
        this.folder = Some(folder);
        this.plan = plan.folder();
        this
    }

    /// `pacecar canary PLAN`
    pub(crate) fn canary(plan: &impl Plan) -> Self {
        Self { plan: plan.folder(), ..Self::new([OsStr::new("canary"), plan.path().as_os_str()]) }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// `-e NAME=VALUE`
    pub(crate) fn set(self, name: &str, value: impl AsRef<str>) -> Self {
        self.arg("-e").arg(format!("{name}={}", value.as_ref()))
    }

    /// Without a variable of the process.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// A variable of the process.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it through another program, which becomes it in the end.
    pub(crate) fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    pub(crate) fn directory(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(text.into());
        self
    }

    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let begun = Instant::now();
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        if let (Some(text), Some(mut stdin)) = (self.stdin, child.stdin.take()) {
            // The program may end without reading it all; that is its right.
            thread::spawn(move || drop(stdin.write_all(&text)));
        }
        let heard = Arc::default();
        let stdout = drain(child.stdout.take().expect("piped"), Arc::default());
        let stderr = drain(child.stderr.take().expect("piped"), Arc::clone(&heard));
        Running {
            child,
            begun,
            limit: self.limit,
            stdout,
            stderr,
            heard,
            summary: self.summary,
            _folder: self.folder,
            _plan: self.plan,
        }
    }

    /// Starts it and waits for its end.
    pub(crate) fn end(self) -> Ended {
        self.start().end()
    }
}

fn drain(mut from: impl Read + Send + 'static, heard: Arc<Mutex<Vec<u8>>>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(size @ 1..) = from.read(&mut part) {
            heard.lock().unwrap().extend_from_slice(&part[..size]);
        }
        heard.lock().unwrap().clone()
    })
}

// === impl Running ===

impl Running {
    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the program is there to be signalled");
    }

    /// The address that it says, with `-v`, it listens at: `what` is `control` or `metrics`.
    pub(crate) fn address(&self, what: &str) -> SocketAddr {
        while self.begun.elapsed() < self.limit {
            let heard = String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned();
            // A line that is whole.
            let told = heard.rsplit_once('\n').map_or("", |(lines, _)| lines);
            let line = told.lines().find_map(|line| line.split_once(&format!("{what} address address=")));
            if let Some((_, address)) = line {
                return address.trim().parse().unwrap_or_else(|_| panic!("no address: {address:?}"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("no {what} address was told: {}", String::from_utf8_lossy(&self.heard.lock().unwrap()));
    }

    /// Waits for its end; past the limit it is killed and the test fails.
    pub(crate) fn end(mut self) -> Ended {
        let status = self.wait();
        let took = self.begun.elapsed();
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let ended = Ended {
            code: status.and_then(|status| status.code()),
            stdout: String::from_utf8_lossy(&self.stdout.join().unwrap()).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr.join().unwrap()).into_owned(),
            took,
            summary: self.summary.and_then(|file| std::fs::read_to_string(file).ok()),
        };
        assert!(status.is_some(), "still running after {:?}: {ended:#?}", self.limit);
        ended
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        while self.begun.elapsed() < self.limit {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

// === impl Ended ===

impl Ended {
    /// Fails unless this is how it ended. A panic is never the right end.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert!(!self.stderr.contains("panicked at"), "the program panicked:\n{self}");
        assert_eq!(self.code, Some(code), "the exit code\n{self}");
        self
    }

    /// Fails unless it ran to its end: passed, or on a machine that is too busy for its figures to be believed.
    #[track_caller]
    pub(crate) fn expect_ran(self) -> Self {
        let code = if self.code == Some(120) { 120 } else { 0 };
        self.expect_code(code)
    }

    /// Fails unless a signal ended it: as [`Ended::expect_ran`], whether its figures are to be believed or not.
    #[track_caller]
    pub(crate) fn expect_signalled(self) -> Self {
        let code = if self.code == Some(120) { 120 } else { 105 };
        self.expect_code(code)
    }

    /// Whether a summary was exported.
    pub(crate) fn has_summary(&self) -> bool {
        self.summary.is_some()
    }

    /// The exported summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let text = self.summary.as_ref().unwrap_or_else(|| panic!("no summary was exported\n{self}"));
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the summary {text}"))
    }

    /// Standard output and standard error.
    pub(crate) fn output(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// All that was written, the summary too.
    pub(crate) fn everything(&self) -> String {
        format!("{}\n{}", self.output(), self.summary.as_deref().unwrap_or_default())
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, stdout, stderr, took, .. } = self;
        write!(f, "code {code:?} after {took:?}\n--- standard output\n{stdout}\n--- standard error\n{stderr}")
    }
}
