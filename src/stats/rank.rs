//! Whether two series rise and fall together: Spearman's correlation of their ranks.

use super::{lag_one, mean, normal};

/// How far two series agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// −1 to 1.
    pub rho: f64,
    /// How likely so much agreement is where there is none, either way.
    pub p_value: f64,
    /// How many independent pairs the series are worth.
    pub effective: f64,
}

/// Neighbours lean on each other by at most this much; more is a trend.
const MOST_LEANING: f64 = 0.95;

/// Spearman's correlation of two series of one length. None of fewer than 4 pairs, and where one does not vary.
///
/// Series remember, so their pairs are not independent: they are worth `n (1 − r₁ r₂) / (1 + r₁ r₂)` of them, with the
/// lag-1 autocorrelations of the ranks (Bartlett, *Journal of the Royal Statistical Society* 98, 1935). The chance is
/// that of Fisher's z of the rank correlation (Fieller, Hartley and Pearson, Biometrika 44, 1957).
#[must_use]
pub fn spearman(one: &[f64], other: &[f64]) -> Option<Agreement> {
    if one.len() != other.len() || one.len() < 4 || one.iter().chain(other).any(|value| !value.is_finite()) {
        return None;
    }
    let (one, other) = (ranks(one), ranks(other));
    let rho = pearson(&one, &other)?;
    let n = one.len() as f64;
    // A short series shows less of its memory than it has (Kendall, Biometrika 41, 1954).
    let memory = |ranks: &[f64]| {
        let seen = lag_one(ranks);
        (seen + (1.0 + 4.0 * seen) / n).clamp(0.0, MOST_LEANING)
    };
    let leaning = memory(&one) * memory(&other);
    let effective = (n * (1.0 - leaning) / (1.0 + leaning)).min(n);
    let z = rho.clamp(-0.999_999, 0.999_999).atanh() * ((effective - 3.0).max(0.0) / 1.06).sqrt();
    Some(Agreement { rho, p_value: normal::two_sided(z), effective })
}

/// The rank of each value from 0, ties sharing the middle one.
#[must_use]
pub fn ranks(values: &[f64]) -> Vec<f64> {
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

fn pearson(one: &[f64], other: &[f64]) -> Option<f64> {
    let (a, b) = (mean(one)?, mean(other)?);
    let (mut joint, mut of_one, mut of_other) = (0.0, 0.0, 0.0);
    for (x, y) in one.iter().zip(other) {
        joint += (x - a) * (y - b);
        of_one += (x - a).powi(2);
        of_other += (y - b).powi(2);
    }
    let spread = (of_one * of_other).sqrt();
    (spread > 0.0).then(|| (joint / spread).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;

    #[test]
    fn ranks_agree_however_crooked_the_way() {
        let one: Vec<f64> = (0..20).map(f64::from).collect();
        let cubes: Vec<f64> = one.iter().map(|value| value.powi(3)).collect();
        let falling: Vec<f64> = one.iter().map(|value| -value.exp()).collect();
        assert_eq!(spearman(&one, &cubes).unwrap().rho, 1.0);
        assert_eq!(spearman(&one, &falling).unwrap().rho, -1.0);
    }

    #[test]
    fn ties_share_a_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 9.0]), [1.5, 0.0, 1.5, 3.0]);
        // Against the textbook's formula of Pearson over ranks, by hand.
        let found = spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap();
        assert!((found.rho - 4.5 / (4.5_f64 * 5.0).sqrt()).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_does_not_vary_agrees_with_nothing() {
        assert_eq!(spearman(&[1.0; 9], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, 2.0, f64::NAN, 4.0], &[1.0, 2.0, 3.0, 4.0]), None);
    }

    #[test]
    fn series_that_remember_are_called_alike_as_seldom_as_promised() {
        for phi in [0.0, 0.5, 0.8] {
            let alike = (0..1_000_u64)
                .filter(|seed| {
                    // Neighbouring seeds begin alike.
                    let mixed = |n: u64| (2 * seed + n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let (one, other) = (series::ar1(60, phi, mixed(1)), series::ar1(60, phi, mixed(2)));
                    spearman(&one, &other).unwrap().p_value < 0.05
                })
                .count();
            assert!(alike < 90, "{alike} of 1000 at {phi}");
        }
    }
}
