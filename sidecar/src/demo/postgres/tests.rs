//! The cluster really serves, and leaves nothing: when dropped, when its owner is killed, and
//! when even the watchdog is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use super::postgres::{TemporaryPostgres, leftovers};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const CHILD: &str = "PACECAR_TEST_POSTGRES_CHILD";

fn exists(pid: u32) -> bool {
    // A zombie that nobody has reaped yet does not run any more.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.trim_start().starts_with('Z'))
}

/// Waits for a condition that only other processes can bring about.
fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    (0..1_500).any(|_| {
        let met = condition();
        if !met {
            thread::sleep(Duration::from_millis(10));
        }
        met
    })
}

/// Starts this test binary again as the owner of a cluster; gives the owner, the server's pid, and the directory.
fn owner_elsewhere(temporary: &Path) -> (Child, u32, PathBuf) {
    let name = format!("{}::the_owner_that_gets_killed", module_path!().split_once("::").unwrap().1);
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("TMPDIR", temporary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.contains("cluster=")).unwrap();
    let mut words = line.split("cluster=").nth(1).unwrap().splitn(2, ' ');
    let pid = words.next().unwrap().parse().unwrap();
    (owner, pid, PathBuf::from(words.next().unwrap()))
}

/// A directory that every user can walk to, as the server may be another user.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), mode).unwrap();
    directory
}

/// Not a test by itself: what [`owner_elsewhere`] runs in another process, until that is killed.
#[test]
fn the_owner_that_gets_killed() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let cluster = TemporaryPostgres::start().unwrap();
    println!("cluster={} {}", cluster.pid(), cluster.directory().display());
    let _ = io::stdin().read(&mut [0]);
}

#[test]
fn a_cluster_serves_and_is_gone_when_dropped() {
    let cluster = TemporaryPostgres::start().unwrap();
    let (directory, pid) = (cluster.directory().to_owned(), cluster.pid());
    let url = cluster.url();
    let address = url.split('@').nth(1).unwrap().split('/').next().unwrap();
    assert!(TcpStream::connect(address).is_ok());
    assert!(exists(pid));
    assert!(!directory.join("password").exists(), "the password stands in no file");
    assert!(!format!("{cluster:?}").contains(url.split([':', '@']).nth(2).unwrap()), "nor is it printed");
    drop(cluster);
    assert!(!directory.exists());
    assert!(!exists(pid));
}

#[test]
fn a_panic_leaves_nothing() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let cluster = TemporaryPostgres::start().unwrap();
        sender.send((cluster.pid(), cluster.directory().to_owned())).unwrap();
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    let (pid, directory) = receiver.recv().unwrap();
    assert!(!exists(pid) && !directory.exists());
}

#[test]
fn a_killed_owner_leaves_neither_process_nor_directory() {
    let temporary = open_directory();
    let (mut owner, pid, directory) = owner_elsewhere(temporary.path());
    assert!(exists(pid) && directory.exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(eventually(|| !exists(pid)), "the server still runs");
    assert!(eventually(|| !directory.exists()), "the directory is still there");
}

#[test]
fn the_next_start_clears_what_a_killed_watchdog_left() {
    let temporary = open_directory();
    let (mut owner, pid, directory) = owner_elsewhere(temporary.path());
    // The live one's directory is left alone.
    leftovers::sweep(temporary.path());
    assert!(exists(pid) && directory.exists());
    // The watchdog is the shell whose arguments name the directory.
    let watchdog = fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let arguments = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).into_owned();
        (arguments.contains("pacecar-watchdog") && arguments.contains(directory.to_str()?)).then_some(pid)
    });
    kill_process(Pid::from_raw(watchdog.unwrap()).unwrap(), Signal::KILL).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(exists(pid) && directory.exists(), "without a watchdog they stay");
    leftovers::sweep(temporary.path());
    assert!(!exists(pid), "the server still runs");
    assert!(!directory.exists(), "the directory is still there");
}
