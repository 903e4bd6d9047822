//! The summary: k6's text, k6's JSON key for key, and pacecar's own part beside it.

use std::time::Duration;

use serde_json::Value;

use crate::support::json::{at, count, find, number, text};
use crate::support::plan::three_steps;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

fn ran() -> Ended {
    let server = Server::start(Mode::Api);
    Pacecar::run(&three_steps().path()).set("API_URL", server.url()).end().expect_code(0)
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> =
        value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn the_export_has_k6s_shape_key_for_key() {
    let summary = ran().summary();
    let metrics = at(&summary, &["metrics"]);
    let trend = ["avg", "max", "med", "min", "p(90)", "p(95)"];
    for name in [
        "http_req_blocked",
        "http_req_connecting",
        "http_req_tls_handshaking",
        "http_req_sending",
        "http_req_waiting",
        "http_req_receiving",
        "http_req_duration{expected_response:true}",
        "iteration_duration",
        "group_duration",
        "llm_latency",
        "tokens_per_request",
        "cost_per_request",
    ] {
        assert_eq!(keys(at(metrics, &[name])), trend, "{name}");
    }
    let own = ["avg", "max", "med", "min", "p(90)", "p(95)", "p(99)"];
    for name in ["iteration_response_time", "http_req_response_time", "iteration_lag"] {
        assert_eq!(keys(at(metrics, &[name])), own, "{name}");
    }
    for name in ["http_reqs", "iterations", "data_sent", "data_received"] {
        assert_eq!(keys(at(metrics, &[name])), ["count", "rate"], "{name}");
    }
    for name in ["checks", "cache_hits"] {
        assert_eq!(keys(at(metrics, &[name])), ["fails", "passes", "value"], "{name}");
    }
    // As in k6, `true` is a threshold that failed.
    let with_thresholds = at(metrics, &["http_req_duration"]);
    assert_eq!(at(with_thresholds, &["thresholds", "p(95)<60000"]), &Value::Bool(false));
    assert_eq!(at(metrics, &["http_req_duration{step:login}", "thresholds", "p(95)<60000"]), &Value::Bool(false));
    assert_eq!(keys(at(metrics, &["http_req_failed"])), ["fails", "passes", "thresholds", "value"]);
}

#[test]
fn the_figures_add_up() {
    let summary = ran().summary();
    let metrics = at(&summary, &["metrics"]);
    assert_eq!(count(metrics, &["iterations", "count"]), 6);
    assert_eq!(count(metrics, &["http_reqs", "count"]), 18);
    // As in k6, `passes` of http_req_failed are the requests that did fail.
    assert_eq!(count(metrics, &["http_req_failed", "passes"]), 0);
    assert_eq!(count(metrics, &["http_req_failed", "fails"]), 18);
    // login status, profile status and json, agent status: captures are no checks where they work.
    assert_eq!(count(metrics, &["checks", "passes"]), 24);
    assert_eq!(count(metrics, &["checks", "fails"]), 0);
    assert_eq!(number(metrics, &["tokens_per_request", "avg"]), 300.0);
    assert!(
        (number(metrics, &["cost_per_request", "avg"]) - 0.002).abs() < 0.002 * 0.003,
        "a cost is not rounded away"
    );
    assert_eq!(count(metrics, &["cache_hits", "passes"]), 6);
    for name in ["http_req_duration", "iteration_duration", "http_req_response_time"] {
        let stat = |stat: &str| number(metrics, &[name, stat]);
        let ordered = [stat("min"), stat("med"), stat("p(90)"), stat("p(95)"), stat("max")];
        assert!(ordered.is_sorted() && ordered[0] > 0.0, "{name}: {ordered:?}");
    }
    assert!(number(metrics, &["iteration_duration", "avg"]) >= 2.0 * number(metrics, &["http_req_duration", "avg"]));
}

#[test]
fn blocked_holds_the_connecting_as_in_k6() {
    let summary = ran().summary();
    let phase = |name: &str| number(&summary, &["metrics", name, "max"]);
    assert!(phase("http_req_connecting") > 0.0);
    assert!(phase("http_req_blocked") >= phase("http_req_connecting"), "{:#}", summary["metrics"]);
}

#[test]
fn vus_are_what_worked_and_never_zero_because_nobody_had_said_yet() {
    let plan = PlanFile::new(
        "\
name: vus
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 50ms }]
scenarios: { main: { executor: constant-vus, vus: 3, duration: 2500ms } }
",
    );
    let server = Server::start(Mode::Api);
    let summary = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0).summary();
    for name in ["vus", "vus_max"] {
        assert_eq!(count(&summary, &["metrics", name, "max"]), 3, "{name}");
        assert_eq!(count(&summary, &["metrics", name, "value"]), 3, "{name}");
        // On a busy machine one worker may hand over late; all of them do not.
        assert!(count(&summary, &["metrics", name, "min"]) > 0, "{name}");
    }
}

