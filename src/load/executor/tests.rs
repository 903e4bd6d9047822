//! Every executor under a paused clock: what starts when, what is dropped, what is cut off.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod steered;

use super::*;
use crate::load::compile::{Allow, compile};
use crate::load::control::Control;
use crate::load::plan::LoadPlan;
use crate::load::progress::{Progress, ScenarioProgress};
use crate::load::schedule::Segment;
use crate::load::stop::{Stop, StopReason};
use crate::measure::{
    Arrival, Finished, IterationCounts, LayoutBuilder, Recorder, RecorderHandle, ScenarioId, Totals, VuId,
};
use crate::plan::{ArrivalVus, Arrivals, Diagnostics, Executor, Scenario, Span, Spanned, Stage};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;
use tower::Service;

// === what the VUs do and what is noted ===

/// One iteration as a VU saw it; times in milliseconds from the run's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    scenario: u16,
    vu: u64,
    number: u64,
    due: u64,
    started: u64,
    /// None where it was cut off.
    ended: Option<u64>,
}

type Log = Rc<RefCell<Vec<Call>>>;
/// How long iteration `number` of VU `vu` takes, in milliseconds.
type Takes = Rc<dyn Fn(u64, u64) -> u64>;

#[derive(Clone)]
struct Maker {
    log: Log,
    takes: Takes,
    start: Instant,
    made: Rc<RefCell<Vec<u64>>>,
    fails: bool,
}

struct Vu {
    id: VuId,
    maker: Maker,
}

impl Service<VuId> for Maker {
    type Response = Vu;
    type Error = std::io::Error;
    type Future = std::future::Ready<Result<Vu, std::io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, id: VuId) -> Self::Future {
        self.made.borrow_mut().push(id.number);
        let made = if self.fails { Err(std::io::Error::other("no seat")) } else { Ok(Vu { id, maker: self.clone() }) };
        std::future::ready(made)
    }
}

impl Service<Arrival> for Vu {
    type Response = Finished;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Finished, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let (log, start) = (Rc::clone(&self.maker.log), self.maker.start);
        let ms = move |at: Instant| u64::try_from((at - start).as_millis()).unwrap();
        let at = log.borrow().len();
        log.borrow_mut().push(Call {
            scenario: self.id.scenario.0,
            vu: self.id.number,
            number: arrival.number,
            due: ms(arrival.due),
            started: ms(Instant::now()),
            ended: None,
        });
        let takes = (self.maker.takes)(self.id.number, arrival.number);
        Box::pin(async move {
            if takes > 0 {
                sleep(Duration::from_millis(takes)).await;
            }
            let ended = Instant::now();
            log.borrow_mut()[at].ended = Some(ms(ended));
            Ok(Finished { ended, held: Duration::ZERO, shed: false })
        })
    }
}

// === the stage ===

struct Play {
    calls: Vec<Call>,
    counts: Vec<ScenarioProgress>,
    /// What the recorders have of each scenario.
    recorded: Vec<IterationCounts>,
    made: Vec<u64>,
    /// When the last scenario ended, in milliseconds.
    ended: u64,
    failed: bool,
}

impl Play {
    fn starts(&self) -> Vec<u64> {
        self.calls.iter().map(|call| call.started).collect()
    }

    fn counts(&self) -> (u64, u64, u64) {
        let counts = self.counts[0];
        assert_eq!(counts.started, counts.completed + counts.cut_off);
        (counts.completed, counts.cut_off, counts.dropped)
    }
}

fn plan(scenarios: &[Scenario], segment: &Segment) -> LoadPlan {
    let ids: Vec<ScenarioId> = (0..).map(ScenarioId).take(scenarios.len()).collect();
    let mut diagnostics = Diagnostics::new("test");
    let plan = compile(scenarios, &ids, segment, Allow { endless: true, ..Allow::default() }, &mut diagnostics);
    plan.unwrap_or_else(|| panic!("{diagnostics}"))
}

