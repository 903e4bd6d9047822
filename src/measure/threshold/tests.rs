//! Thresholds: the grammar, what fits which metric, what is judged when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::measure::{Contains, Recorder, RecorderHandle, RequestSample, SiteTags, Timings};
use crate::plan::{Severity, Span};
use tokio::time::Instant;

fn document(metric: &str, expression: &str) -> ThresholdDocument {
    let at = |text: &str, column| Spanned::new(text.to_owned(), Span::new(1, column));
    ThresholdDocument {
        metric: at(metric, 1),
        expression: at(expression, 40),
        abort_on_fail: false,
        delay_abort_eval: Duration::ZERO,
        during: None,
    }
}

fn layout() -> LayoutBuilder {
    let mut layout = LayoutBuilder::new(Vec::new());
    let scenario = layout.scenario("default", &[]);
    let tags = SiteTags { step: "login".into(), method: "POST".into(), url: "/login".into() };
    let site = layout.site(scenario, tags, 1.0);
    layout.check(site, "status");
    layout.metric("cost", MetricKind::Trend, Contains::Default);
    layout
}

fn problems(metric: &str, expression: &str) -> Vec<(Severity, String)> {
    let mut diagnostics = Diagnostics::new("plan.yaml");
    Thresholds::compile(&[document(metric, expression)], &mut layout(), &mut diagnostics);
    diagnostics
        .sorted()
        .into_iter()
        .map(|item| {
            (item.severity, format!("{} {} ({})", item.span, item.message, item.hint.clone().unwrap_or_default()))
        })
        .collect()
}

#[test]
fn k6s_grammar_is_read() {
    for (text, aggregation, operator, bound) in [
        ("p(95)<200", Aggregation::Percentile(95.0), Operator::Less, 200.0),
        ("p(99.9) <= 1.5e3", Aggregation::Percentile(99.9), Operator::LessOrEqual, 1500.0),
        ("  avg  >  -1 ", Aggregation::Avg, Operator::Greater, -1.0),
        ("min>=0", Aggregation::Min, Operator::GreaterOrEqual, 0.0),
        ("rate==0", Aggregation::Rate, Operator::Equal, 0.0),
        ("count === 5", Aggregation::Count, Operator::Equal, 5.0),
        ("value!=.5", Aggregation::Value, Operator::NotEqual, 0.5),
        ("p(0)<1", Aggregation::Percentile(0.0), Operator::Less, 1.0),
        ("p(100)<1", Aggregation::Percentile(100.0), Operator::Less, 1.0),
        ("med<1", Aggregation::Med, Operator::Less, 1.0),
        ("max<1", Aggregation::Max, Operator::Less, 1.0),
    ] {
        assert_eq!(text.parse(), Ok(Expression { aggregation, operator, bound }), "{text}");
    }
}

#[test]
fn what_k6_refuses_is_refused() {
    for text in [
        "",
        "p(95)",
        "p(95)200",
        "p(95)<",
        "<200",
        "p(95)<x",
        "p95<200",
        "p(101)<1",
        "p(-1)<1",
        "p( 95 )<1",
        "p()<1",
        "p(NaN)<1",
        "foo<1",
        "p(95)=<1",
        "p(95)=1",
        "p(95)<<1",
        "p(95)<inf",
        "p(95)<1 ms",
        "p(95)<200 && avg<1",
        "!<1",
    ] {
        assert!(text.parse::<Expression>().is_err(), "{text}");
    }
}

#[test]
fn an_unknown_metric_is_an_error_with_the_nearest_name() {
    let found = problems("http_req_durations", "p(95)<1");
    let want = "1:1 no metric is called \"http_req_durations\" (did you mean `http_req_duration`?)";
    assert_eq!(found, [(Severity::Error, want.into())]);
}

