//! What each command does. Each answers with the code that the process exits with.

pub(crate) mod canary;
pub(crate) mod check;
pub(crate) mod cleanup;
pub(crate) mod compare;
pub(crate) mod demo;
mod demo_tune;
mod job;
mod ledger;
pub(crate) mod merge;
mod plan;
pub(crate) mod report;
mod rows;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod steer;
pub(crate) mod tune;
mod wire;

use pacecar::semconv::RunId;

/// A new run's id.
pub(crate) fn new_run_id() -> RunId {
    RunId::new(fastrand::u64(..))
}