fn play(scenarios: &[Scenario], takes: impl Fn(u64, u64) -> u64 + 'static) -> Play {
    play_with(&plan(scenarios, &Segment::whole()), 1, takes, false, async |_| {})
}

/// Plays all workers of a plan on one thread, while `meddle` runs beside.
fn play_with(
    plan: &LoadPlan,
    workers: usize,
    takes: impl Fn(u64, u64) -> u64 + 'static,
    fails: bool,
    meddle: impl AsyncFnOnce(Stop),
) -> Play {
    steer(plan, workers, takes, fails, async |stop, _, _| meddle(stop).await)
}

/// As [`play_with`], with an operator beside, who sees the VUs at work, too.
fn steer(
    plan: &LoadPlan,
    workers: usize,
    takes: impl Fn(u64, u64) -> u64 + 'static,
    fails: bool,
    meddle: impl AsyncFnOnce(Stop, Control, Arc<Progress>),
) -> Play {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let start = Instant::now();
        let stop = Stop::new();
        let control = Control::new(plan);
        let progress = Arc::new(Progress::new(plan, workers, start));
        let maker = Maker { log: Log::default(), takes: Rc::new(takes), start, made: Rc::default(), fails };
        let shared = crate::load::workers::shared(plan, workers);
        let failure = Rc::new(RefCell::new(None));
        let mut tasks = JoinSet::new();
        let mut layout = LayoutBuilder::new(Vec::new());
        for scenario in plan.scenarios() {
            assert_eq!(layout.scenario(&format!("s{}", scenario.id().0), &[]), scenario.id());
        }
        let layout = layout.build();
        let mut recorders = Vec::new();
        for worker in 0..workers {
            let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
            recorders.push(recorder.clone());
            let bench = Bench {
                worker,
                maker: Rc::new(RefCell::new(maker.clone())),
                recorder,
                numbers: Rc::new(VuNumbers::new(plan.segment().stripes().split(worker, workers))),
                stop: stop.clone(),
                failure: Rc::clone(&failure),
            };
            for (index, scenario) in plan.scenarios().iter().enumerate() {
                let tally = progress.tally(index, worker).unwrap();
                let crew = Crew::new(&bench, scenario.id(), plan.part(index, worker, workers), tally);
                let (shared, control) = (Arc::clone(&shared[index]), control.listen());
                let work = Work { plan: scenario.clone(), shared, pacer: Pacer::tokio(), index, control };
                tasks.spawn_local(run(work, crew, start, stop.listen()));
            }
        }
        tokio::join!(meddle(stop, control, Arc::clone(&progress)), async {
            while tasks.join_next().await.is_some() {}
        });
        let ended = u64::try_from(start.elapsed().as_millis()).unwrap();
        let counts = progress.scenarios(Instant::now());
        assert!(counts.iter().all(|counts| counts.ended && counts.active_vus == 0));
        let mut totals = Totals::new(Arc::clone(&layout), start);
        for recorder in recorders {
            totals.merge(&recorder.swap(Recorder::new(Arc::clone(&layout), start)));
        }
        let recorded: Vec<_> = counts.iter().map(|counts| totals.iterations(Some(counts.scenario))).collect();
        for (counts, recorded) in counts.iter().zip(&recorded) {
            assert_eq!(
                (recorded.started, recorded.completed, recorded.dropped, recorded.cut_off),
                (counts.started, counts.completed, counts.dropped, counts.cut_off)
            );
        }
        let (mut calls, made) = (maker.log.borrow().clone(), maker.made.borrow().clone());
        calls.sort_by_key(|call| (call.started, call.number));
        Play { calls, counts, recorded, made, ended, failed: failure.borrow().is_some() }
    })
}

