//! A handle on a run, from any thread: what it is doing, and pause, resume, scale and stop.
//!
//! It embeds no protocol: the program serves it over HTTP, an embedder calls it. Of a tune it is a handle on the run of
//! the trial that is made, one after the other, and on the whole: who stops one stops the other.

use super::board::{Board, Snapshot, Stage};
use super::compile::Compiled;
use super::reporter::held_by;
use crate::load::{Control, ControlError, HeldBy, Scale, Stop, StopReason};
use crate::measure::slo::SloStatus;
use crate::report::Exit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Steers a run and tells what it is doing. Clones steer the same run.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Nobody panics while holding it; were it so, what is in there is whole all the same.
    run: Arc<Mutex<Part>>,
    /// The whole that the run is a part of; none where it is the whole.
    tune: Option<Stop>,
}

/// The handle of one run.
#[derive(Clone, Debug)]
struct Part {
    stop: Stop,
    control: Control,
    board: Arc<Board>,
}

/// What a run is doing, as k6's status has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where it is.
    pub stage: Stage,
    /// Whether anybody holds it: an operator, or the guard.
    pub paused: bool,
    /// VUs at work.
    pub vus: u64,
    /// VUs made.
    pub vus_max: u64,
    /// Whether somebody stopped it.
    pub stopped: bool,
    /// Whether a threshold does not hold.
    pub tainted: bool,
}

// === impl Handle ===

impl Handle {
    pub(super) fn of(compiled: &Compiled) -> Self {
        Self { run: Arc::new(Mutex::new(Part::of(compiled))), tune: None }
    }

    /// Of a tune, whose first run this would be.
    pub(super) fn of_tune(compiled: &Compiled) -> Self {
        Self { tune: Some(Stop::new()), ..Self::of(compiled) }
    }

    /// Steers this run from here on, the next trial of a tune. A pause goes on.
    pub(super) fn follow(&self, compiled: &Compiled) {
        let next = Part::of(compiled);
        let mut run = self.lock();
        if run.control.is_paused() {
            // Nobody could have paused it before.
            let _ = next.control.pause();
        }
        *run = next;
        if let Some(reason) = self.tune.as_ref().and_then(Stop::reason) {
            run.stop.now(reason);
        }
    }

    /// Starts nothing new, lets what runs finish within 5 s; teardown, cleanup and the summary follow. Exit 105. The
    /// trial of a tune is cut off.
    pub fn stop_by_signal(&self) {
        self.stop_for(StopReason::Signal);
    }

    /// As [`Handle::stop_by_signal`], for whoever steers the run. Exit 103.
    pub fn stop(&self) {
        self.stop_for(StopReason::Control);
    }

    /// Starts no iteration until [`Handle::resume`]; before the load has begun, not even setup. What would be due
    /// meanwhile is due later by as much.
    ///
    /// # Errors
    /// Where it is paused already.
    pub fn pause(&self) -> Result<(), ControlError> {
        self.part().control.pause()
    }

    /// Goes on where it was paused, unless the guard holds it too.
    ///
    /// # Errors
    /// Where no operator paused it.
    pub fn resume(&self) -> Result<(), ControlError> {
        self.part().control.resume()
    }

    /// The kill switch by signal: no request leaves while it is on.
    pub fn kill_switch(&self, on: bool) {
        if on {
            self.part().control.hold(HeldBy::Signal, "SIGUSR1");
        } else {
            self.part().control.release(HeldBy::Signal);
        }
    }

    /// Why the guard holds the traffic; empty where it does not.
    #[must_use]
    pub fn held_by(&self) -> Vec<String> {
        held_by(&self.part().control)
    }

    /// Changes the VUs, and the most there can be, of the first externally-controlled scenario.
    ///
    /// # Errors
    /// Where there is none, or it cannot have so many or so few.
    pub fn scale(&self, vus: Option<u32>, max_vus: Option<u32>) -> Result<Scale, ControlError> {
        self.part().control.scale(vus, max_vus)
    }

    /// Whether the load was there and nobody ended it: no signal, no operator, no refusal.
    #[must_use]
    pub fn ran_by_itself(&self) -> bool {
        let part = self.part();
        part.board.ran() && !matches!(part.stop.reason(), Some(StopReason::Signal | StopReason::Control))
    }

    /// The plan's name.
    #[must_use]
    pub fn plan(&self) -> String {
        self.lock().board.plan.clone()
    }

    /// Where the run is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let stage = self.part().board.stage();
        let between = stage == Stage::Ended && self.tune.as_ref().is_some_and(|tune| tune.reason().is_none());
        if between { Stage::Preparing } else { stage }
    }

    /// VUs at work.
    #[must_use]
    pub fn vus(&self) -> u64 {
        self.part().board.vus().0
    }

    /// What the run is doing.
    pub async fn status(&self) -> Status {
        let tainted = self.snapshot().await.tainted;
        let part = self.part();
        let (vus, vus_max) = part.board.vus();
        Status {
            stage: self.stage(),
            paused: part.control.is_paused(),
            vus,
            vus_max,
            stopped: self.reason().is_some(),
            tainted,
        }
    }

    /// The plan's objectives, at most a second old.
    #[must_use]
    pub fn slos(&self) -> Arc<Vec<SloStatus>> {
        self.lock().board.slos().read()
    }

    /// The figures of now, at most half a second old; those of the end once the load is over.
    pub async fn snapshot(&self) -> Arc<Snapshot> {
        let board = Arc::clone(&self.lock().board);
        board.snapshot().await
    }

    /// Whether somebody stopped it.
    pub(super) fn is_stopped(&self) -> bool {
        self.reason().is_some()
    }

    /// Waits until somebody stops the tune. Cancel safe.
    pub(super) async fn stopped(&self) {
        match &self.tune {
            Some(tune) => tune.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// What being stopped means for the exit code.
    pub(super) fn stopped_with(&self) -> Option<Exit> {
        match self.reason()? {
            StopReason::Signal => Some(Exit::Signal),
            StopReason::Control => Some(Exit::Stopped),
            StopReason::Threshold | StopReason::Lease | StopReason::Failure => None,
        }
    }

    fn reason(&self) -> Option<StopReason> {
        match &self.tune {
            Some(tune) => tune.reason(),
            None => self.lock().stop.reason(),
        }
    }

    fn stop_for(&self, reason: StopReason) {
        let run = self.lock();
        match &self.tune {
            Some(tune) => {
                tune.drain(reason);
                run.stop.now(reason);
            }
            None => run.stop.drain(reason),
        }
    }

    fn part(&self) -> Part {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Part> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Part ===

impl Part {
    fn of(compiled: &Compiled) -> Self {
        let (stop, control) = (compiled.stop.clone(), compiled.control.clone());
        Self { stop, control, board: Arc::clone(&compiled.board) }
    }
}

// === impl Status ===

impl Status {
    /// Whether the run has begun and is not over.
    #[must_use]
    pub fn running(&self) -> bool {
        matches!(self.stage, Stage::Setup | Stage::Load | Stage::Teardown)
    }
}
