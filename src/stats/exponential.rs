//! Whether gaps are exponential, that is, whether arrivals are a Poisson process: the Anderson–Darling test.
//!
//! The statistic weighs the tails, where a generator that fires in bursts or on a grid gives itself away.

/// What the test found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExponentialFit {
    /// The statistic A² times (1 + 0.6/n), which makes it comparable over all n.
    pub statistic: f64,
    /// The mean of the gaps, estimated from them.
    pub mean: f64,
    /// How many gaps there were.
    pub n: usize,
}

/// The significance of the critical value that [`ExponentialFit::passes`] uses.
pub const SIGNIFICANCE: f64 = 0.01;
/// Upper-tail significances and critical values of the modified statistic, the mean being estimated: D'Agostino and
/// Stephens, *Goodness-of-fit techniques* (1986), table 4.14 (Lancet, ATC 2019, uses the same test).
pub const CRITICAL: [(f64, f64); 7] =
    [(0.25, 0.736), (0.15, 0.916), (0.10, 1.062), (0.05, 1.321), (0.025, 1.591), (0.01, 1.959), (0.005, 2.244)];
/// Fewer gaps pass nearly any test.
const LEAST: usize = 8;

// === impl ExponentialFit ===

impl ExponentialFit {
    /// Whether the gaps may be exponential: true of all but 1 % of those that are.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.passes_at(SIGNIFICANCE)
    }

    /// How likely so bad a fit is of gaps that are exponential: D'Agostino and Stephens (1986), section 4.9.4, formulas for
    /// an estimated mean.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        let a = self.statistic;
        let p = if a < 0.26 {
            1.0 - (-12.2204 + 67.459 * a - 110.3 * a * a).exp()
        } else if a < 0.51 {
            1.0 - (-6.1327 + 20.218 * a - 18.663 * a * a).exp()
        } else if a < 0.95 {
            (0.9209 - 3.353 * a + 0.300 * a * a).exp()
        } else if a < 10.03 {
            (0.731 - 3.009 * a + 0.15 * a * a).exp()
        } else {
            0.0
        };
        p.clamp(0.0, 1.0)
    }

    /// As [`passes`](Self::passes), at the nearest significance of [`CRITICAL`] that is not above `significance`.
    #[must_use]
    pub fn passes_at(&self, significance: f64) -> bool {
        let found = CRITICAL.iter().find(|(at, _)| *at <= significance);
        self.statistic <= found.or(CRITICAL.last()).map_or(f64::INFINITY, |(_, critical)| *critical)
    }
}

/// What Erlang gaps are made of: where `gap` is the sum of `steps` exponential gaps of mean 1, the answer is exponential of
/// mean 1 itself (both distribution functions set equal). So gaps over several arrivals can be tested too, where
/// single ones are finer than a clock, or were not seen.
#[must_use]
pub fn from_erlang(gap: f64, steps: u32) -> f64 {
    let gap = gap.max(0.0);
    // −ln(1 − F) = gap − ln Σ gapʲ/j! over j < steps; the greatest term goes in front, so that nothing overflows.
    let terms = (0..steps).scan(0.0, |log, j| {
        *log += if j == 0 { 0.0 } else { (gap / f64::from(j)).ln() };
        Some(*log)
    });
    let terms: Vec<f64> = terms.collect();
    let greatest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|term| (term - greatest).exp()).sum();
    (gap - greatest - sum.ln()).max(0.0)
}

