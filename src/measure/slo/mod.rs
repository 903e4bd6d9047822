//! Service level objectives: how fast the error budget burns, and when somebody must be told.
//!
//! Each sample is judged where it is recorded (`measure::tally`); here are windows of counters over the last five
//! minutes to thirty days, in space that does not depend on their length. Burn rates and alerts
//! are those of the SRE Workbook, chapter 5: an alert fires while the budget burns too fast over
//! a long window, which says that it matters, and over a short one, which says that it still does.

mod book;
mod compile;
mod saved;
#[cfg(test)]
mod tests;
mod window;

pub use book::{AlertChange, AlertStatus, Burn, SloBook, SloStatus, TooFew};

use super::tally::TallyId;
use crate::plan::{SloSeverity, SloWindow};

/// The objectives of a plan, compiled.
#[derive(Clone, Debug, Default)]
pub struct Slos {
    items: Vec<Slo>,
}

/// One objective, compiled.
#[derive(Clone, Debug)]
pub struct Slo {
    /// Its name.
    pub name: String,
    /// What is good, as the plan writes it.
    pub good: String,
    /// The percentage that must be good.
    pub objective: f64,
    /// The window of the error budget.
    pub window: SloWindow,
    /// When somebody is told.
    pub alerts: Vec<SloAlert>,
    /// What it counts.
    pub tally: TallyId,
    /// All windows that burn rates are told of, the shortest first.
    windows: Vec<SloWindow>,
}

/// When somebody is told of an objective.
#[derive(Clone, Debug)]
pub struct SloAlert {
    /// How urgent it is.
    pub severity: SloSeverity,
    /// The burn rate from which on it fires.
    pub burn: f64,
    /// The long window.
    pub long: SloWindow,
    /// The short window.
    pub short: SloWindow,
    /// Who is told beside the log.
    pub webhook: Option<String>,
}

// === impl Slos ===

impl Slos {
    /// The objectives, in the order of the plan.
    #[must_use]
    pub fn items(&self) -> &[Slo] {
        &self.items
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

// === impl Slo ===

impl Slo {
    /// The share that may be bad, above 0 and below 1.
    #[must_use]
    pub fn budget(&self) -> f64 {
        (100.0 - self.objective) / 100.0
    }

    /// With fewer samples than this in a window, a single bad one is a burn rate of at least `burn`.
    #[must_use]
    pub fn fewest(&self, burn: f64) -> f64 {
        1.0 / (burn * self.budget())
    }
}
