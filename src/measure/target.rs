//! What the target tells of itself: the gauges of its pool, and its waits for a connection.
//!
//! No worker records it. Sources are read elsewhere and told to the totals: each sample of a gauge as it comes, which
//! is its range and its course over time; and as its value the mean over the time so far, so that a threshold judges
//! the run and not the last look at it.

use super::cells::{Cell, Range};
use super::histogram::Histogram;
use super::layout::MetricId;
use super::timeline::{Part, Timeline};
use super::totals::{Reading, Totals};
use super::trend::Trend;
use std::time::Duration;

/// What is known of the target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    gauges: [Range; GAUGES.len()],
    /// The latest sample of each: a range's value is a mean.
    latest: [Option<f64>; GAUGES.len()],
    wait: Histogram,
}

/// The gauges, in the order of their ranges.
pub(super) const GAUGES: [MetricId; 3] = [MetricId::POOL_UTILIZATION, MetricId::POOL_USED, MetricId::POOL_PENDING];

// === impl Target ===

impl Target {
    pub(crate) fn read(&self, metric: MetricId) -> Reading {
        match place(metric).and_then(|place| self.gauges.get(place)) {
            Some(range) => Reading::Gauge(*range),
            None => Reading::Trend(Box::new(Trend::new(self.wait.clone(), Vec::new()))),
        }
    }

    /// The gauges, in the order of [`GAUGES`], and the waits.
    pub(super) const fn parts(&self) -> (&[Range; GAUGES.len()], &Histogram) {
        (&self.gauges, &self.wait)
    }

    /// Adds what another worker was told of the same target: of a gauge the mean of both, and the range.
    pub(super) fn add(&mut self, waits: &Histogram, gauge: impl Fn(MetricId) -> Option<Range>) {
        self.wait.merge(waits);
        for (metric, range) in GAUGES.into_iter().zip(&mut self.gauges) {
            let Some(other) = gauge(metric).filter(|other| other.count > 0) else { continue };
            let (mine, theirs) = (range.count as f64, other.count as f64);
            let mean = (range.value * mine + other.value * theirs) / (mine + theirs);
            range.merge(&other);
            range.value = mean;
        }
    }
}

// === impl Totals ===

impl Totals {
    /// Tells a sample of one of the target's gauges, taken `at` (from the run's start).
    pub fn sample_target(&mut self, metric: MetricId, value: f64, at: Duration) {
        let Some(place) = place(metric) else { return };
        self.target.gauges[place].set(value, at);
        self.target.latest[place] = Some(value);
        for cut in self.layout.cuts.run.iter().filter(|cut| cut.metric == metric && cut.holds(at)) {
            if let Some(cell) = self.cells.cuts.get_mut(cut.cell) {
                cell.record(value, || at);
            }
        }
    }

    /// The latest sample of one of the target's gauges; none of another metric.
    #[must_use]
    pub fn target_now(&self, metric: MetricId) -> Option<f64> {
        place(metric).and_then(|place| self.target.latest[place])
    }

    /// Sets the value of one of the target's gauges: what it is over a part of the run, or over all of it so far.
    pub fn settle_target(&mut self, metric: MetricId, over: impl Fn(Option<&Part>) -> Option<f64>) {
        let Some(range) = place(metric).and_then(|place| self.target.gauges.get_mut(place)) else { return };
        settle(range, over(None));
        for cut in self.layout.cuts.run.iter().filter(|cut| cut.metric == metric) {
            if let Some(Cell::Gauge(range)) = self.cells.cuts.get_mut(cut.cell) {
                settle(range, over(cut.part().as_ref()));
            }
        }
    }

