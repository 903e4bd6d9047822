//! The worker threads under the real clock: sharing out, handing over, panicking, stopping.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::load::{Allow, Segment, compile};
use crate::measure::{Arrival, Finished, LayoutBuilder, VuId};
use crate::plan::{Diagnostics, Executor, Scenario, Span, Spanned};
use std::collections::HashSet;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tower::service_fn;

fn scenario(executor: Executor) -> Scenario {
    Scenario {
        name: Spanned::nowhere("s".to_owned()),
        span: Span::NONE,
        executor,
        start_time: Duration::ZERO,
        graceful_stop: Duration::from_secs(1),
        env: Vec::new(),
        tags: Vec::new(),
        exec: None,
    }
}

fn shared_iterations(vus: u32, iterations: u64) -> Scenario {
    scenario(Executor::SharedIterations {
        vus: Spanned::nowhere(vus),
        iterations: Spanned::nowhere(iterations),
        max_duration: Duration::from_secs(60),
    })
}

fn endless(vus: u32) -> Scenario {
    scenario(Executor::ConstantVus { vus: Spanned::nowhere(vus), duration: None })
}

fn ready_to_start(scenarios: &[Scenario]) -> (LoadPlan, Arc<Layout>) {
    let mut layout = LayoutBuilder::new(Vec::new());
    let ids: Vec<ScenarioId> = scenarios.iter().map(|scenario| layout.scenario(&scenario.name, &[])).collect();
    let mut diagnostics = Diagnostics::new("test");
    let plan =
        compile(scenarios, &ids, &Segment::whole(), Allow { endless: true, ..Allow::default() }, &mut diagnostics);
    (plan.unwrap(), layout.build())
}

/// VUs whose iterations call `iterate`.
fn vus(iterate: impl Fn(Arrival) + Clone + 'static) -> impl MakeVu {
    service_fn(move |_: VuId| {
        let iterate = iterate.clone();
        ready(Ok::<_, Infallible>(service_fn(move |arrival: Arrival| {
            iterate(arrival);
            async {
                tokio::task::yield_now().await;
                Ok(Finished { ended: Instant::now(), held: Duration::ZERO, shed: false })
            }
        })))
    })
}

#[tokio::test]
async fn all_workers_play_and_hand_over_at_the_end() {
    let (plan, layout) = ready_to_start(&[shared_iterations(6, 1000)]);
    let numbers = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&numbers);
    let factory = move |context: WorkerContext| {
        assert!(context.index < 3 && context.count == 3);
        let seen = Arc::clone(&seen);
        vus(move |arrival| assert!(seen.lock().unwrap().insert(arrival.number)))
    };
    let mut workers = start(plan.clone(), 3, factory, layout, Instant::now(), Stop::new(), Control::new(&plan));
    let (mut reporter, progress) = (workers.reporter().unwrap(), workers.progress());
    assert!(workers.reporter().is_none());
    let ended = workers.join().await.unwrap();
    assert_eq!((ended.scenarios[0].counts.completed, ended.scenarios[0].counts.target), (1000, Some(1000)));
    assert_eq!(numbers.lock().unwrap().len(), 1000);
    let mut last = HashSet::new();
    while let Some(handover) = reporter.receive().await {
        last.insert(handover.worker);
    }
    assert_eq!(last, HashSet::from([0, 1, 2]));
    assert!(progress.scenarios(Instant::now())[0].ended);
}

#[tokio::test]
async fn a_late_reporter_delays_nobody_and_gets_the_last_handover() {
    let (plan, layout) = ready_to_start(&[endless(1)]);
    let (count, stop) = (Arc::new(AtomicU64::new(0)), Stop::new());
    let counted = Arc::clone(&count);
    let factory = move |_| {
        let count = Arc::clone(&counted);
        vus(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
    };
    let begun = Instant::now();
    let mut workers = start(plan.clone(), 1, factory, layout, begun, stop.clone(), Control::new(&plan));
    let mut reporter = workers.reporter().unwrap();
    tokio::time::sleep(Duration::from_millis(2300)).await;
    stop.drain(StopReason::Signal);
    let ended = workers.join().await.unwrap();
    assert!(ended.at - begun < Duration::from_secs(5) && count.load(Ordering::Relaxed) > 1000);
    // Nothing was given back: one handover at 1 s, none at 2 s, and the last one.
    let first = reporter.receive().await.unwrap();
    let last = reporter.receive().await.unwrap();
    assert!(first.at - begun < Duration::from_secs(2) && last.at >= ended.at);
    assert!(reporter.receive().await.is_none());
}

#[tokio::test]
async fn a_panic_is_an_error_of_the_run_and_ends_it() {
    let (plan, layout) = ready_to_start(&[endless(4)]);
    let factory = |context: WorkerContext| {
        vus(move |arrival| assert!(context.index == 0 || arrival.number < 50, "iteration {}", arrival.number))
    };
    let stop = Stop::new();
    let workers =
        start(plan.clone(), 2, factory, Arc::clone(&layout), Instant::now(), stop.clone(), Control::new(&plan));
    assert!(matches!(workers.join().await, Err(LoadError::VuPanicked { worker: 1, .. })));
    assert_eq!(stop.reason(), Some(StopReason::Failure));

    let factory = |context: WorkerContext| {
        assert!(context.index == 0, "no worker {}", context.index);
        vus(|_| {})
    };
    let mut workers = start(plan.clone(), 2, factory, layout, Instant::now(), Stop::new(), Control::new(&plan));
    let mut reporter = workers.reporter().unwrap();
    let error = workers.join().await.unwrap_err();
    assert_eq!(error.to_string(), "worker 1 panicked: no worker 1");
    let mut last = HashSet::new();
    while let Some(handover) = reporter.receive().await {
        last.insert(handover.worker);
    }
    assert_eq!(last, HashSet::from([0, 1]));
}

#[tokio::test]
async fn dropping_the_workers_ends_the_run() {
    let (plan, layout) = ready_to_start(&[endless(1)]);
    let mut workers = start(plan.clone(), 1, |_| vus(|_| {}), layout, Instant::now(), Stop::new(), Control::new(&plan));
    let mut reporter = workers.reporter().unwrap();
    drop(workers);
    while reporter.receive().await.is_some() {}
}
