//! The journal of `undo`: what steps create beyond any database's reach, written down before they are sent.
//!
//! A file of its own for each run, beside the plan: `PLAN.undo-RUN`. It is only ever appended to, a JSON
//! object a line, and locked as long as its run lives, so whoever starts next can tell a killed run from a
//! living one. When all in it is undone it is removed. It holds URLs and numbers of users, no header, no
//! token and no password, and only its owner may read it.

mod leftover;
mod record;
mod writer;

pub use leftover::{Leftover, LeftoverError, leftovers};
pub use record::Entry;
pub use writer::Journal;

use crate::semconv::RunId;
use std::path::{Path, PathBuf};

/// What stands between the plan's path and the run's id.
const MARK: &str = ".undo-";

/// The journal of `run` for the plan at `plan`.
#[must_use]
pub fn path(plan: &Path, run: RunId) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(format!("{MARK}{run}"));
    PathBuf::from(name)
}
