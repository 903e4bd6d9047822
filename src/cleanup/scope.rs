//! What part of the test data a sweep takes.
//!
//! What is test data does not depend on it: all roots and records are proof. A scope only says
//! which of it goes *now*; the rest stays, is in nobody's way, and is not counted as left.

use super::compile::CleanupPlan;
use super::lease::Term;
use crate::semconv::RunId;
use std::time::Duration;

/// Which test data goes now. What refers to it goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Roots, by their number in [`CleanupPlan::roots`], whose rows stay for now: another live run
    /// holds them, or they are shared and one run alone was asked for. A row that a root in scope
    /// matches too goes.
    pub left_alone: Vec<usize>,
    /// Whose records in the ledger make a row go. Without effect where the plan has no ledger.
    pub ledger: LedgerScope,
    /// Only rows whose age is known to be above this, by a root's `age` or the ledger's time, and
    /// what refers to them. None: of any age.
    pub older_than: Option<Duration>,
    /// Under whose lease is looked: one that does not hold any more ends the sweep. None: under nobody's.
    pub under: Option<Term>,
}

/// Runs by their records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerScope {
    /// No run's.
    None,
    /// These runs'.
    Runs(Vec<RunId>),
    /// Every run's.
    All,
}

// === impl Scope ===

impl Scope {
    /// All that is test data, whoever made it.
    #[must_use]
    pub const fn all() -> Self {
        Self { left_alone: Vec::new(), ledger: LedgerScope::All, older_than: None, under: None }
    }

    /// What the ledger has of the plan's run, and roots with `{{ run }}`: what `--run ID` takes.
    #[must_use]
    pub fn of_run(plan: &CleanupPlan) -> Self {
        let shared = plan.roots.iter().enumerate().filter(|(_, root)| !root.predicate.is_per_run());
        let left_alone = shared.map(|(number, _)| number).collect();
        Self { left_alone, ledger: LedgerScope::Runs(vec![plan.run]), older_than: None, under: None }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::all()
    }
}
