//! What one VU plays: a user of a tenant goes through the steps of a workflow, one iteration a call.
//!
//! Everything that the plan alone gives is prepared when it is compiled: a request is put together
//! from segments and slots, and nothing is searched for by name while traffic runs. The target is
//! **any** tower service from an HTTP request to an answer, a client's stack or a router in the same
//! process; and a [`Vu`] is itself a tower service, from an [`crate::measure::Arrival`] to a
//! [`crate::measure::Finished`], so neither side is named here.

mod answer;
mod body;
mod capture;
mod check;
mod dataset;
mod environment;
mod escape;
mod expression;
mod header;
mod metric;
mod names;
mod part;
mod phase;
mod play;
mod problems;
mod program;
mod query;
mod restraint;
mod sequence;
mod session;
mod site;
mod sse;
mod step;
mod template;
mod tenant;
#[cfg(test)]
mod tests;
mod undo;
mod url;
mod users;
mod value;
mod variable;

pub use environment::Environment;
pub use part::Part;
pub use phase::{PhaseError, StepError};
pub use program::{Program, compile};
pub use session::{Vu, Worker};
pub use undo::{UndoReport, UndoneStep};
