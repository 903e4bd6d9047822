//! The worker threads of a run: each with a runtime, VUs, connections and a recorder of its
//! own. They share the stop signal, an operator's orders, the counter of shared iterations, and
//! nothing else.
//!
//! Each second a worker hands over what it has recorded and goes on with the recorder that
//! the reporter emptied meanwhile. A reporter that is late delays nobody: the worker goes on
//! counting into the one it has. The last handover always arrives.

use super::control::Control;
use super::error::LoadError;
use super::executor::{self, Bench, Crew, MakeVu, SharedIterations, VuNumbers, Work};
use super::metronome::Metronome;
use super::pacer::Pacer;
use super::plan::{LoadPlan, Model, ScenarioPlan};
use super::progress::{Progress, ScenarioProgress, Tally};
use super::schedule::Stripes;
use super::stop::{Stop, StopReason};
use crate::measure::{Layout, Recorder, RecorderHandle, ScenarioId};
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

/// The running workers. Dropping them cuts the run off.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Thread>,
    reporter: Option<Reporter>,
    progress: Arc<Progress>,
    stop: Stop,
    failed: Option<LoadError>,
}

/// What a factory of VUs is told about its worker.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// Which worker, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    /// Where its VUs count.
    pub recorder: RecorderHandle,
}

/// What a worker has recorded since its last handover.
#[derive(Debug)]
pub struct Handover {
    /// Which worker, from 0.
    pub worker: usize,
    /// What it recorded.
    pub recorder: Recorder,
    /// When it handed over.
    pub at: Instant,
}

/// The receiving side of all handovers.
#[derive(Debug)]
pub struct Reporter {
    handovers: mpsc::Receiver<Handover>,
    emptied: Vec<mpsc::Sender<Recorder>>,
}

/// A run whose load is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// When the last scenario ended.
    pub at: Instant,
    /// The scenarios, in the order of the plan.
    pub scenarios: Vec<ScenarioEnded>,
}

/// A scenario that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScenarioEnded {
    /// Which.
    pub scenario: ScenarioId,
    /// When its last worker was through.
    pub at: Instant,
    /// What came of it.
    pub counts: ScenarioProgress,
}

#[derive(Debug)]
struct Thread {
    worker: usize,
    handle: JoinHandle<()>,
    result: oneshot::Receiver<Result<Vec<Instant>, LoadError>>,
}

/// What a thread needs to know.
struct Assignment {
    worker: usize,
    workers: usize,
    plan: LoadPlan,
    shared: Vec<Arc<SharedIterations>>,
    layout: Arc<Layout>,
    start_at: Instant,
    stop: Stop,
    control: Control,
    progress: Arc<Progress>,
    handovers: mpsc::Sender<Handover>,
    emptied: mpsc::Receiver<Recorder>,
    playing: Playing,
}

/// Counts the workers that still play; a worker leaves when it drops this, also in a panic.
struct Playing(Option<watch::Sender<usize>>);

/// What a worker does each second.
struct Beat<'a> {
    worker: usize,
    start_at: Instant,
    recorder: &'a RecorderHandle,
    tallies: &'a [(ScenarioId, Arc<Tally>)],
    handovers: &'a mpsc::Sender<Handover>,
    emptied: &'a mut mpsc::Receiver<Recorder>,
    /// The second of the worker's two recorders, until it is handed over first.
    spare: Option<Recorder>,
}

/// How often a worker hands over, and samples its VUs as k6 does.
const EVERY: Duration = Duration::from_secs(1);

/// Each is a thread with a runtime and connections of its own; more than cores only cost.
const MAX_WORKERS: usize = 256;

/// Starts the load on `workers` threads (at least one, at most 256); the scenarios count from `start_at`.
/// `factory` is called once in each thread, inside its runtime, for what makes that worker's VUs.
/// What goes wrong in starting is the result of [`Workers::join`].
pub fn start<F, M>(
    plan: LoadPlan,
    workers: usize,
    factory: F,
    layout: Arc<Layout>,
    start_at: Instant,
    stop: Stop,
    control: Control,
) -> Workers
where
    F: Fn(WorkerContext) -> M + Send + Sync + 'static,
    M: MakeVu,
{
    let count = workers.clamp(1, MAX_WORKERS);
    control.begin(start_at);
    let progress = Arc::new(Progress::new(&plan, count, start_at));
    let shared = shared(&plan, count);
    let factory = Arc::new(factory);
    let playing = watch::Sender::new(count);
    // One handover a second and the last one: no worker ever waits for room.
    let (sender, handovers) = mpsc::channel(2 * count);
    let mut emptied = Vec::with_capacity(count);
    let mut workers = Workers {
        threads: Vec::with_capacity(count),
        reporter: None,
        progress: Arc::clone(&progress),
        stop: stop.clone(),
        failed: None,
    };
    for worker in 0..count {
        let (give, take) = mpsc::channel(2);
        emptied.push(give);
        let assignment = Assignment {
            worker,
            workers: count,
            plan: plan.clone(),
            shared: shared.clone(),
            layout: Arc::clone(&layout),
            start_at,
            stop: stop.clone(),
            control: control.clone(),
            progress: Arc::clone(&progress),
            handovers: sender.clone(),
            emptied: take,
            playing: Playing(Some(playing.clone())),
        };
        workers.spawn(assignment, Arc::clone(&factory));
    }
    workers.reporter = Some(Reporter { handovers, emptied });
    workers
}

