//! Good and bad samples of a cut: what an objective counts.
//!
//! A sample is judged where it is recorded, one comparison, so that a window of any length needs
//! two numbers and no histogram.

use super::layout::SeriesDef;
use super::threshold::Operator;
use std::time::Duration;

/// A cut through a metric whose samples are judged one by one: prepared before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TallyId(pub(crate) u32);

/// What makes a sample good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Good {
    /// How the sample must stand to the bound.
    pub operator: Operator,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

/// How many samples were bad, of how many. Fractions come from dropped iterations: one stands for a step as often as an
/// iteration would have passed through it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Those that were not good.
    pub bad: f64,
    /// All.
    pub total: f64,
}

/// A prepared cell that judges its samples.
#[derive(Clone, Debug)]
pub(crate) struct Judging {
    good: Good,
    /// By scenario, how often its dropped iteration stands here. Empty: once.
    shares: Vec<f64>,
    pub(crate) tally: Tally,
}

/// A tally as it was added.
#[derive(Clone, Debug)]
pub(crate) struct TallyDef {
    pub(crate) series: SeriesDef,
    pub(crate) good: Good,
}

// === impl Good ===

impl Good {
    fn holds(self, value: f64) -> bool {
        self.operator.holds(value, self.bound)
    }

    /// Whether being too slow can make a sample bad: only then does work that never finished say anything.
    const fn is_upper_bound(self) -> bool {
        matches!(self.operator, Operator::Less | Operator::LessOrEqual)
    }
}

// === impl Tally ===

impl Tally {
    /// Adds as many.
    pub fn add(&mut self, other: Self) {
        self.bad += other.bad;
        self.total += other.total;
    }

    /// What came since `earlier`, an older reading of the same counter.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self { bad: (self.bad - earlier.bad).max(0.0), total: (self.total - earlier.total).max(0.0) }
    }

    /// The share of bad ones, 0 to 1; 0 of none.
    #[must_use]
    pub fn bad_share(self) -> f64 {
        if self.total > 0.0 { self.bad / self.total } else { 0.0 }
    }
}

// === impl Judging ===

impl Judging {
    pub(crate) const fn new(good: Good, shares: Vec<f64>) -> Self {
        Self { good, shares, tally: Tally { bad: 0.0, total: 0.0 } }
    }

    #[inline]
    pub(crate) fn record(&mut self, value: f64) {
        if value.is_finite() {
            self.count(1.0, !self.good.holds(value));
        }
    }

    /// Work that was cut off `at`: bad where it was too slow already. Otherwise nobody knows, and it does not count.
    pub(crate) fn cut_off(&mut self, due: Duration, at: Duration) {
        let age = at.saturating_sub(due).as_secs_f64() * 1e3;
        if self.good.is_upper_bound() && !self.good.holds(age) {
            self.count(1.0, true);
        }
    }

    /// An iteration of a scenario that was due and could not start: whoever came for it waited in vain.
    pub(crate) fn dropped(&mut self, scenario: usize) {
        let share = if self.shares.is_empty() { 1.0 } else { self.shares.get(scenario).copied().unwrap_or(0.0) };
        if self.good.is_upper_bound() && share > 0.0 {
            self.count(share, true);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.tally.add(other.tally);
    }

    pub(crate) fn clear(&mut self) {
        self.tally = Tally::default();
    }

    fn count(&mut self, share: f64, bad: bool) {
        self.tally.add(Tally { bad: if bad { share } else { 0.0 }, total: share });
    }
}
