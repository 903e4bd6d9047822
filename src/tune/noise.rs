//! How far identical trials differ, and what follows: what is too small to rank, and what counts as equal.
//!
//! Everything is in logarithms of the objective, because noise multiplies: p95 of identical runs ranges over a factor,
//! not over so many milliseconds.

use crate::stats::paired;

/// Nothing is ranked on fewer trials than this.
pub const LEAST_TRIALS: usize = 5;
/// What is worse by less than this is as good: nobody trades connections for it.
const LEAST_MARGIN: f64 = 0.10;
/// What is worse by more than this is never called equal, however noisy the machine is; more trials are asked for.
const MOST_MARGIN: f64 = 0.25;
/// The confidence of what is told, two-sided.
pub const CONFIDENCE: f64 = 0.95;

/// The noise between trials of one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// The standard deviation of one trial's logarithm around its block and its setting.
    pub deviation: f64,
    /// With how many degrees of freedom it is known.
    pub freedom: f64,
}

// === impl Noise ===

impl Noise {
    /// From repetitions of the baseline, and from what is left of settings that do much the same once their means and
    /// their blocks' are taken out. `table[b][s]`: the logarithm of setting s in block b. None where neither says
    /// anything.
    #[must_use]
    pub fn of(repeated: &[f64], table: &[Vec<f64>]) -> Option<Self> {
        let (first, of_first) = residuals(&repeated.iter().map(|value| vec![*value]).collect::<Vec<_>>(), false);
        let (second, of_second) = residuals(table, true);
        let freedom = of_first + of_second;
        (freedom >= 1.0).then(|| Self { deviation: ((first + second) / freedom).sqrt(), freedom })
    }

    /// How far the means of two identical settings, of `n` trials each, lie apart by chance, at most with 95 %
    /// confidence. In logarithms. What is less is no difference.
    #[must_use]
    pub fn floor(&self, n: usize) -> f64 {
        paired::floor(self.deviation, self.freedom, n, CONFIDENCE)
    }

    /// The least difference that `n` trials each find four times out of five. In logarithms.
    #[must_use]
    pub fn detectable(&self, n: usize) -> f64 {
        paired::detectable(self.deviation, self.freedom, n, CONFIDENCE, 0.8)
    }

    /// What counts as equal: 10 %, more where noise hides as much from five trials, but never beyond 25 %. In
    /// logarithms.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.floor(LEAST_TRIALS).clamp(LEAST_MARGIN.ln_1p(), MOST_MARGIN.ln_1p())
    }
}

/// The sum of squares of what is left once the columns' means are taken out (with `rows`, the rows' too), and how many
/// degrees of freedom it has.
fn residuals(table: &[Vec<f64>], rows: bool) -> (f64, f64) {
    let (n, columns) = (table.len(), table.first().map_or(0, Vec::len));
    let freedom = if rows { n.saturating_sub(1) * columns.saturating_sub(1) } else { n.saturating_sub(1) * columns };
    if freedom == 0 {
        return (0.0, 0.0);
    }
    let of_row = |row: &Vec<f64>| row.iter().sum::<f64>() / columns as f64;
    let means: Vec<f64> = (0..columns).map(|s| table.iter().map(|row| row[s]).sum::<f64>() / n as f64).collect();
    let all = means.iter().sum::<f64>() / columns as f64;
    let mut squares = 0.0;
    for row in table {
        let shift = if rows { of_row(row) - all } else { 0.0 };
        squares += row.iter().zip(&means).map(|(value, mean)| (value - mean - shift).powi(2)).sum::<f64>();
    }
    (squares, freedom as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::normal;

    #[test]
    fn what_settings_and_blocks_have_in_common_is_no_noise() {
        let table: Vec<Vec<f64>> =
            (0..6).map(|block| (0..3).map(|s| f64::from(s) * 2.0 + f64::from(block * block)).collect()).collect();
        let noise = Noise::of(&[], &table).unwrap();
        assert!(noise.deviation < 1e-9, "{noise:?}");
        assert_eq!(noise.freedom, 10.0);
    }

    #[test]
    fn noise_is_found_again() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut value = || 0.1 * normal::quantile(random.f64().clamp(1e-9, 1.0 - 1e-9));
        let repeated: Vec<f64> = (0..5).map(|_| value()).collect();
        let table: Vec<Vec<f64>> = (0..200).map(|block| (0..4).map(|_| value() + f64::from(block)).collect()).collect();
        let noise = Noise::of(&repeated, &table).unwrap();
        assert!((noise.deviation - 0.1).abs() < 0.008, "{noise:?}");
        assert_eq!(noise.freedom, 4.0 + 199.0 * 3.0);
    }

    #[test]
    fn one_trial_says_nothing_of_noise() {
        assert_eq!(Noise::of(&[1.0], &[]), None);
        assert_eq!(Noise::of(&[], &[vec![1.0, 2.0]]), None);
        assert_eq!(Noise::of(&[1.0, 1.0], &[]).unwrap().freedom, 1.0);
    }

    #[test]
    fn what_counts_as_equal_grows_with_the_noise_and_has_a_bound() {
        let margin = |deviation| Noise { deviation, freedom: 30.0 }.margin();
        assert_eq!(margin(0.0), 0.10_f64.ln_1p());
        assert!(margin(0.12) > margin(0.01));
        assert_eq!(margin(3.0), 0.25_f64.ln_1p());
    }
}
