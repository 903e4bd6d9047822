//! When the arrivals of an open model really started: runs of neighbours, taken evenly from the whole schedule, in
//! bounded memory.
//!
//! What arrivals are like shows in the gaps between neighbours, and neighbours are often on different workers. So
//! what is kept is decided by an arrival's number in the schedule alone: all workers keep the same stretches, and put
//! together a stretch is whole. When there are too many, every second stretch goes.

use std::time::Duration;

/// One arrival that started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its number in the schedule, from 0.
    pub number: u64,
    /// When it was due, from the run's start, pauses left out.
    pub due: Duration,
    /// When it started, from the run's start, the same pauses left out.
    pub at: Duration,
}

/// The arrivals that were kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Starts {
    /// Every 2^`shift`-th stretch is kept.
    shift: u32,
    kept: Vec<Start>,
}

/// A stretch is 2^7 neighbours: long enough for gaps over several of them, where single ones are finer than a clock.
const STRETCH: u32 = 7;
/// 80 KiB, and more than a fit test can use.
const MOST: usize = 2048;

// === impl Start ===

impl Start {
    /// Which stretch it stands in: only within one are neighbours known to be whole.
    #[must_use]
    pub const fn stretch(&self) -> u64 {
        self.number >> STRETCH
    }
}

// === impl Starts ===

impl Starts {
    /// Keeps an arrival, or not. Nearly always not: that is one shift and one comparison.
    #[inline]
    pub(crate) fn add(&mut self, number: u64, start: impl FnOnce() -> Start) {
        if self.takes(number) {
            self.keep(start());
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        while self.shift < other.shift {
            self.thin();
        }
        other.kept.iter().for_each(|start| self.add(start.number, || *start));
    }

    /// Forgets what was kept. How much is taken stays: the schedule has not become shorter.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }

    /// In the order of the schedule.
    pub(crate) fn sorted(&self) -> Vec<Start> {
        let mut starts = self.kept.clone();
        starts.sort_unstable_by_key(|start| start.number);
        starts
    }

    const fn takes(&self, number: u64) -> bool {
        let stretch = number >> STRETCH;
        (stretch >> self.shift) << self.shift == stretch
    }

    fn keep(&mut self, start: Start) {
        while self.kept.len() >= MOST && self.takes(start.number) {
            self.thin();
        }
        if self.takes(start.number) {
            self.kept.push(start);
        }
    }

    fn thin(&mut self) {
        // No number has more digits; past them only the first stretch is left.
        self.shift = (self.shift + 1).min(u64::BITS - STRETCH - 1);
        let shift = self.shift;
        self.kept.retain(|start| (start.stretch() >> shift) << shift == start.stretch());
        if self.shift == u64::BITS - STRETCH - 1 {
            self.kept.truncate(MOST - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start(number: u64) -> Start {
        let due = Duration::from_micros(number * 10);
        Start { number, due, at: due + Duration::from_micros(3) }
    }

    fn keep(numbers: impl Iterator<Item = u64>) -> Starts {
        let mut starts = Starts::default();
        numbers.for_each(|number| starts.add(number, || start(number)));
        starts
    }

    #[test]
    fn a_short_schedule_is_kept_whole() {
        let starts = keep((0..2000).rev()).sorted();
        assert_eq!(starts.iter().map(|start| start.number).collect::<Vec<_>>(), (0..2000).collect::<Vec<_>>());
    }

    #[test]
    fn a_long_one_is_kept_evenly_and_in_bounds() {
        let starts = keep(0..1_000_000).sorted();
        assert!((MOST / 2..=MOST).contains(&starts.len()), "{}", starts.len());
        let stretches: Vec<u64> = {
            let mut all: Vec<u64> = starts.iter().map(Start::stretch).collect();
            all.dedup();
            all
        };
        assert!(stretches.windows(2).all(|pair| pair[1] - pair[0] == stretches[1]), "{stretches:?}");
        // The last one kept is near the end.
        assert!(stretches.last().is_some_and(|last| last + stretches[1] >= 1_000_000 >> STRETCH));
    }

    #[test]
    fn the_same_number_over_and_over_stays_in_bounds() {
        assert!(keep(std::iter::repeat_n(0, 10_000)).kept.len() <= MOST);
    }

    proptest! {
        #[test]
        fn workers_keep_stretches_that_are_whole_together(count in 1_u64..50_000, workers in 1_u64..5, handovers in 1_u64..5) {
            let mut totals = Starts::default();
            for handover in 0..handovers {
                for worker in 0..workers {
                    let mine = (count * handover / handovers..count * (handover + 1) / handovers).filter(|n| n % workers == worker);
                    totals.merge(&keep(mine));
                }
            }
            let starts = totals.sorted();
            prop_assert!(starts.len() <= MOST && (starts.len() as u64 >= count.min(500)));
            // Within a stretch nobody is missing.
            prop_assert!(starts.windows(2).all(|pair| pair[0].stretch() != pair[1].stretch() || pair[1].number == pair[0].number + 1));
        }
    }
}
