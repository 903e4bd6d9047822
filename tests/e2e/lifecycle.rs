//! From setup to verdict: what ends a run, and with which exit code.

use std::time::Duration;

use crate::support::json::{count, text};
use crate::support::plan::one_step;
use crate::support::{Mode, Pacecar, PlanFile, Server};

const AROUND: &str = "\
name: around
base_url: ${API_URL}
setup:
  - { name: make, request: POST /setup, expect: { status: 200 }, capture: { made: $.ok } }
  - { name: second, request: POST /second, expect: { status: 200 } }
teardown:
  - { name: unmake, request: DELETE /teardown }
workflow:
  - { name: home, request: 'GET /?made={{ made }}' }
scenarios: { main: { executor: shared-iterations, vus: 2, iterations: 4 } }
";

#[test]
fn setup_runs_once_before_and_teardown_once_after() {
    let server = Server::start(Mode::Api);
    let ended = Pacecar::run(&PlanFile::new(AROUND).path()).set("API_URL", server.url()).end().expect_code(0);
    let order: Vec<String> = server.requests().iter().map(|request| request.target.clone()).collect();
    let home = "/?made=true";
    assert_eq!(order, ["/setup", "/second", home, home, home, home, "/teardown"]);
    assert_eq!(count(&ended.summary(), &["metrics", "iterations", "count"]), 4);
}

#[test]
fn a_setup_that_fails_is_107_and_teardown_still_runs() {
    // At the first step, and half-way.
    for path in ["/setup", "/second"] {
        let server = Server::start(Mode::StatusAt(path, 500));
        Pacecar::run(&PlanFile::new(AROUND).path()).set("API_URL", server.url()).end().expect_code(107);
        assert_eq!(server.at("/").len(), 0, "iterations after a failed setup");
        assert_eq!(server.at("/teardown").len(), 1, "no teardown after a failed setup");
    }
    let down = Pacecar::run(&PlanFile::new(AROUND).path()).set("API_URL", Server::closed());
    down.end().expect_code(107);
}

#[test]
fn a_threshold_that_fails_is_99_and_one_that_holds_is_0() {
    let server = Server::start(Mode::Api);
    for (threshold, code, verdict) in [
        ("http_req_duration=p(95)<0", 99, "fail"),
        ("http_req_duration=p(95)<60000", 0, "pass"),
        ("http_reqs=count==3", 0, "pass"),
        ("http_reqs=count>3", 99, "fail"),
        ("checks=rate===1", 0, "pass"),
        ("http_req_duration{step:home}=max>=60000", 99, "fail"),
        ("http_req_failed{status:503}=rate==0", 0, "pass"),
        ("http_req_response_time=p(99)<0", 99, "fail"),
    ] {
        let run = || Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(["--threshold", threshold]);
        let ended = run().end().expect_code(code);
        assert_eq!(text(&ended.summary(), &["pacecar", "run", "verdict"]), verdict, "{threshold}");
        assert!(ended.stdout.contains("THRESHOLDS"), "{ended}");
        run().arg("--no-thresholds").end().expect_code(0);
    }
}

#[test]
fn an_abort_ends_the_run_early_with_99() {
    let plan = PlanFile::new(
        "\
name: abort
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 20ms }]
teardown: [{ name: unmake, request: DELETE /teardown }]
scenarios: { main: { executor: constant-vus, vus: 1, duration: 40s } }
thresholds: { http_req_failed: [{ threshold: rate==0, abortOnFail: true }] }
",
    );
    let server = Server::start(Mode::StatusAt("/", 500));
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(99);
    assert!(ended.took < Duration::from_secs(15), "it ran on for {:?}", ended.took);
    assert_eq!(text(&ended.summary(), &["pacecar", "run", "verdict"]), "fail");
    assert_eq!(server.at("/teardown").len(), 1);
}

#[test]
fn a_failed_step_stops_or_continues_as_the_plan_says() {
    let plan = |more: &str| {
        PlanFile::new(format!(
            "\
name: failing
base_url: ${{API_URL}}
workflow:
  - {{ name: first, request: GET /first, expect: {{ status: 200 }}{more} }}
  - {{ name: then, request: GET /then }}
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 2 }} }}
"
        ))
    };
    for (more, sent) in [
        ("", 2),
        (", on_failure: continue", 2),
        (", on_failure: stop", 0),
        (", capture: { token: $.nothing }", 0),
        (", capture: { token: $.nothing }, on_failure: continue", 2),
    ] {
        let server = Server::start(Mode::StatusAt("/first", 500));
        let ended = Pacecar::run(&plan(more).path()).set("API_URL", server.url()).end().expect_code(0);
        assert_eq!(server.at("/then").len(), sent, "{more}");
        assert_eq!(count(&ended.summary(), &["metrics", "iterations", "count"]), 2, "{more}: each counts");
    }
}

#[test]
fn scenarios_start_when_they_are_told_to() {
    let plan = PlanFile::new(
        "\
name: later
base_url: ${API_URL}
workflows:
  one: { weight: 1, steps: [{ name: a, request: GET /one, think: 100ms }] }
  two: { weight: 1, steps: [{ name: b, request: GET /two }] }
scenarios:
  first: { executor: constant-vus, vus: 1, duration: 1s, exec: one }
  second: { executor: per-vu-iterations, vus: 2, iterations: 2, startTime: 2s, exec: two }
",
    );
    let server = Server::start(Mode::Api);
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    assert!(ended.took >= Duration::from_secs(2), "the second scenario came early: {:?}", ended.took);
    let order: Vec<String> = server.requests().iter().map(|request| request.target.clone()).collect();
    assert_eq!(server.at("/two").len(), 4);
    assert_eq!(&order[order.len() - 4..], ["/two"; 4], "{order:?}");
}