    /// Tells the waits for a connection in ms: all of them, and over the time of the run.
    pub fn settle_waits(&mut self, all: &Histogram, over_time: &Timeline) {
        self.target.wait = all.clone();
        for cut in self.layout.cuts.run.iter().filter(|cut| cut.metric == MetricId::POOL_WAIT) {
            match self.cells.cuts.get_mut(cut.cell) {
                Some(Cell::Timeline(known)) => **known = over_time.clone(),
                Some(Cell::Trend(trend)) => {
                    trend.histogram = match cut.part() {
                        None => all.clone(),
                        Some(part) => {
                            let mut sum = Histogram::new();
                            over_time.histograms(&part).for_each(|bin| sum.merge(bin));
                            sum
                        }
                    };
                }
                _ => {}
            }
        }
    }
}

/// Where a gauge stands.
fn place(metric: MetricId) -> Option<usize> {
    GAUGES.iter().position(|known| *known == metric)
}

/// The value without a sample of its own is one: then it is all that is known.
fn settle(range: &mut Range, value: Option<f64>) {
    let Some(value) = value else { return };
    if range.count == 0 {
        range.set(value, Duration::ZERO);
    }
    range.value = value;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::measure::{LayoutBuilder, Selector};
    use crate::plan::{During, MetricKind};
    use tokio::time::Instant;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn gauge(reading: Option<Reading>) -> Range {
        let Some(Reading::Gauge(range)) = reading else { panic!("{reading:?}") };
        range
    }

    #[tokio::test(start_paused = true)]
    async fn a_gauge_is_its_mean_and_ranges_over_its_samples_also_in_a_part_of_the_run() {
        let mut layout = LayoutBuilder::new(Vec::new());
        let all = Selector::default();
        let during = During { from: s(2), to: Some(s(4)) };
        let part = layout.series(MetricId::POOL_USED, &all, Some(during));
        let over_time = layout.timeline(MetricId::POOL_USED, &all);
        let vus = layout.series(MetricId::VUS, &all, Some(during));
        let mut totals = Totals::new(layout.build(), Instant::now());
        for (at, value) in [(1, 1.0), (2, 6.0), (3, 8.0), (5, 3.0)] {
            totals.sample_target(MetricId::POOL_USED, value, s(at));
        }
        totals.settle_target(MetricId::POOL_USED, |part| Some(if part.is_some() { 7.0 } else { 4.5 }));
        let whole = gauge(totals.metric(MetricId::POOL_USED, &all, s(6)));
        assert_eq!((whole.value, whole.min, whole.max, whole.count), (4.5, 1.0, 8.0, 4));
        let of_part = gauge(totals.series(part, s(6)));
        assert_eq!((of_part.value, of_part.min, of_part.max), (7.0, 6.0, 8.0));
        assert!(totals.timeline(over_time).unwrap().level(&(s(0)..s(9))).is_some());
        // The gauges of the run and those of the target are told apart, also in a part of the run.
        totals.sample_vus();
        assert_eq!(gauge(totals.series(vus, s(6))).count, 0);
        assert_eq!(gauge(totals.metric(MetricId::POOL_PENDING, &all, s(6))).count, 0, "nobody saw it");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_are_a_trend() {
        let mut layout = LayoutBuilder::new(Vec::new());
        let all = Selector::default();
        let part = layout.series(MetricId::POOL_WAIT, &all, Some(During { from: s(0), to: Some(s(2)) }));
        let mut totals = Totals::new(layout.build(), Instant::now());
        let (mut waits, mut over_time) = (Histogram::new(), Timeline::new(MetricKind::Trend));
        for (at, ms) in [(1, 10.0), (3, 90.0)] {
            waits.record(ms);
            over_time.record(ms, s(at));
        }
        totals.settle_waits(&waits, &over_time);
        totals.settle_waits(&waits, &over_time);
        assert_eq!(totals.trend(MetricId::POOL_WAIT, &all, s(5)).count(), 2, "told again, it is the same");
        let Some(Reading::Trend(first)) = totals.series(part, s(5)) else { panic!("a trend") };
        assert_eq!((first.count(), first.max().map(|max| max.value)), (1, Some(10.0)));
    }
}
