//! A figure over time, as it was sampled: in bounded memory, read off for a part of the run.
//!
//! A sample stands for the time that is nearer to it than to its neighbours, so a mean is weighted by time and not by
//! how often somebody looked. Only samples from within the part speak for it: what a pool did before the first request
//! says nothing about the load. A source that was silent for longer than it usually is says nothing about the gap.

use std::time::Duration;

/// A part of the run, from the timelines' epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Window {
    /// Where it begins.
    #[serde(rename = "from_ms", with = "crate::measure::plain::ms")]
    pub from: Duration,
    /// Where it ends.
    #[serde(rename = "to_ms", with = "crate::measure::plain::ms")]
    pub to: Duration,
}

/// A figure over time.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// By time, rising.
    points: Vec<Point>,
    /// So many samples make a point: 2 to the power of this.
    doubled: u32,
}

/// One sample, or several that were merged when there were too many.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    /// The middle of its samples.
    at: Duration,
    /// Its first sample.
    from: Duration,
    /// Its last sample.
    until: Duration,
    mean: f64,
    min: f64,
    max: f64,
    /// Samples in it.
    count: u32,
    /// The longest time between two samples in it.
    gap: Duration,
}

/// What a curve was in a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// Weighted by time.
    pub mean: f64,
    /// The least sample.
    pub min: f64,
    /// The greatest sample.
    pub max: f64,
    /// The latest sample.
    pub last: f64,
    /// How far samples were apart, for nine tenths of the time at most.
    #[serde(rename = "spacing_ms", with = "crate::measure::plain::ms")]
    pub spacing: Duration,
}

/// The most points of a curve, at 96 bytes each.
const MOST: usize = 2_048;
/// A sample speaks for at most so many usual spacings to either side of it.
const REACH: u32 = 3;
/// Spacings that cover less than this share of the time are hiccups, not the resolution.
const HICCUP: f64 = 0.1;

// === impl Window ===

impl Window {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    fn holds(&self, at: Duration) -> bool {
        self.from <= at && at <= self.to
    }
}

// === impl Curve ===

impl Curve {
    /// Adds a sample. One that comes late finds its place; what is not finite is no sample.
    pub fn add(&mut self, at: Duration, value: f64) {
        if !value.is_finite() {
            return;
        }
        let point =
            Point { at, from: at, until: at, mean: value, min: value, max: value, count: 1, gap: Duration::ZERO };
        match self.points.last_mut() {
            // Said again of the same instant: the later word counts.
            Some(last) if last.at == at && last.count == 1 => *last = point,
            Some(last) if last.until > at => {
                let place = self.points.partition_point(|known| known.at <= at);
                self.points.insert(place, point);
            }
            Some(last) if last.count >> self.doubled == 0 => *last = last.merge(&point),
            _ => self.points.push(point),
        }
        if self.points.len() > MOST {
            self.halve();
        }
    }

    /// Whether there is no sample.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The latest sample, and when it was taken.
    #[must_use]
    pub fn latest(&self) -> Option<(Duration, f64)> {
        self.points.last().map(|point| (point.at, point.mean))
    }

    /// What the figure was at an instant: its last sample until then, or its first one after.
    #[must_use]
    pub fn at(&self, at: Duration) -> Option<f64> {
        let after = self.points.partition_point(|point| point.at <= at);
        let point = self.points.get(after.saturating_sub(1)).or_else(|| self.points.first())?;
        Some(point.mean)
    }

    /// What it was in a part of the run. None where nothing was sampled in it.
    #[must_use]
    pub fn level(&self, window: Window) -> Option<Level> {
        let points = self.within(window);
        let most = reach(points);
        let (mut sum, mut all) = (0.0, 0.0);
        for (index, point) in points.iter().enumerate() {
            let (before, after) = cell(points, index, window, most);
            let weight = (before + after).as_secs_f64();
            sum += point.mean * weight;
            all += weight;
        }
        let plain = points.iter().map(|point| point.mean).sum::<f64>() / points.len() as f64;
        let min = points.iter().map(|point| point.min).reduce(f64::min)?;
        let max = points.iter().map(|point| point.max).reduce(f64::max)?;
        Some(Level {
            // Rounding must not carry a mean beyond what was seen.
            mean: (if all > 0.0 { sum / all } else { plain }).max(min).min(max),
            min,
            max,
            last: points.last()?.mean,
            spacing: self.spacing(window)?,
        })
    }

