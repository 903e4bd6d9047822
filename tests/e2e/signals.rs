//! Ctrl-C, SIGTERM and a terminal that closes: once stops gently, twice at once.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::json::{count, text};
use crate::support::{Mode, Pacecar, PlanFile, Server};

fn long() -> PlanFile {
    PlanFile::new(
        "\
name: long
base_url: ${API_URL}
http: { timeout: 30s }
workflow: [{ name: home, request: GET /, think: 20ms }]
teardown: [{ name: unmake, request: DELETE /teardown }]
scenarios: { main: { executor: constant-vus, vus: 2, duration: 2m } }
",
    )
}

#[test]
fn one_signal_stops_gently_with_teardown_and_summary() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let server = Server::start(Mode::Api);
        let run = Pacecar::run(&long().path()).set("API_URL", server.url()).start();
        server.wait_for(10);
        run.signal(signal);
        let ended = run.end().expect_code(105);
        assert!(ended.took < Duration::from_secs(15), "{signal:?}: it took {:?}", ended.took);
        assert_eq!(server.at("/teardown").len(), 1, "{signal:?}: no teardown");
        assert!(ended.stdout.contains("http_req_duration"), "{signal:?}: no summary: {ended}");
        let summary = ended.summary();
        // Nothing that was sent is missing.
        assert_eq!(
            count(&summary, &["metrics", "http_reqs", "count"]),
            server.requests().len() as u64,
            "{signal:?}: requests counted and requests that came in"
        );
        assert_eq!(text(&summary, &["pacecar", "run", "verdict"]), "pass", "a signal is no failure of the target");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_whatever_the_target_does() {
    let server = Server::start(Mode::Never);
    let run = Pacecar::run(&long().path()).set("API_URL", server.url()).start();
    server.wait_for(2);
    run.signal(Signal::INT);
    thread::sleep(Duration::from_millis(300));
    run.signal(Signal::INT);
    let ended = run.end().expect_code(105);
    assert!(ended.took < Duration::from_secs(5), "it took {:?}", ended.took);
}

#[test]
fn a_signal_during_setup_still_tears_down() {
    let plan = PlanFile::new(
        "\
name: slow-setup
base_url: ${API_URL}
http: { timeout: 2s }
setup: [{ name: make, request: POST /setup }]
teardown: [{ name: unmake, request: DELETE /teardown }]
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
",
    );
    let server = Server::start(Mode::Never);
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).start();
    server.wait_for(1);
    run.signal(Signal::INT);
    let ended = run.end();
    assert!([Some(105), Some(107)].contains(&ended.code), "{ended}");
    assert_eq!(server.at("/teardown").len(), 1, "no teardown: {ended}");
    assert_eq!(server.at("/").len(), 0, "iterations after a signal in setup");
}
