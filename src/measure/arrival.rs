//! One iteration as load asks for it and as a VU answers.

use super::layout::ScenarioId;
use std::time::Duration;
use tokio::time::Instant;

/// Which VU is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VuId {
    /// The scenario that it plays in.
    pub scenario: ScenarioId,
    /// Its number, from 1, unique in the run.
    pub number: u64,
}

/// One iteration that is to start now.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it was due. The two clocks of pacecar part here: what is measured from `due` is
    /// what a user who came on time would have felt.
    pub due: Instant,
    /// Its number within its scenario, from 0.
    pub number: u64,
}

/// How an iteration ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// When its last step, its think time included, was over.
    pub ended: Instant,
    /// Whether it ended because the target turned a request of it away.
    pub shed: bool,
    /// For how long the guard held its requests back: it came due and started later by as much.
    pub held: Duration,
}
