//! Timelines that come from results of several workers: later than each other, side by side, or damaged.

use super::{BINS, Bin, FIRST_SHIFT, Timeline, Values};
use crate::plan::MetricKind;
use std::time::Duration;

/// Bins of nine years: no run is longer.
const LAST_SHIFT: u32 = 58;

// === impl Timeline ===

impl Timeline {
    /// As [`merge`](Self::merge), as if `other` had been due so much later; times of ends stay.
    pub(crate) fn merge_later(&mut self, other: &Self, by: Duration) {
        let mut other = other.clone();
        for (_, bin) in &mut other.bins {
            bin.censored_due += bin.censored * by.as_secs_f64() * 1e3;
        }
        self.merge(&other);
    }

    /// Adds a gauge that was another's at the same time: the levels of both are summed, bin by bin.
    pub(crate) fn add_levels(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.shift < other.shift {
            self.double();
        }
        while other.shift < self.shift {
            other.double();
        }
        for (place, bin) in other.bins {
            match self.bins.binary_search_by_key(&place, |(place, _)| *place) {
                Ok(at) => {
                    if let (
                        Some((_, Bin { values: Values::Gauge { range, sum }, .. })),
                        Values::Gauge { range: more, sum: others },
                    ) = (self.bins.get_mut(at), bin.values)
                    {
                        let level = *sum / range.count.max(1) as f64 + others / more.count.max(1) as f64;
                        range.add(&more);
                        *sum = level * range.count as f64;
                    }
                }
                Err(at) => self.bins.insert(at, (place, bin)),
            }
        }
    }

    /// Whether it is one that could have been recorded: what comes from a file is not believed.
    pub(crate) fn is_sound(&self) -> bool {
        let same = |values: &Values| {
            matches!(
                (self.kind, values),
                (MetricKind::Trend, Values::Trend(_))
                    | (MetricKind::Rate, Values::Rate(_))
                    | (MetricKind::Counter, Values::Counter { .. })
                    | (MetricKind::Gauge, Values::Gauge { .. })
            )
        };
        (FIRST_SHIFT..=LAST_SHIFT).contains(&self.shift)
            && self.bins.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.bins.iter().all(|(place, bin)| *place < BINS && same(&bin.values))
    }

    /// What kind of values it has.
    pub(crate) const fn kind(&self) -> MetricKind {
        self.kind
    }
}