// === impl Workers ===

impl Workers {
    /// The receiving side of the handovers: once.
    pub fn reporter(&mut self) -> Option<Reporter> {
        self.reporter.take()
    }

    /// How far the run has come.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Waits until all scenarios have ended and all workers are through.
    ///
    /// # Errors
    /// The first [`LoadError`] of any worker; what was recorded until then was handed over.
    pub async fn join(mut self) -> Result<Ended, LoadError> {
        let mut at: Vec<Option<Instant>> = Vec::new();
        let mut failed = self.failed.take();
        for thread in std::mem::take(&mut self.threads) {
            let result = thread.result.await.unwrap_or_else(|_| Err(panicked(thread.worker, &"no result")));
            // It has nothing left to do but to return.
            let _ = thread.handle.join();
            match result {
                Ok(ends) => {
                    at.resize(ends.len().max(at.len()), None);
                    for (latest, end) in at.iter_mut().zip(ends) {
                        *latest = (*latest).max(Some(end));
                    }
                }
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let now = Instant::now();
        let ended = |(counts, at): (ScenarioProgress, Option<Instant>)| ScenarioEnded {
            scenario: counts.scenario,
            at: at.unwrap_or(now),
            counts,
        };
        let at = at.into_iter().chain(std::iter::repeat(None));
        let scenarios: Vec<_> = self.progress.scenarios(now).into_iter().zip(at).map(ended).collect();
        Ok(Ended { at: scenarios.iter().map(|scenario| scenario.at).max().unwrap_or(now), scenarios })
    }

    fn spawn<F, M>(&mut self, assignment: Assignment, factory: Arc<F>)
    where
        F: Fn(WorkerContext) -> M + Send + Sync + 'static,
        M: MakeVu,
    {
        let (worker, stop) = (assignment.worker, assignment.stop.clone());
        let (sender, result) = oneshot::channel();
        let body = move || {
            let stop = assignment.stop.clone();
            let outcome = catch_unwind(AssertUnwindSafe(|| assignment.play(&*factory)));
            let outcome = outcome.unwrap_or_else(|panic| Err(panicked(worker, panic.as_ref())));
            if outcome.is_err() {
                stop.now(StopReason::Failure);
            }
            // Whoever dropped the workers does not want to know.
            let _ = sender.send(outcome);
        };
        match std::thread::Builder::new().name(format!("pacecar-{worker}")).spawn(body) {
            Ok(handle) => self.threads.push(Thread { worker, handle, result }),
            Err(source) => {
                stop.now(StopReason::Failure);
                self.failed.get_or_insert(LoadError::Start { worker, source });
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.stop.now(StopReason::Failure);
        }
    }
}

// === impl Reporter ===

impl Reporter {
    /// The next handover; none once all workers are through and all of theirs were received.
    pub async fn receive(&mut self) -> Option<Handover> {
        self.handovers.recv().await
    }

    /// Gives a worker a recorder back, emptied.
    pub fn give_back(&self, worker: usize, emptied: Recorder) {
        if let Some(sender) = self.emptied.get(worker) {
            // Full or gone: the worker has what it needs.
            let _ = sender.try_send(emptied);
        }
    }
}

// === impl Assignment ===

impl Assignment {
    fn play<F, M>(mut self, factory: &F) -> Result<Vec<Instant>, LoadError>
    where
        F: Fn(WorkerContext) -> M,
        M: MakeVu,
    {
        let worker = self.worker;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| LoadError::Start { worker, source })?;
        let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&self.layout), self.start_at));
        // Whatever happens in there, what was recorded is handed over.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let local = LocalSet::new();
            local.block_on(&runtime, self.run(factory, &recorder))
        }));
        let empty = Recorder::new(Arc::clone(&self.layout), self.start_at);
        let last = Handover { worker, recorder: recorder.swap(empty), at: Instant::now() };
        // There is room for it; only a reporter that has gone does not get it.
        let _ = self.handovers.try_send(last);
        outcome.unwrap_or_else(|panic| Err(panicked(worker, panic.as_ref())))
    }

    async fn run<F, M>(&mut self, factory: &F, recorder: &RecorderHandle) -> Result<Vec<Instant>, LoadError>
    where
        F: Fn(WorkerContext) -> M,
        M: MakeVu,
    {
        let context = WorkerContext { index: self.worker, count: self.workers, recorder: recorder.clone() };
        let bench = Bench {
            worker: self.worker,
            maker: Rc::new(RefCell::new(factory(context))),
            recorder: recorder.clone(),
            numbers: Rc::new(VuNumbers::new(self.plan.segment().stripes().split(self.worker, self.workers))),
            stop: self.stop.clone(),
            failure: Rc::default(),
        };
        let pacer = Pacer::precise();
        let mut metronome = Metronome::new(self.start_at, recorder.clone());
        let mut tallies = Vec::new();
        let mut scenarios = JoinSet::new();
        for (index, (scenario, shared)) in self.plan.scenarios().iter().zip(&self.shared).enumerate() {
            let tally = self.progress.tally(index, self.worker).unwrap_or_default();
            let (all, count, me) = (scenario.adds_vus, self.workers as u64, self.worker as u64);
            tally.made.set(all / count + u64::from(me < all % count));
            tallies.push((scenario.id(), Arc::clone(&tally)));
            let part = self.plan.part(index, self.worker, self.workers);
            let crew = Crew::new(&bench, scenario.id(), part, tally);
            let control = self.control.listen();
            let work =
                Work { plan: scenario.clone(), shared: Arc::clone(shared), pacer: pacer.clone(), index, control };
            let (start, stop) = (self.start_at, self.stop.listen());
            scenarios.spawn_local(async move {
                executor::run(work, crew, start, stop).await;
                (index, Instant::now())
            });
        }
        let mut ends = vec![self.start_at; tallies.len()];
        let beat = Beat {
            worker: self.worker,
            start_at: self.start_at,
            recorder,
            tallies: &tallies,
            handovers: &self.handovers,
            emptied: &mut self.emptied,
            spare: Some(Recorder::new(Arc::clone(&self.layout), self.start_at)),
        };
        let play = async {
            while let Some(ended) = scenarios.join_next().await {
                match ended {
                    Ok((index, at)) => ends[index] = at,
                    Err(error) => {
                        self.stop.now(StopReason::Failure);
                        let source = LoadError::VuPanicked { worker: self.worker, source: error };
                        bench.failure.borrow_mut().get_or_insert(source);
                    }
                }
            }
            // While others play on, this one goes on to say that its VUs are gone.
            self.playing.leave_and_wait().await;
        };
        tokio::select! {
            () = play => {}
            () = beat.run() => {}
            () = metronome.listen() => {}
        }
        metronome.beat();
        let failure = bench.failure.borrow_mut().take();
        failure.map_or(Ok(ends), Err)
    }
}