/// Tests gaps, which are sorted for it. None of fewer than 8, and of gaps that are all zero.
///
/// The test is exact in its way: of very many gaps it finds departures that matter to nobody, as the grid of a
/// clock. A sample of a few thousand is plenty.
pub fn exponential(gaps: &mut [f64]) -> Option<ExponentialFit> {
    let n = gaps.len();
    let mean = super::mean(gaps).filter(|mean| mean.is_finite() && *mean > 0.0)?;
    if n < LEAST {
        return None;
    }
    gaps.sort_unstable_by(f64::total_cmp);
    // A gap of zero has no logarithm; what a clock calls zero is less than its step.
    let least = mean * 1e-12;
    let sum: f64 = gaps
        .iter()
        .zip(gaps.iter().rev())
        .enumerate()
        .map(|(i, (low, high))| {
            let (low, high) = (low.max(least) / mean, high.max(least) / mean);
            // ln F(low) + ln(1 − F(high)), with F = 1 − e^−x.
            (2 * i + 1) as f64 * ((-(-low).exp_m1()).ln() - high)
        })
        .sum();
    let squared = -(n as f64) - sum / n as f64;
    Some(ExponentialFit { statistic: squared * (1.0 + 0.6 / n as f64), mean, n })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;
    use proptest::prelude::*;

    fn gaps(n: usize, seed: u64) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..n).map(|_| 3.0 * series::exponential(&mut random)).collect()
    }

    #[test]
    fn critical_values_hold_what_the_table_says() {
        for n in [20, 200] {
            let fits: Vec<_> = (0..2000).map(|seed| exponential(&mut gaps(n, seed)).unwrap()).collect();
            for (significance, critical) in CRITICAL {
                let refused = fits.iter().filter(|fit| fit.statistic > critical).count() as f64 / 2000.0;
                let error = 4.0 * (significance * (1.0 - significance) / 2000.0).sqrt();
                assert!((refused - significance).abs() < error, "n {n}, {significance}: {refused}");
            }
        }
    }

    #[test]
    fn the_p_value_agrees_with_the_table() {
        for (significance, statistic) in CRITICAL {
            let p = ExponentialFit { statistic, mean: 1.0, n: 100 }.p_value();
            assert!((p / significance - 1.0).abs() < 0.05, "{significance}: {p}");
        }
        let fall: Vec<f64> =
            (0..200).map(|i| ExponentialFit { statistic: f64::from(i) * 0.06, mean: 1.0, n: 100 }.p_value()).collect();
        assert!(fall.windows(2).all(|pair| pair[0] >= pair[1] - 0.005), "{fall:?}");
    }

    #[test]
    fn sums_of_gaps_are_tested_as_single_ones() {
        assert!((from_erlang(0.7, 1) - 0.7).abs() < 1e-12);
        let mut random = fastrand::Rng::with_seed(5);
        for steps in [2, 7, 40, 128] {
            let mut sum = || (0..steps).map(|_| series::exponential(&mut random)).sum::<f64>();
            let mut gaps: Vec<f64> = (0..500).map(|_| from_erlang(sum(), steps)).collect();
            assert!(exponential(&mut gaps).unwrap().passes_at(0.005), "{steps}");
            let mut even = vec![from_erlang(f64::from(steps), steps); 100];
            assert!(!exponential(&mut even).unwrap().passes_at(0.005), "{steps}");
        }
        assert!(from_erlang(5000.0, 128).is_finite() && from_erlang(0.0, 128) >= 0.0);
    }

    #[test]
    fn what_is_not_poisson_is_refused() {
        let mut random = fastrand::Rng::with_seed(1);
        let even = vec![1.0; 200];
        let jittered: Vec<f64> = (0..200).map(|_| 1.0 + 0.01 * series::normal(&mut random)).collect();
        let uniform: Vec<f64> = (0..200).map(|_| random.f64()).collect();
        let bursts: Vec<f64> = (0..200).map(|i| if i % 10 == 0 { 10.0 } else { 0.001 }).collect();
        let grid: Vec<f64> = gaps(2000, 2).into_iter().map(|gap| (gap / 2.0).ceil() * 2.0).collect();
        for (name, mut gaps) in
            [("even", even), ("jittered", jittered), ("uniform", uniform), ("bursts", bursts), ("grid", grid)]
        {
            assert!(!exponential(&mut gaps).unwrap().passes_at(0.005), "{name}");
        }
    }

    #[test]
    fn gaps_of_which_nothing_can_be_said_are_none() {
        assert_eq!(exponential(&mut [1.0; 7]), None);
        assert_eq!(exponential(&mut [0.0; 100]), None);
        assert_eq!(exponential(&mut [f64::NAN; 100]), None);
    }

    proptest! {
        #[test]
        fn the_unit_of_the_gaps_does_not_matter(n in 8_usize..200, seed: u64, unit in 1e-6..1e6_f64) {
            let plain = exponential(&mut gaps(n, seed)).unwrap();
            let mut scaled: Vec<f64> = gaps(n, seed).into_iter().map(|gap| gap * unit).collect();
            let scaled = exponential(&mut scaled).unwrap();
            prop_assert!((plain.statistic - scaled.statistic).abs() < 1e-6 * (1.0 + plain.statistic.abs()));
        }

        #[test]
        fn no_gaps_panic(mut gaps in prop::collection::vec(prop::num::f64::ANY, 0..50)) {
            let _ = exponential(&mut gaps);
        }
    }
}
