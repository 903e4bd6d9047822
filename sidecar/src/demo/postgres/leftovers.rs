//! What a start finds of runs that died together with their watchdog.
//!
//! A directory is cleared only where it is proven to be a dead run's: it is ours by name, by
//! user and by process namespace, and the process that signed it is gone.

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What the names of our temporary directories begin with.
pub(super) const PREFIX: &str = "pacecar-demo-";
/// The file that says whose a directory is.
const SIGNATURE: &str = "owner";

/// Signs `directory` as this process's.
pub(super) fn sign(directory: &Path) -> io::Result<()> {
    fs::write(directory.join(SIGNATURE), signature_of(std::process::id()))
}

/// Clears what dead runs left in `parent`. What cannot be proven dead stays.
pub(crate) fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if ours && is_dead(&entry.path()) {
            stop_server(&entry.path().join("data"));
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether the process that signed `directory` is gone. The signature must be our user's, so that
/// nobody else can have us remove or stop anything.
fn is_dead(directory: &Path) -> bool {
    let file = directory.join(SIGNATURE);
    let us = rustix::process::geteuid().as_raw();
    let trusted = fs::symlink_metadata(directory).is_ok_and(|meta| meta.is_dir())
        && fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file() && meta.uid() == us);
    let Some(signature) = trusted.then(|| fs::read_to_string(&file).ok()).flatten() else { return false };
    let mut words = signature.split_whitespace();
    let (Some(pid), Some(_start), Some(namespace)) = (words.next(), words.next(), words.next()) else { return false };
    let Ok(pid) = pid.parse() else { return false };
    // In another namespace the same number is another process, and its own may well be alive.
    namespace == namespace_of_processes() && signature != signature_of(pid) && !alive_without_proc(pid)
}

/// `PID START NAMESPACE`. A process id that was given anew has another start.
fn signature_of(pid: u32) -> String {
    format!("{pid} {} {}\n", start_of(pid).unwrap_or_else(|| "?".to_owned()), namespace_of_processes())
}

/// When a process started, in the kernel's ticks; none where it is gone or there is no `/proc`.
fn start_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; field 22 is the 20th behind it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

fn namespace_of_processes() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(|_| "?".to_owned(), |link| link.display().to_string())
}

/// Where there is no `/proc` to tell a reused process id, any process of that id counts as alive.
fn alive_without_proc(pid: u32) -> bool {
    let exists = || process(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    !Path::new("/proc/self/stat").exists() && exists()
}

fn process(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Stops the server of `data`, if the process that its pid file names still serves exactly that.
fn stop_server(data: &Path) {
    let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = pid_file.lines().next().and_then(|pid| pid.trim().parse().ok()) else { return };
    let serves = || {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).any(|argument| argument == data.as_os_str().as_encoded_bytes())
    };
    let Some(process) = process(pid) else { return };
    for signal in [Signal::INT, Signal::KILL] {
        for _ in 0..100 {
            if !serves() {
                return;
            }
            let _ = kill_process(process, signal);
            thread::sleep(Duration::from_millis(20));
        }
    }
}
