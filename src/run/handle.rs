//! A handle on a run, from any thread: what it is doing, and pause, resume, scale and stop.
//!
//! It embeds no protocol: the program serves it over HTTP, an embedder calls it.

use super::board::{Board, Snapshot, Stage};
use super::reporter::held_by;
use crate::load::{Control, ControlError, HeldBy, Scale, Stop, StopReason};
use std::sync::Arc;

/// Steers a run and tells what it is doing. Clones steer the same run.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) stop: Stop,
    pub(super) control: Control,
    pub(super) board: Arc<Board>,
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
    /// Starts nothing new, lets what runs finish within 5 s; teardown, cleanup and the summary follow. Exit 105.
    pub fn stop_by_signal(&self) {
        self.stop.drain(StopReason::Signal);
    }

    /// As [`Handle::stop_by_signal`], for whoever steers the run. Exit 103.
    pub fn stop(&self) {
        self.stop.drain(StopReason::Control);
    }

    /// Starts no iteration until [`Handle::resume`]; before the load has begun, not even setup. What would be due
    /// meanwhile is due later by as much.
    ///
    /// # Errors
    /// Where it is paused already.
    pub fn pause(&self) -> Result<(), ControlError> {
        self.control.pause()
    }

    /// Goes on where it was paused, unless the guard holds it too.
    ///
    /// # Errors
    /// Where no operator paused it.
    pub fn resume(&self) -> Result<(), ControlError> {
        self.control.resume()
    }

    /// The kill switch by signal: no request leaves while it is on.
    pub fn kill_switch(&self, on: bool) {
        if on {
            self.control.hold(HeldBy::Signal, "SIGUSR1");
        } else {
            self.control.release(HeldBy::Signal);
        }
    }

    /// Why the guard holds the traffic; empty where it does not.
    #[must_use]
    pub fn held_by(&self) -> Vec<String> {
        held_by(&self.control)
    }

    /// Changes the VUs, and the most there can be, of the first externally-controlled scenario.
    ///
    /// # Errors
    /// Where there is none, or it cannot have so many or so few.
    pub fn scale(&self, vus: Option<u32>, max_vus: Option<u32>) -> Result<Scale, ControlError> {
        self.control.scale(vus, max_vus)
    }

    /// Whether the load was there and nobody ended it: no signal, no operator, no refusal.
    #[must_use]
    pub fn ran_by_itself(&self) -> bool {
        self.board.ran() && !matches!(self.stop.reason(), Some(StopReason::Signal | StopReason::Control))
    }

    /// The plan's name.
    #[must_use]
    pub fn plan(&self) -> &str {
        &self.board.plan
    }

    /// Where the run is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.board.stage()
    }

    /// VUs at work.
    #[must_use]
    pub fn vus(&self) -> u64 {
        self.board.vus().0
    }

    /// What the run is doing.
    pub async fn status(&self) -> Status {
        let tainted = self.snapshot().await.tainted;
        let (vus, vus_max) = self.board.vus();
        Status {
            stage: self.board.stage(),
            paused: self.control.is_paused(),
            vus,
            vus_max,
            stopped: self.stop.reason().is_some(),
            tainted,
        }
    }

    /// The figures of now, at most half a second old; those of the end once the load is over.
    pub async fn snapshot(&self) -> Arc<Snapshot> {
        self.board.snapshot().await
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