#[test]
fn what_vus_had_left_is_dropped_and_was_never_due() {
    let plan = PlanFile::new(
        "\
name: left-over
base_url: ${API_URL}
workflow: [{ name: home, request: GET /, think: 300ms }]
scenarios:
  shared: { executor: shared-iterations, vus: 1, iterations: 2000000000, maxDuration: 1s }
  each: { executor: per-vu-iterations, vus: 1, iterations: 1000, maxDuration: 1s }
thresholds: { \"dropped_iterations{scenario:each}\": [\"count>900\"] }
",
    );
    let server = Server::start(Mode::Api);
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    assert!(ended.took < Duration::from_secs(10), "counting took {:?}", ended.took);
    let summary = ended.summary();
    let made = count(&summary, &["metrics", "iterations", "count"]);
    assert_eq!(made + count(&summary, &["metrics", "dropped_iterations", "count"]), 2_000_001_000);
    // In a closed model an iteration is due when the one before it ended.
    let fidelity = at(&summary, &["pacecar", "fidelity"]);
    assert_eq!((count(fidelity, &["scheduled"]), count(fidelity, &["started"])), (made, made), "{fidelity}");
    assert_eq!((number(fidelity, &["achieved_ratio"]), count(fidelity, &["censored"])), (1.0, 0), "{fidelity}");
    assert!(!ended.stdout.contains('≥'), "{ended}");
}

#[test]
fn groups_and_checks_have_k6s_paths_and_ids() {
    let summary = ran().summary();
    let group = at(&summary, &["root_group"]);
    assert_eq!(text(group, &["path"]), "");
    // The md5 of the path.
    assert_eq!(text(group, &["id"]), "d41d8cd98f00b204e9800998ecf8427e");
    let check = find(group, "path", "::login::login status").unwrap_or_else(|| panic!("no such check in {group:#}"));
    assert_eq!(text(check, &["name"]), "login status");
    assert_eq!(text(check, &["id"]), "7c621b4a513e5cfee23d78902774ec87");
    assert_eq!((count(check, &["passes"]), count(check, &["fails"])), (6, 0));
    assert!(find(group, "path", "::profile::profile json").is_some(), "{group:#}");
}

#[test]
fn the_part_of_pacecar_is_complete_and_true() {
    let ended = ran();
    let summary = ended.summary();
    let own = at(&summary, &["pacecar"]);
    let id = text(own, &["run", "id"]);
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{id}");
    assert_eq!(text(own, &["run", "plan"]), "three-steps");
    assert_eq!(text(own, &["run", "verdict"]), "pass");
    assert!(text(own, &["run", "started"]).starts_with("20"));
    assert!(number(own, &["run", "duration_ms"]) > 0.0);

    let fidelity = at(own, &["fidelity"]);
    assert_eq!(fidelity["valid"], true);
    assert_eq!(fidelity["reasons"], Value::Array(Vec::new()));
    for (key, wanted) in [("scheduled", 6), ("started", 6), ("completed", 6), ("dropped", 0), ("censored", 0)] {
        assert_eq!(count(fidelity, &[key]), wanted, "{key} in {fidelity}");
    }
    assert_eq!(number(fidelity, &["achieved_ratio"]), 1.0);
    assert!(number(fidelity, &["cpu_seconds"]) > 0.0 && number(fidelity, &["max_rss_bytes"]) > 1e6, "{fidelity}");
    assert_eq!(keys(at(fidelity, &["lag_ms"])), ["max", "med", "p(99)"]);
    count(fidelity, &["stale_connections"]);

    for key in ["connection_reset", "timeout", "connection_refused", "tls", "dns", "status", "check"] {
        assert_eq!(count(own, &["errors", key]), 0, "{key}");
    }
    // What nobody measured is absent, never zero.
    for section in ["judge", "receiver", "attribution", "pool", "outputs", "cleanup"] {
        assert!(own.get(section).is_none(), "{section}: {own}");
    }
}

#[test]
fn the_text_has_k6s_sections_and_names() {
    let ended = ran();
    for wanted in [
        "THRESHOLDS",
        "TOTAL RESULTS",
        "checks_total",
        "checks_succeeded",
        "CUSTOM",
        "llm_latency",
        "HTTP",
        "http_req_duration",
        "{ expected_response:true }",
        "http_req_failed",
        "http_reqs",
        "EXECUTION",
        "iteration_duration",
        "iterations",
        "NETWORK",
        "data_received",
        "data_sent",
    ] {
        assert!(ended.stdout.contains(wanted), "no {wanted}: {ended}");
    }
}

#[test]
fn the_plan_can_name_its_summary() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("from-the-plan.json");
    let text = std::fs::read_to_string(three_steps().path()).unwrap() + &format!("summary: {}\n", file.display());
    Pacecar::new(["run", "-"]).stdin(text).set("API_URL", server.url()).end().expect_code(0);
    let summary: Value = serde_json::from_slice(&std::fs::read(&file).expect("the summary is there")).unwrap();
    assert_eq!(count(&summary, &["metrics", "iterations", "count"]), 6);
}

#[test]
fn a_summary_that_cannot_be_written_is_told_and_does_not_hide_the_result() {
    let server = Server::start(Mode::Api);
    let plan = three_steps();
    let run = Pacecar::new(["run".as_ref(), plan.path().as_os_str()]).set("API_URL", server.url());
    let ended = run.args(["--summary-export", "/no-such-folder/summary.json"]).end();
    assert!(ended.stderr.contains("/no-such-folder/summary.json"), "{ended}");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}
