//! Totals as plain data: written, read, and added up from several workers.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::measure::{
    FailureKind, IterationSample, LayoutBuilder, MetricId, Reading, Recorder, RecorderHandle, RequestSample, Selector,
    SiteId, SiteTags, Thresholds, Timings, Totals, Wrong,
};
use crate::plan::{Diagnostics, During, Spanned, ThresholdDocument};
use crate::semconv::TraceId;
use tokio::time::Instant;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Metric, expression, and from when to when in seconds.
type Written = (&'static str, &'static str, Option<(u64, u64)>);

const THRESHOLDS: [Written; 7] = [
    ("http_req_duration{status:500}", "p(95)<1", None),
    ("http_req_duration", "p(95)<1", Some((1, 2))),
    ("http_req_response_time", "p(99)<1", Some((0, 2))),
    ("http_req_failed", "rate==0", None),
    ("dropped_iterations", "count==0", Some((0, 1))),
    ("cost", "avg<1", None),
    ("vus", "value>0", Some((0, 5))),
];

fn thresholds() -> Vec<ThresholdDocument> {
    let document = |(metric, expression, during): &(&str, &str, Option<(u64, u64)>)| ThresholdDocument {
        metric: Spanned::nowhere((*metric).to_owned()),
        expression: Spanned::nowhere((*expression).to_owned()),
        abort_on_fail: false,
        delay_abort_eval: Duration::ZERO,
        during: during.map(|(from, to)| During { from: ms(from * 1000), to: Some(ms(to * 1000)) }),
    };
    THRESHOLDS.iter().map(document).collect()
}

/// Two scenarios, one with two steps that are alike, as two workflows may have them.
fn builder() -> LayoutBuilder {
    let mut builder = LayoutBuilder::new(vec![("team".into(), "a".into())]);
    let tags = |step: &str| SiteTags { step: step.into(), method: "GET".into(), url: format!("/{step}") };
    let open = builder.scenario("open", &[]);
    let spare = builder.scenario("spare", &[("kind".into(), "x".into())]);
    for (scenario, step, share) in
        [(open, "login", 0.25), (open, "login", 0.75), (open, "chat", 1.0), (spare, "a", 1.0)]
    {
        let site = builder.site(scenario, tags(step), share);
        builder.check(site, "status");
    }
    builder.metric("cost", MetricKind::Trend, Contains::Default);
    builder.metric("level", MetricKind::Gauge, Contains::Default);
    builder
}

struct Worker {
    totals: Totals,
    thresholds: Thresholds,
}

/// A worker that did something of everything; `seed` decides how much.
fn worker(seed: u64) -> Worker {
    let mut builder = builder();
    let thresholds = Thresholds::compile(&thresholds(), &mut builder, &mut Diagnostics::new("plan"));
    for id in [MetricId::HTTP_REQ_RESPONSE_TIME, MetricId::VUS, MetricId::HTTP_REQ_FAILED] {
        builder.timeline(id, &Selector::default());
    }
    let cost = builder.find("cost").unwrap();
    let level = builder.find("level").unwrap();
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for n in 0..40 + seed {
        let site = SiteId(u32::try_from((n + seed) % 4).unwrap());
        let failed = n % 9 == 0;
        let sample = RequestSample {
            due: start + ms(n * 50),
            ended: start + ms(n * 50 + 7 * seed),
            timings: Timings { waiting: ms(3 + n * seed % 17), ..Timings::default() },
            status: if failed { 500 } else { 200 },
            expected: !failed,
            failure: (n % 18 == 0).then_some(FailureKind::Timeout),
            proto: None,
            tls: None,
            tenant: 0,
        };
        handle.request(site, &sample);
        handle.group(site, ms(n));
        handle.custom(site, cost, 0.002 * seed as f64);
        handle.custom(site, level, n as f64);
        if failed {
            handle.went_wrong(site, Wrong::Status(500), TraceId([seed as u8; 16]));
        }
    }
    let (open, spare) = (crate::measure::ScenarioId(0), crate::measure::ScenarioId(1));
    handle.iteration(open, &IterationSample { due: start, started: start + ms(2), ended: start + ms(30 * seed) });
    handle.iteration_dropped(open, start + ms(500 * seed));
    handle.iteration_cut_off(spare, start + ms(100), start + ms(101), start + ms(2000));
    handle.request_cut_off(SiteId(2), start + ms(150), start + ms(2000));
    handle.iterations_scheduled(open, 3);
    handle.traffic(spare, 10 * seed, 20);
    handle.vus(open, 2, 5);
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    totals.sample_vus();
    totals.sample_target(MetricId::POOL_USED, 4.0, ms(100));
    Worker { totals, thresholds }
}