fn scenario(executor: Executor) -> Scenario {
    Scenario {
        name: Spanned::nowhere("s".to_owned()),
        span: Span::NONE,
        executor,
        start_time: Duration::ZERO,
        graceful_stop: Duration::from_secs(30),
        env: Vec::new(),
        tags: Vec::new(),
        exec: None,
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn shared(vus: u32, iterations: u64, max: u64) -> Scenario {
    scenario(Executor::SharedIterations {
        vus: Spanned::nowhere(vus),
        iterations: Spanned::nowhere(iterations),
        max_duration: secs(max),
    })
}

fn per_vu(vus: u32, iterations: u64, max: u64) -> Scenario {
    scenario(Executor::PerVuIterations {
        vus: Spanned::nowhere(vus),
        iterations: Spanned::nowhere(iterations),
        max_duration: secs(max),
    })
}

fn constant(vus: u32, duration: u64) -> Scenario {
    scenario(Executor::ConstantVus { vus: Spanned::nowhere(vus), duration: Some(secs(duration)) })
}

fn stages(list: &[(u64, f64)]) -> Vec<Stage> {
    list.iter().map(|(s, target)| Stage { duration: secs(*s), target: Spanned::nowhere(*target) }).collect()
}

fn ramping(start: u32, list: &[(u64, f64)], down: u64) -> Scenario {
    scenario(Executor::RampingVus {
        start_vus: Spanned::nowhere(start),
        stages: stages(list),
        graceful_ramp_down: secs(down),
    })
}

fn vus(pre: u32, max: u32) -> ArrivalVus {
    ArrivalVus { pre_allocated: Spanned::nowhere(pre), max: Spanned::nowhere(max) }
}

fn arrivals(rate: f64, duration: u64, pre: u32, max: u32, arrivals: Arrivals) -> Scenario {
    scenario(Executor::ConstantArrivalRate {
        rate: Spanned::nowhere(rate),
        time_unit: secs(1),
        duration: Some(secs(duration)),
        vus: vus(pre, max),
        arrivals,
    })
}

// === shared-iterations ===

#[test]
fn shared_iterations_go_to_whoever_is_free() {
    let played = play(&[shared(2, 10, 600)], |vu, _| if vu == 1 { 100 } else { 900 });
    assert_eq!(played.counts(), (10, 0, 0));
    let by = |vu| played.calls.iter().filter(|call| call.vu == vu).count();
    assert_eq!((by(1), by(2)), (9, 1));
    let mut numbers: Vec<u64> = played.calls.iter().map(|call| call.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    assert_eq!(played.ended, 900);
}

#[test]
fn shared_iterations_that_nobody_started_by_max_duration_are_dropped() {
    // Each takes 400 ms: at 1 s the third of each VU runs on, 14 of 20 are left.
    let played = play(&[shared(2, 20, 1)], |_, _| 400);
    assert_eq!(played.counts(), (6, 0, 14));
    assert_eq!(played.ended, 1200);
}

#[test]
fn a_stopped_run_drops_no_shared_iterations() {
    let plan = plan(&[shared(2, 20, 600)], &Segment::whole());
    let played = play_with(
        &plan,
        1,
        |_, _| 400,
        false,
        async |stop| {
            sleep(Duration::from_millis(500)).await;
            stop.drain(StopReason::Signal);
        },
    );
    assert_eq!(played.counts(), (4, 0, 0));
    assert_eq!(played.ended, 800);
}

#[test]
fn workers_and_segments_share_out_all_iterations_once() {
    for (vus, iterations) in [(5, 23), (1, 7), (4, 4)] {
        let mut numbers = Vec::new();
        let mut vu_numbers = Vec::new();
        for part in 0..3 {
            let plan = plan(&[shared(vus, iterations, 600)], &Segment::part(part, 3).unwrap());
            let played = play_with(&plan, 2, |_, _| 10, false, async |_| {});
            assert_eq!(Some(played.counts().0), plan.scenarios()[0].target());
            numbers.extend(played.calls.iter().map(|call| call.number));
            vu_numbers.extend(played.made);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..iterations).collect::<Vec<_>>());
        vu_numbers.sort_unstable();
        vu_numbers.dedup();
        assert_eq!(vu_numbers.len(), vus as usize);
    }
}

// === per-vu-iterations ===

#[test]
fn each_vu_does_its_iterations() {
    let played = play(&[per_vu(3, 4, 600)], |vu, _| vu * 100);
    assert_eq!(played.counts(), (12, 0, 0));
    for vu in 1..=3 {
        let starts: Vec<u64> = played.calls.iter().filter(|call| call.vu == vu).map(|call| call.started).collect();
        assert_eq!(starts, [0, 100 * vu, 200 * vu, 300 * vu]);
    }
    assert_eq!(played.ended, 1200);
}

#[test]
fn what_a_vu_has_not_done_by_max_duration_is_dropped() {
    let played = play(&[per_vu(2, 10, 1)], |_, _| 300);
    assert_eq!(played.counts(), (8, 0, 12));
}

// === constant-vus ===

#[test]
fn constant_vus_iterate_back_to_back_until_the_end() {
    let played = play(&[constant(2, 1)], |_, _| 250);
    assert_eq!(played.starts(), [0, 0, 250, 250, 500, 500, 750, 750]);
    assert!(played.calls.iter().all(|call| call.due == call.started));
    assert_eq!((played.counts(), played.ended, played.made.as_slice()), ((8, 0, 0), 1000, [1, 2].as_slice()));
}

#[test]
fn running_iterations_get_the_graceful_stop_and_no_more() {
    let mut graceful = constant(1, 1);
    graceful.graceful_stop = secs(2);
    let played = play(&[graceful.clone()], |_, _| 2900);
    assert_eq!((played.counts(), played.ended), ((1, 0, 0), 2900));
    let played = play(&[graceful.clone()], |_, _| 3100);
    assert_eq!((played.counts(), played.ended), ((0, 1, 0), 3000));
    assert_eq!(played.calls[0].ended, None);
    graceful.graceful_stop = Duration::ZERO;
    let played = play(&[graceful], |_, _| 300);
    assert_eq!((played.counts(), played.ended), ((3, 1, 0), 1000));
}

#[test]
fn scenarios_start_at_their_time_side_by_side() {
    let (first, mut second) = (constant(1, 2), constant(1, 1));
    second.start_time = secs(1);
    let played = play(&[first, second], |_, _| 500);
    let starts = |scenario| -> Vec<u64> {
        played.calls.iter().filter(|call| call.scenario == scenario).map(|call| call.started).collect()
    };
    assert_eq!(starts(0), [0, 500, 1000, 1500]);
    assert_eq!(starts(1), [1000, 1500]);
}

#[test]
fn a_target_that_fails_at_once_starves_nobody() {
    // The real clock: nothing in there ever waits, so a paused one would stand still.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let start = Instant::now();
        let plan = plan(&[constant(3, 3600)], &Segment::whole());
        let progress = Arc::new(Progress::new(&plan, 1, start));
        let maker = Maker { log: Log::default(), takes: Rc::new(|_, _| 0), start, made: Rc::default(), fails: false };
        let stop = Stop::new();
        let mut layout = LayoutBuilder::new(Vec::new());
        layout.scenario("s", &[]);
        let bench = Bench {
            worker: 0,
            maker: Rc::new(RefCell::new(maker)),
            recorder: RecorderHandle::new(Recorder::new(layout.build(), start)),
            numbers: Rc::new(VuNumbers::new(plan.segment().stripes().clone())),
            stop: stop.clone(),
            failure: Rc::default(),
        };
        let crew = Crew::new(&bench, ScenarioId(0), plan.part(0, 0, 1), progress.tally(0, 0).unwrap());
        let shared = crate::load::workers::shared(&plan, 1).remove(0);
        let control = Control::new(&plan);
        let (plan, listener) = (plan.scenarios()[0].clone(), control.listen());
        let work = Work { plan, shared, pacer: Pacer::precise(), index: 0, control: listener };
        let stopper = async {
            sleep(Duration::from_millis(30)).await;
            stop.drain(StopReason::Signal);
            Instant::now()
        };
        let (stopped, ()) = tokio::join!(stopper, run(work, crew, start, stop.listen()));
        assert!(stopped.elapsed() < secs(1) && start.elapsed() < secs(5), "{:?}", start.elapsed());
        assert!(progress.scenarios(Instant::now())[0].completed > 100);
    });
}

