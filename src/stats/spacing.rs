//! Whether gaps are even: a constant rate, as it was really sent.
//!
//! No fit test in the strict sense: perfectly even gaps have no distribution to fit, and any lag at all would refuse
//! them. What counts is how large a part of the gaps is off by how much.

use super::{Interval, mean, median, wilson};

/// How even gaps are.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spacing {
    /// The standard deviation over the mean: 0 for even gaps, 1 for exponential ones.
    pub variation: f64,
    /// The share of gaps that are off the median by more than the tolerance.
    pub uneven: f64,
    /// Where that share lies, with 95 % confidence.
    pub interval: Interval,
    /// How many gaps there were.
    pub n: usize,
}

/// A stall makes one gap long and lets those after it come in a burst; this share of gaps may be so.
const MOST_UNEVEN: f64 = 0.05;

// === impl Spacing ===

impl Spacing {
    /// Whether the gaps are even: all but one in twenty at most, or so few others that more cannot be shown.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.interval.low <= MOST_UNEVEN
    }
}

/// Measures gaps; `tolerance` is a share of the median gap. None of fewer than 8, and of gaps that are zero.
#[must_use]
pub fn spacing(gaps: &[f64], tolerance: f64) -> Option<Spacing> {
    spacing_around(gaps, median(gaps)?, tolerance)
}

/// As [`spacing`], where it is known what the gaps should have been: `middle`.
#[must_use]
pub fn spacing_around(gaps: &[f64], middle: f64, tolerance: f64) -> Option<Spacing> {
    let mean = mean(gaps)?;
    let usable = gaps.len() >= 8 && mean.is_finite() && mean > 0.0 && middle > 0.0;
    usable.then(|| {
        let off = gaps.iter().filter(|gap| (**gap - middle).abs() > tolerance * middle).count();
        let spread = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        Spacing {
            variation: spread.sqrt() / mean,
            uneven: off as f64 / gaps.len() as f64,
            interval: wilson(off as u64, gaps.len() as u64, 0.95),
            n: gaps.len(),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;

    #[test]
    fn even_gaps_pass_with_lag_and_a_stall() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut gaps: Vec<f64> = (0..1000).map(|_| 1.0 + 0.05 * series::normal(&mut random)).collect();
        assert!(spacing(&gaps, 0.25).unwrap().passes());
        gaps[500] = 20.0;
        gaps[501..521].fill(0.01);
        let found = spacing(&gaps, 0.25).unwrap();
        assert!(found.passes() && found.uneven > 0.02, "{found:?}");
    }

    #[test]
    fn exponential_gaps_and_bursts_do_not() {
        let mut random = fastrand::Rng::with_seed(1);
        let gaps: Vec<f64> = (0..100).map(|_| series::exponential(&mut random)).collect();
        let found = spacing(&gaps, 0.25).unwrap();
        assert!(!found.passes() && (found.variation - 1.0).abs() < 0.3, "{found:?}");
        let bursts: Vec<f64> = (0..100).map(|i| if i % 5 == 0 { 5.0 } else { 0.1 }).collect();
        assert!(!spacing(&bursts, 0.25).unwrap().passes());
        assert_eq!(spacing(&[0.0; 100], 0.25), None);
        assert_eq!(spacing(&[1.0; 7], 0.25), None);
    }
}
