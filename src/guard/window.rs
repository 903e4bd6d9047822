//! A series over the last while: what `pause_when` looks at.
//!
//! Once a second the series' whole so far is looked at; what came since the last look goes into
//! the newest of at most 61 slices, and slices that have left the window are forgotten. So a
//! window of a day takes what a window of a minute takes.

use crate::measure::threshold::{Aggregation, per_second};
use crate::measure::{Histogram, Range, Reading, Share, Trend};
use std::collections::VecDeque;
use std::time::Duration;

/// How many slices a window has, but for the one that is leaving it.
const SLICES: u32 = 60;
/// No slice is shorter: looks are a second apart.
const SHORTEST: Duration = Duration::from_secs(1);

/// The last while of a series.
#[derive(Clone, Debug)]
pub struct Window {
    over: Duration,
    /// How long a slice is.
    width: Duration,
    /// By when each began; the newest is last.
    slices: VecDeque<(Duration, Slice)>,
    /// The whole so far, when it was looked at last.
    seen: Option<Reading>,
}

/// What came in a part of the window.
#[derive(Clone, Debug)]
pub enum Slice {
    /// Of a trend.
    Trend(Histogram),
    /// Of a rate.
    Rate(Share),
    /// Of a counter; one that did not count has no sample.
    Counter(f64),
    /// Of a gauge: the sum and number of its values.
    Gauge {
        /// Their sum.
        sum: f64,
        /// How many.
        count: u64,
    },
}

// === impl Window ===

impl Window {
    /// An empty window of this length.
    #[must_use]
    pub fn new(over: Duration) -> Self {
        Self { over, width: (over / SLICES).max(SHORTEST), slices: VecDeque::new(), seen: None }
    }

    /// Looks at the series' whole so far, `at` a time that never goes back. `latest` is the latest value of a gauge
    /// whose reading is something else. Answers what came since the last look.
    pub fn look(&mut self, at: Duration, reading: Reading, latest: Option<f64>) -> Slice {
        let new = since(self.seen.as_ref(), &reading, latest);
        self.seen = Some(reading);
        match self.slices.back_mut() {
            Some((begun, slice)) if at.saturating_sub(*begun) < self.width => slice.add(&new),
            _ => self.slices.push_back((at, new.clone())),
        }
        self.forget_before(at);
        new
    }

    /// The figure of the window that ends at `at`; none without a sample.
    #[must_use]
    pub fn figure(&mut self, at: Duration, aggregation: Aggregation) -> Option<f64> {
        self.forget_before(at);
        let mut slices = self.slices.iter().map(|(_, slice)| slice);
        let mut all = slices.next()?.clone();
        slices.for_each(|slice| all.add(slice));
        all.figure(aggregation, self.over)
    }

    /// A slice of this series in which nothing came; none before the first look.
    #[must_use]
    pub fn nothing(&self) -> Option<Slice> {
        self.seen.as_ref().map(|seen| since(Some(seen), seen, None))
    }

    /// Forgets all that came so far.
    pub fn clear(&mut self) {
        self.slices.clear();
    }

    /// A slice began with what came in the second before it.
    fn forget_before(&mut self, at: Duration) {
        let from = at.saturating_sub(self.over);
        while self.slices.front().is_some_and(|(begun, _)| *begun + self.width <= from + SHORTEST) {
            self.slices.pop_front();
        }
    }
}

// === impl Slice ===

impl Slice {
    /// Adds what came later.
    pub fn add(&mut self, other: &Self) {
        match (self, other) {
            (Self::Trend(all), Self::Trend(more)) => all.merge(more),
            (Self::Rate(all), Self::Rate(more)) => {
                all.passes += more.passes;
                all.total += more.total;
            }
            (Self::Counter(all), Self::Counter(more)) => *all += more,
            (Self::Gauge { sum, count }, Self::Gauge { sum: more, count: others }) => {
                *sum += more;
                *count += others;
            }
            // Two slices of one series have the same kind.
            _ => {}
        }
    }

    /// The figure of it; none without a sample. `over` is the time that a counter's rate is of.
    #[must_use]
    pub fn figure(&self, aggregation: Aggregation, over: Duration) -> Option<f64> {
        match self {
            Self::Trend(all) => (all.count() > 0).then(|| aggregation.of(&Trend::new(all.clone(), Vec::new())).value),
            Self::Rate(all) => (all.total > 0).then(|| all.rate()),
            Self::Counter(sum) if aggregation == Aggregation::Rate => (*sum != 0.0).then(|| per_second(*sum, over)),
            Self::Counter(sum) => (*sum != 0.0).then_some(*sum),
            #[allow(clippy::cast_precision_loss, reason = "nobody looks 2^53 times")]
            Self::Gauge { sum, count } => (*count > 0).then(|| sum / *count as f64),
        }
    }
}