// === ramping-vus ===

/// How many VUs start an iteration in each second.
fn by_second(played: &Play) -> Vec<usize> {
    let last = played.calls.iter().map(|call| call.started / 1000).max().unwrap_or(0);
    (0..=last).map(|second| played.calls.iter().filter(|call| call.started / 1000 == second).count()).collect()
}

#[test]
fn the_number_of_vus_follows_the_stages() {
    // Iterations of exactly a second; VUs join at 1 s, 2 s, 3 s and leave at 5 s, 6 s, 7 s.
    let played = play(&[ramping(1, &[(3, 4.0), (1, 4.0), (3, 1.0), (1, 1.0)], 30)], |_, _| 1000);
    assert_eq!(by_second(&played), [1, 2, 3, 4, 4, 3, 2, 1]);
    assert_eq!((played.counts(), played.ended), ((20, 0, 0), 8000));
    assert_eq!(played.made, [1, 2, 3, 4]);
}

#[test]
fn stages_without_a_duration_jump() {
    let played = play(&[ramping(1, &[(2, 1.0), (0, 5.0), (2, 5.0), (0, 2.0), (1, 2.0)], 30)], |_, _| 1000);
    assert_eq!(by_second(&played), [1, 1, 5, 5, 2]);
}

#[test]
fn a_vu_that_is_ramped_down_may_finish_in_its_time() {
    // 2 VUs, one leaves at 1 s and would be through at 3 s.
    let down = |graceful| play(&[ramping(2, &[(1, 2.0), (0, 1.0), (5, 1.0)], graceful)], |_, _| 3000);
    let finished = down(2);
    assert_eq!((finished.counts(), finished.ended), ((3, 0, 0), 6000));
    let cut = down(1);
    assert_eq!((cut.counts(), cut.ended), ((2, 1, 0), 6000));
    assert_eq!(down(0).counts(), (2, 1, 0));
}

