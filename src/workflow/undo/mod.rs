//! `undo`: what a step creates beyond any database's reach is written down before the step is sent, and undone.
//!
//! Undone when the load is over, not at once: what is measured is what the plan says, and nothing else. The
//! requests that undo are in no figure of the run. They carry the headers of the step that they undo, `auth`
//! too; where those are no longer there or no longer good, the steps before it that capture something are
//! played once more for them, as the same user.

mod compile;
mod held;
mod pending;
mod replay;
mod tally;

pub(crate) use compile::Undo;
pub(crate) use held::Undoing;
pub(crate) use pending::{Made, Maker, Pending};

pub use tally::{UndoReport, UndoneStep};