/// What of `now` came since `before`.
fn since(before: Option<&Reading>, now: &Reading, latest: Option<f64>) -> Slice {
    match (now, before) {
        (Reading::Trend(now), Some(Reading::Trend(before))) => Slice::Trend(now.finished().since(before.finished())),
        (Reading::Trend(now), _) => Slice::Trend(now.finished().clone()),
        (Reading::Rate(now), before) => {
            let before = if let Some(Reading::Rate(before)) = before { *before } else { Share::default() };
            Slice::Rate(Share {
                passes: now.passes.saturating_sub(before.passes),
                total: now.total.saturating_sub(before.total),
            })
        }
        (Reading::Counter(now), before) => {
            Slice::Counter(now - if let Some(Reading::Counter(before)) = before { *before } else { 0.0 })
        }
        (Reading::Gauge(now), before) => {
            let before = if let Some(Reading::Gauge(before)) = before { *before } else { Range::default() };
            if now.count > before.count {
                Slice::Gauge { sum: latest.unwrap_or(now.value), count: 1 }
            } else {
                Slice::Gauge { sum: 0.0, count: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rate(passes: u64, total: u64) -> Reading {
        Reading::Rate(Share { passes, total })
    }

    #[test]
    fn a_share_is_that_of_the_last_while_and_none_without_a_sample() {
        let mut window = Window::new(s(10));
        let (mut failed, mut all) = (0, 0);
        for second in 1..=40_u64 {
            // Five a second; all fail from 11 to 20, and after 30 nothing comes.
            all += if second <= 30 { 5 } else { 0 };
            failed += if (11..=20).contains(&second) { 5 } else { 0 };
            window.look(s(second), rate(failed, all), None);
            let figure = window.figure(s(second), Aggregation::Rate);
            let bad = (1..=second).rev().take(10).filter(|second| (11..=20).contains(second)).count() as f64;
            match second {
                40 => assert_eq!(figure, None),
                1..=30 => assert_eq!(figure, Some(bad / second.min(10) as f64), "{second}"),
                _ => assert_eq!(figure, Some(0.0)),
            }
        }
    }

    #[test]
    fn a_counter_a_gauge_and_a_trend_have_windows_too() {
        let mut counter = Window::new(s(5));
        let mut gauge = Window::new(s(5));
        let mut trend = Window::new(s(5));
        let mut histogram = Histogram::new();
        for second in 1..=10_u64 {
            counter.look(s(second), Reading::Counter(3.0 * second as f64), None);
            let range = Range { count: second, value: 99.0, ..Range::default() };
            gauge.look(s(second), Reading::Gauge(range), Some(second as f64));
            histogram.record(if second <= 5 { 10.0 } else { 1000.0 });
            trend.look(s(second), Reading::Trend(Box::new(Trend::new(histogram.clone(), Vec::new()))), None);
        }
        assert_eq!(counter.figure(s(10), Aggregation::Count), Some(15.0));
        assert_eq!(counter.figure(s(10), Aggregation::Rate), Some(3.0));
        assert_eq!(counter.figure(s(30), Aggregation::Count), None);
        assert_eq!(gauge.figure(s(10), Aggregation::Value), Some(8.0));
        let least = trend.figure(s(10), Aggregation::Min).unwrap();
        assert!((least / 1000.0 - 1.0).abs() < 0.01, "{least}");
        counter.look(s(40), Reading::Counter(30.0), None);
        assert_eq!(counter.figure(s(40), Aggregation::Count), None, "it did not count");
        gauge.clear();
        assert_eq!(gauge.figure(s(10), Aggregation::Value), None);
    }

    #[test]
    fn a_long_window_takes_no_more_slices_than_a_short_one() {
        let mut window = Window::new(s(86_400));
        for second in 1..200_000_u64 {
            window.look(s(second), rate(second / 2, second), None);
            assert!(window.slices.len() <= SLICES as usize + 1);
        }
        let share = window.figure(s(199_999), Aggregation::Rate).unwrap();
        assert!((share - 0.5).abs() < 0.001);
    }
}