#[test]
fn the_end_gives_the_graceful_stop_where_it_is_shorter() {
    let mut scenario = ramping(1, &[(1, 1.0), (0, 0.0)], 30);
    scenario.graceful_stop = secs(1);
    let played = play(&[scenario], |_, _| 5000);
    assert_eq!((played.counts(), played.ended), ((0, 1, 0), 2000));
}

#[test]
fn a_vu_that_is_wanted_again_goes_on() {
    // It leaves at 1 s, is back at 2 s; its iteration runs from 0 to 2.5 s and is not cut.
    let played = play(&[ramping(1, &[(1, 1.0), (0, 0.0), (1, 0.0), (0, 1.0), (2, 1.0)], 1)], |_, number| {
        if number == 0 { 2500 } else { 500 }
    });
    assert_eq!(played.starts(), [0, 2500, 3000, 3500]);
    assert!(played.calls.iter().all(|call| call.due == call.started && call.vu == 1));
}

// === arrival rates ===

#[test]
fn only_workers_that_have_something_to_do_are_of_use() {
    let useful = |scenarios: &[Scenario]| plan(scenarios, &Segment::whole()).useful_workers();
    assert_eq!(useful(&[arrivals(10.0, 1, 10, 10, Arrivals::Constant)]), 1);
    assert_eq!(useful(&[arrivals(501.0, 1, 10, 10, Arrivals::Constant)]), 2);
    let one = arrivals(1_000.0, 1, 10, 10, Arrivals::Constant);
    assert_eq!(useful(&[one.clone(), one]), 4, "what several scenarios start adds up");
    assert_eq!(useful(&[constant(7, 1)]), 7);
}

