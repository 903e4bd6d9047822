//! The flags of `run`: k6's letters with k6's meaning.

use std::time::Duration;

use crate::support::json::{count, number};
use crate::support::plan::one_step;
use crate::support::{Mode, Pacecar, PlanFile, Server};

#[test]
fn the_shortcuts_replace_the_scenarios_as_in_k6() {
    // Flags, iterations (exact, where it is), VUs at most.
    let cases: [(&[&str], Option<u64>, u64); 8] = [
        (&["-i", "7"], Some(7), 1),
        (&["-u", "3"], Some(3), 3),
        (&["-u", "2", "-i", "9"], Some(9), 2),
        (&["--vus", "2", "--iterations", "4", "--duration", "30s"], Some(4), 2),
        (&["-d", "1s"], None, 1),
        (&["-u", "2", "-d", "1s"], None, 2),
        (&["-s", "500ms:2", "-s", "500ms:0"], None, 2),
        (&["-s", "500ms:2,500ms:0"], None, 2),
    ];
    for (flags, iterations, vus) in cases {
        let server = Server::start(Mode::Api);
        let ended = Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(flags).end().expect_code(0);
        let summary = ended.summary();
        let made = count(&summary, &["metrics", "iterations", "count"]);
        match iterations {
            Some(iterations) => assert_eq!(made, iterations, "{flags:?}"),
            None => assert!(made > vus, "{flags:?}: {made} iterations"),
        }
        assert_eq!(server.at("/").len() as u64, made, "{flags:?}: as many requests as iterations");
        // A gauge that is read once a second; a shorter run may have none.
        if let Some(most) = summary["metrics"].get("vus_max") {
            assert_eq!(count(most, &["max"]), vus, "{flags:?}");
        }
        assert!(ended.took < Duration::from_secs(15), "{flags:?} took {:?}", ended.took);
    }
}

#[test]
fn flags_that_make_no_sense_are_104_at_once_and_nothing_is_sent() {
    let cases: [&[&str]; 14] = [
        &["-s", "1s:2", "-d", "5s"],
        &["-s", "1s:2", "-i", "5"],
        &["-u", "0", "-i", "1"],
        &["-u", "many"],
        &["-d", "soon"],
        &["-s", "1s"],
        &["-e", "NOEQUALS"],
        &["--threshold", "http_reqs"],
        &["--threshold", "http_reqs=p(95)<1"],
        &["--threshold", "no_such_metric=rate<1"],
        &["--scenario", "no-such-scenario"],
        &["--no-such-flag"],
        &["--tag", "novalue"],
        &["--rps", "-5"],
    ];
    let server = Server::start(Mode::Api);
    for flags in cases {
        let run = || Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(flags).end();
        let ended = run().expect_code(104);
        assert!(!ended.stderr.trim().is_empty(), "{flags:?}: no message");
        let quick = |took| took < Duration::from_secs(1);
        assert!(quick(ended.took) || quick(run().took) || quick(run().took), "{flags:?} took {:?}", ended.took);
    }
    server.expect_untouched();
}

#[test]
fn a_filled_name_comes_from_the_flag_then_the_environment_then_the_default() {
    let plan = PlanFile::new(
        "\
name: precedence
base_url: ${API_URL}
workflow: [{ name: a, request: 'GET /${WHERE:-default}' }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
",
    );
    for (flag, environment, path) in [
        (None, None, "/default"),
        (None, Some("environment"), "/environment"),
        (Some("flag"), Some("environment"), "/flag"),
        (Some("flag"), None, "/flag"),
    ] {
        let server = Server::start(Mode::Api);
        let mut run = Pacecar::run(&plan.path()).set("API_URL", server.url());
        if let Some(value) = flag {
            run = run.set("WHERE", value);
        }
        if let Some(value) = environment {
            run = run.env("WHERE", value);
        }
        run.end().expect_code(0);
        assert_eq!(server.requests()[0].target, path);
    }
}

#[test]
fn every_flag_has_an_environment_variable_and_the_flag_wins() {
    let server = Server::start(Mode::Api);
    let run = || Pacecar::run(&one_step().path()).set("API_URL", server.url()).env("PACECAR_ITERATIONS", "5");
    let iterations = |run: Pacecar| count(&run.end().expect_code(0).summary(), &["metrics", "iterations", "count"]);
    assert_eq!(iterations(run()), 5);
    assert_eq!(iterations(run().args(["-i", "2"])), 2);
    let agent = run().env("PACECAR_USER_AGENT", "somebody/1").args(["-i", "1"]).end();
    agent.expect_code(0);
    assert_eq!(server.requests().last().unwrap().header("user-agent"), "somebody/1");
}

#[test]
fn only_the_named_scenarios_run() {
    let plan = PlanFile::new(
        "\
name: choice
base_url: ${API_URL}
workflows:
  one: { weight: 1, steps: [{ name: a, request: GET /one }] }
  two: { weight: 1, steps: [{ name: b, request: GET /two }] }
scenarios:
  first: { executor: shared-iterations, vus: 1, iterations: 2, exec: one }
  second: { executor: shared-iterations, vus: 1, iterations: 3, exec: two }
",
    );
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["--scenario", "second"]);
    run.end().expect_code(0);
    assert_eq!((server.at("/one").len(), server.at("/two").len()), (0, 3));
}

#[test]
fn what_bounds_requests_bounds_them() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&one_step().path()).set("API_URL", server.url());
    // 20 requests, the first at once, at 10 a second.
    let ended = run.args(["-u", "5", "-i", "20", "--rps", "10"]).end().expect_code(0);
    assert!(ended.took > Duration::from_millis(1500), "20 requests at 10/s took {:?}", ended.took);
    assert_eq!(server.requests().len(), 20);
}

#[test]
fn a_pipe_gets_neither_colour_nor_progress() {
    let server = Server::start(Mode::Api);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "xterm-256color")] {
        let run = Pacecar::run(&one_step().path()).set("API_URL", server.url()).env(name, value);
        let ended = run.args(["-d", "2s"]).end().expect_code(0);
        assert!(!ended.output().contains('\u{1b}'), "colour in a pipe: {ended}");
        assert!(!ended.output().contains('\r'), "progress in a pipe: {ended}");
    }
}

#[test]
fn quiet_keeps_the_summary_and_logs_can_be_json() {
    let server = Server::start(Mode::Status(500));
    let run = || Pacecar::run(&one_step().path()).set("API_URL", server.url());
    let quiet = run().arg("-q").end().expect_code(0);
    assert!(quiet.stdout.contains("http_req_duration"), "{quiet}");
    let logs = run().args(["--log-format", "json", "-v"]).end().expect_code(0);
    for line in logs.stderr.lines().filter(|line| !line.trim().is_empty()) {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
    }
}

#[test]
fn trend_stats_are_what_was_asked_for() {
    let server = Server::start(Mode::Api);
    let run = Pacecar::run(&one_step().path()).set("API_URL", server.url());
    let ended = run.args(["--summary-trend-stats", "min,p(99.9),count"]).end().expect_code(0);
    let line = ended.stdout.lines().find(|line| line.trim_start().starts_with("http_req_duration"));
    let line = line.unwrap_or_else(|| panic!("no http_req_duration: {ended}"));
    assert!(line.contains("p(99.9)=") && line.contains("min=") && !line.contains("avg="), "{line}");
    assert!(number(&ended.summary(), &["metrics", "http_req_duration", "p(99.9)"]) > 0.0);
}