#[test]
fn an_aggregation_must_fit_its_metric() {
    for (metric, expression) in [
        ("http_req_duration", "rate<1"),
        ("http_req_duration", "value<1"),
        ("http_req_failed", "count<1"),
        ("http_reqs", "p(95)<1"),
        ("vus", "count<1"),
        ("checks", "avg>0.9"),
    ] {
        let found = problems(metric, expression);
        assert!(matches!(&found[..], [(Severity::Error, text)] if text.starts_with("1:40 ")), "{found:?}");
    }
    for (metric, expression) in [
        ("http_req_duration", "count>1"),
        ("http_reqs", "rate>1"),
        ("vus", "value>1"),
        ("connection_reset", "count==0"),
        ("cost", "avg<1"),
    ] {
        assert_eq!(problems(metric, expression), [], "{metric}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let mut diagnostics = Diagnostics::new("plan.yaml");
    let documents = [document("nosuch", "p(95)"), document("http_reqs{step}", "foo<1"), document("vus{", "value<1")];
    Thresholds::compile(&documents, &mut layout(), &mut diagnostics);
    assert_eq!(diagnostics.sorted().len(), 5);
}

#[test]
fn a_tag_that_nothing_carries_is_a_warning() {
    let found = problems("http_reqs{step:nosuch}", "count>1");
    assert!(matches!(&found[..], [(Severity::Warning, text)] if text.contains("step:nosuch")), "{found:?}");
    assert_eq!(problems("http_reqs{step:login,status:200}", "count>1"), []);
    assert_eq!(problems("checks{check:login status}", "rate>0.9"), []);
    assert_eq!(problems("http_reqs{status:abc}", "count>1").len(), 1);
}

#[test]
fn what_the_target_tells_is_a_metric_as_any_other() {
    assert_eq!(problems("pool_utilization", "value<0.8"), []);
    assert_eq!(problems("pool_wait", "p(95)<50"), []);
    assert_eq!(problems("pool_wait", "value<50").len(), 1);
}

#[test]
fn a_flag_is_split_at_the_first_equals_outside_braces() {
    for (text, metric, expression) in [
        ("http_req_duration=p(95)<3000", "http_req_duration", "p(95)<3000"),
        ("http_req_failed=rate==0", "http_req_failed", "rate==0"),
        ("http_reqs{name:/a?b=c}=count>=1", "http_reqs{name:/a?b=c}", "count>=1"),
        (" checks = rate>0.9 ", "checks", "rate>0.9"),
    ] {
        let document = threshold_from_text(text).unwrap();
        assert_eq!((&*document.metric.value, &*document.expression.value), (metric, expression));
        assert_eq!(document.metric.span, Span::NONE);
    }
    for text in ["", "http_reqs", "=count>1", "http_reqs=", "http_reqs{a=b}"] {
        assert!(threshold_from_text(text).is_err(), "{text}");
    }
}

struct Run {
    totals: Totals,
    thresholds: Thresholds,
}

/// Ten requests of 100 ms, one of them a failure, one each 100 ms.
fn run(documents: &[ThresholdDocument]) -> Run {
    let mut builder = layout();
    let mut diagnostics = Diagnostics::new("plan.yaml");
    let thresholds = Thresholds::compile(documents, &mut builder, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for i in 1..=10_u64 {
        let sample = RequestSample {
            due: start,
            ended: start + Duration::from_millis(100 * i),
            timings: Timings { waiting: Duration::from_millis(100), ..Timings::default() },
            status: if i == 10 { 500 } else { 200 },
            expected: i != 10,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        };
        handle.request(super::super::SiteId(0), &sample);
    }
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    Run { totals, thresholds }
}

#[tokio::test(start_paused = true)]
async fn each_is_judged_over_its_metric() {
    use ThresholdOutcome::{Failed, NoData, Passed};
    let cases = [
        ("http_req_duration", "p(95)<200", Passed, 100.0),
        ("http_req_duration", "max<100", Failed, 100.0),
        ("http_req_duration", "count==10", Passed, 10.0),
        ("http_req_duration{step:login}", "avg<=100", Passed, 100.0),
        ("http_req_duration{status:500}", "count<1", Failed, 1.0),
        ("http_req_failed", "rate==0", Failed, 0.1),
        ("http_req_failed", "rate<=0.1", Passed, 0.1),
        ("http_reqs", "rate>4", Passed, 5.0),
        ("connection_reset", "count==0", Passed, 0.0),
        // 0 is a figure of a counter, as in k6; without values nothing else can be judged.
        ("connection_reset", "count>0", Failed, 0.0),
        ("http_req_duration{step:nosuch}", "p(95)>10", NoData, 0.0),
        ("http_req_failed{step:nosuch}", "rate>0.5", NoData, 0.0),
        ("checks", "rate>0.9", NoData, 0.0),
        ("vus", "value>0", NoData, 0.0),
        ("cost", "avg>1", NoData, 0.0),
    ];
    let Run { totals, thresholds } = run(&cases.map(|(metric, expression, ..)| document(metric, expression)));
    let results = thresholds.judge(&totals, Duration::from_secs(2));
    for (result, (metric, expression, outcome, observed)) in results.iter().zip(cases) {
        assert_eq!((result.outcome, result.observed), (outcome, observed), "{metric} {expression}");
        assert_eq!((&*result.metric, &*result.expression), (metric, expression));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_run_is_judged_alone() {
    let part = |expression, from, to: Option<u64>| {
        let during = Some(During { from: Duration::from_millis(from), to: to.map(Duration::from_millis) });
        ThresholdDocument { during, ..document("http_reqs", expression) }
    };
    let Run { totals, thresholds } = run(&[
        part("count==5", 200, Some(700)),
        part("rate==10", 200, Some(700)),
        part("count==1", 1000, None),
        part("rate==2", 500, None),
    ]);
    let results = thresholds.judge(&totals, Duration::from_millis(3500));
    assert_eq!(results.iter().map(|result| result.observed).collect::<Vec<_>>(), [5.0, 10.0, 1.0, 2.0]);
    assert!(results.iter().all(|result| !result.failed()));
}

#[tokio::test(start_paused = true)]
async fn only_a_failing_threshold_that_asks_for_it_aborts_and_not_before_its_delay() {
    let abort = |metric, expression, delay| ThresholdDocument {
        abort_on_fail: true,
        delay_abort_eval: Duration::from_secs(delay),
        ..document(metric, expression)
    };
    let Run { totals, thresholds } = run(&[
        document("http_req_duration", "max<1"),
        abort("http_req_duration", "max<1000", 0),
        // Still empty: not yet a reason to stop.
        abort("timeout", "count>0", 0),
        abort("http_req_failed", "rate==0", 10),
    ]);
    assert_eq!(thresholds.abort(&totals, Duration::from_secs(9)), None);
    assert_eq!(thresholds.abort(&totals, Duration::from_secs(10)).unwrap().metric, "http_req_failed");
}
