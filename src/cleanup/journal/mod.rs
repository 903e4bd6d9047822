//! The journal of `undo`: what steps create beyond any database's reach, written down before they are sent.
//!
//! In Postgres where cleanup has one ([`TableJournal`]), because a pod's disk goes with it; else a file of its
//! own for each run, beside the plan: `PLAN.undo-RUN` ([`Journal`]). The file is only ever appended to, a JSON
//! object a line, and locked as long as its run lives, so whoever starts next can tell a killed run from a
//! living one. When all in it is undone it is removed. It holds URLs and numbers of users, no header, no
//! token and no password, and only its owner may read it.

mod leftover;
mod record;
mod table;
mod writer;

pub use leftover::{Leftover, LeftoverError, leftovers};
pub use record::Entry;
pub(super) use table::lines;
pub use table::{TableJournal, leftovers_in};
pub use writer::Journal;

use crate::measure::CreationLog;
use crate::semconv::RunId;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open journal, wherever it is.
#[derive(Clone, Debug)]
pub enum Log {
    /// In a file.
    File(Journal),
    /// In Postgres.
    Table(TableJournal),
}

/// Where a dead run's journal is. Locked as long as this lives.
#[derive(Debug)]
enum Place {
    File(File, PathBuf),
    Table(TableJournal),
}

/// What stands between the plan's path and the run's id.
const MARK: &str = ".undo-";

/// The journal of `run` for the plan at `plan`.
#[must_use]
pub fn path(plan: &Path, run: RunId) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(format!("{MARK}{run}"));
    PathBuf::from(name)
}

// === impl Log ===

impl Log {
    /// What creations are written down in.
    #[must_use]
    pub fn as_log(&self) -> Arc<dyn CreationLog> {
        match self {
            Self::File(journal) => Arc::new(journal.clone()),
            Self::Table(journal) => Arc::new(journal.clone()),
        }
    }

    /// Writes what is queued, and leaves nothing of what is settled.
    pub async fn finish(self) {
        match self {
            Self::File(journal) => journal.finish().await,
            Self::Table(journal) => journal.finish().await,
        }
    }
}
