//! The section `tune`: what it means where little is written, and every mistake in it.

use super::{EVERYTHING, good, problems};
use crate::plan::*;
use std::time::Duration;

/// A plan with this section and a scenario that keeps its pace.
fn plan(tune: &str) -> String {
    format!(
        "base_url: http://127.0.0.1:1\nworkflow: [{{ request: GET / }}]\nscenarios:\n  \
         paced: {{ executor: constant-arrival-rate, rate: 9, duration: 1s, preAllocatedVUs: 9 }}\ntune:\n{tune}"
    )
}

fn tune(section: &str) -> TuneDocument {
    good(&plan(section)).later.tune.unwrap()
}

/// The errors of a plan with this section: `LINE:COLUMN message`, the section's first line being 6.
#[track_caller]
fn errors(section: &str, expected: &[&str]) {
    let diagnostics = problems(&plan(section));
    let errors: Vec<&Diagnostic> =
        diagnostics.sorted().into_iter().filter(|item| item.severity == Severity::Error).collect();
    assert_eq!(errors.len(), expected.len(), "{diagnostics}");
    for (found, expected) in errors.iter().zip(expected) {
        let (place, part) = expected.split_once(' ').unwrap();
        assert!(found.span.to_string() == place && found.message.contains(part), "{found:?}\n{expected}");
        assert!(found.hint.is_some() || part.contains("needs") || part.contains("must be"), "{found:?}");
    }
}

const PROCESS: &str = "  apply: { process: { command: [node, server.mjs] } }\n";

#[test]
fn knobs_and_a_way_to_set_them_are_enough() {
    let tune = tune(&format!("  knobs: {{ PG_POOL_MAX: [2, '4', true] }}\n{PROCESS}"));
    let [knob] = tune.knobs.as_slice() else { panic!("{:?}", tune.knobs) };
    let values: Vec<_> = knob.values.iter().map(|value| (value.text.as_str(), value.kind.clone())).collect();
    assert_eq!(values, [("2", Kind::Int(2)), ("4", Kind::Text("4".into())), ("true", Kind::Bool(true))]);
    assert!(tune.original.is_empty() && tune.capacity.is_none() && !tune.allow_closed);
    assert_eq!(tune.scenario.unwrap().value, "paced");
    let second = Duration::from_secs(1);
    assert_eq!((tune.trial.warmup.value, tune.trial.duration.value), (second * 5, second * 30));
    assert_eq!((tune.objective.metric.as_str(), tune.objective.stat), ("http_req_response_time", None));
    let constraints: Vec<_> =
        tune.constraints.iter().map(|one| (one.metric.as_str(), one.expression.as_str())).collect();
    assert_eq!(constraints, [("pool_utilization", "<0.8"), ("http_req_failed", "==0"), ("connection_reset", "==0")]);
    assert_eq!((tune.hold.factor.value, tune.hold.duration.value), (2.0, second * 60));
    assert_eq!((tune.budget.trials.value, tune.budget.time.value), (60, second * 3600));
    let Some(ApplyDocument::Process(process)) = tune.apply else { panic!("{:?}", tune.apply) };
    let ready = process.ready.unwrap();
    assert_eq!((ready.method.as_str(), ready.url.as_str()), ("GET", "/healthz"));
    assert!(ready.expect.status.iter().map(|status| status.value).eq(200..300));
    assert_eq!(process.within.value, second * 20);
}

