//! What the guide's spike, stress and soak tests ask, as verdicts and exit codes.

use crate::support::json::at;
use crate::support::{Mode, Pacecar, PlanFile, Server};

/// A short spike against a target that answers at once, with `judge:` and the pause between iterations as given.
fn spike(judge: &str, think: &str) -> PlanFile {
    PlanFile::new(format!(
        "
name: spike
base_url: ${{API_URL}}
workflow:
  - {{ name: home, request: GET /, think: {think} }}
scenarios:
  spike:
    executor: ramping-vus
    startVUs: 1
    stages: [{{ duration: 3s, target: 1 }}, {{ duration: 0s, target: 8 }}, {{ duration: 1s, target: 8 }}, {{ duration: 0s, target: 1 }}, {{ duration: 3s, target: 1 }}]
judge:
  {judge}
"
    ))
}

#[test]
fn a_target_that_takes_the_spike_passes_and_says_so() {
    let server = Server::start(Mode::Api);
    let plan = spike(
        "{ recovery: { metric: http_req_response_time, stat: p(95), within: 3s, factor: 50 }, \
         breaking_point: { metric: http_req_response_time, stat: p(95), limit: 10000, failed: 0.1 } }",
        "10ms",
    );
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(at(&summary, &["pacecar", "judge", "recovery", "verdict"]), "pass", "{ended}");
    assert!(at(&summary, &["pacecar", "judge", "recovery", "recovered_after_ms"]).is_number(), "{ended}");
    assert_eq!(at(&summary, &["pacecar", "judge", "breaking_point", "pattern"]), "none", "{ended}");
    assert!(ended.stdout.contains("█ JUDGE"), "{ended}");
}

#[test]
fn what_cannot_be_judged_fails_and_says_why() {
    let server = Server::start(Mode::Api);
    // Two iterations a second for the three seconds for which the load is held: far too few to judge, on any machine.
    let plan = spike("{ drift: { metric: http_req_response_time, stat: p(95), per_hour: 0.05 } }", "500ms");
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(99);
    assert_eq!(at(&ended.summary(), &["pacecar", "judge", "drift", "verdict"]), "fail", "{ended}");
    assert!(ended.stdout.contains("cannot be judged"), "{ended}");
}

#[test]
fn flags_that_replace_the_scenarios_leave_the_judges_out_with_a_word() {
    let server = Server::start(Mode::Api);
    let plan = spike("{ recovery: { metric: http_req_response_time, stat: p(95), within: 3s, factor: 1.2 } }", "10ms");
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["-i", "3"]).end().expect_code(0);
    assert!(ended.stderr.contains("not judged"), "{ended}");
    assert!(at(&ended.summary(), &["pacecar"]).get("judge").is_none(), "{ended}");
}

#[test]
fn a_judge_of_something_that_is_not_measured_is_104() {
    let plan = spike("{ drift: { metric: http_req_respons_time, stat: p(95), per_hour: 0.05 } }", "10ms");
    let ended = Pacecar::run(&plan.path()).set("API_URL", "http://127.0.0.1:1").end().expect_code(104);
    assert!(ended.stderr.contains("http_req_respons_time"), "{ended}");
}
