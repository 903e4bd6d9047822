//! What a good plan reads as.

use super::{EVERYTHING, good, problems};
use crate::plan::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_empty_section_and_a_missing_one_have_the_same_defaults() {
    for source in
        ["name: x", "name: x\ntenants:\nhttp:\nsetup: []\nworkflow:\nscenarios: {}\noutputs: []\nreport: \"\"\n"]
    {
        let plan = good(source);
        assert_eq!(plan.name.value, "x");
        assert!(plan.base_url.is_none() && plan.environment.is_none() && plan.report.is_none());
        assert_eq!((plan.tenants.count.value, plan.tenants.users.value), (20, 5));
        assert_eq!(plan.tenants.email.value, "test-{{ tenant }}-{{ user }}@example.com");
        assert_eq!((plan.http.timeout.value, plan.http.redirects.value), (60 * SECOND, 10));
        assert!(plan.http.keep_alive && !plan.http.insecure_skip_verify && plan.http.version == HttpVersion::Auto);
        assert!(plan.setup.is_empty() && plan.scenarios.is_empty() && plan.cleanup.is_none() && plan.guard.is_none());
    }
    assert_eq!(good("environment: dev").name.value, "plan");
}

#[test]
fn every_key_is_read() {
    let plan = good(EVERYTHING);
    assert_eq!((plan.tenants.count.value, plan.tenants.users.value), (20, 5));
    assert_eq!(plan.tenants.create.as_ref().unwrap().name.value, "create");
    assert_eq!(plan.data[1].pick, Pick::Shuffled);
    assert_eq!(plan.http.version, HttpVersion::Http1);
    assert_eq!(plan.http.headers[0].1.value, "1");
    assert_eq!(plan.teardown[0].name.value, "DELETE /warm");
    assert_eq!(plan.outputs[0].value, "json=out.json");

    let cleanup = plan.cleanup.unwrap();
    let postgres = cleanup.postgres.unwrap();
    assert_eq!((postgres.batch.value, postgres.max_rows.value, postgres.max_rows_per_second.value), (500, 2000, 300));
    assert_eq!(postgres.roots[0].max_share.value, 0.25);
    assert_eq!((postgres.follow.value, postgres.ledger.value), (Follow::ForeignKeys, Ledger::TwoKey));
    assert_eq!(cleanup.when.value, When::Every(600 * SECOND));
    let guard = plan.guard.unwrap();
    assert_eq!(guard.max_rate.unwrap().value, Rate { count: 100.0, per: SECOND });
    assert_eq!(guard.hosts[1].value, "*.staging.example.com");
}

#[test]
fn steps_are_read() {
    let plan = good(EVERYTHING);
    let [login, profile, agent] = plan.workflows[0].steps.as_slice() else { panic!() };
    assert_eq!((login.method.as_str(), login.url.as_str()), ("POST", "/auth/v1/token?grant_type=password"));
    assert_eq!((login.span.line, login.url.span), (28, Span::new(29, 18)));
    let Some(Body::Json(Node { kind: Kind::Map(json), .. })) = &login.body else { panic!() };
    assert_eq!(json[2].1.kind, Kind::Int(1));
    assert_eq!(json[4].1.kind, Kind::Null);
    assert!(matches!(&login.capture[0].from, CaptureFrom::Json(path) if path.value == "$.access_token"));
    assert!(matches!(&login.capture[1].from, CaptureFrom::Cookie(name) if name.value == "sid"));
    assert!(matches!(&login.capture[2].from, CaptureFrom::Regex(regex) if regex.value == r"id=(\d+)"));
    let statuses: Vec<u16> = profile.expect.status.iter().map(|status| status.value).collect();
    assert_eq!(statuses, [200, 304]);
    assert_eq!(profile.expect.json[0].0.value, "$.tenant");
    assert_eq!(profile.think, Some(Think { min: SECOND, max: 3 * SECOND }));
    assert!(matches!(&profile.auth, Some(Auth::Bearer(token)) if token.value == "{{ token }}"));
    assert_eq!((agent.on_failure, agent.stream.map(|it| it.value)), (Some(OnFailure::Stop), Some(Stream::Sse)));
    assert_eq!(agent.undo.as_ref().unwrap().value, "DELETE /api/chats/{{ id }}");
    let kinds: Vec<MetricKind> = agent.metrics.iter().map(|metric| metric.kind).collect();
    use MetricKind::{Counter, Gauge, Rate, Trend};
    assert_eq!(kinds, [Trend, Trend, Gauge, Rate, Counter]);
    assert!(matches!(agent.metrics[0].source, MetricSource::Duration));
    assert!(matches!(&agent.metrics[1].source, MetricSource::Json(path) if path.value == "$.usage.total_tokens"));
    assert!(matches!(&agent.metrics[4].source, MetricSource::Template(one) if one.value == "1"));

    let browse = &plan.workflows[1];
    assert_eq!((plan.workflows[0].weight.value, browse.weight.value), (3.0, 1.0));
    assert_eq!(browse.steps[1].name.value, "PATCH /raw");
    assert!(matches!(&browse.steps[0].auth, Some(Auth::Basic { user, .. }) if user.value == "u"));
}

