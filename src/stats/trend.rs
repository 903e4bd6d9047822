//! Whether a figure creeps: Kendall's test and the slope of Theil and Sen, with an interval.
//!
//! Both look at pairs of values only, so an outlier (one garbage collection, one deployment) weighs no more than any
//! other value, and nothing need be normal. Both suppose independent values, which the windows of a run are not;
//! so the variance of Kendall's S is widened by what the values' ranks around the trend have to do with
//! each other (Hamed and Rao, *A modified Mann–Kendall trend test for autocorrelated data*, Journal of Hydrology 204,
//! 1998), as a first-order process whose coefficient is freed from its bias in short series.

use super::{Interval, lag_one, median, normal};

/// What a series does over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// The change per unit of time: the median over all pairs (Sen, JASA 63, 1968).
    pub slope: f64,
    /// Where the slope lies, with the confidence asked for.
    pub interval: Interval,
    /// The level in the middle of the series: the median.
    pub level: f64,
    /// How likely so clear a trend is where there is none, either way.
    pub p_value: f64,
    /// How many independent values the series is worth; never more than it has.
    pub effective: f64,
}

/// With fewer values an interval of 95 % is as wide as all slopes.
pub const LEAST: usize = 8;

/// The trend of values over rising times. Neighbours may lean on each other by `most` (a coefficient from 0 to below 1) and
/// no more: what seems to lean further is taken for a trend of its own, as a step would be. None of fewer than 8 values, of values that are not finite, and of times
/// that do not rise.
#[must_use]
pub fn trend(values: &[(f64, f64)], confidence: f64, most: f64) -> Option<Trend> {
    let n = values.len();
    let rising = values.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if n < LEAST || !rising || values.iter().any(|(at, value)| !at.is_finite() || !value.is_finite()) {
        return None;
    }
    let pairs = || values.iter().enumerate().flat_map(|(i, a)| values[i + 1..].iter().map(move |b| (a, b)));
    let mut slopes: Vec<f64> = pairs().map(|(a, b)| (b.1 - a.1) / (b.0 - a.0)).collect();
    slopes.sort_unstable_by(f64::total_cmp);
    let slope = super::quantile(&slopes, 0.5)?;
    // Kendall's S: how many pairs rise, less how many fall.
    let s: f64 = slopes.iter().map(|slope| sign(*slope)).sum();
    let around: Vec<f64> = ranks(values.iter().map(|(at, value)| value - slope * at).collect());
    let inflation = inflation(n, &around, most);
    let effective = n as f64 / inflation;
    let plain: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let variance = variance(plain.clone()) * inflation;
    let z = if variance > 0.0 { (s.abs() - 1.0).max(0.0) / variance.sqrt() } else { 0.0 };
    // Ranks of slopes between which the true one lies (Hollander and Wolfe, *Nonparametric statistical methods*, 9.3).
    // How much they have to do with each other is itself only guessed, hence Student's wider reach.
    let reach = normal::student(confidence, (effective - 2.0).max(3.0)) * variance.sqrt();
    let all = slopes.len() as f64;
    let at = |rank: f64| super::quantile(&slopes, (rank / all).clamp(0.0, 1.0));
    let interval = Interval { low: at((all - reach) / 2.0)?, high: at((all + reach) / 2.0)? };
    let level = median(&plain)?;
    Some(Trend { slope, interval, level, p_value: normal::two_sided(z), effective })
}

/// 1, 0 or −1.
fn sign(slope: f64) -> f64 {
    if slope == 0.0 { 0.0 } else { slope.signum() }
}

/// The variance of S of independent values, ties considered (Kendall, *Rank correlation methods*, 1975).
fn variance(mut values: Vec<f64>) -> f64 {
    let term = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a == b).map(|equal| term(equal.len() as f64)).sum();
    (term(values.len() as f64) - ties) / 18.0
}

/// How many times the variance is greater than of independent values: Hamed and Rao's sum, of a first-order process.
fn inflation(n: usize, around: &[f64], most: f64) -> f64 {
    let n = n as f64;
    // What a short series shows of its correlation is too little by about (1 + 4 r) / n (Kendall 1954); once more
    // for the slope that was taken out.
    let seen = lag_one(around);
    let r = (seen + 2.0 * (1.0 + 4.0 * seen) / n).clamp(0.0, most.clamp(0.0, 0.95));
    let mut power = 1.0;
    let sum: f64 = (1..around.len())
        .map(|lag| {
            power *= r;
            let left = n - lag as f64;
            left * (left - 1.0) * (left - 2.0) * power
        })
        .sum();
    1.0 + 2.0 * sum / (n * (n - 1.0) * (n - 2.0))
}

