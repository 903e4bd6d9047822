//! Outputs that are slow, full, dead or gone: the run goes on, what was lost is counted, the exit code stays.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::{fate, lines, points, read};
use crate::support::json::count;
use crate::support::plan::one_step;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

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

/// Every output that pushes, to one address.
fn servers(url: &str) -> [String; 6] {
    let to = |name: &str, path: &str| format!("{name}={url}{path}");
    ["-o".into(), to("influxdb", "/db"), "-o".into(), to("prometheus-rw", ""), "-o".into(), to("otlp", "")]
}

/// How long the load took.
fn load(ended: &Ended) -> Duration {
    Duration::from_millis(count(&ended.summary(), &["pacecar", "run", "duration_ms"]))
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
    let silent = Server::start(Mode::Never);
    let run = run.args(servers(&silent.url()));
    let ended = run.end().expect_ran();
    drop(held);
    assert!(ended.took < load(&ended) + Duration::from_secs(15), "{ended}");
    let all = points(&read(&fine)).len() as u64;
    for name in ["influxdb", "prometheus-rw", "otlp"] {
        let (written, lost) = fate(&ended, name);
        assert!(written == 0 && lost >= all, "{name}: {written} written, {lost} lost of {all}\n{ended}");
    }
    let (written, lost) = fate(&ended, "json");
    assert!(
        written + lost == 2 * all && lost > 0 && written >= all,
        "{written} written, {lost} lost of 2 × {all}\n{ended}"
    );
    lines(&read(&fine));
}

#[test]
fn servers_that_are_gone_or_say_no_cost_points_and_nothing_else() {
    const MARK: &str = "mark7f3c19";
    let target = Server::start(Mode::Api);
    let (denied, broken) = (Server::start(Mode::Status(401)), Server::start(Mode::Status(500)));
    let (garbage, resets) = (Server::start(Mode::Garbage), Server::start(Mode::ResetOnAccept));
    let urls = [Server::closed(), denied.url(), broken.url(), garbage.url(), resets.url()];
    let running = urls.map(|url| {
        let with_secret = url.replace("http://", &format!("http://someone:{MARK}@"));
        let run = Pacecar::run(&one_step().path()).set("API_URL", target.url()).args(servers(&with_secret)).arg("-vv");
        let run = run.env("OTEL_EXPORTER_OTLP_HEADERS", format!("x={MARK}"));
        (url, run.env("K6_PROMETHEUS_RW_HEADERS_X", MARK).start())
    });
    for (url, running) in running {
        let ended = running.end().expect_ran();
        assert!(ended.took < load(&ended) + Duration::from_secs(15), "{url}: {ended}");
        for name in ["influxdb", "prometheus-rw", "otlp"] {
            let (written, lost) = fate(&ended, name);
            assert!(written == 0 && lost > 30, "{url}: {name}: {written} written, {lost} lost\n{ended}");
            assert!(ended.stderr.contains(&format!("output {name}:")), "{url}: {ended}");
        }
        assert!(!ended.everything().contains(MARK), "{url}: {ended}");
    }
}