#[test]
fn a_constant_rate_starts_what_is_due_whatever_runs() {
    let played = play(&[arrivals(4.0, 2, 10, 10, Arrivals::Constant)], |_, _| 1100);
    assert_eq!(played.starts(), [0, 250, 500, 750, 1000, 1250, 1500, 1750]);
    assert_eq!((played.counts(), played.ended), ((8, 0, 0), 2850));
    // The first VU is free again at 1.1 s: five are enough, and the fifth arrival made the fifth.
    assert_eq!(played.made, [1, 2, 3, 4, 5]);
}

#[test]
fn a_constant_rate_lasts_to_its_end() {
    assert_eq!(play(&[arrivals(1.0, 3, 1, 1, Arrivals::Constant)], |_, _| 1).ended, 3000);
}

#[test]
fn free_vus_take_turns() {
    // The first three are free again at 250, 255 and 260 ms.
    let takes = |_, number: u64| [250, 155, 60].get(number as usize).copied().unwrap_or(10);
    let played = play(&[arrivals(10.0, 1, 3, 3, Arrivals::Constant)], takes);
    let vus: Vec<u64> = played.calls.iter().map(|call| call.vu).collect();
    assert_eq!(vus, [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn an_arrival_makes_a_vu_up_to_the_maximum_and_is_dropped_past_it() {
    let played = play(&[arrivals(10.0, 1, 1, 3, Arrivals::Constant)], |_, _| 550);
    assert_eq!(played.starts(), [0, 100, 200, 600, 700, 800]);
    assert_eq!(played.counts(), (6, 0, 4));
    assert_eq!((played.made.as_slice(), played.counts[0].made_vus), ([1, 2, 3].as_slice(), 2));
    // Started iterations are numbered without gaps, as in k6.
    assert_eq!(played.calls.iter().map(|call| call.number).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn arrivals_that_still_run_after_the_graceful_stop_are_cut_off() {
    let mut scenario = arrivals(1.0, 2, 5, 5, Arrivals::Constant);
    scenario.graceful_stop = secs(1);
    let played = play(&[scenario], |_, _| 2500);
    assert_eq!((played.counts(), played.ended), ((1, 1, 0), 3000));
}

#[test]
fn a_ramping_rate_integrates_its_stages_and_ends_with_its_last_iteration() {
    let executor = Executor::RampingArrivalRate {
        start_rate: Spanned::nowhere(0.0),
        time_unit: secs(1),
        stages: stages(&[(4, 2.0), (1, 2.0), (0, 0.0), (5, 0.0)]),
        vus: vus(3, 3),
        arrivals: Arrivals::Constant,
    };
    let played = play(&[scenario(executor)], |_, _| 10);
    assert_eq!(played.calls.iter().map(|call| call.due).collect::<Vec<_>>(), [2000, 2828, 3464, 4000, 4500, 5000]);
    // A paused clock moves in whole milliseconds.
    assert!(played.calls.iter().all(|call| call.started <= call.due + 1));
    assert_eq!((played.counts(), played.ended), ((6, 0, 0), 5010));
}

#[test]
fn poisson_arrivals_are_spread_over_workers_without_loss() {
    let plan = plan(&[arrivals(50.0, 10, 100, 100, Arrivals::Poisson)], &Segment::whole());
    let dues = |workers| {
        let played = play_with(&plan, workers, |_, _| 20, false, async |_| {});
        assert_eq!(played.counts().2, 0);
        let mut numbers: Vec<u64> = played.calls.iter().map(|call| call.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), played.calls.len());
        played.calls.iter().map(|call| call.due).collect::<Vec<_>>()
    };
    let one = dues(1);
    assert!((400..600).contains(&one.len()), "{}", one.len());
    assert_eq!(one, dues(3));
}

#[test]
fn what_a_generator_that_slept_drops_is_missed_and_what_finds_no_vu_is_not() {
    // 100/s through one VU of 5 ms. From 2 s on the clock stands still for the generator, for a second.
    let slept = |vus, takes| {
        let plan = plan(&[arrivals(100.0, 4, vus, vus, Arrivals::Constant)], &Segment::whole());
        play_with(
            &plan,
            1,
            move |_, _| takes,
            false,
            async |_| {
                sleep(Duration::from_millis(2007)).await;
                tokio::time::advance(secs(1)).await;
            },
        )
    };
    let one = slept(1, 5);
    assert_eq!(one.recorded[0].scheduled, 400);
    assert_eq!(one.recorded[0].started + one.recorded[0].dropped, 400);
    // About a hundred came due meanwhile; of the last five nobody says that they were late.
    assert!((85..=100).contains(&one.recorded[0].missed), "{:?}", one.recorded[0]);
    // A VU that takes longer than the sleep would have served none of them.
    let slow = slept(1, 1500);
    assert_eq!((slow.recorded[0].scheduled, slow.recorded[0].missed), (400, 0));
    let awake = play(&[arrivals(100.0, 4, 1, 1, Arrivals::Constant)], |_, _| 500);
    assert_eq!((awake.recorded[0].scheduled, awake.recorded[0].missed), (400, 0));
    assert!(awake.recorded[0].dropped > 350);
}

#[test]
fn the_schedule_says_what_was_due_by_the_stop_and_closed_models_what_started() {
    let plan = plan(
        &[arrivals(10.0, 60, 50, 50, Arrivals::Poisson), constant(2, 60), arrivals(10.0, 60, 2, 2, Arrivals::Constant)],
        &Segment::part(0, 2).unwrap(),
    );
    let played = play_with(
        &plan,
        2,
        |_, _| 300,
        false,
        async |stop| {
            sleep(Duration::from_millis(3050)).await;
            stop.now(StopReason::Threshold);
        },
    );
    let [poisson, closed, even] = played.recorded.as_slice() else { panic!("three") };
    // Half of those that are due by 3.05 s, the one at 0 s among them.
    assert_eq!((even.scheduled, even.missed), (16, 0));
    for open in [poisson, even] {
        assert_eq!(open.scheduled, open.started + open.dropped, "{open:?}");
    }
    assert!((5..30).contains(&poisson.scheduled), "{poisson:?}");
    assert_eq!(closed.scheduled, closed.started);
}

#[test]
fn a_thousand_vus_at_one_instant_are_late_for_nothing() {
    for scenario in [constant(1000, 1), ramping(0, &[(0, 1000.0), (1, 1000.0)], 30), per_vu(1000, 3, 60)] {
        let played = play(&[scenario], |_, _| 400);
        assert_eq!(played.calls.len(), 3000);
        assert!(played.calls.iter().all(|call| call.due == call.started));
    }
}

#[test]
fn schedules_of_every_shape_are_played_to_their_end() {
    let rate = |start: f64, unit: u64, list: Vec<Stage>| {
        scenario(Executor::RampingArrivalRate {
            start_rate: Spanned::nowhere(start),
            time_unit: Duration::from_millis(unit),
            stages: list,
            vus: vus(50, 50),
            arrivals: Arrivals::Constant,
        })
    };
    // One an hour, over two hours; nothing at all; a thousand stages, a jump each; a stage of no length alone.
    let hours = play(&[rate(1.0, 3_600_000, stages(&[(7200, 1.0)]))], |_, _| 1);
    assert_eq!((hours.counts().0, hours.calls[0].due, hours.calls[1].due), (2, 3_600_000, 7_200_000));
    let nothing = play(&[rate(0.0, 1000, stages(&[(5, 0.0)]))], |_, _| 1);
    assert_eq!((nothing.counts(), nothing.recorded[0].scheduled), ((0, 0, 0), 0));
    let jumps: Vec<Stage> = (0..1000).flat_map(|i| stages(&[(0, f64::from(i % 3)), (1, f64::from(i % 3))])).collect();
    // 333 times 0 + 1 + 2, and one 0 more.
    assert_eq!(play(&[rate(0.0, 1000, jumps)], |_, _| 1).counts().0, 999);
    assert_eq!(play(&[rate(5.0, 1000, stages(&[(0, 9.0)]))], |_, _| 1).counts(), (0, 0, 0));
    // A million a second for a millisecond and a half.
    let burst = Stage { duration: Duration::from_micros(1500), target: Spanned::nowhere(1e6) };
    let played = play(&[rate(1e6, 1000, vec![burst])], |_, _| 1);
    assert_eq!(played.recorded[0].scheduled, 1500);
    assert_eq!(played.counts().0 + played.counts().2, 1500);
}

// === stopping ===

#[test]
fn draining_starts_nothing_and_waits_five_seconds_at_most() {
    let stop_at = |at, takes| {
        let plan = plan(&[constant(2, 60), arrivals(1.0, 60, 9, 9, Arrivals::Constant)], &Segment::whole());
        play_with(
            &plan,
            1,
            move |_, _| takes,
            false,
            async move |stop| {
                sleep(Duration::from_millis(at)).await;
                stop.drain(StopReason::Signal);
            },
        )
    };
    let finished = stop_at(1500, 4000);
    assert_eq!(finished.starts(), [0, 0, 0, 1000]);
    assert_eq!((finished.counts[0].completed, finished.counts[1].completed, finished.ended), (2, 2, 5000));
    let cut = stop_at(1500, 20_000);
    assert_eq!((cut.counts[0].cut_off, cut.counts[1].cut_off, cut.ended), (2, 2, 6500));
    assert_eq!(cut.counts[1].dropped, 0);
}

#[test]
fn draining_gives_no_more_than_the_graceful_stop() {
    let mut scenario = constant(1, 60);
    scenario.graceful_stop = secs(1);
    let plan = plan(&[scenario], &Segment::whole());
    let played = play_with(
        &plan,
        1,
        |_, _| 20_000,
        false,
        async |stop| {
            sleep(secs(2)).await;
            stop.drain(StopReason::Control);
        },
    );
    assert_eq!((played.counts(), played.ended), ((0, 1, 0), 3000));
}

#[test]
fn now_cuts_off_at_once_even_before_the_start() {
    let mut late = constant(1, 60);
    late.start_time = secs(30);
    let plan = plan(&[constant(1, 60), late, ramping(1, &[(60, 5.0)], 30)], &Segment::whole());
    let played = play_with(
        &plan,
        1,
        |_, _| 20_000,
        false,
        async |stop| {
            sleep(secs(2)).await;
            stop.drain(StopReason::Signal);
            sleep(secs(1)).await;
            stop.now(StopReason::Signal);
        },
    );
    assert_eq!((played.ended, played.calls.len()), (3000, 2));
    assert_eq!(played.counts.iter().map(|counts| counts.cut_off).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn an_endless_scenario_runs_until_it_is_stopped() {
    let endless = scenario(Executor::ConstantVus { vus: Spanned::nowhere(1), duration: None });
    let plan = plan(&[endless], &Segment::whole());
    let played = play_with(
        &plan,
        1,
        |_, _| 1000,
        false,
        async |stop| {
            sleep(secs(100_000) - Duration::from_millis(500)).await;
            stop.drain(StopReason::Signal);
        },
    );
    assert_eq!(played.counts().0, 100_000);
}

#[test]
fn a_vu_that_cannot_be_made_ends_the_run() {
    let plan = plan(&[constant(2, 60), arrivals(1.0, 60, 1, 1, Arrivals::Constant)], &Segment::whole());
    let played = play_with(&plan, 1, |_, _| 1000, true, async |_| {});
    assert!(played.failed && played.calls.is_empty());
    assert_eq!(played.ended, 0);
}
