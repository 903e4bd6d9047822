//! From a plan to a report, over what workers recorded.

use super::s;
use crate::judge::{self, JudgeVerdict, Judges};
use crate::measure::{
    IterationSample, LayoutBuilder, Recorder, RecorderHandle, RequestSample, ScenarioId, SiteId, SiteTags, Timings,
    Totals,
};
use crate::plan::{Diagnostics, Plan, Variables, read};
use std::time::Duration;
use tokio::time::Instant;

const SPIKE: &str = "spike: { executor: ramping-arrival-rate, startRate: 20, preAllocatedVUs: 50, stages: [
    { duration: 20s, target: 20 }, { duration: 0, target: 100 }, { duration: 20s, target: 100 },
    { duration: 0, target: 20 }, { duration: 30s, target: 20 } ] }";

fn plan(scenarios: &str, judge: &str) -> Plan {
    let text =
        format!("workflow: [{{ name: chat, request: GET / }}]\nscenarios: {{ {scenarios} }}\njudge: {{ {judge} }}");
    let (plan, diagnostics) = read("p.yaml", text.as_bytes(), &Variables::default());
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    plan.unwrap()
}

fn compile(plan: &Plan) -> (Judges, LayoutBuilder, Diagnostics) {
    let (mut layout, mut diagnostics) = (LayoutBuilder::new(Vec::new()), Diagnostics::new("p.yaml"));
    for scenario in &plan.scenarios {
        let scenario = layout.scenario(&scenario.name, &[]);
        layout.site(scenario, SiteTags { step: "chat".into(), ..SiteTags::default() }, 1.0);
    }
    let judges = judge::compile(plan.later.judge.as_ref().unwrap(), &plan.scenarios, &mut layout, &mut diagnostics);
    (judges, layout, diagnostics)
}

/// Plays `took` (ms, at a second) at the plan's rates, and judges.
async fn report(judge: &str, took: impl Fn(u64) -> u64) -> judge::JudgeReport {
    let (judges, layout, diagnostics) = compile(&plan(SPIKE, judge));
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    let (layout, start) = (layout.build(), Instant::now());
    let mut totals = Totals::new(layout.clone(), start);
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for second in 0..70 {
        let rate = if (20..40).contains(&second) { 100 } else { 20 };
        for i in 0..rate {
            let due = start + s(second) + Duration::from_millis(i * 1000 / rate);
            let waiting = Duration::from_millis(took(second) + i % 5);
            let ended = due + waiting;
            let sample = RequestSample {
                due,
                ended,
                timings: Timings { waiting, ..Timings::default() },
                status: 200,
                expected: true,
                failure: None,
                proto: None,
                tls: None,
                tenant: 0,
            };
            handle.request(SiteId(0), &sample);
            handle.iteration(ScenarioId(0), &IterationSample { due, started: due, ended });
        }
        handle.vus(ScenarioId(0), 10, 50);
        totals.merge(&handle.swap(Recorder::new(layout.clone(), start)));
        tokio::time::advance(s(1)).await;
        totals.sample_vus();
    }
    judges.judge(&totals, s(71))
}

#[tokio::test(start_paused = true)]
async fn all_three_are_judged_with_their_defaults() {
    let report = report("recovery: {}, breaking_point: {}, drift: {}", |_| 20).await;
    let verdicts: Vec<_> = report.lines().map(|(name, verdict, _)| (name, verdict)).collect();
    let pass = JudgeVerdict::Pass;
    assert_eq!(verdicts, [("recovery", pass), ("breaking_point", pass), ("drift", pass)], "{report:?}");
    assert!(!report.failed() && !report.is_empty());
    assert_eq!(report.recovery.unwrap().recovered_after, Some(Duration::ZERO));
    let breaking = report.breaking_point.unwrap();
    assert_eq!((breaking.pattern.map(judge::Pattern::as_str), breaking.broke_at), (Some("none"), None));
    assert!((breaking.greatest.rate - 100.0).abs() < 15.0, "{:?}", breaking.greatest);
}

