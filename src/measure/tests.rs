//! Counting from the recorder to the totals: cuts, censoring, gauges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! From samples to figures: what is recorded on a worker must be what the totals say.

use super::*;
use crate::plan::{During, MetricKind};
use std::time::Duration;
use tokio::time::Instant;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn tags(step: &str) -> SiteTags {
    SiteTags { step: step.into(), method: "GET".into(), url: format!("/{step}") }
}

/// Two scenarios, two steps each; the second passes through its second step every other time.
struct Fixture {
    builder: LayoutBuilder,
    scenarios: [ScenarioId; 2],
    sites: [SiteId; 4],
}

fn fixture() -> Fixture {
    let mut builder = LayoutBuilder::new(vec![("build".into(), "7".into())]);
    let a = builder.scenario("a", &[]);
    let b = builder.scenario("b", &[("load".into(), "high".into())]);
    let sites = [(a, "login", 1.0), (a, "chat", 1.0), (b, "login", 1.0), (b, "chat", 0.5)];
    let sites = sites.map(|(scenario, step, share)| builder.site(scenario, tags(step), share));
    Fixture { builder, scenarios: [a, b], sites }
}

fn sample(start: Instant, ended: u64, took: u64, status: u16) -> RequestSample {
    RequestSample {
        due: start + ms(ended - took - 1),
        ended: start + ms(ended),
        timings: Timings { waiting: ms(took), ..Timings::default() },
        status,
        expected: (200..400).contains(&status),
        failure: (status == 0).then_some(FailureKind::Reset),
        proto: (status != 0).then_some(Proto::Http11),
        tls: None,
        tenant: 3,
    }
}

fn selector(text: &str) -> (String, Selector) {
    let (name, selector) = Selector::parse_metric(text).unwrap();
    (name.to_owned(), selector)
}

fn count(totals: &Totals, text: &str) -> f64 {
    let (name, selector) = selector(text);
    let id = totals.layout().find(&name).unwrap();
    match totals.metric(id, &selector, ms(10_000)).unwrap() {
        Reading::Trend(trend) => trend.count() as f64,
        Reading::Rate(share) => share.rate(),
        Reading::Counter(sum) => sum,
        Reading::Gauge(range) => range.value,
    }
}

#[tokio::test(start_paused = true)]
async fn tags_that_a_plan_fixes_cut_without_being_prepared() {
    let Fixture { builder, sites, .. } = fixture();
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for (site, status) in [(0, 200), (0, 500), (1, 200), (2, 200), (3, 0)] {
        handle.request(sites[site], &sample(start, 500, 100, status));
    }
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    for (text, want) in [
        ("http_reqs", 5.0),
        ("http_reqs{step:login}", 3.0),
        ("http_reqs{scenario:a}", 3.0),
        ("http_reqs{scenario:a,step:login}", 2.0),
        ("http_reqs{ scenario : \"b\" , group:::chat }", 1.0),
        ("http_reqs{name:/chat}", 2.0),
        ("http_reqs{method:GET,url:/login}", 3.0),
        ("http_reqs{method:POST}", 0.0),
        ("http_reqs{load:high}", 2.0),
        ("http_reqs{build:7}", 5.0),
        ("http_reqs{build:8}", 0.0),
        ("http_reqs{nothing:here}", 0.0),
        ("http_req_duration{expected_response:true}", 3.0),
        ("http_req_duration{expected_response:false,step:login}", 1.0),
        ("http_req_failed", 0.4),
        ("http_req_failed{scenario:b}", 0.5),
        ("connection_reset", 1.0),
        ("connection_reset{step:chat}", 1.0),
        ("connection_reset{step:login}", 0.0),
        ("timeout", 0.0),
        ("http_req_waiting", 5.0),
        ("http_req_response_time", 5.0),
    ] {
        assert_eq!(count(&totals, text), want, "{text}");
    }
    let response = totals.trend(MetricId::HTTP_REQ_RESPONSE_TIME, &Selector::default(), ms(500));
    assert_eq!(response.max().unwrap().value, 101.0);
    assert_eq!(totals.errors(), Errors { connection_reset: 1, status: 1, ..Errors::default() });
}

