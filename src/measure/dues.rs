//! When work was due that never finished, in bounded memory.
//!
//! What such work took is only known at the run's end, as a lower bound: from its due to that
//! end. So the dues are kept, in bins that double their width when they run full: at most a
//! 2,048th of the run, and exact where a bin holds one.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const BINS: usize = 4096;
/// About a millisecond; the first four seconds of a run are that exact.
const FIRST_WIDTH: u64 = 1 << 20;

/// Counted instants of a run, from its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "Saved", try_from = "Saved")]
pub(crate) struct Dues {
    /// In nanoseconds, a power of two.
    width: u64,
    bins: Vec<Bin>,
    count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    count: u64,
    /// Of milliseconds from the start of the run.
    sum: f64,
}

/// Dues as a result file holds them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    width_ns: u64,
    /// Place, count, and the sum of milliseconds from the start, where there is something.
    bins: Vec<(u64, u64, f64)>,
}

// === impl Dues ===

impl Dues {
    pub(crate) const fn new() -> Self {
        Self { width: FIRST_WIDTH, bins: Vec::new(), count: 0 }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn add(&mut self, due: Duration) {
        let ms = due.as_secs_f64() * 1e3;
        self.add_bin(u64::try_from(due.as_nanos()).unwrap_or(u64::MAX), Bin { count: 1, sum: ms });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (i, bin) in other.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            self.add_bin(i as u64 * other.width, *bin);
        }
    }

    /// As [`merge`](Self::merge), each due so much later.
    pub(crate) fn merge_later(&mut self, other: &Self, by: Duration) {
        let (ns, ms) = (u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), by.as_secs_f64() * 1e3);
        for (i, bin) in other.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
            let at = (i as u64 * other.width).saturating_add(ns);
            self.add_bin(at, Bin { count: bin.count, sum: bin.sum + ms * bin.count as f64 });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bins.clear();
        (self.width, self.count) = (FIRST_WIDTH, 0);
    }

    /// How long each has been due at `end`, in milliseconds, the shortest first; `share` of each is counted, and
    /// the whole is rounded once.
    pub(crate) fn ages(&self, end: Duration, share: f64) -> Vec<(f64, u64)> {
        let end = end.as_secs_f64() * 1e3;
        let mut ages = Vec::new();
        let (mut seen, mut given) = (0, 0);
        for bin in self.bins.iter().rev().filter(|bin| bin.count > 0) {
            seen += bin.count;
            let upto = (seen as f64 * share).round() as u64;
            if upto > given {
                ages.push(((end - bin.sum / bin.count as f64).max(0.0), upto - given));
                given = upto;
            }
        }
        ages
    }

    fn add_bin(&mut self, at: u64, bin: Bin) {
        let mut place = at / self.width;
        while place >= BINS as u64 {
            self.double();
            place = at / self.width;
        }
        let place = place as usize;
        if place >= self.bins.len() {
            self.bins.resize(place + 1, Bin::default());
        }
        if let Some(into) = self.bins.get_mut(place) {
            into.count += bin.count;
            into.sum += bin.sum;
            self.count += bin.count;
        }
    }

    fn double(&mut self) {
        let join = |pair: &[Bin]| {
            pair.iter().fold(Bin::default(), |a, b| Bin { count: a.count + b.count, sum: a.sum + b.sum })
        };
        self.bins = self.bins.chunks(2).map(join).collect();
        self.width *= 2;
    }
}

impl From<Dues> for Saved {
    fn from(dues: Dues) -> Self {
        let kept = dues.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
        Self { width_ns: dues.width, bins: kept.map(|(place, bin)| (place as u64, bin.count, bin.sum)).collect() }
    }
}

impl TryFrom<Saved> for Dues {
    type Error = &'static str;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        let mut dues = Self::new();
        if !saved.width_ns.is_power_of_two() || saved.width_ns < FIRST_WIDTH {
            return Err("dues in bins of no width");
        }
        dues.width = saved.width_ns;
        for (place, count, sum) in saved.bins {
            if place >= BINS as u64 || !sum.is_finite() {
                return Err("dues beyond their bins");
            }
            dues.add_bin(place * dues.width, Bin { count, sum });
        }
        Ok(dues)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_due_is_exact_however_long_the_run() {
        let mut dues = Dues::new();
        dues.add(Duration::from_secs(86_400 * 30));
        let [(age, 1)] = dues.ages(Duration::from_secs(86_400 * 31), 1.0)[..] else { panic!("one") };
        assert!((age - 86_400e3).abs() < 1e-3, "{age}");
    }

    #[test]
    fn a_share_is_rounded_once_over_all() {
        let mut dues = Dues::new();
        (0..10).for_each(|i| dues.add(Duration::from_secs(i)));
        assert_eq!(dues.ages(Duration::from_secs(10), 0.25).iter().map(|(_, n)| n).sum::<u64>(), 3);
        assert_eq!(dues.ages(Duration::from_secs(10), 0.0), []);
    }

    proptest! {
        #[test]
        fn ages_are_within_a_thousandth_of_the_run(mut dues in prop::collection::vec(0..3_600_000_u64, 1..300)) {
            let end = Duration::from_millis(3_600_000);
            let (mut a, mut b) = (Dues::new(), Dues::new());
            for (i, due) in dues.iter().enumerate() {
                if i % 2 == 0 { &mut a } else { &mut b }.add(Duration::from_millis(*due));
            }
            a.merge(&b);
            dues.sort_unstable_by(|a, b| b.cmp(a));
            let ages: Vec<f64> = a.ages(end, 1.0).into_iter().flat_map(|(age, n)| std::iter::repeat_n(age, n as usize)).collect();
            prop_assert_eq!(ages.len(), dues.len());
            for (age, due) in ages.iter().zip(dues) {
                prop_assert!((age - (3_600_000 - due) as f64).abs() <= 3_600.0);
            }
            prop_assert!(a.bins.len() <= BINS);
        }
    }
}
