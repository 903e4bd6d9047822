//! `pacecar demo`, the front door: whatever way it ends, nothing stays behind.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::Running;
use crate::support::{Ended, Pacecar, guardian};

/// A folder for everything temporary, that the user of the Postgres server can walk to.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn demo(folder: &Path) -> Running {
    Pacecar::new(["demo"]).env("TMPDIR", folder).directory(folder).start()
}

/// Waits until the temporary cluster has come so far that the file `name` is in its directory.
fn wait_for(folder: &Path, name: &str) {
    let begun = Instant::now();
    let there = || fs::read_dir(folder).unwrap().flatten().any(|entry| entry.path().join(name).exists());
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {name} in {}", folder.display());
        thread::sleep(Duration::from_millis(5));
    }
}

fn assert_nothing_left(folder: &Path, ended: &Ended) {
    let left: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?} is left: {ended}");
}

#[test]
fn a_signal_while_the_database_starts_leaves_nothing() {
    for stage in ["initdb.log", "postgres.log"] {
        let folder = folder();
        let running = demo(folder.path());
        wait_for(folder.path(), stage);
        running.signal(Signal::INT);
        let ended = running.end().expect_code(105);
        assert!(ended.stderr.contains("stopping"), "no word that it heard: {ended}");
        assert_nothing_left(folder.path(), &ended);
    }
}

#[test]
fn the_demo_says_what_its_requests_waited_for_and_leaves_nothing_but_its_report() {
    let folder = folder();
    // What happens to be in the environment leads neither spans nor figures elsewhere.
    let ended = Pacecar::new(["demo"])
        .env("TMPDIR", folder.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .directory(folder.path())
        .limit(Duration::from_secs(120))
        .end();
    // On a busy machine a threshold may not hold; what is told is the same.
    assert!(matches!(ended.code, Some(0 | 99 | 120)), "{ended}");
    assert!(ended.stdout.contains("CORRELATION"), "{ended}");
    let line = |name: &str| ended.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    // `joined...: 98.00%  49 of 50 requests`
    let counts: Vec<u64> = line("joined").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(counts[1] > 0 && counts[0] * 20 >= counts[1] * 19, "{ended}");
    assert!(line("receiver").contains(" 0 foreign"), "{ended}");
    assert!(line("report").contains("pacecar-demo.html"), "{ended}");
    let report = fs::read_to_string(folder.path().join("pacecar-demo.html")).unwrap();
    for part in ["Where the time went", "Over time", "public.llm_usage", "tenant-workflow", "</html>"] {
        assert!(report.contains(part), "no {part} in the report");
    }
    fs::remove_file(folder.path().join("pacecar-demo.html")).unwrap();
    assert_nothing_left(folder.path(), &ended);
}

#[test]
fn a_demo_that_is_left_at_once_leaves_nothing_and_says_so() {
    let folder = folder();
    let running = demo(folder.path());
    wait_for(folder.path(), "postgres.log");
    // The prompts of the plan are written just before the run begins.
    wait_for(folder.path(), "prompts.json");
    // In the middle of it: before its first request it would end at the first signal.
    thread::sleep(Duration::from_secs(3));
    running.signal(Signal::INT);
    thread::sleep(Duration::from_millis(100));
    running.signal(Signal::INT);
    let ended = running.end().expect_code(105);
    // The rows went with their cluster.
    assert!(!ended.stderr.contains("may be left"), "{ended}");
    assert_nothing_left(folder.path(), &ended);
}

#[test]
fn serve_prints_the_address_first_and_ends_well_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder();
        let mut child = serve(folder.path());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let port = first.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.strip_suffix('\n'));
        assert!(port.is_some_and(|port| port.parse::<u16>().is_ok()), "the first line is {first:?}");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 0, "{signal:?} left something in {}", folder.path().display());
    }
}

fn serve(folder: &Path) -> Child {
    let child = Command::new(env!("CARGO_BIN_EXE_pacecar"))
        .args(["demo", "--serve"])
        .env_remove("DATABASE_URL")
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    guardian::ends_with_us(child.id(), "TERM");
    child
}
