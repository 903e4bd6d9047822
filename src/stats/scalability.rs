//! The Universal Scalability Law: what a system yields under N at once.
//!
//! X(N) = λN / (1 + α(N−1) + βN(N−1)): λ is what one alone gets, α what is lost to waiting for what is shared, β what
//! is lost to keeping each other informed. With β the yield has a peak, at √((1−α)/β), past which more
//! load brings less (Gunther, *Guerrilla Capacity Planning*, 2007, ch. 4–5).

use super::{Interval, bootstrap};

/// What was measured at one load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadPoint {
    /// How many were at work at once.
    pub load: f64,
    /// What came out per unit of time.
    pub yielded: f64,
}

/// The law's three figures, fitted.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scalability {
    /// What one alone yields, λ.
    pub alone: f64,
    /// Contention, α, at least 0.
    pub contention: f64,
    /// Coherency, β, at least 0.
    pub coherency: f64,
}

/// Fewer loads than this leave three figures undetermined.
const LEAST: usize = 6;
/// How often the points are drawn anew for an interval.
const DRAWS: usize = 400;

// === impl Scalability ===

impl Scalability {
    /// Fits the law. None of fewer than 6 usable points, or where the greatest load is not at least twice the least.
    ///
    /// N/X is linear in 1/λ, α/λ and β/λ, so the least squares of the **relative** error of X are one small linear
    /// system; what would be negative is held at zero, and of the remaining ways the best is taken.
    #[must_use]
    pub fn fit(points: &[LoadPoint]) -> Option<Self> {
        let usable = |point: &&LoadPoint| {
            point.load.is_finite() && point.yielded.is_finite() && point.load > 0.0 && point.yielded > 0.0
        };
        let points: Vec<&LoadPoint> = points.iter().filter(usable).collect();
        let loads = points.iter().map(|point| point.load);
        let (low, high) = loads.fold((f64::INFINITY, 0.0_f64), |(low, high), n| (low.min(n), high.max(n)));
        if points.len() < LEAST || high < 2.0 * low {
            return None;
        }
        let rows: Vec<[f64; 3]> = points
            .iter()
            .map(|point| {
                let (n, weight) = (point.load, point.yielded / point.load);
                [weight, weight * (n - 1.0), weight * n * (n - 1.0)]
            })
            .collect();
        let ways: [&[usize]; 4] = [&[0, 1, 2], &[0, 1], &[0, 2], &[0]];
        let fits = ways.into_iter().filter_map(|way| solve(&rows, way));
        let fits = fits.filter(|fit| fit[0] > 0.0 && fit[1] >= 0.0 && fit[2] >= 0.0);
        let best = fits.min_by(|a, b| misfit(&rows, a).total_cmp(&misfit(&rows, b)))?;
        Some(Self { alone: 1.0 / best[0], contention: best[1] / best[0], coherency: best[2] / best[0] })
    }

    /// What `load` at once yield.
    #[must_use]
    pub fn yielded(&self, load: f64) -> f64 {
        let around = load - 1.0;
        self.alone * load / (1.0 + self.contention * around + self.coherency * load * around)
    }

    /// The load of the greatest yield; none where more load always yields more.
    #[must_use]
    pub fn peak(&self) -> Option<f64> {
        (self.coherency > 0.0).then(|| ((1.0 - self.contention).max(0.0) / self.coherency).sqrt().max(1.0))
    }

    /// What it yields at its best; none where there is no bound.
    #[must_use]
    pub fn greatest(&self) -> Option<f64> {
        let bound = (self.contention > 0.0).then(|| self.alone / self.contention);
        self.peak().map(|peak| self.yielded(peak)).or(bound)
    }

    /// Where the peak lies with 95 % confidence: points drawn anew in blocks, so neighbours that lean on each
    /// other do not count as news. A draw without a peak counts as one at infinity. None where no fit is.
    #[must_use]
    pub fn peak_interval(points: &[LoadPoint], seed: u64) -> Option<Interval> {
        let block = bootstrap::block_length(points.len());
        bootstrap::interval(points.len(), block, DRAWS, 0.95, seed, |places| {
            let drawn: Vec<LoadPoint> = places.iter().filter_map(|place| points.get(*place)).copied().collect();
            Self::fit(&drawn).map(|fit| fit.peak().unwrap_or(f64::MAX))
        })
        .map(|found| Interval { high: if found.high > 1e100 { f64::INFINITY } else { found.high }, ..found })
    }
}

/// The sum of squares of the relative error.
fn misfit(rows: &[[f64; 3]], fit: &[f64; 3]) -> f64 {
    rows.iter().map(|row| (1.0 - row.iter().zip(fit).map(|(a, b)| a * b).sum::<f64>()).powi(2)).sum()
}