// === impl Playing ===

impl Playing {
    /// Leaves, and waits until all have left.
    async fn leave_and_wait(&mut self) {
        if let Some(count) = self.leave() {
            // The sender is at hand: it cannot have gone.
            let _ = count.subscribe().wait_for(|playing| *playing == 0).await;
        }
    }

    fn leave(&mut self) -> Option<watch::Sender<usize>> {
        let count = self.0.take()?;
        count.send_modify(|playing| *playing = playing.saturating_sub(1));
        Some(count)
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.leave();
    }
}

// === impl Beat ===

impl Beat<'_> {
    /// Samples the VUs and hands over, each second, until it is dropped. The last handover so
    /// carries the VUs of the last second, as k6's last sample does.
    async fn run(mut self) {
        sleep_until(self.start_at).await;
        // The executors start now too: let them.
        tokio::task::yield_now().await;
        self.sample_vus();
        let mut next = self.start_at;
        loop {
            next += EVERY;
            sleep_until(next).await;
            self.sample_vus();
            self.hand_over();
        }
    }

    fn sample_vus(&self) {
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        for (scenario, tally) in self.tallies {
            self.recorder.vus(*scenario, count(tally.active.get()), count(tally.made.get()));
        }
    }

    fn hand_over(&mut self) {
        if let Some(empty) = self.spare.take().or_else(|| self.emptied.try_recv().ok()) {
            let recorder = self.recorder.swap(empty);
            // There is room, or nobody listens any more.
            let _ = self.handovers.try_send(Handover { worker: self.worker, recorder, at: Instant::now() });
        }
    }
}

pub(super) fn shared(plan: &LoadPlan, workers: usize) -> Vec<Arc<SharedIterations>> {
    let of = |scenario: &ScenarioPlan| match scenario.model {
        Model::SharedIterations { vus, iterations, .. } => {
            SharedIterations::new(scenario.part.by_seats(u64::from(vus)), iterations, workers)
        }
        _ => SharedIterations::new(Stripes::nothing(), 0, workers),
    };
    plan.scenarios().iter().map(of).collect()
}

fn panicked(worker: usize, panic: &(dyn Any + Send)) -> LoadError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    LoadError::WorkerPanicked { worker, message }
}

#[cfg(test)]
mod tests;
