//! How sure a percentile is, read off its timeline.
//!
//! The kind of interval is that of [`crate::stats::percentile`]: within this run, over batches of time, not over
//! requests.

use crate::measure::{
    Histogram, LayoutBuilder, MetricId, Part, Reading, Selector, Timeline, TimelineId, Totals, Trend,
};
use crate::semconv::metric;
use crate::stats::{BinCount, rank_interval};
use std::time::Duration;

/// Where a percentile lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// Not below this.
    pub low: f64,
    /// Not above this. None where too little was seen above the percentile, or what lies there never finished.
    pub high: Option<f64>,
    /// How many independent values the run is worth for it.
    pub effective: f64,
}

/// The percentiles whose intervals every summary shows: the one that thresholds are written about, on both clocks.
const SHOWN: [(MetricId, &str); 2] = [
    (MetricId::HTTP_REQ_DURATION, metric::HTTP_REQ_DURATION),
    (MetricId::HTTP_REQ_RESPONSE_TIME, metric::HTTP_REQ_RESPONSE_TIME),
];
/// 0.95, by the name that figures have.
const QUANTILE: (f64, &str) = (0.95, "p(95)");

/// The percentiles of a run whose intervals are read off at its end.
#[derive(Clone, Debug, Default)]
pub struct Intervals(Vec<(&'static str, TimelineId)>);

/// How sure one figure of the summary is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalReport {
    /// The metric.
    pub metric: &'static str,
    /// `p(95)`.
    pub stat: &'static str,
    /// Where it lies, with 95 % confidence.
    pub confidence: Confidence,
}

// === impl Intervals ===

impl Intervals {
    /// Prepares what is read over time, after all sites were added to `layout`.
    #[must_use]
    pub fn prepare(layout: &mut LayoutBuilder) -> Self {
        Self(SHOWN.iter().map(|(id, name)| (*name, layout.timeline(*id, &Selector::default()))).collect())
    }

    /// The intervals of a run whose load ended at `end`. A run too short for one has none.
    #[must_use]
    pub fn read(&self, totals: &Totals, end: Duration) -> Vec<IntervalReport> {
        let all = Duration::ZERO..Duration::MAX;
        let read = |(metric, timeline): &(&'static str, TimelineId)| {
            let confidence = confidence(totals.timeline(*timeline)?, QUANTILE.0, &all, end)?;
            Some(IntervalReport { metric, stat: QUANTILE.1, confidence })
        };
        self.0.iter().filter_map(read).collect()
    }
}

/// The 95 % interval of the `q` quantile (0 to 1) of a part of a run that ended at `end`. None where the timeline is
/// no trend, or has values in fewer than 8 bins.
#[must_use]
pub fn confidence(timeline: &Timeline, q: f64, part: &Part, end: Duration) -> Option<Confidence> {
    let Reading::Trend(trend) = timeline.reading(part, end) else { return None };
    let ranks = rank_interval(q, 0.95, |p| counts(timeline, &trend, p, part))?;
    let (low, high) = (trend.quantile(ranks.low)?, trend.quantile(ranks.high)?);
    Some(Confidence {
        low: low.value,
        high: (!ranks.open && !high.censored).then_some(high.value),
        effective: ranks.effective,
    })
}

/// Of each bin: how many values stand at or below the `p` quantile of all, and how many it has.
fn counts(timeline: &Timeline, all: &Trend, p: f64, part: &Part) -> Vec<BinCount> {
    let total = all.count() as f64;
    let bins = || timeline.histograms(part).zip(timeline.censored(part));
    let at = all.quantile(p).unwrap_or_default();
    if at.censored {
        // All that finished stands below what never did; the rest is spread over it evenly.
        let unfinished: f64 = bins().map(|(_, censored)| censored).sum();
        let share = ((p * total - all.finished().count() as f64) / unfinished.max(1.0)).clamp(0.0, 1.0);
        let count = |(bin, censored): (&Histogram, f64)| {
            let finished = bin.count() as f64;
            BinCount { below: finished + share * censored, count: finished + censored }
        };
        return bins().map(count).collect();
    }
    // A bucket is the finest that is known: of the one in which the quantile lies, so much of each bin's that the
    // whole adds up.
    let scale = timeline.histograms(part).map(Histogram::scale).min().unwrap_or(0);
    let split: Vec<(f64, f64)> = timeline.histograms(part).map(|bin| split(bin, at.value, scale)).collect();
    let (below, within) = split.iter().fold((0.0, 0.0), |(b, w), (below, within)| (b + below, w + within));
    let share = if within > 0.0 { ((p * total - below) / within).clamp(0.0, 1.0) } else { 0.0 };
    let count = |((below, within), (bin, censored)): (&(f64, f64), (&Histogram, f64))| BinCount {
        below: below + share * within,
        count: bin.count() as f64 + censored,
    };
    split.iter().zip(bins()).map(count).collect()
}

/// How many values of a histogram stand in buckets below that of `value`, and how many in it.
fn split(histogram: &Histogram, value: f64, scale: u8) -> (f64, f64) {
    let bucket = |value: f64| (value.log2() * f64::from(1_u32 << scale)).ceil() - 1.0;
    let coarse = |index: i32, of: u8| f64::from(index >> of.saturating_sub(scale));
    let (mut below, mut within) = (0.0, 0.0);
    let mut add = |order: std::cmp::Ordering, n: u64| match order {
        std::cmp::Ordering::Less => below += n as f64,
        std::cmp::Ordering::Equal => within += n as f64,
        std::cmp::Ordering::Greater => {}
    };
    let wanted = bucket(value.abs());
    for (index, n) in histogram.negative() {
        let order = coarse(index, histogram.negative_scale()).total_cmp(&wanted).reverse();
        add(if value < 0.0 { order } else { std::cmp::Ordering::Less }, n);
    }
    add(0.0_f64.total_cmp(&(value + 0.0)), histogram.zero_count());
    for (index, n) in histogram.positive() {
        let order = coarse(index, histogram.scale()).total_cmp(&wanted);
        add(if value > 0.0 { order } else { std::cmp::Ordering::Greater }, n);
    }
    (below, within)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::MetricKind;
    use crate::stats::{quantile, series};

    const ALL: Part = Duration::ZERO..Duration::MAX;

    /// Ten minutes of a queue, one second a bin, and the exact values.
    fn run(seed: u64) -> (Timeline, Vec<f64>) {
        let mut timeline = Timeline::new(MetricKind::Trend);
        let mut values = Vec::new();
        for (second, bin) in series::on_off_queue(300, 20, seed).into_iter().enumerate() {
            for (i, value) in bin.into_iter().enumerate() {
                let at = Duration::from_secs(second as u64 * 2) + Duration::from_millis(i as u64 * 90);
                timeline.record(value, at);
                values.push(value);
            }
        }
        values.sort_unstable_by(f64::total_cmp);
        (timeline, values)
    }

    #[test]
    fn intervals_of_a_timeline_cover_the_truth() {
        let mut long: Vec<f64> = series::on_off_queue(300, 5000, 99).into_iter().flatten().collect();
        long.sort_unstable_by(f64::total_cmp);
        let truth = [0.5, 0.95].map(|q| quantile(&long, q).unwrap());
        let mut hits = [0; 2];
        for seed in 0..100 {
            let (timeline, values) = run(seed);
            for ((q, truth), hits) in [0.5, 0.95].into_iter().zip(truth).zip(&mut hits) {
                let found = confidence(&timeline, q, &ALL, Duration::from_secs(600)).unwrap();
                let middle = quantile(&values, q).unwrap();
                assert!(found.low <= middle * 1.02 && found.high.is_none_or(|high| high >= middle * 0.98));
                *hits += usize::from(found.low <= truth && found.high.is_none_or(|high| truth <= high));
            }
        }
        assert!(hits.iter().all(|hits| *hits >= 90), "{hits:?}");
    }

    #[test]
    fn what_never_finished_bounds_nothing_above() {
        let mut timeline = Timeline::from_due(Vec::new());
        for second in 0..100 {
            (0..10).for_each(|_| timeline.record(10.0, Duration::from_secs(second)));
            (0..2).for_each(|_| timeline.cut_off(Duration::from_secs(second), Duration::from_secs(second)));
        }
        let of = |q| confidence(&timeline, q, &ALL, Duration::from_secs(100)).unwrap();
        assert_eq!(of(0.95).high, None);
        assert!(of(0.95).low >= 10.0);
        assert_eq!(of(0.5).high.map(f64::round), Some(10.0));
    }

    #[test]
    fn counts_add_up_to_the_share_whatever_the_signs() {
        let mut timeline = Timeline::new(MetricKind::Trend);
        for second in 0..50_u32 {
            for value in [-5.0, -0.5, 0.0, 0.0, 0.25, 3.0, f64::from(second)] {
                timeline.record(value, Duration::from_secs(u64::from(second)));
            }
        }
        let Reading::Trend(trend) = timeline.reading(&ALL, Duration::from_secs(50)) else { return };
        for p in [0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95] {
            let below: f64 = counts(&timeline, &trend, p, &ALL).iter().map(|bin| bin.below).sum();
            assert!((below / 350.0 - p).abs() < 0.01, "{p}: {below}");
        }
    }
}
