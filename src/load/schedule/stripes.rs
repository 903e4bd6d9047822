//! Which of the numbers 0, 1, 2, … belong to one part of a whole.
//!
//! Everything countable (VUs, iterations, arrivals) is dealt out like cards, in a cycle that
//! repeats, so that each part gets its share of any prefix and the parts together are exactly
//! the whole. Parts of a machine and of a thread are the same thing.

use super::ratio::gcd;
use std::sync::Arc;

/// One part: within each `cycle`, the positions that belong to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripes {
    cycle: u64,
    /// Ascending, each below `cycle`.
    owned: Arc<[u64]>,
}

impl Stripes {
    /// Everything.
    #[must_use]
    pub fn whole() -> Self {
        Self { cycle: 1, owned: Arc::from([0]) }
    }

    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self { cycle: 1, owned: Arc::from([]) }
    }

    /// From a table: `owned` ascending and below `cycle`.
    pub(super) fn from_table(cycle: u64, owned: Vec<u64>) -> Self {
        debug_assert!(owned.windows(2).all(|pair| pair[0] < pair[1]) && owned.last().is_none_or(|last| *last < cycle));
        Self { cycle, owned: owned.into() }
    }

    /// Its part of the whole, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a cycle is at most 100,000 long")]
    pub fn share(&self) -> f64 {
        self.owned.len() as f64 / self.cycle as f64
    }

    /// Whether nothing belongs to it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owned.is_empty()
    }

    /// How many of the first `n` belong to it.
    #[must_use]
    pub fn count(&self, n: u64) -> u64 {
        let rest = n % self.cycle;
        (n / self.cycle) * self.owned.len() as u64 + self.owned.partition_point(|at| *at < rest) as u64
    }

    /// The `k`-th (from 0) that belongs to it; none of an empty part.
    #[must_use]
    pub fn nth(&self, k: u64) -> Option<u64> {
        let owned = self.owned.len() as u64;
        if owned == 0 {
            return None;
        }
        // Saturating: a number that large never comes up, and must not wrap round to a small one.
        Some((k / owned).saturating_mul(self.cycle).saturating_add(self.owned[(k % owned) as usize]))
    }

    /// Deals what belongs to it out again among `parts`, and takes part `part` (from 0).
    #[must_use]
    pub fn split(&self, part: usize, parts: usize) -> Self {
        let (part, parts, owned) = (part as u64, parts.max(1) as u64, self.owned.len() as u64);
        if owned == 0 || part >= parts {
            return Self::nothing();
        }
        let turns = parts / gcd(owned, parts);
        let mine = (part..owned * turns).step_by(parts as usize).filter_map(|k| self.nth(k)).collect();
        Self::from_table(self.cycle * turns, mine)
    }

    /// Deals by the holders of `n` seats: number `k` belongs to whoever holds seat `k mod n`.
    /// So iterations follow the VUs, and a part that got no VU gets no iteration.
    #[must_use]
    pub fn by_seats(&self, n: u64) -> Self {
        if n == 0 {
            return Self::nothing();
        }
        if n.is_multiple_of(self.cycle) {
            return self.clone();
        }
        Self::from_table(n, (0..self.count(n)).filter_map(|k| self.nth(k)).collect())
    }
}
