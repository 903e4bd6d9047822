//! A trial: one setting applied, warmed up and measured. And what the search asks of whoever can make one.

use super::setting::Setting;
use crate::correlate::Band;
use crate::measure::trend::Quantile;
use crate::semconv::metric;
use crate::stats::LoadPoint;
use std::time::Duration;
use thiserror::Error;

/// What to run next.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The values to apply.
    pub setting: Setting,
    /// What it is for.
    pub phase: Phase,
    /// The block it belongs to: trials of a block are compared with each other.
    pub block: u32,
    /// Where the arrivals come from. All trials of a block have the same, so that they meet the same arrivals.
    pub seed: u64,
    /// How many times the plan's load: 1, or that of `hold`.
    pub factor: f64,
    /// Not measured, at the beginning.
    pub warmup: Duration,
    /// Measured.
    pub duration: Duration,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// The baseline against itself: how far identical trials differ.
    Preflight,
    /// Every setting, until each has the least number of trials.
    Screening,
    /// What is clearly worse falls out.
    Halving,
    /// The last few against each other, until they can be told apart or called equal.
    Confirmation,
    /// The chosen one at more load.
    Hold,
}

/// A trial, made or failed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was asked for.
    pub order: Order,
    /// What came of it.
    pub result: Result<Measured, Failure>,
    /// How long it took altogether: applying, waiting until ready, warm-up, measuring.
    pub took: Duration,
}

/// What a trial measured, warm-up left out.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The plan's objective; a lower bound where censored.
    pub objective: Quantile,
    /// p(95) of the objective's metric, in ms, whatever statistic the objective takes.
    pub p95: f64,
    /// The figure of each constraint, by the name that [`super::Constraint`] has.
    pub constraints: Vec<ConstraintValue>,
    /// Used of the pool's size over the time of the load, 0 to 1; none where nobody saw it.
    pub utilization: Option<f64>,
    /// Requests that ended.
    pub requests: u64,
    /// Requests that ended, per second.
    pub throughput: f64,
    /// What went wrong with them.
    pub incidents: Incidents,
    /// Why the figures may not be believed (the generator set them, not the target); empty where they may.
    pub invalid: Vec<String>,
    /// What the requests waited for; empty where nobody correlated.
    pub bands: Vec<Band>,
    /// How many requests were under way at once and how many ended per second, over parts of the trial: what the
    /// scalability law is fitted to.
    pub loads: Vec<LoadPoint>,
    /// The effective size or value that was read back, where it was: `db.client.connection.max=8`.
    pub read_back: Option<String>,
}

/// The figure of a constraint in one trial.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstraintValue {
    /// Which constraint.
    pub name: String,
    /// The figure; none where nobody measured it.
    pub value: Option<f64>,
    /// Of how many it is a share, where it is one: `http_req_failed` of the requests.
    pub of: Option<u64>,
}

/// How often requests went wrong, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incidents {
    /// Requests that failed, whatever the reason.
    pub failed: u64,
    /// Connections that were reset.
    pub resets: u64,
    /// Requests that timed out.
    pub timeouts: u64,
    /// Connections that were refused.
    pub refusals: u64,
}

/// Why a trial has no figures.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The values could not be applied.
    #[error("could not be applied: {0}")]
    NotApplied(String),
    /// What was started was not ready in time.
    #[error("was not ready within {}: {last}", humantime::format_duration(*within))]
    NotReady {
        /// The time it had.
        within: Duration,
        /// What it answered last, or said.
        last: String,
    },
    /// Another value than the one that was set is in effect.
    #[error("is not in effect: {0}")]
    NotInEffect(String),
    /// The target ended, or was lost, while it was measured.
    #[error("the target was lost: {0}")]
    TargetLost(String),
    /// Nothing was measured: no request ended, or the objective has no value.
    #[error("nothing was measured: {0}")]
    NothingMeasured(String),
}

/// Whoever can apply a setting and measure it. It ends when the trial has.
pub trait RunTrial {
    /// Makes the trial. None where the experiment is to stop: a signal, an operator.
    fn run(&mut self, order: &Order) -> impl Future<Output = Option<Trial>>;
}

// === impl Incidents ===

impl Incidents {
    /// What `hold` allows none of, by the names of the metrics.
    #[must_use]
    pub const fn kinds(&self) -> [(&'static str, u64); 3] {
        [
            (metric::CONNECTION_RESET, self.resets),
            (metric::TIMEOUT, self.timeouts),
            (metric::CONNECTION_REFUSED, self.refusals),
        ]
    }
}

// === impl Phase ===

impl Phase {
    /// Its name in the progress and the report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Screening => "screening",
            Self::Halving => "halving",
            Self::Confirmation => "confirmation",
            Self::Hold => "hold",
        }
    }
}

// === impl Trial ===

impl Trial {
    /// What was measured, where it may be believed.
    #[must_use]
    pub fn believed(&self) -> Option<&Measured> {
        self.result.as_ref().ok().filter(|measured| measured.is_valid())
    }
}

// === impl Measured ===

impl Measured {
    /// Whether the figures may be believed.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The figure of a constraint; none where nobody measured it.
    #[must_use]
    pub fn constraint(&self, name: &str) -> Option<&ConstraintValue> {
        self.constraints.iter().find(|known| known.name == name)
    }
}