    /// This curve divided by another, sample by sample. Where the other is 0 or unknown there is no sample.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let ratio = |point: &Point| {
            let by = other.at(point.at).filter(|by| *by > 0.0)?;
            Some(Point { mean: point.mean / by, min: point.min / by, max: point.max / by, ..*point })
        };
        Self { points: self.points.iter().filter_map(ratio).collect(), doubled: self.doubled }
    }

    /// The stretches of a part of the run in which samples met a condition.
    #[must_use]
    pub fn stretches(&self, window: Window, met: impl Fn(f64) -> bool) -> Vec<Window> {
        let points = self.within(window);
        let most = reach(points);
        let mut found: Vec<Window> = Vec::new();
        for (index, point) in points.iter().enumerate() {
            if !met(point.max) {
                continue;
            }
            let (before, after) = cell(points, index, window, most);
            let (from, to) = (point.at.saturating_sub(before), point.at + after);
            match found.last_mut() {
                Some(last) if from <= last.to => last.to = to,
                _ => found.push(Window { from, to }),
            }
        }
        found
    }

    /// How far samples were apart: no further, for nine tenths of the time. None without a sample.
    fn spacing(&self, window: Window) -> Option<Duration> {
        let points = self.within(window);
        let (first, last) = (points.first()?, points.last()?);
        let mut gaps: Vec<Duration> = points.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        gaps.extend([first.at - window.from, window.to - last.at]);
        // Merged points lie further apart than what they were made of.
        let merged = points.iter().map(|point| point.gap).max().unwrap_or_default();
        if points.iter().any(|point| point.count > 1) {
            return Some(merged);
        }
        gaps.sort_unstable_by(|one, other| other.cmp(one));
        let hiccups = window.length().mul_f64(HICCUP);
        let mut seen = Duration::ZERO;
        for gap in &gaps {
            seen += *gap;
            if seen >= hiccups {
                return Some(*gap);
            }
        }
        Some(Duration::ZERO)
    }

    fn within(&self, window: Window) -> &[Point] {
        let from = self.points.partition_point(|point| point.at < window.from);
        let to = self.points.partition_point(|point| window.holds(point.at) || point.at < window.from);
        self.points.get(from..to).unwrap_or_default()
    }

    #[cold]
    fn halve(&mut self) {
        let joined = self.points.chunks(2).map(|pair| match pair {
            [one, other] => one.merge(other),
            [one, ..] => *one,
            [] => Point::default(),
        });
        self.points = joined.collect();
        self.doubled += 1;
    }
}

// === impl Point ===

impl Point {
    fn merge(&self, other: &Self) -> Self {
        let (one, two) = (f64::from(self.count), f64::from(other.count));
        Self {
            at: self.at + (other.at.saturating_sub(self.at)).mul_f64(two / (one + two)),
            from: self.from,
            until: other.until,
            mean: (self.mean * one + other.mean * two) / (one + two),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            count: self.count.saturating_add(other.count),
            gap: self.gap.max(other.gap).max(other.from.saturating_sub(self.until)),
        }
    }
}

/// The time before and after a sample that it speaks for: half the way to its neighbours, and no further than `most`.
fn cell(points: &[Point], index: usize, window: Window, most: Duration) -> (Duration, Duration) {
    let Some(point) = points.get(index) else { return (Duration::ZERO, Duration::ZERO) };
    let before = match index.checked_sub(1).and_then(|before| points.get(before)) {
        Some(before) => (point.at - before.at) / 2,
        None => point.at - window.from,
    };
    let after = match points.get(index + 1) {
        Some(after) => (after.at - point.at) / 2,
        None => window.to - point.at,
    };
    (before.min(most), after.min(most))
}

