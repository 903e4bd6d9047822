//! What was counted between two looks at a histogram that only grows.

use super::{Histogram, middle};
use std::collections::BTreeMap;

impl Histogram {
    /// What was counted since `earlier`, an older copy of this one. Least and greatest are those of the buckets.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut rest = Self::new();
        rest.record_n(0.0, self.zero.saturating_sub(earlier.zero));
        // Buckets are only ever joined: the older copy has the finer ones.
        let joined = earlier.scale().saturating_sub(self.scale());
        let mut before: BTreeMap<i32, u64> = BTreeMap::new();
        for (index, count) in earlier.positive() {
            *before.entry(index >> joined).or_default() += count;
        }
        for (index, count) in self.positive() {
            let had = before.get(&index).copied().unwrap_or(0);
            rest.record_n(middle(index, self.scale()), count.saturating_sub(had));
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_difference_of_two_looks_is_what_came_between() {
        let mut all = Histogram::new();
        (1..=100).for_each(|n| all.record(f64::from(n)));
        let earlier = all.clone();
        (0..50).for_each(|_| all.record(500.0));
        all.record(0.0);
        let rest = all.since(&earlier);
        assert_eq!((rest.count(), rest.zero_count()), (51, 1));
        assert!((rest.quantile(0.5).unwrap() / 500.0 - 1.0).abs() < 0.003);
        assert_eq!(all.since(&all).count(), 0);
        let mut coarse = all.clone();
        coarse.scale_down(3);
        assert_eq!(coarse.since(&earlier).count(), 51);
    }
}