fn again(totals: &Totals) -> SavedTotals {
    serde_json::from_str(&serde_json::to_string(&totals.save()).unwrap()).unwrap()
}

/// All figures that thresholds and summaries read, as text.
fn figures(totals: &Totals, thresholds: &Thresholds, end: Duration) -> Vec<String> {
    let show = |reading: &Reading| match reading {
        Reading::Trend(trend) => {
            let quantiles: Vec<_> = [0.0, 0.5, 0.9, 0.99, 1.0].iter().map(|q| trend.quantile(*q)).collect();
            format!("{} {:?} {quantiles:?} {:?}", trend.count(), trend.mean(), trend.censored())
        }
        other => format!("{other:?}"),
    };
    let layout = totals.layout();
    let mut all: Vec<String> = layout
        .metrics()
        .map(|(id, metric)| {
            format!("{}: {}", metric.name, show(&totals.metric(id, &Selector::default(), end).unwrap()))
        })
        .collect();
    all.extend(thresholds.judge(totals, end).iter().map(|result| format!("{result:?}")));
    all.push(format!("{:?} {:?}", totals.iterations(None), totals.errors()));
    all.push(format!("{:?} {:?}", totals.checks(), totals.failures()));
    for id in [MetricId::HTTP_REQ_RESPONSE_TIME, MetricId::VUS] {
        let (at, _) = layout.timelines.iter().enumerate().find(|(_, def)| def.metric == id).unwrap();
        let timeline = totals.timeline(crate::measure::TimelineId(at as u32)).unwrap();
        all.push(show(&timeline.reading(&(ms(0)..ms(1500)), end)));
    }
    all
}