/// The rank of each value, ties sharing the middle one.
fn ranks(values: Vec<f64>) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let middle = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|place| ranks[*place] = middle);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;
    use proptest::prelude::*;

    /// A series around 100 with a slope per step, and noise that remembers.
    fn noisy(n: usize, phi: f64, slope: f64, seed: u64) -> Vec<(f64, f64)> {
        let noise = series::ar1(n, phi, seed);
        noise.into_iter().enumerate().map(|(i, e)| (i as f64, 100.0 + slope * i as f64 + 5.0 * e)).collect()
    }

    #[test]
    fn a_series_that_only_wanders_is_seldom_called_a_trend() {
        for (n, phi) in [(24, 0.0), (24, 0.4), (48, 0.6), (100, 0.7)] {
            let runs = 500;
            let wrong = (0..runs).filter(|seed| {
                let found = trend(&noisy(n, phi, 0.0, *seed), 0.95, 0.95).unwrap();
                !found.interval.contains(0.0)
            });
            let rate = wrong.count() as f64 / runs as f64;
            assert!(rate <= 0.08, "{n} values, coefficient {phi}: {rate} false alarms");
        }
    }

    #[test]
    fn without_the_correction_it_would_be_called_one_often() {
        let runs = 300;
        let wrong = (0..runs).filter(|seed| {
            let found = trend(&noisy(48, 0.6, 0.0, *seed), 0.95, 0.95).unwrap();
            let s = found.p_value;
            // Undo the widening: the same z, over the spread of independent values.
            let z = -normal::quantile(s / 2.0) * (48.0 / found.effective).sqrt();
            z > 1.96
        });
        let rate = wrong.count() as f64 / f64::from(runs as u32);
        assert!(rate > 0.2, "{rate}");
    }

    #[test]
    fn the_interval_covers_the_true_slope() {
        for phi in [0.0, 0.4] {
            let runs = 400;
            let hits =
                (0..runs).filter(|seed| trend(&noisy(30, phi, 0.7, *seed), 0.95, 0.95).unwrap().interval.contains(0.7));
            let rate = hits.count() as f64 / runs as f64;
            assert!(rate >= 0.92, "coefficient {phi}: {rate}");
        }
    }

    #[test]
    fn a_clear_trend_is_found_and_outliers_do_not_make_one() {
        let found = trend(&noisy(30, 0.3, 2.0, 1), 0.95, 0.95).unwrap();
        assert!(found.interval.low > 1.5 && found.interval.high < 2.5 && found.p_value < 1e-4, "{found:?}");
        for seed in 0..100 {
            let mut flat = noisy(30, 0.0, 0.0, seed);
            let before = trend(&flat, 0.95, 0.95).unwrap().slope;
            (flat[20].1, flat[29].1) = (100_000.0, 100_000.0);
            // A straight line through them would rise by more than a thousand a step.
            assert!((trend(&flat, 0.95, 0.95).unwrap().slope - before).abs() < 0.5);
        }
    }

    #[test]
    fn a_step_is_a_trend_where_neighbours_may_not_lean_so_far() {
        let noise = series::ar1(30, 0.0, 1);
        let step: Vec<(f64, f64)> =
            noise.iter().enumerate().map(|(i, e)| (i as f64, if i < 15 { 100.0 } else { 200.0 } + e)).collect();
        assert!(trend(&step, 0.95, 0.95).unwrap().interval.contains(0.0));
        assert!(trend(&step, 0.95, 0.5).unwrap().interval.low > 0.0);
    }

    #[test]
    fn what_says_nothing_is_none_and_a_constant_has_no_trend() {
        let line = |n: usize| (0..n).map(|i| (i as f64, 3.0)).collect::<Vec<_>>();
        assert_eq!(trend(&line(7), 0.95, 0.95), None);
        assert_eq!(trend(&[(0.0, f64::NAN); 9], 0.95, 0.95), None);
        assert_eq!(trend(&[(0.0, 1.0); 9], 0.95, 0.95), None);
        let found = trend(&line(20), 0.95, 0.95).unwrap();
        assert_eq!((found.slope, found.interval, found.level), (0.0, Interval { low: 0.0, high: 0.0 }, 3.0));
        assert!(found.p_value > 0.99);
    }

    proptest! {
        #[test]
        fn the_slope_lies_in_its_interval_and_follows_the_unit(
            values in prop::collection::vec(-1e3..1e3_f64, 8..40), unit in 0.01..100.0_f64,
        ) {
            let over = |unit: f64| -> Vec<(f64, f64)> {
                values.iter().enumerate().map(|(i, v)| (i as f64 * unit, *v)).collect()
            };
            let plain = trend(&over(1.0), 0.95, 0.95).unwrap();
            prop_assert!(plain.interval.contains(plain.slope));
            prop_assert!(plain.effective <= values.len() as f64);
            let scaled = trend(&over(unit), 0.95, 0.95).unwrap();
            prop_assert!((scaled.slope * unit - plain.slope).abs() < 1e-6 * (1.0 + plain.slope.abs()));
        }
    }
}
