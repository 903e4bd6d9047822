//! Whether a series has settled, and where.
//!
//! The truncation is MSER-5's rule on values that are batches already (White, *An effective truncation heuristic for bias
//! reduction in simulation output*, Simulation 69, 1997; Franklin and White 2008): leave out so many of the first that the
//! standard error of the mean of the rest is least. The test is Geweke's (*Evaluating the accuracy of sampling-based
//! approaches*, Bayesian Statistics 4, 1992): the mean of the first fifth against that of the last half, each with a
//! variance that knows that neighbours lean on each other.

use super::{lag_one, mean, normal};

/// What Geweke's test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geweke {
    /// The mean of the first fifth less that of the last half.
    pub difference: f64,
    /// How likely so great a difference is where there is none.
    pub p_value: f64,
}

/// With fewer values the first fifth is no mean.
pub const LEAST: usize = 20;

/// How many of the first values to leave out, at most half. None of fewer than 20, or of values that are not finite.
#[must_use]
pub fn mser(values: &[f64]) -> Option<usize> {
    let n = values.len();
    if n < LEAST || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let error = |d: usize| {
        let rest = &values[d..];
        let middle = mean(rest).unwrap_or(0.0);
        rest.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
    };
    (0..=n / 2).map(|d| (d, error(d))).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(d, _)| d)
}

/// Geweke's test. None of fewer than 20 values, or of values that are not finite.
#[must_use]
pub fn geweke(values: &[f64]) -> Option<Geweke> {
    let n = values.len();
    if n < LEAST || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let (first, last) = (&values[..n / 5], &values[n - n / 2..]);
    let difference = mean(first)? - mean(last)?;
    // A fifth of a short series says too little of its own spread: both have that of the last half.
    let (spread, lean) = (variance(last)?, lag_one(last).clamp(0.0, 0.8));
    let inflation = (1.0 + lean) / (1.0 - lean);
    let error = (spread * inflation * (1.0 / first.len() as f64 + 1.0 / last.len() as f64)).sqrt();
    let z = if error > 0.0 { difference / error } else { difference * f64::INFINITY };
    let z = if z.is_nan() { 0.0 } else { z };
    // The spread is itself only guessed, from so many values: Student's tails, by how far they reach at 95 %.
    let wider = normal::student(0.95, last.len() as f64 / inflation - 1.0) / normal::student(0.95, 1e6);
    Some(Geweke { difference, p_value: normal::two_sided((z / wider).abs()) })
}

fn variance(values: &[f64]) -> Option<f64> {
    let middle = mean(values)?;
    Some(values.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;

    fn warming(n: usize, by: f64, over: f64, seed: u64) -> Vec<f64> {
        let noise = series::ar1(n, 0.3, seed);
        noise.into_iter().enumerate().map(|(i, e)| 100.0 + e + by * (-(i as f64) / over).exp()).collect()
    }

    #[test]
    fn a_warm_up_is_cut_off_where_it_ends() {
        for seed in 0..20 {
            let cut = mser(&warming(60, 50.0, 3.0, seed)).unwrap();
            assert!((5..=24).contains(&cut), "{cut}");
        }
        let calm = (0..100).filter(|seed| mser(&warming(60, 0.0, 1.0, *seed)).unwrap() <= 20).count();
        assert!(calm > 70, "{calm}");
    }

    #[test]
    fn a_calm_series_is_seldom_called_otherwise_and_a_warm_up_always() {
        for phi in [0.0, 0.3, 0.5] {
            let wrong = (0..500).filter(|seed| geweke(&series::ar1(40, phi, *seed)).unwrap().p_value < 0.01).count();
            assert!(wrong <= 25, "coefficient {phi}: {wrong} of 500");
        }
        for seed in 0..100 {
            assert!(geweke(&warming(40, 20.0, 4.0, seed)).unwrap().p_value < 0.01);
        }
    }

    #[test]
    fn what_says_nothing_is_none_and_a_constant_has_settled() {
        assert_eq!((mser(&[1.0; 19]), geweke(&[1.0; 19])), (None, None));
        assert_eq!((mser(&[f64::NAN; 30]), geweke(&[f64::INFINITY; 30])), (None, None));
        assert_eq!(mser(&[3.0; 30]), Some(0));
        assert!(geweke(&[3.0; 30]).unwrap().p_value > 0.99);
        let step: Vec<f64> = (0..30).map(|i| if i < 6 { 9.0 } else { 3.0 }).collect();
        assert!(geweke(&step).unwrap().p_value < 1e-9);
        assert_eq!(mser(&step), Some(6));
    }
}
