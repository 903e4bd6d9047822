//! What counting costs: one value in a histogram, and one whole request with both clocks.

#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use pacecar::measure::{Histogram, LayoutBuilder, MetricId, Recorder, RecorderHandle, RequestSample, Selector};
use pacecar::measure::{SiteTags, Timings, Totals};
use std::hint::black_box;
use std::time::Duration;
use tokio::time::Instant;

/// Latencies of about 20 ms with a tail, without a pattern that a branch predictor could learn.
fn latencies() -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(7);
    (0..4096).map(|_| 5.0 - 15.0 * rng.f64().max(1e-9).ln()).collect()
}

fn histogram(c: &mut Criterion) {
    let values = latencies();
    let mut filled = Histogram::new();
    values.iter().for_each(|value| filled.record(*value));
    c.bench_function("histogram/record x4096", |b| {
        let mut histogram = filled.clone();
        b.iter(|| values.iter().for_each(|value| histogram.record(black_box(*value))));
    });
    c.bench_function("histogram/quantile", |b| b.iter(|| filled.quantile(black_box(0.95))));
    c.bench_function("histogram/merge", |b| {
        b.iter_batched_ref(|| filled.clone(), |into| into.merge(&filled), BatchSize::SmallInput);
    });
}

fn recorder(c: &mut Criterion) {
    let build = |cut: bool| {
        let mut layout = LayoutBuilder::new(Vec::new());
        let scenario = layout.scenario("default", &[]);
        let tags = SiteTags { step: "login".into(), method: "GET".into(), url: "/login".into() };
        let site = layout.site(scenario, tags, 1.0);
        if cut {
            let selector = Selector { tags: vec![("status".into(), "500".into())] };
            layout.series(MetricId::HTTP_REQ_DURATION, &selector, None);
        }
        (layout.build(), site)
    };
    let start = Instant::now();
    let sample = RequestSample {
        due: start,
        ended: start + Duration::from_millis(21),
        timings: Timings {
            sending: Duration::from_micros(30),
            waiting: Duration::from_millis(20),
            receiving: Duration::from_micros(90),
            ..Timings::default()
        },
        status: 200,
        expected: true,
        failure: None,
        proto: None,
        tls: None,
        tenant: 1,
    };
    for (name, cut) in [("recorder/request", false), ("recorder/request with a cut by status", true)] {
        let (layout, site) = build(cut);
        let handle = RecorderHandle::new(Recorder::new(layout, start));
        c.bench_function(name, |b| b.iter(|| handle.request(site, black_box(&sample))));
    }
    let (layout, site) = build(false);
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    (0..10_000).for_each(|_| handle.request(site, &sample));
    let delta = handle.swap(Recorder::new(layout.clone(), start));
    let mut totals = Totals::new(layout, start);
    c.bench_function("totals/merge", |b| b.iter(|| totals.merge(black_box(&delta))));
}

criterion_group!(benches, histogram, recorder);
criterion_main!(benches);