/// How far a sample reaches at most: some usual spacings (the median). One sample alone speaks for all.
fn reach(points: &[Point]) -> Duration {
    let mut gaps: Vec<Duration> = points.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    gaps.sort_unstable();
    // Half of what a Duration holds, so that before and after together cannot overflow.
    gaps.get(gaps.len() / 2).map_or(Duration::MAX / 4, |usual| usual.saturating_mul(REACH))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const fn window(from: u64, to: u64) -> Window {
        Window { from: s(from), to: s(to) }
    }

    fn curve(samples: &[(u64, f64)]) -> Curve {
        let mut curve = Curve::default();
        samples.iter().for_each(|(at, value)| curve.add(s(*at), *value));
        curve
    }

    #[test]
    fn a_mean_is_weighted_by_time_not_by_how_often_somebody_looked() {
        // Eight of the ten seconds lie nearer to the two 0s than to the three 10s.
        let looked = curve(&[(0, 0.0), (4, 0.0), (8, 10.0), (9, 10.0), (10, 10.0)]);
        let level = looked.level(window(0, 10)).unwrap();
        // The usual spacing is 4 s or less, so nothing is out of reach: 0 until 6 s, 10 from there.
        assert!((level.mean - 4.0).abs() < 1e-9, "{level:?}");
        assert_eq!((level.min, level.max, level.last), (0.0, 10.0, 10.0));
    }

    #[test]
    fn what_was_before_the_load_and_after_it_is_not_of_it() {
        let pool = curve(&[(0, 0.0), (9, 0.0), (11, 10.0), (12, 10.0), (13, 10.0), (15, 0.0)]);
        let level = pool.level(window(10, 14)).unwrap();
        assert_eq!((level.mean, level.min), (10.0, 10.0));
        assert_eq!(pool.level(window(20, 30)), None);
    }

    #[test]
    fn a_source_that_falls_silent_says_nothing_of_the_silence() {
        // A look each second, then none for a minute: 2 until then, 8 afterwards for three seconds.
        let mut samples: Vec<_> = (0..=10).map(|at| (at, 2.0)).collect();
        samples.extend((70..=73).map(|at| (at, 8.0)));
        let level = curve(&samples).level(window(0, 73)).unwrap();
        // 10 s + 3 s of 2, 3 s + 3 s of 8.
        let expected = (13.0 * 2.0 + 6.0 * 8.0) / 19.0;
        assert!((level.mean - expected).abs() < 1e-9, "{level:?}");
        assert_eq!(level.spacing, s(60), "and most of the time was silence");
    }

    #[test]
    fn one_hiccup_is_not_the_resolution_but_a_slow_exporter_is() {
        let every: Vec<_> = (0..=100).filter(|at| !(50..56).contains(at)).map(|at| (at, 1.0)).collect();
        assert_eq!(curve(&every).level(window(0, 100)).unwrap().spacing, s(1));
        let minutes: Vec<_> = (0..=5).map(|at| (at * 60, 1.0)).collect();
        assert_eq!(curve(&minutes).level(window(0, 300)).unwrap().spacing, s(60));
        // One look at a load of 10 s: 7 s of it are far from it.
        assert_eq!(curve(&[(3, 1.0)]).level(window(0, 10)).unwrap().spacing, s(7));
        assert_eq!(curve(&[(3, 4.0)]).level(window(0, 10)).unwrap().mean, 4.0);
    }

    #[test]
    fn stretches_join_neighbours() {
        let pool = curve(&[(0, 1.0), (1, 9.0), (2, 10.0), (3, 1.0), (4, 1.0), (5, 10.0), (6, 1.0)]);
        let half = Duration::from_millis(500);
        let found = pool.stretches(window(0, 6), |value| value >= 9.0);
        assert_eq!(found, [Window { from: half, to: s(2) + half }, Window { from: s(4) + half, to: s(5) + half }],);
        assert!(pool.stretches(window(0, 6), |value| value > 10.0).is_empty());
    }

    #[test]
    fn a_ratio_takes_the_size_that_held() {
        let used = curve(&[(1, 2.0), (2, 4.0), (5, 4.0)]);
        let max = curve(&[(2, 4.0), (4, 8.0)]);
        let ratio = used.over(&max);
        assert_eq!(ratio.at(s(1)), Some(0.5), "the first size that is known");
        assert_eq!((ratio.at(s(2)), ratio.at(s(5))), (Some(1.0), Some(0.5)));
        assert!(used.over(&curve(&[(0, 0.0)])).is_empty());
        assert!(used.over(&Curve::default()).is_empty());
    }

    #[test]
    fn a_month_takes_what_an_hour_takes_and_the_mean_stays() {
        let mut long = Curve::default();
        for second in 0..100_000_u64 {
            long.add(s(second), if second < 50_000 { 1.0 } else { 3.0 });
        }
        assert!(long.points.len() <= MOST);
        let level = long.level(window(0, 99_999)).unwrap();
        assert!((level.mean - 2.0).abs() < 0.01, "{level:?}");
        assert_eq!((level.min, level.max, level.spacing), (1.0, 3.0, s(1)));
    }

    proptest! {
        #[test]
        fn a_mean_lies_between_the_least_and_the_greatest(
            samples in proptest::collection::vec((0_u64..100, -1e6_f64..1e6), 0..60),
            from in 0_u64..100,
            length in 0_u64..100,
        ) {
            let looked = curve(&samples);
            let window = window(from, from + length);
            if let Some(level) = looked.level(window) {
                prop_assert!(level.min <= level.mean + 1e-6 && level.mean <= level.max + 1e-6, "{level:?}");
                prop_assert!(level.spacing <= window.length());
            }
            for stretch in looked.stretches(window, |_| true) {
                prop_assert!(window.from <= stretch.from && stretch.to <= window.to);
            }
        }

        #[test]
        fn the_order_in_which_samples_come_does_not_matter(
            order in Just((0_u64..50).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let shuffled: Vec<_> = order.into_iter().map(|at| (at, at as f64)).collect();
            let sorted: Vec<_> = (0..50).map(|at| (at, at as f64)).collect();
            prop_assert_eq!(curve(&shuffled).level(window(5, 40)), curve(&sorted).level(window(5, 40)));
        }
    }
}
