//! The moving-block bootstrap: draws that keep what neighbours have to do with each other.
//!
//! Künsch, *The jackknife and the bootstrap for general stationary observations*, Annals of Statistics
//! 17 (1989). The blocks are taken in a circle (Politis and Romano 1992), so that each observation is drawn equally
//! often. Seeded: the same data give the same interval.

use super::{Interval, quantile};

/// The length of block that suits `n` observations: n^(1/3), the order that is optimal for a variance
/// (Hall, Horowitz and Jing 1995), and at least 1.
#[must_use]
pub fn block_length(n: usize) -> usize {
    ((n as f64).cbrt().round() as usize).max(1)
}

/// One draw of `n` places out of `0..n`, in blocks of `block`.
pub fn draw(n: usize, block: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut places = Vec::with_capacity(n);
    while places.len() < n {
        let from = random.usize(..n);
        places.extend((from..from + block.max(1)).map(|place| place % n).take(n - places.len()));
    }
    places
}

/// The percentile interval of a statistic over draws of `0..n`. A draw of which the statistic says nothing is left
/// out; None where more than half are.
pub fn interval(
    n: usize,
    block: usize,
    draws: usize,
    confidence: f64,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut figures: Vec<f64> = (0..draws).filter_map(|_| statistic(&draw(n, block, &mut random))).collect();
    figures.retain(|figure| !figure.is_nan());
    figures.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let enough = figures.len() * 2 > draws;
    let (low, high) = (quantile(&figures, tail)?, quantile(&figures, 1.0 - tail)?);
    enough.then_some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::{mean, series};
    use proptest::prelude::*;

    #[test]
    fn an_interval_of_a_mean_covers_it_on_autocorrelated_data() {
        let covered = |block: usize| {
            let hits = (0..200_u64).filter(|seed| {
                let values = series::ar1(300, 0.5, *seed);
                let of = |places: &[usize]| mean(&places.iter().map(|place| values[*place]).collect::<Vec<_>>());
                interval(values.len(), block, 200, 0.95, *seed, of).unwrap().contains(0.0)
            });
            hits.count() as f64 / 200.0
        };
        let (blocks, single) = (covered(20), covered(1));
        assert!(blocks > 0.87, "{blocks}");
        assert!(single < 0.80, "blocks of one forget what neighbours have to do with each other: {single}");
    }

    proptest! {
        #[test]
        fn a_draw_has_as_many_places_and_keeps_neighbours(n in 1_usize..200, block in 1_usize..50, seed: u64) {
            let places = draw(n, block, &mut fastrand::Rng::with_seed(seed));
            prop_assert_eq!(places.len(), n);
            for part in places.chunks(block) {
                prop_assert!(part.windows(2).all(|pair| pair[1] == (pair[0] + 1) % n));
            }
        }
    }
}
