//! Targets that are down, slow, rude or hostile: counted, named, and never a hang.

use std::time::Duration;

use crate::support::json::{at, count, number};
use crate::support::plan::one_step;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// Runs three iterations with a time limit of 1 s a request.
fn run(url: &str) -> Ended {
    let run = Pacecar::run(&one_step().path()).set("API_URL", url).limit(Duration::from_secs(40));
    // No threshold stands in the plan: a target that fails is a finding, not a broken run.
    run.end().expect_code(0)
}

/// All three requests failed, under this key of `errors` (any, where none is fixed).
fn holds(what: &str, ended: &Ended, key: Option<&str>) {
    let summary = ended.summary();
    assert_eq!(count(&summary, &["metrics", "iterations", "count"]), 3, "{what}: {ended}");
    let failed = number(&summary, &["metrics", "http_req_failed", "value"]);
    assert!((failed - 1.0).abs() < 1e-9, "{what}: http_req_failed is {failed}");
    let errors = at(&summary, &["pacecar", "errors"]);
    if let Some(key) = key {
        assert_eq!(count(errors, &[key]), 3, "{what}: {errors}");
    }
    let all: u64 = errors.as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert!(all >= 3, "{what} is not counted: {errors}");
    for stat in ["avg", "max", "p(95)"] {
        assert!(number(&summary, &["metrics", "http_req_duration", stat]) < 5_000.0, "{what}: {stat} past the timeout");
    }
    assert!(ended.took < Duration::from_secs(30), "{what} took {:?}", ended.took);
}

#[test]
fn a_target_that_is_down_is_counted_as_refused() {
    let ended = run(&Server::closed());
    holds("down", &ended, Some("connection_refused"));
    assert_eq!(count(&ended.summary(), &["metrics", "connection_refused", "count"]), 3);
}

#[test]
fn every_way_to_fail_is_counted_as_what_it_is() {
    for (mode, key) in [
        (Mode::ResetOnAccept, Some("connection_reset")),
        (Mode::ResetMidBody, Some("connection_reset")),
        (Mode::Truncated, Some("connection_reset")),
        (Mode::CloseSilently, Some("connection_reset")),
        (Mode::Never, Some("timeout")),
        (Mode::SlowBytes, Some("timeout")),
        (Mode::Garbage, None),
        (Mode::EndlessHeaders, None),
        (Mode::Status(500), Some("status")),
        (Mode::Status(429), Some("status")),
    ] {
        let server = Server::start(mode.clone());
        holds(&format!("{mode:?}"), &run(&server.url()), key);
        // What was sent is never sent again.
        assert!(server.requests().len() <= 3, "{mode:?}: {} requests came in", server.requests().len());
    }
}

#[test]
fn the_counters_of_resets_and_timeouts_are_metrics_too() {
    for (mode, metric) in [(Mode::ResetOnAccept, "connection_reset"), (Mode::Never, "timeout")] {
        let server = Server::start(mode);
        let threshold = format!("{metric}=count==0");
        let run = Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(["--threshold", &threshold]);
        let ended = run.end().expect_code(99);
        assert_eq!(count(&ended.summary(), &["metrics", metric, "count"]), 3);
    }
}

#[test]
fn a_body_without_an_end_is_cut_off() {
    let server = Server::start(Mode::EndlessBody);
    let ended = run(&server.url());
    holds("an endless body", &ended, None);
    let memory = number(&ended.summary(), &["pacecar", "fidelity", "max_rss_bytes"]);
    assert!(memory < 150e6, "it took {memory} bytes");
}

#[test]
fn plain_http_where_tls_was_asked_for_is_counted_as_tls() {
    let server = Server::start(Mode::NoTls);
    holds("no TLS", &run(&server.url().replace("http:", "https:")), Some("tls"));
}

#[test]
fn a_body_too_large_for_a_capture_is_a_failed_capture_not_memory() {
    let server = Server::start(Mode::HugeJson);
    let plan = PlanFile::new(
        "\
name: huge
base_url: ${API_URL}
http: { timeout: 20s }
workflow:
  - { name: login, request: GET /, capture: { token: $.access_token } }
  - { name: after, request: 'GET /{{ token }}' }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
",
    );
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(server.requests().len(), 1, "the step that needs the token was sent");
    assert!(count(&summary, &["metrics", "checks", "fails"]) >= 1, "{ended}");
    let memory = number(&summary, &["pacecar", "fidelity", "max_rss_bytes"]);
    assert!(memory < 150e6, "it took {memory} bytes");
}

#[test]
fn a_redirect_that_never_ends_is_left_after_ten() {
    let server = Server::start(Mode::RedirectLoop);
    let ended = Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(["-i", "2"]).end().expect_code(0);
    assert_eq!(server.requests().len(), 22, "the first and ten more, twice");
    assert_eq!(count(&ended.summary(), &["metrics", "http_reqs", "count"]), 22, "each hop is a request");
    let run = Pacecar::run(&one_step().path()).set("API_URL", server.url()).args(["-i", "1", "--max-redirects", "0"]);
    run.end().expect_code(0);
    assert_eq!(server.requests().len(), 23);
}

#[test]
fn authorization_and_cookies_never_cross_hosts() {
    let other = Server::start(Mode::Api);
    let server = Server::start(Mode::RedirectTo(other.url().replace("127.0.0.1", "localhost") + "/elsewhere"));
    let plan = PlanFile::new(
        "\
name: cross
base_url: ${API_URL}
workflow:
  - { name: away, request: GET /, auth: { bearer: secret-bearer }, headers: { cookie: secret=cookie } }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
",
    );
    Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    assert_eq!(server.requests()[0].header("authorization"), "Bearer secret-bearer");
    let arrived = other.at("/elsewhere");
    assert_eq!(arrived.len(), 1, "the redirect was not followed");
    assert!(!arrived[0].head.contains("secret"), "it went across: {}", arrived[0].head);
}

#[test]
fn a_connection_that_went_stale_is_replaced_and_counted_not_failed() {
    // Closes after each answer, without saying so.
    let server = Server::start(Mode::CloseAfterAnswer);
    let plan = PlanFile::new(
        "\
name: stale
base_url: ${API_URL}
workflow: [{ name: home, request: POST /, body: once, think: 50ms }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 10 } }
",
    );
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(number(&summary, &["metrics", "http_req_failed", "value"]), 0.0, "{ended}");
    assert_eq!(server.requests().len(), 10, "each was sent once");
    assert_eq!(count(&summary, &["metrics", "http_reqs", "count"]), 10);
}