#[tokio::test(start_paused = true)]
async fn a_slow_recovery_fails_and_says_how_slow() {
    let slow = |second| if (20..55).contains(&second) { 300 } else { 20 };
    let report = report("recovery: { within: 5s }", slow).await;
    assert!(report.failed());
    let recovery = report.recovery.unwrap();
    let after = recovery.recovered_after.unwrap().as_secs_f64();
    assert!((14.0..17.0).contains(&after), "{after}");
    assert!(recovery.before.unwrap() < 30.0 && recovery.after.unwrap() < 30.0);
    assert!(
        recovery.sentence.contains("only after") && recovery.sentence.contains("not within 5s"),
        "{}",
        recovery.sentence
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_target_is_found_at_its_load() {
    let report =
        report("breaking_point: { limit: 200 }", |second| if (22..40).contains(&second) { 300 } else { 20 }).await;
    let breaking = report.breaking_point.unwrap();
    assert_eq!(breaking.pattern.map(judge::Pattern::as_str), Some("graceful"));
    let at = breaking.broke_at.unwrap();
    assert!((at.rate - 100.0).abs() < 20.0 && (at.vus - 10.0).abs() < 1e-9, "{at:?}");
    assert!(breaking.sentence.starts_with("breaks at 10 VUs and"), "{}", breaking.sentence);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_judged_fails_and_can_be_left_out() {
    let (judges, layout, _) = compile(&plan(SPIKE, "recovery: {}, breaking_point: {}, drift: {}"));
    let report = judges.judge(&Totals::new(layout.build(), Instant::now()), s(3));
    assert!(
        report
            .lines()
            .all(|(_, verdict, sentence)| verdict == JudgeVerdict::Fail && sentence.contains("cannot be judged"))
    );
    assert!(report.failed() && report.clone().leave_out_unjudged().len() == 3);
    assert_eq!((report.breaking_point.unwrap().pattern, report.drift.unwrap().per_hour), (None, None));
}

#[test]
fn a_question_that_no_plan_answers_is_told_at_its_place() {
    let problems = |scenarios: &str, judge: &str| compile(&plan(scenarios, judge)).2.to_string();
    let flat = "a: { executor: constant-vus, vus: 5, duration: 1m }";
    let told = problems(flat, "recovery: {}");
    assert!(told.contains("p.yaml:3:20: judge.recovery: no scenario says when the load first rises"), "{told}");
    assert!(told.contains("no scenario says when the load falls again") && told.contains("hint: say when"), "{told}");
    assert_eq!(problems(flat, "recovery: { before: 0s..10s, after: 40s }"), "");
    assert_eq!(problems(SPIKE, "recovery: {}, drift: { metric: \"http_req_duration{step:chat}\", stat: avg }"), "");
    for (judge, expected) in [
        (
            "drift: { metric: http_req_duratoin }",
            "no metric is called \"http_req_duratoin\"\n    hint: did you mean `http_req_duration`?",
        ),
        ("drift: { stat: p95 }", "\"p95\" is no aggregation"),
        ("drift: { stat: rate }", "http_req_response_time has no rate"),
        ("drift: { metric: \"http_reqs{step:x}\" }", "no sample of http_reqs{step:x} can have step:x"),
        ("drift: { metric: pool_utilization }", "pool_utilization: not yet"),
        ("recovery: { after: 10s }", "the spike is over before the load has risen"),
    ] {
        let told = problems(SPIKE, judge);
        assert!(told.contains(expected) && told.starts_with("p.yaml:"), "{judge}: {told}");
    }
}

#[test]
fn a_rate_and_a_counter_have_statistics_of_their_own() {
    for metric in ["http_req_failed", "iterations", "vus", "checks"] {
        let (_, _, diagnostics) = compile(&plan(SPIKE, &format!("drift: {{ metric: {metric} }}")));
        assert!(!diagnostics.has_errors(), "{diagnostics}");
    }
}