#[test]
fn executors_have_k6s_parameters_and_defaults() {
    let plan = good(EVERYTHING);
    let [shared, _, steady, ramp, rate, _, _] = plan.scenarios.as_slice() else { panic!() };
    assert_eq!((shared.start_time, shared.graceful_stop), (5 * SECOND, Duration::ZERO));
    assert_eq!((steady.graceful_stop, steady.exec.as_ref().unwrap().as_str()), (30 * SECOND, "chat"));
    assert_eq!(steady.env[0].1.value, "eu");
    let Executor::RampingVus { start_vus, stages, graceful_ramp_down } = &ramp.executor else { panic!() };
    assert_eq!((start_vus.value, stages.len(), *graceful_ramp_down), (0, 2, 10 * SECOND));
    let Executor::ConstantArrivalRate { rate, time_unit, duration, vus, arrivals } = &rate.executor else { panic!() };
    assert_eq!((rate.value, *time_unit, *duration), (2.5, 60 * SECOND, Some(5400 * SECOND)));
    assert_eq!((vus.pre_allocated.value, vus.max.value, *arrivals), (5, 10, Arrivals::Poisson));

    let plan = good(
        "workflow: [{ request: GET / }]
scenarios:
  a: { executor: shared-iterations }
  b: { executor: constant-vus }
  c: { executor: ramping-vus, stages: [{ duration: 1m, target: 3 }] }
  d: { executor: constant-arrival-rate, rate: 10, preAllocatedVUs: 4 }
  e: { executor: externally-controlled, vus: 3 }
",
    );
    assert!(matches!(
        plan.scenarios[0].executor,
        Executor::SharedIterations { vus: Spanned { value: 1, .. }, iterations: Spanned { value: 1, .. }, max_duration }
            if max_duration == 600 * SECOND
    ));
    assert!(matches!(plan.scenarios[1].executor, Executor::ConstantVus { duration: None, .. }));
    assert!(matches!(plan.scenarios[2].executor, Executor::RampingVus { start_vus: Spanned { value: 1, .. }, .. }));
    assert!(matches!(plan.scenarios[3].executor, Executor::ConstantArrivalRate { vus, .. } if vus.max.value == 4));
    assert!(matches!(
        plan.scenarios[4].executor,
        Executor::ExternallyControlled { max_vus: Spanned { value: 3, .. }, .. }
    ));
}

#[test]
fn thresholds_are_texts_mappings_or_lists_of_either() {
    let plan = good(EVERYTHING);
    let expressions: Vec<&str> = plan.thresholds.iter().map(|threshold| threshold.expression.as_str()).collect();
    assert_eq!(expressions, ["p(95)<200", "p(95)<200", "avg<100", "rate==0"]);
    let second = &plan.thresholds[1];
    assert_eq!(second.metric.value, "http_req_duration{step:login}");
    assert!(second.abort_on_fail && second.delay_abort_eval == 10 * SECOND);
    assert_eq!(second.during, Some(During { from: 120 * SECOND, to: Some(180 * SECOND) }));
}

