//! Shares: how often something happens, from how often it was seen.

use super::{Interval, normal};

/// Where a share lies of which `hits` of `n` independent trials are known, with Wilson's score interval. It holds its
/// confidence for shares near 0 and 1 too, where the textbook's ± interval has no width. From 0 to 1 where `n` is 0.
///
/// Wilson, *Probable inference*, JASA 22 (1927); Brown, Cai and DasGupta (2001) compare it with others.
#[must_use]
pub fn wilson(hits: u64, n: u64, confidence: f64) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = n as f64;
    score(hits as f64 / n, n, normal::quantile(0.5 + confidence / 2.0))
}

/// The rate that is excluded with 95 % confidence where `n` independent trials did not show the event once: about 3/n.
///
/// Hanley and Lippman-Hand, *If nothing goes wrong, is everything all right?*, JAMA 249 (1983). 1 where `n` is 0.
#[must_use]
pub fn rule_of_three(n: u64) -> f64 {
    (3.0 / n as f64).min(1.0)
}

/// The score interval around `share` of `n` trials (which may be an effective number), `z` standard errors wide.
pub(super) fn score(share: f64, n: f64, z: f64) -> Interval {
    let z2 = z * z;
    let scale = 1.0 / (1.0 + z2 / n);
    let middle = (share + z2 / (2.0 * n)) * scale;
    let half = z * scale * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shares_are_those_of_the_literature() {
        // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20.
        for (hits, n, low, high) in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)] {
            let found = wilson(hits, n, 0.95);
            assert!((found.low - low).abs() < 1e-4 && (found.high - high).abs() < 1e-4, "{hits} of {n}: {found:?}");
        }
        assert_eq!(wilson(0, 0, 0.95), Interval { low: 0.0, high: 1.0 });
        assert_eq!((rule_of_three(300), rule_of_three(0), rule_of_three(1)), (0.01, 1.0, 1.0));
    }

    #[test]
    fn rare_events_are_covered() {
        let mut random = fastrand::Rng::with_seed(1);
        let covered = (0..1000).filter(|_| {
            let hits = (0..500).filter(|_| random.f64() < 0.01).count() as u64;
            wilson(hits, 500, 0.95).contains(0.01)
        });
        let covered = covered.count();
        assert!((920..=985).contains(&covered), "{covered}");
    }

    proptest! {
        #[test]
        fn the_share_that_was_seen_lies_inside(n in 1_u64..100_000, part in 0.0..=1.0_f64, confidence in 0.5..0.999) {
            let hits = (n as f64 * part) as u64;
            let found = wilson(hits, n, confidence);
            prop_assert!(found.low >= 0.0 && found.high <= 1.0);
            let share = hits as f64 / n as f64;
            prop_assert!(found.low <= share + 1e-12 && share <= found.high + 1e-12);
            prop_assert!(wilson(hits * 4, n * 4, confidence).width() < found.width());
        }
    }
}
