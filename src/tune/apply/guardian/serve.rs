//! The guardian's side: starts one command, waits for its end or for the pipe's, and leaves nothing behind.
//!
//! It has no runtime and holds no memory worth the name, because it lives beside what is measured: it sleeps until a
//! child ends or the pipe does. It is no library code for others: the program hands over its arguments.

use super::tree;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
use std::ffi::OsString;
use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// The exit code where a process does not end.
pub(super) const LEFT: i32 = 1;
/// The exit code where the command cannot be run, as shells have it.
const NO_COMMAND: i32 = 127;
/// How long what is left gets where the pipe closed without a word: whoever held it was killed.
const GRACE_WITHOUT_WORD: Duration = Duration::from_millis(500);
/// What does not end of itself is killed again so often, so far apart: it may be making more.
const KILLS: u32 = 80;
const BETWEEN: Duration = Duration::from_millis(50);
/// Its name among the processes: who ends all of the program's name does not mean this one.
#[cfg(target_os = "linux")]
const NAME: &std::ffi::CStr = c"tune-guardian";

/// What happens to a guardian.
enum Event {
    /// It is told to end all, with this grace; without one where the pipe closed.
    End(Option<Duration>),
    /// A child ended.
    Ended(Pid, WaitStatus),
    /// There is no child any more.
    Alone,
}

/// Guards a command: `process PROGRAM ARGUMENTS…`, `hook PROGRAM ARGUMENTS…`. Returns the exit code.
#[must_use]
pub fn serve(mut words: impl Iterator<Item = OsString>) -> u8 {
    let mode = words.next().unwrap_or_default();
    let code = match mode.to_str() {
        Some("process") => guard(words.collect(), true),
        Some("hook") => guard(words.collect(), false),
        Some("exec") => become_command(words),
        _ => NO_COMMAND,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// With `all`, what the command leaves ends with it.
fn guard(words: Vec<OsString>, all: bool) -> i32 {
    // Ctrl-C at the terminal of the tune is for the tune alone.
    let _ = rustix::process::setsid();
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::thread::set_name(NAME);
        if all {
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        }
    }
    let main = match start(words) {
        Ok(main) => main,
        Err(error) => {
            complain(&error);
            tell(&format!("exit {NO_COMMAND}"));
            return 0;
        }
    };
    let (events, happened) = mpsc::channel();
    let (of_children, of_pipe) = (events.clone(), events);
    // Both end with the process.
    std::thread::spawn(move || reap(&of_children));
    std::thread::spawn(move || listen(&of_pipe));
    watch(&happened, main, all)
}

/// Starts the command in a group of its own, with what the guardian has as standard error for both of its outputs.
fn start(words: Vec<OsString>) -> io::Result<Pid> {
    let printed = io::stderr().as_fd().try_clone_to_owned()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("pacecar").arg(super::ARGUMENT).arg("exec").arg(std::process::id().to_string()).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::from(printed)).process_group(0);
    let child = command.spawn()?;
    // It is reaped with all others, by `reap`.
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))
}

/// Waits for the end of the command, or for the word to end it.
fn watch(happened: &Receiver<Event>, main: Pid, all: bool) -> i32 {
    loop {
        match happened.recv() {
            Ok(Event::Ended(pid, status)) if pid == main => {
                tell_end(status);
                // What it leaves has lost what it was there for; of a hook it is what the hook was there for.
                return if all { end(happened, main, GRACE_WITHOUT_WORD) } else { 0 };
            }
            Ok(Event::Ended(..)) => {}
            Ok(Event::End(grace)) => return end(happened, main, grace.unwrap_or(GRACE_WITHOUT_WORD)),
            Ok(Event::Alone) | Err(_) => return 0,
        }
    }
}

/// Asks all to end, and after `grace` ends them.
fn end(happened: &Receiver<Event>, main: Pid, grace: Duration) -> i32 {
    signal_all(Signal::TERM);
    if alone_within(happened, main, grace) {
        return 0;
    }
    for _ in 0..KILLS {
        signal_all(Signal::KILL);
        if alone_within(happened, main, BETWEEN) {
            return 0;
        }
    }
    LEFT
}

/// Whether there is no child any more, within a time.
fn alone_within(happened: &Receiver<Event>, main: Pid, time: Duration) -> bool {
    let until = now() + time;
    loop {
        match happened.recv_timeout(until.saturating_sub(now())) {
            Ok(Event::Ended(pid, status)) if pid == main => tell_end(status),
            Ok(Event::Ended(..)) => {}
            // The pipe closed behind the word, or the tune was killed meanwhile: no more patience then.
            Ok(Event::End(_)) => {}
            Ok(Event::Alone) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
    }
}

/// The kernel's steady clock: there is no runtime here, and so none of tokio's.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The whole tree, so that what made a group or a session of its own hears it, too.
fn signal_all(signal: Signal) {
    for pid in tree::below() {
        let _ = kill_process(pid, signal);
    }
}

/// Reaps children, adopted ones too, until there is none.
fn reap(events: &Sender<Event>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                if events.send(Event::Ended(pid, status)).is_err() {
                    return;
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                let _ = events.send(Event::Alone);
                return;
            }
        }
    }
}

/// Waits for a line, the grace in milliseconds, or for the end of the pipe.
fn listen(events: &Sender<Event>) {
    let mut line = String::new();
    let _ = io::stdin().lock().read_line(&mut line);
    let grace = line.trim().parse().ok().map(Duration::from_millis);
    let _ = events.send(Event::End(grace));
}

/// Becomes the command `PARENT PROGRAM ARGUMENTS…`, which the kernel ends with its guardian.
fn become_command(mut words: impl Iterator<Item = OsString>) -> i32 {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    }
    let guardian = words.next().and_then(|pid| pid.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let orphan = guardian.is_none() || rustix::process::getppid() != guardian;
    let Some(program) = words.next().filter(|_| !orphan) else { return NO_COMMAND };
    let error = Command::new(&program).args(words).exec();
    complain(&io::Error::new(error.kind(), format!("cannot run {}: {error}", program.display())));
    NO_COMMAND
}

fn tell_end(status: WaitStatus) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => tell(&format!("exit {code}")),
        (None, signal) => tell(&format!("signal {}", signal.unwrap_or(0))),
    }
}

/// Nobody may be there to hear it.
fn tell(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn complain(error: &io::Error) {
    let _ = writeln!(io::stderr().lock(), "{error}");
}
