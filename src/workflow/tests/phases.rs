//! Setup and teardown.

use super::*;

const PLAN: &str = r#"
setup:
  - { name: seed, request: POST /seed, capture: { key: $.key, token: $.token } }
  - { name: more, request: "POST /more/{{ key }}" }
teardown:
  - { name: drop, request: "DELETE /seed/{{ key }}" }
  - { name: last, request: DELETE /last }
workflow:
  - { name: a, request: "GET /a/{{ key }}/{{ token }}" }
  - { name: b, request: GET /b, on_failure: continue, capture: { token: $.own } }
  - { name: c, request: "GET /c/{{ token }}" }
"#;

impl Stage {
    async fn setup(&self, target: &Target) -> Result<(), PhaseError> {
        let traffic = Traffic::default();
        traffic.add_received(10);
        self.program.setup(target.clone(), self.recorder.clone(), traffic).await
    }

    async fn teardown(&self, target: &Target) -> Result<(), PhaseError> {
        self.program.teardown(target.clone(), self.recorder.clone(), Traffic::default()).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_setup_captures_all_iterations_and_teardown_see() {
    let stage = stage(PLAN);
    let target = Target::json(json!({ "key": 7, "token": "s", "own": "o" }));
    stage.setup(&target).await.unwrap();
    stage.play(&target, 2).await;
    stage.teardown(&target).await.unwrap();
    let lines: Vec<_> = target.lines().iter().map(|line| line.replace("http://api.test/v1", "")).collect();
    let iteration = ["GET /a/7/s", "GET /b", "GET /c/o"];
    let expected = [&["POST /seed", "POST /more/7"][..], &iteration, &iteration, &["DELETE /seed/7", "DELETE /last"]];
    assert_eq!(lines, expected.concat());
    let totals = stage.totals();
    assert_eq!(figure(&stage, &totals, "http_reqs{scenario:setup}"), 2.0);
    assert_eq!(figure(&stage, &totals, "http_reqs{scenario:teardown}"), 2.0);
    assert_eq!(figure(&stage, &totals, "data_received{scenario:setup}"), 10.0);
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_fails_names_its_step_and_teardown_does_what_it_can() {
    for (reply, cause) in [
        (Reply::status(503), "status 503"),
        (Reply::failed(FailureKind::Refused), "connection refused"),
        (Reply::json(200, &json!({ "key": 7 })), "`token` could not be captured"),
    ] {
        let stage = stage(PLAN);
        let target = Target::new(move |_| reply.clone());
        let error = stage.setup(&target).await.unwrap_err();
        assert_eq!(error.to_string(), "step `seed`");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), cause);
        assert_eq!(target.lines().len(), 1);
        let target = Target::json(json!({}));
        let after = stage.teardown(&target).await;
        let lines: Vec<_> = target.lines().iter().map(|line| line.replace("http://api.test/v1", "")).collect();
        if cause.contains("token") {
            assert_eq!(lines, ["DELETE /seed/7", "DELETE /last"]);
            assert!(after.is_ok());
        } else {
            // What was never captured cannot be deleted; the rest is.
            assert_eq!(lines, ["DELETE /last"]);
            assert_eq!(after.unwrap_err().step, "drop");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn checks_of_setup_fail_it_only_where_the_step_says_stop() {
    let plan =
        |step: &str| format!("setup: [ {{ name: s, request: GET /s, {step} }} ]\nworkflow: [ {{ request: GET / }} ]");
    let target = |status| Target::new(move |_| Reply::json(status, &json!({ "a": 1 })));
    for (step, status, fails) in [
        ("expect: { json: { $.a: 2 } }", 200, false),
        ("expect: { json: { $.a: 2 } }, on_failure: stop", 200, true),
        ("expect: { status: 200 }", 404, true),
        ("expect: { status: 404 }", 404, false),
        ("on_failure: continue", 500, false),
    ] {
        assert_eq!(stage(&plan(step)).setup(&target(status)).await.is_err(), fails, "{step}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_runs_out_of_time_leaves_what_it_captured() {
    let stage = stage(PLAN);
    let target = Target::new(|seen| match seen.line.contains("/seed") {
        true => Reply::json(200, &json!({ "key": 7, "token": "s" })),
        false => Reply::status(200).after(Duration::from_secs(100)),
    });
    assert!(tokio::time::timeout(Duration::from_secs(60), stage.setup(&target)).await.is_err());
    assert_eq!(stage.totals().requests_cut_off(), 1);
    let target = Target::json(json!({}));
    stage.teardown(&target).await.unwrap();
    assert_eq!(target.lines()[0], "DELETE http://api.test/v1/seed/7");
}
