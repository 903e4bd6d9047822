//! What load itself costs: one step of a schedule, and one iteration through a VU that does nothing.
//!
//! The second figure, an element of a run of 200,000, is what a worker spends on an iteration before
//! any request is made: the clock, the counters, the recorder, the cooperation with the runtime.

#![allow(clippy::expect_used, reason = "a bench that cannot start has nobody to tell")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pacecar::load::schedule::{ArrivalSchedule, Intensity, Spacing, Stripes, VuRamp, VuStage};
use pacecar::load::{Allow, Control, MakeVu, Segment, Stop, WorkerContext, compile, start};
use pacecar::measure::{Arrival, Finished, LayoutBuilder, VuId};
use pacecar::plan::{ArrivalVus, Arrivals, Diagnostics, Executor, Scenario, Span, Spanned};
use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::time::Duration;
use tokio::time::Instant;
use tower::service_fn;

const ITERATIONS: u64 = 200_000;
const SECOND: Duration = Duration::from_secs(1);

fn schedules(criterion: &mut Criterion) {
    let constant = Intensity::constant(1000.0, SECOND, None);
    let ramp = Intensity::ramping(0.0, SECOND, &[(SECOND * 100_000_000, 1000.0)]);
    let cases = [
        ("constant", constant.clone(), Spacing::FromStart),
        ("ramp", ramp, Spacing::FromFirst),
        ("poisson", constant, Spacing::Poisson { seed: 1 }),
    ];
    for (name, intensity, spacing) in cases {
        let mut schedule = ArrivalSchedule::new(intensity, spacing, Stripes::whole());
        criterion.bench_function(&format!("schedule step: {name}"), |bench| bench.iter(|| black_box(schedule.next())));
    }
    let stages = [50, 0, 100, 20].map(|target| VuStage { duration: SECOND, target }).to_vec();
    let ramp = VuRamp { start: 1, stages, graceful_ramp_down: SECOND, graceful_stop: SECOND, held: false };
    criterion.bench_function("VU spans: 4 stages", |bench| bench.iter(|| black_box(ramp.spans(black_box(30)))));
}

fn iterations(criterion: &mut Criterion) {
    let count = ITERATIONS;
    let shared = Executor::SharedIterations {
        vus: Spanned::nowhere(10),
        iterations: Spanned::nowhere(count),
        max_duration: SECOND * 60,
    };
    // All of them are due already: nobody waits for the clock.
    let open = Executor::ConstantArrivalRate {
        rate: Spanned::nowhere(count as f64),
        time_unit: SECOND,
        duration: Some(SECOND),
        vus: ArrivalVus { pre_allocated: Spanned::nowhere(1000), max: Spanned::nowhere(1000) },
        arrivals: Arrivals::Constant,
    };
    let mut group = criterion.benchmark_group("iterations");
    group.sample_size(10).measurement_time(SECOND * 5).throughput(Throughput::Elements(count));
    for (name, executor) in [("closed", shared), ("open", open)] {
        group.bench_function(name, |bench| {
            bench.iter_custom(|times| (0..times).map(|_| play(executor.clone())).sum());
        });
    }
    group.finish();
}

/// How long one worker takes for all iterations of a scenario.
fn play(executor: Executor) -> Duration {
    let scenario = Scenario {
        name: Spanned::nowhere("bench".to_owned()),
        span: Span::NONE,
        executor,
        start_time: Duration::ZERO,
        graceful_stop: SECOND * 30,
        env: Vec::new(),
        tags: Vec::new(),
        exec: None,
    };
    let mut layout = LayoutBuilder::new(Vec::new());
    let id = layout.scenario("bench", &[]);
    let mut diagnostics = Diagnostics::new("bench");
    let plan = compile(&[scenario], &[id], &Segment::whole(), Allow::default(), &mut diagnostics).expect("a plan");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let begun = Instant::now();
        let control = Control::new(&plan);
        let factory = |_: WorkerContext| idle_vus();
        let workers = start(plan, 1, factory, layout.build(), begun - SECOND, Stop::new(), control);
        let ended = workers.join().await.expect("no error");
        let counts = ended.scenarios[0].counts;
        assert!(counts.completed == ITERATIONS, "{counts:?}");
        ended.at - begun
    })
}

fn idle_vus() -> impl MakeVu {
    service_fn(|_: VuId| {
        let iterate = |_: Arrival| {
            ready(Ok::<_, Infallible>(Finished { ended: Instant::now(), held: Duration::ZERO, shed: false }))
        };
        ready(Ok::<_, Infallible>(service_fn(iterate)))
    })
}

criterion_group!(benches, schedules, iterations);
criterion_main!(benches);