/// The least squares of `row · fit = 1` in these unknowns, the others held at zero: normal equations, scaled and
/// eliminated with pivots.
fn solve(rows: &[[f64; 3]], unknowns: &[usize]) -> Option<[f64; 3]> {
    let size = unknowns.len();
    let scale: Vec<f64> =
        unknowns.iter().map(|u| rows.iter().map(|row| row[*u] * row[*u]).sum::<f64>().sqrt()).collect();
    if scale.iter().any(|scale| !scale.is_finite() || *scale <= 0.0) {
        return None;
    }
    let scaled = |row: &[f64; 3], i: usize| row[unknowns[i]] / scale[i];
    let mut system = vec![vec![0.0; size + 1]; size];
    for row in rows {
        for (i, equation) in system.iter_mut().enumerate() {
            for (j, cell) in equation.iter_mut().enumerate() {
                *cell += scaled(row, i) * if j == size { 1.0 } else { scaled(row, j) };
            }
        }
    }
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| system[*a][column].abs().total_cmp(&system[*b][column].abs()))?;
        system.swap(column, pivot);
        let lead = system[column].clone();
        if lead[column].abs() < 1e-12 {
            return None;
        }
        for (_, equation) in system.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = equation[column] / lead[column];
            equation.iter_mut().zip(&lead).for_each(|(cell, lead)| *cell -= factor * lead);
        }
    }
    let mut fit = [0.0; 3];
    for (i, unknown) in unknowns.iter().enumerate() {
        fit[*unknown] = system[i][size] / system[i][i] / scale[i];
    }
    Some(fit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::series;
    use proptest::prelude::*;

    fn points(law: Scalability, loads: usize, noise: f64, seed: u64) -> Vec<LoadPoint> {
        let errors = series::ar1(loads, 0.3, seed);
        let point = |(i, error): (usize, f64)| {
            let load = (1 + i * 200 / loads) as f64;
            LoadPoint { load, yielded: law.yielded(load) * (1.0 + noise * error) }
        };
        errors.into_iter().enumerate().map(point).collect()
    }

    const LAW: Scalability = Scalability { alone: 20.0, contention: 0.02, coherency: 0.0001 };

    #[test]
    fn an_exact_law_is_found_again() {
        let fit = Scalability::fit(&points(LAW, 40, 0.0, 0)).unwrap();
        assert!((fit.alone - 20.0).abs() < 1e-6 && (fit.contention - 0.02).abs() < 1e-8);
        assert!((fit.peak().unwrap() - 98.99).abs() < 0.01, "{:?}", fit.peak());
    }

    #[test]
    fn what_never_turns_has_no_peak_and_no_negative_figure() {
        let linear = Scalability { alone: 5.0, contention: 0.0, coherency: 0.0 };
        let fit = Scalability::fit(&points(linear, 40, 0.02, 7)).unwrap();
        assert!(fit.contention >= 0.0 && fit.coherency >= 0.0);
        let fit = Scalability::fit(&points(linear, 40, 0.0, 7)).unwrap();
        assert_eq!((fit.peak(), fit.greatest()), (None, None));
        let amdahl = Scalability { alone: 5.0, contention: 0.1, coherency: 0.0 };
        let fit = Scalability::fit(&points(amdahl, 40, 0.0, 7)).unwrap();
        assert!((fit.greatest().unwrap() - 50.0).abs() < 0.5, "{fit:?}");
    }

    #[test]
    fn the_interval_covers_the_true_peak() {
        let runs = 100;
        let hits = (0..runs).filter(|seed| {
            let found = Scalability::peak_interval(&points(LAW, 60, 0.05, *seed), 1).unwrap();
            found.contains(LAW.peak().unwrap())
        });
        let rate = hits.count() as f64 / runs as f64;
        assert!(rate >= 0.85, "{rate}");
    }

    #[test]
    fn too_few_or_too_even_loads_say_nothing() {
        let at = |load: f64| LoadPoint { load, yielded: load };
        assert_eq!(Scalability::fit(&[at(1.0), at(2.0), at(3.0), at(4.0), at(5.0)]), None);
        assert_eq!(Scalability::fit(&[at(50.0); 20]), None);
        assert_eq!(Scalability::fit(&[LoadPoint { load: f64::NAN, yielded: 0.0 }; 20]), None);
    }

    proptest! {
        #[test]
        fn no_points_give_negative_figures(
            found in prop::collection::vec((0.1..500.0_f64, 0.1..1e4_f64), 0..40),
        ) {
            let points: Vec<LoadPoint> =
                found.into_iter().map(|(load, yielded)| LoadPoint { load, yielded }).collect();
            if let Some(fit) = Scalability::fit(&points) {
                prop_assert!(fit.alone > 0.0 && fit.contention >= 0.0 && fit.coherency >= 0.0, "{:?}", fit);
                prop_assert!(fit.peak().is_none_or(|peak| peak >= 1.0));
            }
        }
    }
}
