//! Two treatments compared by samples that have nothing in common: by how much the means differ, and how sure that is.
//!
//! Welch, *The generalization of 'Student's' problem when several different population variances are involved*,
//! Biometrika 34 (1947), with Satterthwaite's degrees of freedom. The sampling unit is the caller's: runs where there are
//! several, since requests within one run lean on each other and say nothing of how runs differ.

use super::{Interval, mean, normal};

/// Where the difference of the means, `other` less `one`, lies with this two-sided confidence. A side of one value has
/// the spread of the other. None where nothing says how values spread.
#[must_use]
pub fn welch(one: &[f64], other: &[f64], confidence: f64) -> Option<Interval> {
    let difference = mean(other)? - mean(one)?;
    let (of_one, of_other) = (variance(one), variance(other));
    let (a, b) = (of_one.or(of_other)? / one.len() as f64, of_other.or(of_one)? / other.len() as f64);
    let error = (a + b).sqrt();
    let freedom = match (of_one, of_other) {
        (Some(_), Some(_)) => {
            let parts = a * a / (one.len() - 1) as f64 + b * b / (other.len() - 1) as f64;
            if parts > 0.0 { (a + b) * (a + b) / parts } else { 1.0 }
        }
        _ => (one.len().max(other.len()) - 1) as f64,
    };
    let reach = normal::student(confidence, freedom.max(1.0)) * error;
    Some(Interval { low: difference - reach, high: difference + reach })
}

/// Of a sample; none of fewer than two.
fn variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    Some(values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(n: usize, middle: f64, spread: f64, random: &mut fastrand::Rng) -> Vec<f64> {
        // The sum of twelve is nearly normal.
        let one = |random: &mut fastrand::Rng| (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
        (0..n).map(|_| middle + spread * one(random)).collect()
    }

    #[test]
    fn the_interval_covers_the_difference_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(7);
        for (n, m, spread) in [(5, 5, 1.0), (3, 8, 4.0), (1, 6, 1.0)] {
            let hits = (0..2000).filter(|_| {
                let (one, other) = (sample(n, 10.0, 1.0, &mut random), sample(m, 12.0, spread, &mut random));
                // One value has the other's spread only where the spreads are alike.
                welch(&one, &other, 0.95).unwrap().contains(2.0)
            });
            let covered = hits.count() as f64 / 2000.0;
            assert!((0.93..=0.975).contains(&covered), "{n} and {m}: {covered}");
        }
    }

    #[test]
    fn where_nothing_says_how_values_spread_nothing_is_said() {
        assert_eq!(welch(&[1.0], &[2.0], 0.95), None);
        assert_eq!(welch(&[], &[2.0, 3.0], 0.95), None);
        let same = welch(&[2.0, 2.0], &[2.0, 2.0], 0.95).unwrap();
        assert_eq!((same.low, same.high), (0.0, 0.0));
    }
}
