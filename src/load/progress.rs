//! How far a run has come, for whoever shows it: read at any time, from any thread.
//!
//! Each worker writes its own counters, alone, on its own cache lines; a reader adds them up.

use super::plan::{LoadPlan, ScenarioPlan};
use crate::measure::ScenarioId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// How far each scenario has come.
#[derive(Debug)]
pub struct Progress {
    start_at: Instant,
    scenarios: Vec<Tracked>,
}

#[derive(Debug)]
struct Tracked {
    plan: ScenarioPlan,
    /// One for each worker.
    tallies: Box<[Arc<Tally>]>,
}

/// What one worker has counted of one scenario. Written by that worker only.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    pub(crate) active: Count,
    pub(crate) made: Count,
    pub(crate) started: Count,
    pub(crate) completed: Count,
    pub(crate) cut_off: Count,
    pub(crate) dropped: Count,
    pub(crate) ended: Count,
}

/// A number with one writer: a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

/// How far one scenario has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScenarioProgress {
    /// Which.
    pub scenario: ScenarioId,
    /// Since it began; zero before.
    pub elapsed: Duration,
    /// How long it is planned to start iterations; none where endless.
    pub duration: Option<Duration>,
    /// VUs at work: iterating, or in an open model busy with an iteration.
    pub active_vus: u64,
    /// VUs made so far, the planned ones as in k6 from the start.
    pub made_vus: u64,
    /// Iterations that were started.
    pub started: u64,
    /// Iterations that ran to their end.
    pub completed: u64,
    /// Iterations that were cut off.
    pub cut_off: u64,
    /// Iterations that were due and could not start.
    pub dropped: u64,
    /// How many iterations there are to be, where that is fixed.
    pub target: Option<u64>,
    /// The planned arrival rate now, iterations a second, in an open model.
    pub rate: Option<f64>,
    /// Whether it is over.
    pub ended: bool,
}

// === impl Count ===

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().saturating_add(more));
    }

    pub(crate) fn sub(&self, less: u64) {
        self.set(self.get().saturating_sub(less));
    }
}

// === impl Progress ===

impl Progress {
    pub(crate) fn new(plan: &LoadPlan, workers: usize, start_at: Instant) -> Self {
        let track = |plan: &ScenarioPlan| Tracked {
            plan: plan.clone(),
            tallies: std::iter::repeat_with(Arc::<Tally>::default).take(workers).collect(),
        };
        Self { start_at, scenarios: plan.scenarios().iter().map(track).collect() }
    }

    /// All scenarios, in the order of the plan.
    #[must_use]
    pub fn scenarios(&self, now: Instant) -> Vec<ScenarioProgress> {
        self.scenarios.iter().map(|tracked| tracked.read(now.saturating_duration_since(self.start_at))).collect()
    }

    pub(crate) fn tally(&self, scenario: usize, worker: usize) -> Option<Arc<Tally>> {
        self.scenarios.get(scenario)?.tallies.get(worker).cloned()
    }
}

// === impl Tracked ===

impl Tracked {
    fn read(&self, since_start: Duration) -> ScenarioProgress {
        let sum = |of: fn(&Tally) -> &Count| self.tallies.iter().map(|tally| of(tally).get()).sum();
        let elapsed = since_start.saturating_sub(self.plan.start_time());
        let begun = since_start >= self.plan.start_time();
        let ended = self.tallies.iter().all(|tally| tally.ended.get() > 0);
        ScenarioProgress {
            scenario: self.plan.id(),
            elapsed,
            duration: self.plan.duration(),
            active_vus: sum(|tally| &tally.active),
            made_vus: sum(|tally| &tally.made),
            started: sum(|tally| &tally.started),
            completed: sum(|tally| &tally.completed),
            cut_off: sum(|tally| &tally.cut_off),
            dropped: sum(|tally| &tally.dropped),
            target: self.plan.target(),
            rate: self.plan.rate_at(elapsed).map(|rate| if begun && !ended { rate } else { 0.0 }),
            ended,
        }
    }
}
