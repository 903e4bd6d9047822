//! How much was created, and how much of it is undone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The most problems that are told one by one.
const MOST_TOLD: usize = 5;

/// What undoing came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoReport {
    /// By step, by name.
    pub steps: Vec<UndoneStep>,
    /// What a person should know, the first few of each kind.
    pub problems: Vec<String>,
}

/// What one step created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoneStep {
    /// The step.
    pub step: String,
    /// What it created, or may have.
    pub found: u64,
    /// What of it is undone.
    pub undone: u64,
}

/// Counts while the run lives; shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    steps: BTreeMap<String, (u64, u64)>,
    problems: Vec<String>,
    more: u64,
}

// === impl UndoReport ===

impl UndoReport {
    /// What is not undone.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.steps.iter().map(|step| step.found - step.undone.min(step.found)).sum()
    }
}

// === impl Tally ===

impl Tally {
    /// A step may create something.
    pub(crate) fn expect(&self, step: &str) {
        self.with(|counted| {
            counted.steps.entry(step.to_owned()).or_default();
        });
    }

    /// Something was created, or may have been.
    pub(crate) fn found(&self, step: &str) {
        self.with(|counted| counted.steps.entry(step.to_owned()).or_default().0 += 1);
    }

    /// It is undone.
    pub(crate) fn undone(&self, step: &str) {
        self.with(|counted| counted.steps.entry(step.to_owned()).or_default().1 += 1);
    }

    /// Something should be told.
    pub(crate) fn problem(&self, problem: String) {
        self.with(|counted| {
            if counted.problems.len() < MOST_TOLD {
                counted.problems.push(problem);
            } else {
                counted.more += 1;
            }
        });
    }

    /// What it is so far.
    pub(crate) fn report(&self) -> UndoReport {
        self.with(|counted| {
            let steps = counted.steps.iter();
            let steps =
                steps.map(|(step, (found, undone))| UndoneStep { step: step.clone(), found: *found, undone: *undone });
            let mut problems = counted.problems.clone();
            if counted.more > 0 {
                problems.push(format!("and {} more of the kind", counted.more));
            }
            UndoReport { steps: steps.collect(), problems }
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Counted) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
