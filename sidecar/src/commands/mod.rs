//! What each command does. Each answers with the code that the process exits with.

pub(crate) mod check;
pub(crate) mod cleanup;
pub(crate) mod demo;
mod plan;
pub(crate) mod run;
pub(crate) mod schema;

use pacecar::semconv::RunId;

/// A new run's id.
pub(crate) fn new_run_id() -> RunId {
    RunId::new(fastrand::u64(..))
}

/// An error with all that is behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
