//! Two treatments compared block by block: which is less, whether they are equal, how many more blocks would tell.
//!
//! Each block gives one difference. What the block has in common (the hour, the neighbours, the arrivals) is not in it.
//! The differences are the sample, and Student's distribution says how far their mean may be off: with five of them
//! that is far. Equality is a test of its own (Schuirmann, *A comparison of the two one-sided tests procedure…*,
//! Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): 'no significant difference' would grow truer the less
//! was measured.

use super::{Interval, normal};

/// Differences of two treatments, one a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differences {
    /// Of how many blocks.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (n − 1).
    pub deviation: f64,
}

/// The most blocks that a forecast names: what is beyond it is beyond anybody's patience.
const MOST_BLOCKS: usize = 10_000;

// === impl Differences ===

impl Differences {
    /// None of fewer than two.
    #[must_use]
    pub fn of(differences: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let (n, sum) = differences.clone().fold((0_usize, 0.0), |(n, sum), value| (n + 1, sum + value));
        if n < 2 {
            return None;
        }
        let mean = sum / n as f64;
        let squares: f64 = differences.map(|value| (value - mean).powi(2)).sum();
        Some(Self { n, mean, deviation: (squares / (n - 1) as f64).sqrt() })
    }

    /// Where the true mean is not above, with this one-sided confidence (0.5 to 1).
    #[must_use]
    pub fn upper(&self, confidence: f64) -> f64 {
        self.mean + self.reach(confidence)
    }

    /// Where the true mean is not below, with this one-sided confidence (0.5 to 1).
    #[must_use]
    pub fn lower(&self, confidence: f64) -> f64 {
        self.mean - self.reach(confidence)
    }

    /// Where the true mean lies, with this two-sided confidence.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Interval {
        let one_sided = f64::midpoint(1.0, confidence);
        Interval { low: self.lower(one_sided), high: self.upper(one_sided) }
    }

    /// Whether the true mean lies within ± `margin`, each side tested at 1 − `confidence`.
    #[must_use]
    pub fn equivalent(&self, margin: f64, confidence: f64) -> bool {
        self.upper(confidence) < margin && self.lower(confidence) > -margin
    }

    /// How many blocks, these included, bring the one-sided bound within `distance` of the mean, if they go on to differ
    /// as these did.
    #[must_use]
    pub fn blocks_for(&self, distance: f64, confidence: f64) -> usize {
        let enough = |n: usize| quantile(confidence, n) * self.deviation / (n as f64).sqrt() < distance;
        let (mut low, mut high) = (2, MOST_BLOCKS);
        while low < high {
            let middle = usize::midpoint(low, high);
            if enough(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    fn reach(&self, confidence: f64) -> f64 {
        quantile(confidence, self.n) * self.deviation / (self.n as f64).sqrt()
    }
}

/// How far apart the means of two treatments of the same effect lie at most, with `confidence` (two-sided), where each is
/// measured `n` times with this standard deviation, which is known with `freedom` degrees.
#[must_use]
pub fn floor(deviation: f64, freedom: f64, n: usize, confidence: f64) -> f64 {
    normal::student(confidence, freedom) * deviation * (2.0 / n.max(1) as f64).sqrt()
}

/// The least difference that is found with probability `power`, under the same conditions.
///
/// Cohen, *Statistical Power Analysis* (1988), ch. 2, with Student's quantiles for the normal's.
#[must_use]
pub fn detectable(deviation: f64, freedom: f64, n: usize, confidence: f64, power: f64) -> f64 {
    let both = normal::student(confidence, freedom) + normal::student(2.0 * power - 1.0, freedom);
    both * deviation * (2.0 / n.max(1) as f64).sqrt()
}

/// Student's one-sided quantile for `n` values.
fn quantile(confidence: f64, n: usize) -> f64 {
    normal::student(2.0 * confidence - 1.0, n.saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn differences(values: &[f64]) -> Differences {
        Differences::of(values.iter().copied()).unwrap()
    }

    /// Blocks of two treatments that differ by `shift`, with a drift from block to block that dwarfs it.
    fn blocks(random: &mut fastrand::Rng, n: usize, shift: f64) -> Vec<f64> {
        let mut noise = || normal::quantile(random.f64().clamp(1e-9, 1.0 - 1e-9));
        (0..n)
            .map(|_| {
                let drift = 10.0 * noise();
                (drift + shift + noise()) - (drift + noise())
            })
            .collect()
    }

    #[test]
    fn bounds_are_those_of_the_textbook() {
        // Student's sleep data (Biometrika 6, 1908): ten pairs, mean 1.58, 95 % interval 0.70 to 2.46.
        let sleep = differences(&[1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]);
        let interval = sleep.interval(0.95);
        assert!((sleep.mean - 1.58).abs() < 1e-9 && (sleep.deviation - 1.2300).abs() < 1e-4, "{sleep:?}");
        assert!((interval.low - 0.7001).abs() < 1e-3 && (interval.high - 2.4599).abs() < 1e-3, "{interval:?}");
        assert_eq!(Differences::of([1.0].into_iter()), None);
    }

    #[test]
    fn a_difference_is_seen_where_there_is_none_as_seldom_as_promised() {
        let mut random = fastrand::Rng::with_seed(1);
        let seen = (0..2000).filter(|_| !differences(&blocks(&mut random, 5, 0.0)).interval(0.95).contains(0.0));
        let share = seen.count() as f64 / 2000.0;
        assert!((0.035..0.065).contains(&share), "{share}");
    }

    #[test]
    fn what_differs_by_the_margin_is_called_equal_as_seldom_as_promised() {
        let mut random = fastrand::Rng::with_seed(2);
        let mut called = |shift| {
            let equal = (0..2000).filter(|_| differences(&blocks(&mut random, 20, shift)).equivalent(1.5, 0.95));
            equal.count() as f64 / 2000.0
        };
        let (at_the_margin, equal) = (called(1.5), called(0.0));
        assert!(at_the_margin < 0.065, "{at_the_margin}");
        assert!(equal > 0.9, "{equal}");
    }

    #[test]
    fn a_forecast_of_blocks_settles_it() {
        let few = Differences { n: 5, mean: 0.0, deviation: 1.0 };
        let n = few.blocks_for(0.5, 0.95);
        assert!((12..=14).contains(&n), "{n}");
        let more = Differences { n, ..few };
        assert!(more.upper(0.95) < 0.5 && Differences { n: n - 1, ..few }.upper(0.95) >= 0.5);
        assert_eq!(few.blocks_for(0.0, 0.95), MOST_BLOCKS);
    }

    #[test]
    fn the_least_detectable_difference_lies_above_the_floor() {
        // Cohen's table: two groups of 64 find half a deviation with a power of 0.8 at 0.05.
        let found = detectable(1.0, 126.0, 64, 0.95, 0.8);
        assert!((found - 0.5).abs() < 0.01, "{found}");
        assert!(floor(1.0, 126.0, 64, 0.95) < found);
    }

    proptest! {
        #[test]
        fn more_confidence_is_never_narrower(values in prop::collection::vec(-5.0..5.0_f64, 2..30), a in 0.55..0.99_f64) {
            let found = differences(&values);
            prop_assert!(found.upper(a) >= found.mean && found.lower(a) <= found.mean);
            prop_assert!(found.upper(f64::midpoint(a, 1.0)) >= found.upper(a));
            prop_assert!(!found.equivalent(1.0, a) || found.interval(2.0 * a - 1.0).width() < 2.0);
        }
    }
}