#[tokio::test(start_paused = true)]
async fn tags_that_only_a_sample_knows_are_prepared_cuts() {
    let Fixture { mut builder, sites, .. } = fixture();
    let texts = [
        ("http_reqs{status:500}", 1.0),
        ("http_reqs{status:0}", 1.0),
        ("http_reqs{error:connection reset by peer}", 1.0),
        ("http_reqs{error_code:1220}", 1.0),
        ("http_reqs{error_code:1500}", 1.0),
        ("http_reqs{tenant:3,step:login}", 2.0),
        ("http_reqs{tenant:4}", 0.0),
        ("http_reqs{proto:HTTP/1.1}", 2.0),
        ("http_reqs{proto:HTTP/9}", 0.0),
        ("http_req_failed{status:500}", 1.0),
        ("connection_reset{tenant:3}", 1.0),
        ("http_req_waiting{status:200}", 1.0),
    ];
    let series: Vec<_> = texts
        .iter()
        .map(|(text, _)| {
            let (name, selector) = selector(text);
            let id = builder.find(&name).unwrap();
            builder.series(id, &selector, None)
        })
        .collect();
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for (site, status) in [(0, 200), (0, 500), (3, 0)] {
        handle.request(sites[site], &sample(start, 500, 100, status));
    }
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    for (series, (text, want)) in series.into_iter().zip(texts) {
        let got = match totals.series(series, ms(500)).unwrap() {
            Reading::Trend(trend) => trend.count() as f64,
            Reading::Rate(share) => share.rate(),
            Reading::Counter(sum) => sum,
            Reading::Gauge(range) => range.value,
        };
        assert_eq!(got, want, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_run_holds_what_ended_in_it() {
    let Fixture { mut builder, sites, scenarios } = fixture();
    let during = Some(During { from: ms(1000), to: Some(ms(2000)) });
    let all = Selector::default();
    let reqs = builder.series(MetricId::HTTP_REQS, &all, during);
    let response = builder.series(MetricId::HTTP_REQ_RESPONSE_TIME, &all, during);
    let dropped = builder.series(MetricId::DROPPED_ITERATIONS, &all, during);
    let whole = builder.series(MetricId::ITERATION_RESPONSE_TIME, &all, during);
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for ended in [999, 1000, 1999, 2000] {
        handle.request(sites[0], &sample(start, ended, 500, 200));
    }
    handle.iteration_dropped(scenarios[0], start + ms(1500));
    handle.iteration_dropped(scenarios[1], start + ms(1600));
    handle.iteration_dropped(scenarios[0], start + ms(2500));
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    let read = |series| totals.series(series, ms(4000)).unwrap();
    let Reading::Counter(2.0) = read(reqs) else { panic!("{:?}", read(reqs)) };
    let Reading::Counter(2.0) = read(dropped) else { panic!("{:?}", read(dropped)) };
    let Reading::Trend(response) = read(response) else { panic!() };
    // Two that finished; two steps of the one dropped, 1.5 (rounded: 2) of the other.
    assert_eq!((response.finished().count(), response.censored_count()), (2, 4));
    let Reading::Trend(whole) = read(whole) else { panic!() };
    assert_eq!((whole.count(), whole.max().unwrap().value), (2, 2500.0));
}

#[tokio::test(start_paused = true)]
async fn work_that_was_dropped_makes_no_percentile_better() {
    let Fixture { builder, sites, scenarios } = fixture();
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for _ in 0..90 {
        handle.request(sites[0], &sample(start, 5_000, 100, 200));
        handle.request(sites[1], &sample(start, 5_000, 3_000, 200));
        let (due, ended) = (start + ms(1_000), start + ms(5_000));
        handle.iteration(scenarios[0], &IterationSample { due, started: due, ended });
    }
    // Nine of them were due a second before the end: less than the slowest that finished.
    (0..9).for_each(|_| handle.iteration_dropped(scenarios[0], start + ms(9_000)));
    handle.iteration_dropped(scenarios[0], start);
    handle.request_cut_off(sites[0], start + ms(4_000), start + ms(10_000));
    handle.iteration_cut_off(scenarios[0], start + ms(4_000), start + ms(4_001), start + ms(10_000));
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    let end = ms(10_000);

    let iterations = totals.trend(MetricId::ITERATION_RESPONSE_TIME, &Selector::default(), end);
    assert_eq!((iterations.count(), iterations.censored_count()), (101, 11));
    assert_eq!(iterations.quantile(0.5).unwrap(), Quantile { value: 4_000.0, censored: false });
    assert_eq!(iterations.quantile(0.95).unwrap(), Quantile { value: 4_000.0, censored: true });
    assert_eq!(iterations.max().unwrap(), Quantile { value: 10_000.0, censored: true });
    assert!(iterations.mean().unwrap().censored);

    let all = totals.trend(MetricId::HTTP_REQ_RESPONSE_TIME, &Selector::default(), end);
    // 90 of each step, ten dropped iterations of two steps, one cut off.
    assert_eq!((all.count(), all.censored_count()), (201, 21));
    let login = totals.trend(MetricId::HTTP_REQ_RESPONSE_TIME, &selector("x{step:login}").1, end);
    // Its own slowest counts here, not that of the other step.
    assert_eq!(login.quantile(0.95).unwrap(), Quantile { value: 1_000.0, censored: true });
    let went_well = totals.trend(MetricId::HTTP_REQ_RESPONSE_TIME, &selector("x{expected_response:true}").1, end);
    assert_eq!(went_well.censored_count(), 21);
    let duration = totals.trend(MetricId::HTTP_REQ_DURATION, &Selector::default(), end);
    assert_eq!((duration.count(), duration.censored_count()), (180, 0));

    let counts = totals.iterations(None);
    assert_eq!(
        counts,
        IterationCounts {
            started: 91,
            completed: 90,
            dropped: 10,
            cut_off: 1,
            scheduled: 101,
            ..IterationCounts::default()
        }
    );
    assert_eq!(count(&totals, "dropped_iterations"), 10.0);
    assert_eq!(count(&totals, "iterations{scenario:b}"), 0.0);
    assert_eq!(totals.trend(MetricId::ITERATION_LAG, &Selector::default(), end).max().unwrap().value, 1.0);
}

#[tokio::test(start_paused = true)]
async fn handing_over_and_going_on_loses_nothing() {
    let Fixture { mut builder, sites, scenarios } = fixture();
    let cost = builder.metric("cost", MetricKind::Trend, Contains::Default).unwrap();
    let cached = builder.metric("cached", MetricKind::Rate, Contains::Default).unwrap();
    let tokens = builder.metric("tokens", MetricKind::Counter, Contains::Default).unwrap();
    let depth = builder.metric("depth", MetricKind::Gauge, Contains::Default).unwrap();
    let check = builder.check(sites[0], "status");
    assert_eq!(builder.check(sites[0], "status"), check);
    let (layout, start) = (builder.build(), Instant::now());
    let handles = [0, 1].map(|_| RecorderHandle::new(Recorder::new(layout.clone(), start)));
    let mut totals = Totals::new(layout.clone(), start);
    let mut spare = Recorder::new(layout.clone(), start);
    for round in 0..3_u32 {
        for (i, handle) in handles.iter().enumerate() {
            tokio::time::advance(ms(10)).await;
            handle.request(sites[0], &sample(start, 500, 100, 200));
            handle.check(check, round > 0);
            handle.custom(sites[i], cost, 0.002);
            handle.custom(sites[i], cached, f64::from(round % 2));
            handle.custom(sites[i], tokens, 2.5);
            handle.custom(sites[i], depth, f64::from(round) + 10.0 * (1 - i) as f64);
            handle.custom(sites[i], MetricId::LLM_TTFT, 7.0);
            handle.group(sites[0], ms(3));
            handle.traffic(scenarios[0], 10, 20);
            handle.stale_connection();
            handle.user_shared();
            handle.vus(scenarios[0], round + 1, 5);
            spare = handle.swap(spare);
            totals.merge(&spare);
            spare.clear();
        }
        totals.sample_vus();
    }
    for (text, want) in [
        ("http_reqs", 6.0),
        ("checks", 4.0 / 6.0),
        ("checks{check:login status}", 4.0 / 6.0),
        ("checks{check:chat status}", 0.0),
        ("cost", 6.0),
        ("cost{step:login}", 3.0),
        ("cached", 2.0 / 6.0),
        ("tokens", 15.0),
        // The one that was set last, whichever step and worker set it.
        ("depth", 2.0),
        ("llm_ttft", 6.0),
        ("group_duration{group:::login}", 6.0),
        ("data_sent", 60.0),
        ("data_received{scenario:a}", 120.0),
        ("vus", 6.0),
        ("vus_max", 10.0),
    ] {
        assert_eq!(count(&totals, text), want, "{text}");
    }
    let Some(Reading::Gauge(vus)) = totals.metric(MetricId::VUS, &Selector::default(), ms(1)) else { panic!() };
    assert_eq!((vus.min, vus.max, vus.count), (2.0, 6.0, 3));
    let Some(Reading::Gauge(depth)) = totals.metric(depth, &Selector::default(), ms(1)) else { panic!() };
    assert_eq!((depth.min, depth.max), (0.0, 12.0));
    assert_eq!((totals.stale_connections(), totals.users_shared(), totals.vus(scenarios[0])), (6, 6, (6, 10)));
    assert_eq!(totals.checks(), [Share { passes: 4, total: 6 }]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_off_is_a_failed_request() {
    let Fixture { builder, sites, .. } = fixture();
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    let broken = RequestSample { failure: Some(FailureKind::Timeout), ..sample(start, 500, 100, 200) };
    handle.request(sites[0], &broken);
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    assert_eq!(count(&totals, "http_req_failed"), 1.0);
    assert_eq!(totals.errors(), Errors { timeout: 1, ..Errors::default() });
}

#[test]
fn a_custom_metric_has_one_kind_and_no_name_of_ours() {
    let mut builder = LayoutBuilder::new(Vec::new());
    let id = builder.metric("cost", MetricKind::Trend, Contains::Default).unwrap();
    assert_eq!(builder.metric("cost", MetricKind::Trend, Contains::Default), Some(id));
    assert_eq!(builder.metric("cost", MetricKind::Rate, Contains::Default), None);
    assert_eq!(builder.metric("http_reqs", MetricKind::Counter, Contains::Default), None);
}

#[test]
fn past_the_bound_steps_share_a_series_and_are_counted() {
    let mut builder = LayoutBuilder::new(Vec::new());
    let scenario = builder.scenario("a", &[]);
    let ids: Vec<_> = (0..1005).map(|i| builder.site(scenario, tags(&format!("s{i}")), 1.0)).collect();
    assert_eq!(ids[1000], ids[1004]);
    let layout = builder.build();
    assert_eq!((layout.sites().len(), layout.overflowed()), (1001, 5));
    assert_eq!(layout.sites()[1000].tags.step, "other");
}

#[test]
fn a_recorder_can_be_handed_to_another_thread() {
    fn send<T: Send + 'static>() {}
    send::<Recorder>();
    send::<Totals>();
}

#[tokio::test(start_paused = true)]
async fn what_happened_is_told_only_where_somebody_asks_and_up_to_a_bound() {
    use crate::semconv::{RunId, SpanId, TraceId};
    let record = |scenario| {
        let (trace, now) = (TraceId::of_run(RunId::new(1), 2), Instant::now());
        let outcome = IterationOutcome::Completed;
        Record::Iteration(IterationRecord { scenario, trace, due: now, started: now, ended: now, tenant: 0, outcome })
    };
    let quiet = fixture();
    let handle = RecorderHandle::new(Recorder::new(quiet.builder.build(), Instant::now()));
    assert!(!handle.streams());
    handle.tell(|| panic!("nobody asked"));

    let mut asked = fixture();
    asked.builder.stream();
    let layout = asked.builder.build();
    let handle = RecorderHandle::new(Recorder::new(std::sync::Arc::clone(&layout), Instant::now()));
    for _ in 0..stream::MOST_RECORDS + 7 {
        handle.tell(|| record(asked.scenarios[0]));
    }
    let mut taken = handle.swap(Recorder::new(layout, Instant::now()));
    let batch = taken.take_stream();
    assert_eq!((batch.records.len(), batch.lost), (stream::MOST_RECORDS, 7));
    assert!(taken.take_stream().is_empty() && handle.streams());
    let root = SpanId::root_of(&TraceId::of_run(RunId::new(1), 2));
    assert_eq!(root, SpanId::root_of(&TraceId::of_run(RunId::new(9), 2)), "it follows from the iteration's bytes");
}
