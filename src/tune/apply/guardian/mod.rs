//! What a tune starts dies with it, however the tune ends.
//!
//! SIGKILL runs no `Drop`, and no process can ask the kernel to end its grandchildren with it. So a command is the child
//! of a guardian: this program, called anew, in a session of its own. The guardian takes in whatever loses its parent,
//! holds one end of a pipe, and ends all of it when the pipe closes: when it is told to, or when nobody holds the other
//! end any more. Should the guardian itself be killed, the kernel at least ends the command.

mod serve;
mod tree;

pub use serve::serve;

use super::output::Tail;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The first argument of a program that is called as a guardian: it hands the rest to [`serve`].
pub const ARGUMENT: &str = "__guard";
/// How long the guardian may take beyond the grace of what it guards.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program that guards: one that hands its arguments to [`serve`] where the first is [`ARGUMENT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardian {
    program: PathBuf,
}

/// What becomes of what a command leaves running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It ends with the command.
    Process,
    /// It stays: a hook may start what outlives it.
    Hook,
}

/// Where what a command prints goes.
pub(super) enum Output {
    /// It is read, and the last of it kept.
    Read(Tail),
    /// Into this file.
    File(std::fs::File),
}

/// A guarded command. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Guarded {
    child: Child,
    /// None once it is closed: that is the signal.
    control: Option<ChildStdin>,
    state: watch::Receiver<State>,
    /// Read what the guardian tells and what the command prints; end with the pipes, or with this.
    _readers: JoinSet<()>,
}

/// How far a command has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// It ended, and how: `exit status: 1`.
    Ended(Ended),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// In words.
    pub how: String,
}

// === impl Guardian ===

impl Guardian {
    /// The running program itself, even where its file was replaced since.
    #[must_use]
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe") }
    }

    /// Another program.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Starts a command in `directory` with exactly this environment.
    pub(super) fn start(
        &self,
        mode: Mode,
        command: &[String],
        directory: &Path,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        output: Output,
    ) -> io::Result<Guarded> {
        let mut guardian = Command::new(&self.program);
        guardian.arg0("pacecar").arg(ARGUMENT).arg(mode.as_str()).args(command);
        guardian.current_dir(directory).env_clear().envs(environment).kill_on_drop(false);
        guardian.stdin(Stdio::piped()).stdout(Stdio::piped());
        let tail = match output {
            Output::Read(tail) => {
                guardian.stderr(Stdio::piped());
                Some(tail)
            }
            Output::File(file) => {
                guardian.stderr(Stdio::from(file));
                None
            }
        };
        let mut child = guardian.spawn()?;
        let (told, state) = watch::channel(State::Running);
        let mut readers = JoinSet::new();
        if let Some(events) = child.stdout.take() {
            readers.spawn(listen(events, told));
        }
        if let Some((printed, tail)) = child.stderr.take().zip(tail) {
            readers.spawn(drain(printed, tail));
        }
        Ok(Guarded { control: child.stdin.take(), child, state, _readers: readers })
    }
}

// === impl Mode ===

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Hook => "hook",
        }
    }
}

// === impl Guarded ===

impl Guarded {
    /// Waits until the command has ended. Cancel safe.
    pub(super) async fn ended(&self) -> Ended {
        let mut state = self.state.clone();
        match state.wait_for(|state| *state != State::Running).await.as_deref() {
            Ok(State::Ended(ended)) => ended.clone(),
            _ => lost(),
        }
    }

    /// Whether the command has ended.
    pub(super) fn has_ended(&self) -> Option<Ended> {
        match &*self.state.borrow() {
            State::Ended(ended) => Some(ended.clone()),
            State::Running => None,
        }
    }

    /// Ends the command and all that it started: asked first, killed after `grace`.
    ///
    /// # Errors
    /// Where something is left all the same.
    pub(super) async fn stop(mut self, grace: Duration) -> io::Result<()> {
        if let Some(mut control) = self.control.take() {
            // Where the guardian has gone already there is nobody to tell, and nothing to end.
            let _ = control.write_all(format!("{}\n", grace.as_millis()).as_bytes()).await;
        }
        self.wait(grace + PATIENCE).await
    }

    /// Waits until the guardian has gone: nothing that it guards is left then.
    pub(super) async fn wait(&mut self, within: Duration) -> io::Result<()> {
        match timeout(within, self.child.wait()).await {
            Ok(Ok(status)) if status.code() == Some(serve::LEFT) => Err(io::Error::other("a process does not end")),
            Ok(ended) => ended.map(drop),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
}

// === helpers ===

/// The guardian is gone without a word.
fn lost() -> Ended {
    Ended { code: None, how: "killed from outside".to_owned() }
}

async fn listen(events: ChildStdout, told: watch::Sender<State>) {
    let mut lines = BufReader::new(events).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(ended) = Ended::read(&line) {
            told.send_replace(State::Ended(ended));
        }
    }
    told.send_if_modified(|state| {
        let unknown = *state == State::Running;
        if unknown {
            *state = State::Ended(lost());
        }
        unknown
    });
}

/// Reads all that is printed: a full pipe would stop who prints.
async fn drain(mut printed: ChildStderr, tail: Tail) {
    let mut buffer = vec![0; 8192];
    loop {
        match printed.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => tail.push(&buffer[..read]),
        }
    }
}

// === impl Ended ===

impl Ended {
    /// Reads a line of the guardian: `exit 1`, `signal 9`.
    fn read(line: &str) -> Option<Self> {
        let (word, number) = line.split_once(' ')?;
        let number: i32 = number.parse().ok()?;
        Some(match word {
            "exit" => Self { code: Some(number), how: format!("exit status: {number}") },
            "signal" => Self { code: None, how: format!("signal: {number}") },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guardian_tells_is_read() {
        let read = |line| Ended::read(line).map(|ended| (ended.code, ended.how));
        assert_eq!(read("exit 3"), Some((Some(3), "exit status: 3".to_owned())));
        assert_eq!(read("signal 9"), Some((None, "signal: 9".to_owned())));
        assert_eq!((read("exit"), read("exit x"), read("hello 1")), (None, None, None));
    }
}