#[test]
fn unquoted_numbers_are_text_where_text_is_meant() {
    let plan = good("name: 007\ntenants: { password: 0123 }\nenvironment: true\nsummary: 1e5\n");
    let texts =
        [&plan.name, &plan.tenants.password, plan.environment.as_ref().unwrap(), plan.summary.as_ref().unwrap()];
    assert_eq!(texts.map(|text| text.value.as_str()), ["007", "0123", "true", "1e5"]);
}

#[test]
fn aliases_repeat_what_they_name() {
    let plan = good("setup: [ &a { request: GET /a, name: a } ]\nteardown: [ *a ]\nname: &n x\nenvironment: *n\n");
    assert_eq!(plan.teardown[0].name.value, "a");
    assert_eq!(plan.environment.unwrap().value, "x");
}

#[test]
fn a_byte_order_mark_and_crlf_change_nothing() {
    let plan = good("\u{feff}---\r\nname: x\r\nenvironment: dev\r\n...\r\n");
    assert_eq!(plan.environment.unwrap().span, Span::new(3, 14));
}

#[test]
fn when_is_an_expression_or_a_plain_truth() {
    let when = |text: &str| {
        good(&format!("workflow: [{{ request: GET /, when: {text} }}]")).workflows[0].steps[0].when.clone()
    };
    assert_eq!(when("true").unwrap().value, "{{ true }}");
    assert_eq!(when("\"{{ a }}\"").unwrap().value, "{{ a }}");
    assert!(
        problems("workflow: [{ request: GET /, when: token }]").to_string().contains("1:36: `when` is no expression")
    );
}

#[test]
fn when_cleanup_runs_is_decided_where_the_plan_does_not_say() {
    let decided = |text: &str, endless: bool| {
        let mut cleanup = good(&format!("cleanup: {{ {text} }}")).cleanup.unwrap();
        cleanup.decide_when(endless);
        cleanup.when.value
    };
    assert_eq!((decided("", false), decided("", true)), (When::End, When::Every(600 * SECOND)));
    for endless in [false, true] {
        assert_eq!(decided("when: end", endless), When::End);
        assert_eq!(decided("when: never", endless), When::Never);
        assert_eq!(decided("when: every 5s", endless), When::Every(5 * SECOND));
    }
}

#[test]
fn judges_are_read_with_their_defaults() {
    let judge = |text: &str| good(&format!("judge: {{ {text} }}")).later.judge.unwrap();
    let given = good(EVERYTHING).later.judge.unwrap();
    let recovery = given.recovery.unwrap();
    let before = During { from: Duration::ZERO, to: Some(Duration::from_secs(60)) };
    assert_eq!(recovery.before.map(|it| it.value), Some(before));
    assert_eq!(recovery.after.map(|it| it.value), Some(Duration::from_secs(180)));
    assert_eq!((recovery.within.value, recovery.factor.value), (Duration::from_secs(30), 1.2));
    let breaking_point = given.breaking_point.unwrap();
    assert_eq!((breaking_point.limit.value, breaking_point.failed.value), (10_000.0, 0.1));
    assert_eq!(breaking_point.figure.stat.unwrap().value, "p(95)");
    assert_eq!(given.drift.unwrap().per_hour.value, 0.05);

    let bare = judge("recovery: {}, breaking_point: {}, drift: {}");
    let recovery = bare.recovery.unwrap();
    assert!(recovery.before.is_none() && recovery.after.is_none() && recovery.figure.stat.is_none());
    assert_eq!((recovery.within.value, recovery.factor.value), (Duration::from_secs(30), 1.2));
    assert_eq!(recovery.figure.metric.value, "http_req_response_time");
    let breaking_point = bare.breaking_point.unwrap();
    assert_eq!((breaking_point.limit.value, breaking_point.failed.value), (10_000.0, 0.1));
    assert_eq!(bare.drift.unwrap().per_hour.value, 0.05);
    let told = problems("judge: { recovery: { before: 0s..4m, after: 3m } }").to_string();
    assert!(told.starts_with("p.yaml:1:30: `before` must end before the spike is over"), "{told}");
}
