//! What a run is doing now, once a second, for a progress line or a status answer.

use std::time::Duration;

/// What a run is doing now.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Where the run is.
    pub phase: Phase,
    /// Whether anybody holds the load.
    pub paused: bool,
    /// Why the guard holds it, where it does.
    pub held_by: Vec<String>,
    /// The scenarios, in the order of the plan.
    pub scenarios: Vec<ScenarioProgress>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The guard and the database are asked.
    #[default]
    Preflight,
    /// It was asked to start paused, and waits to be resumed.
    Paused,
    /// The setup steps run.
    Setup,
    /// The scenarios run.
    Load,
    /// The teardown steps run.
    Teardown,
    /// What the API still sends is being waited for.
    Correlate,
    /// Test data is being deleted; so many rows are gone.
    Cleanup {
        /// Rows deleted so far.
        deleted: u64,
    },
}

/// One scenario's line.
#[derive(Clone, Debug, Default)]
pub struct ScenarioProgress {
    /// Its name.
    pub name: String,
    /// How far it is, 0 to 1: of its time, or of its iterations where they are counted.
    pub share: f64,
    /// Since it began.
    pub elapsed: Duration,
    /// The longest it may take; none where it is endless.
    pub planned: Option<Duration>,
    /// VUs at work.
    pub vus: u32,
    /// VUs made.
    pub vus_made: u32,
    /// Iterations that ended.
    pub iterations: u64,
    /// Iterations that will be, where that is fixed.
    pub iterations_planned: Option<u64>,
    /// Iterations that ended in the last second.
    pub iterations_per_second: f64,
    /// `http_req_duration` p(95) so far, in ms; none before the first request.
    pub p95_ms: Option<f64>,
    /// Requests that failed so far.
    pub failed: u64,
    /// Requests so far.
    pub requests: u64,
}