#[test]
fn each_way_of_setting_knobs_is_read() {
    let apply = |text: &str| tune(&format!("  knobs: {{ A: [1] }}\n  apply: {{ {text} }}\n")).apply.unwrap();
    let ApplyDocument::Exec(exec) = apply("exec: { command: [./set.sh, '8'], within: 3s }") else { panic!() };
    assert!(exec.ready.is_none(), "a command alone says when it is done");
    assert_eq!((exec.command.len(), exec.within.value), (2, Duration::from_secs(3)));
    let http = apply("http: { request: PUT /admin/pool, json: { max: '{{ knobs.A }}' } }");
    let ApplyDocument::Http(step) = http else { panic!() };
    assert!(matches!(step.body, Some(Body::Json(_))) && step.method.value == "PUT");
    let kubernetes = apply("kubernetes: { namespace: staging, deployment: api, container: web }");
    let ApplyDocument::Kubernetes(kubernetes) = kubernetes else { panic!() };
    assert_eq!((kubernetes.container.as_str(), kubernetes.within.value), ("web", Duration::from_secs(300)));

    let everything = good(EVERYTHING).later.tune.unwrap();
    let Some(capacity) = everything.capacity else { panic!() };
    assert_eq!((capacity.replicas.value, capacity.surge.value, capacity.reserve.value), (2, 0.25, 10));
    assert_eq!(everything.pool_knob.unwrap().value, "PG_POOL_MAX");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    errors(
        "  knobs: { PG_POOL_MAX: [], 2ND: [1], TWICE: [8, 8], ONE: 4 }
  original: { PG_POOL_MIN: 4 }
  apply: { exec: { command: [a] }, http: { request: GET / } }
  scenario: pased
  trial: { warmup: -1s, duration: 0s }
  hold: { factor: 0, duration: x }
  capacity: { replicas: 0, knob: POOL }
  budget: { trials: 0, time: 0s, tries: 1 }
",
        &[
            "6:25 the knob `PG_POOL_MAX` has no values",
            "6:29 `2ND` cannot be the name of a knob",
            "6:50 `8` stands here twice",
            "6:59 `knobs` must be a list",
            "7:13 `original` lacks PG_POOL_MAX, 2ND, TWICE, ONE",
            "7:15 `original` names no knob: `PG_POOL_MIN`",
            "8:10 `apply` has exactly one",
            "9:13 `tune.scenario` names no scenario: `pased`",
            "10:20 `warmup` must be a duration",
            "10:35 `duration` must be longer than zero",
            "11:19 `factor` must be a number above 0",
            "11:32 `duration` must be a duration",
            "12:25 `replicas` must be a whole number of at least 1",
            "12:34 `capacity.knob` names no knob: `POOL`",
            "13:21 `trials` must be a whole number from 1",
            "13:30 `time` must be longer than zero",
            "13:34 unknown key `tries` in tune.budget",
        ],
    );
    errors("  knobs: {}\n  apply: {}\n", &["6:10 `knobs` is empty", "7:10 `apply` has exactly one"]);
    errors("  scenario: paced\n", &["6:3 tune needs `knobs`", "6:3 tune needs `apply`"]);
    errors(
        "  knobs: { A: [1] }
  apply: { process: { command: [], ready: /healthz, within: 0s } }
  trial: { warmup: 100ms, duration: 200ms }
",
        &[
            "7:32 `command` is empty",
            "7:43 `ready` does not begin with a method",
            "7:61 `within` must be longer than zero",
            "8:37 a trial must last at least 1s",
        ],
    );
    errors(
        "  knobs: { A: [1] }
  apply: { http: { request: PUT /a, capture: { a: $.a }, think: 1s, undo: DELETE /a } }
",
        &["7:18 has no `capture`", "7:18 has no `undo`", "7:18 has no `think`"],
    );
    errors(
        "  knobs: { A: [1] }
  apply: { kubernetes: { namespace: ../x, deployment: Api, container: c } }
",
        &["7:37 `../x` cannot be the name of a namespace", "7:55 `Api` cannot be the name of a deployment"],
    );
}

#[test]
fn a_trial_keeps_its_pace_unless_the_plan_says_otherwise() {
    let source = |scenarios: &str, more: &str| {
        format!(
            "workflow: [{{ request: GET / }}]\nscenarios: {{ {scenarios} }}\ntune:\n  knobs: {{ A: [1] }}\n{PROCESS}{more}"
        )
    };
    let closed = "people: { executor: constant-vus, vus: 9, duration: 1s }";
    let told = problems(&source(closed, "")).to_string();
    assert!(told.contains("the scenario `people` of a trial is no arrival rate"), "{told}");
    assert!(told.contains("hint: give it `constant-arrival-rate`, or set `allow_closed: true`"), "{told}");
    good(&source(closed, "  allow_closed: true\n"));
    let ramp = "people: { executor: ramping-arrival-rate, preAllocatedVUs: 9, stages: [{ duration: 1s, target: 9 }] }";
    good(&source(ramp, ""));
    let two = format!("{closed}, {}", ramp.replace("people", "others"));
    let told = problems(&source(&two, "")).to_string();
    assert!(told.contains("tune needs `scenario`: the plan has several") && told.contains("it has: people, others"));
    good(&source(&two, "  scenario: others\n"));
    let told = problems(&source("", "")).to_string();
    assert!(told.contains("tune needs a scenario, and the plan has none"), "{told}");
}

#[test]
fn the_pool_is_known_by_its_knobs_name() {
    let knob = |names: &str, more: &str| {
        let section = format!("  knobs: {{ {names} }}\n{PROCESS}  capacity: {{ {more} }}\n");
        tune(&section).pool_knob.map(|knob| knob.value)
    };
    assert_eq!(knob("UV_THREADPOOL_SIZE: [4], PG_POOL_MIN: [1], PG_POOL_MAX: [2]", "").unwrap(), "PG_POOL_MAX");
    assert_eq!(knob("DB_POOL_SIZE: [4]", "replicas: 1").unwrap(), "DB_POOL_SIZE");
    assert_eq!(knob("UV_THREADPOOL_SIZE: [4]", ""), None);
    assert_eq!(knob("CONNS: [4]", "knob: CONNS").unwrap(), "CONNS");
    let told = problems(&plan(&format!("  knobs: {{ A: [4] }}\n{PROCESS}  capacity: {{}}\n"))).to_string();
    assert!(told.contains("warning: no knob's name says that it is the size of the pool"), "{told}");
}

#[test]
fn no_more_combinations_are_tried_than_anybody_has_time_for() {
    let many: Vec<String> = (0..70).map(|n| n.to_string()).collect();
    let many = many.join(", ");
    errors(
        &format!("  knobs: {{ A: [{many}], B: [{many}] }}\n{PROCESS}"),
        &["6:10 the knobs have 4900 combinations; the most is 4096"],
    );
}
