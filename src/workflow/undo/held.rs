//! What was created and is still to be undone: what all workers share of it.

use super::tally::Tally;
use crate::measure::{Creation, CreationLog, CreationPhase, Fate};
use http::{HeaderMap, Uri};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How much of what iterations create is kept for the end. Past it an iteration undoes its own when it has ended.
const MOST_HELD: usize = 10_000;

/// What is to be undone in a run.
#[derive(Debug, Default)]
pub(crate) struct Undoing {
    log: OnceLock<Arc<dyn CreationLog>>,
    held: Mutex<Vec<Held>>,
    next: AtomicU64,
    pub(crate) tally: Tally,
}

/// Something that was created, or may have been.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) creation: Creation,
    /// What undoes it; none where nobody knows.
    pub(crate) uri: Option<Uri>,
    /// What the request that undoes it carries; none where they are to be found out again.
    pub(crate) headers: Option<HeaderMap>,
    /// Whether the answer said that it was created.
    pub(crate) sure: bool,
    /// Where it is written down.
    pub(crate) log: Arc<dyn CreationLog>,
    /// Whether another run created it.
    pub(crate) leftover: bool,
}

// === impl Undoing ===

impl Undoing {
    /// Gives the log, once, before anything is sent. Without one nothing is written down and nothing is undone.
    pub(crate) fn keep_in(&self, log: Arc<dyn CreationLog>) {
        let _ = self.log.set(log);
    }

    pub(crate) fn log(&self) -> Option<&Arc<dyn CreationLog>> {
        self.log.get()
    }

    /// A step was not sent, because what it would create could not be written down.
    pub(crate) fn unwritten(&self, step: &str, error: &std::io::Error) {
        self.tally.problem(format!("`{step}` was not sent, because its undo could not be written down: {error}"));
    }

    /// The number of the next creation.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps what was created for the end; gives back what of an iteration there is no room for.
    pub(crate) fn hold(&self, made: Vec<Held>) -> Vec<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let room = held.len() < MOST_HELD;
        let stays = |held: &Held| room || held.creation.phase != CreationPhase::Iteration;
        let (kept, rest): (Vec<_>, Vec<_>) = made.into_iter().partition(stays);
        held.extend(kept);
        rest
    }

    /// Keeps what another run left, or an iteration that was cut off: as much as that is.
    pub(crate) fn hold_all(&self, made: Vec<Held>) {
        if !made.is_empty() {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(made);
        }
    }

    /// Takes all that is held, or only what another run created.
    pub(crate) fn take(&self, leftovers: bool) -> Vec<Held> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, stays) = std::mem::take(&mut *held).into_iter().partition(|held| !leftovers || held.leftover);
        *held = stays;
        taken
    }
}

// === impl Held ===

impl Held {
    /// It is undone, or was never there.
    pub(crate) fn settle(&self, tally: &Tally, gone: bool) {
        if self.sure || gone {
            tally.found(&self.creation.step);
            tally.undone(&self.creation.step);
        }
        self.log.after(self.creation.id, Fate::Undone);
    }

    /// It is left: what was created, if anything, is not undone.
    pub(crate) fn leave(&self, tally: &Tally, why: &str) {
        tally.found(&self.creation.step);
        let Creation { step, method, url, .. } = &self.creation;
        let step_and_url = match url {
            // A query may hold a secret.
            Some(url) => format!("`{step}`: {method} {}", url.split('?').next().unwrap_or_default()),
            None => format!("`{step}`"),
        };
        tally.problem(format!("{step_and_url}: {why}"));
    }
}
