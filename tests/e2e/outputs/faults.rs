//! Outputs that are slow, full, dead or gone: the run goes on, what was lost is counted, the exit code stays.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::{fate, lines, points, read};
use crate::support::plan::one_step;
use crate::support::{Mode, Pacecar, PlanFile, Server};

/// Iterations enough for more points than a pipe holds.
fn many() -> PlanFile {
    PlanFile::new(
        "\
name: many
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, expect: { status: 200 } }]
scenarios: { main: { executor: shared-iterations, vus: 2, iterations: 300 } }
",
    )
}

/// A named pipe.
fn pipe(name: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(name).status().expect("mkfifo runs").success());
}

#[test]
fn a_disk_that_is_full_loses_points_and_nothing_else() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&one_step().path()).set("API_URL", server.url());
    let ended = run.args(["-o", "json=/dev/full"]).end().expect_ran();
    let (written, lost) = fate(&ended, "json");
    assert!(written == 0 && lost > 30, "{written} written, {lost} lost\n{ended}");
    assert!(ended.stderr.contains("output json:") && ended.stderr.contains("lost"), "{ended}");
}

#[test]
fn a_disk_that_gets_full_keeps_whole_lines() {
    let server = Server::start(Mode::Api);
    for name in ["out.json", "out.json.gz"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        let run =
            Pacecar::run(&many().path()).set("API_URL", server.url()).arg("-o").arg(format!("json={}", file.display()));
        // No file may get larger than this: writing past it fails as on a full disk.
        let limit = if name.ends_with("gz") { "ulimit -f 20" } else { "ulimit -f 400" };
        let script = format!("trap '' XFSZ; {limit}; exec \"$@\"");
        let ended = run.under("sh", &["-c", &script, "sh"]).end().expect_ran();
        let mut text = String::new();
        if name.ends_with("gz") {
            let file = std::fs::File::open(&file).unwrap();
            flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("what is there is whole");
        } else {
            text = read(&file);
        }
        let (written, lost) = fate(&ended, "json");
        assert_eq!(points(&text).len() as u64, written, "{ended}");
        assert!(text.ends_with('\n') && written > 0 && lost > 0, "{name}: {written} written, {lost} lost\n{ended}");
    }
}

#[test]
fn a_pipe_whose_reader_has_gone_loses_points_and_nothing_else() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("pipe");
    pipe(&name);
    let reader = thread::spawn({
        let name = name.clone();
        move || std::fs::File::open(name).unwrap().read(&mut [0; 100]).unwrap()
    });
    let run = Pacecar::run(&many().path()).set("API_URL", server.url());
    let ended = run.arg("-o").arg(format!("json={}", name.display())).end().expect_ran();
    assert!(reader.join().unwrap() > 0);
    let (_, lost) = fate(&ended, "json");
    assert!(lost > 0, "{ended}");
}

#[test]
fn outputs_that_hang_hold_the_end_up_for_seconds_only() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    let (name, fine) = (folder.path().join("pipe"), folder.path().join("fine.json"));
    pipe(&name);
    // Opened for reading and writing it never waits, and nobody ever reads.
    let held = OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let run = Pacecar::run(&many().path()).set("API_URL", server.url());
    let run = run.arg("-o").arg(format!("json={}", name.display())).arg("-o").arg(format!("json={}", fine.display()));
    let ended = run.end().expect_ran();
    drop(held);
    let load = Duration::from_millis(crate::support::json::count(&ended.summary(), &["pacecar", "run", "duration_ms"]));
    assert!(ended.took < load + Duration::from_secs(15), "{ended}");
    let all = points(&read(&fine)).len() as u64;
    let (written, lost) = fate(&ended, "json");
    assert!(
        written + lost == 2 * all && lost > 0 && written >= all,
        "{written} written, {lost} lost of 2 × {all}\n{ended}"
    );
    lines(&read(&fine));
}