fn together(workers: &[SavedTotals], later: &[Duration], together: bool) -> (Totals, Thresholds) {
    let mut restored = SavedTotals::restore(workers).unwrap();
    let thresholds = Thresholds::compile(&thresholds(), restored.layout(), &mut Diagnostics::new("plan"));
    (restored.totals(later, together).unwrap(), thresholds)
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_read_again_figure_by_figure() {
    let one = worker(3);
    let (totals, thresholds) = together(&[again(&one.totals)], &[], true);
    let end = ms(2500);
    assert_eq!(figures(&totals, &thresholds, end), figures(&one.totals, &one.thresholds, end));
    let twice = serde_json::to_value(totals.save()).unwrap();
    assert_eq!(twice, serde_json::to_value(one.totals.save()).unwrap());
}

#[tokio::test(start_paused = true)]
async fn workers_add_up_to_what_one_recorder_would_have_counted() {
    let (one, other) = (worker(2), worker(5));
    let (totals, thresholds) = together(&[again(&one.totals), again(&other.totals)], &[], false);
    // The same two as the engine adds them: recorders of one run.
    let mut cells = one.totals.cells.clone();
    cells.merge(&other.totals.cells, true);
    let mut want = one.totals.clone();
    want.cells = cells;
    let end = ms(2500);
    let of = |totals: &Totals, thresholds: &Thresholds| -> Vec<String> {
        let all = figures(totals, thresholds, end);
        // Gauges of VUs and of the target are no sums; traces are in another place.
        all.into_iter()
            .filter(|line| !line.contains("vus") && !line.contains("pool_") && !line.contains("trace"))
            .collect()
    };
    assert_eq!(of(&totals, &thresholds), of(&want, &one.thresholds));
    let (pool, _) = (totals.metric(MetricId::POOL_USED, &Selector::default(), end), ());
    assert!(matches!(pool, Some(Reading::Gauge(range)) if range.value == 4.0), "the pool is one pool: {pool:?}");
}

#[tokio::test(start_paused = true)]
async fn the_vus_of_workers_at_the_same_time_add_up() {
    let saved = [again(&worker(1).totals), again(&worker(2).totals)];
    let vus = |side: bool| {
        let (totals, thresholds) = together(&saved, &[], side);
        let all = totals.metric(MetricId::VUS_MAX, &Selector::default(), ms(9)).unwrap();
        let Reading::Gauge(range) = all else { panic!("{all:?}") };
        let part = thresholds.judge(&totals, ms(2500)).last().unwrap().observed;
        let timeline = totals.layout().timelines.iter().position(|def| def.metric == MetricId::VUS).unwrap();
        let level = totals.timeline(crate::measure::TimelineId(timeline as u32)).unwrap().level(&(ms(0)..ms(9000)));
        (range.value, range.max, part, level)
    };
    assert_eq!(vus(true), (10.0, 10.0, 4.0, Some(4.0)));
    assert_eq!(vus(false), (5.0, 5.0, 2.0, Some(2.0)));
}

#[tokio::test(start_paused = true)]
async fn what_never_finished_is_no_older_because_another_worker_ended_later() {
    let one = worker(1);
    let age = |totals: &Totals, end| {
        totals.trend(MetricId::ITERATION_RESPONSE_TIME, &Selector::default(), end).censored().to_vec()
    };
    let (totals, _) = together(&[again(&one.totals)], &[ms(700)], true);
    let (want, got) = (age(&one.totals, ms(3000)), age(&totals, ms(3700)));
    assert_eq!(want.len(), got.len());
    assert!(want.iter().zip(&got).all(|(a, b)| (a.0 - b.0).abs() < 1.0 && a.1 == b.1), "{want:?} {got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_saw_a_scenario_or_a_cut_is_told_and_added() {
    let one = again(&worker(1).totals);
    let mut other = again(&worker(2).totals);
    other.scenarios.remove(0);
    other.cuts.retain(|cut| cut.metric != "cost" && cut.tags.is_empty());
    assert_eq!(other.lacks(&one), ["http_req_duration{status:500}"]);
    assert!(one.lacks(&other).is_empty());
    let mut restored = SavedTotals::restore([&other, &one]).unwrap();
    let layout: &mut LayoutBuilder = restored.layout();
    assert!(layout.find("cost").is_some());
    let totals = restored.totals(&[], false).unwrap();
    let names: Vec<_> = totals.layout().scenarios().iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(names, ["spare", "open"]);
    let of = |saved: &SavedTotals| saved.scenarios.iter().map(|scenario| scenario.completed).sum::<u64>();
    assert_eq!(totals.iterations(None).completed, of(&one) + of(&other));
}

#[tokio::test(start_paused = true)]
async fn figures_that_contradict_their_kind_are_refused() {
    let one = again(&worker(1).totals);
    let mut kind = one.clone();
    kind.metrics[0].kind = MetricKind::Rate;
    assert_eq!(SavedTotals::restore([&one, &kind]).unwrap_err(), SavedError::Kind("cost".into()));
    let refused = |damage: &dyn Fn(&mut SavedTotals)| {
        let mut damaged = one.clone();
        damage(&mut damaged);
        SavedTotals::restore([&damaged]).map_or_else(Some, |restored| restored.totals(&[], true).err())
    };
    assert_eq!(refused(&|_| {}), None);
    assert!(refused(&|saved| saved.scenarios[0].steps[0].checks[0].share.passes = 99).is_some());
    assert!(refused(&|saved| saved.cuts[0].cell = Some(SavedCell::Counter(1.0))).is_some());
    assert!(refused(&|saved| saved.cuts[0].metric = "nosuch".into()).is_some());
}
