//! The cells: where samples are counted. A recorder has one set, and the totals are another of the
//! same layout, so handing over is adding up.

use super::dues::Dues;
use super::histogram::Histogram;
use super::layout::{Layout, MetricId};
use super::metric::{CUSTOM_BUILT_IN, FAILURES, ITERATION_TRENDS, REQUEST_TRENDS};
use super::starts::Starts;
use super::tally::Judging;
use super::timeline::{Prepared, Timeline};
use crate::plan::MetricKind;
use std::time::Duration;

/// All that is counted under one layout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells {
    /// Of each site, expected and not, [`REQUEST_TRENDS`] trends.
    pub(crate) request_trends: Vec<Histogram>,
    /// Of each site: expected, not expected.
    pub(crate) requests: Vec<[u64; 2]>,
    /// Of each site: those that the target turned away.
    pub(crate) requests_shed: Vec<u64>,
    /// Of each site, by kind.
    pub(crate) failures: Vec<[u64; FAILURES.len()]>,
    /// Of each site: when the requests were due that were cut off.
    pub(crate) requests_cut_off: Vec<Dues>,
    /// Of each site.
    pub(crate) groups: Vec<Histogram>,
    /// Of each site, its custom metrics; made when the first value comes.
    pub(crate) customs: Vec<Vec<Cell>>,
    /// Of each check.
    pub(crate) checks: Vec<Share>,
    /// Of each scenario, [`ITERATION_TRENDS`] trends.
    pub(crate) iteration_trends: Vec<Histogram>,
    /// Of each scenario.
    pub(crate) scenarios: Vec<ScenarioCells>,
    /// The prepared cuts.
    pub(crate) cuts: Vec<Cell>,
    pub(crate) stale_connections: u64,
    pub(crate) users_shared: u64,
    /// For how long workers were ready to run and did not.
    pub(crate) starved: Duration,
}

/// What is counted of a scenario beside its trends.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScenarioCells {
    pub(crate) completed: u64,
    pub(crate) cut_off: Dues,
    pub(crate) dropped: Dues,
    /// Asked for, and never due: counted, and in no distribution.
    pub(crate) never_due: u64,
    /// Of an open model: how many its schedule had.
    pub(crate) scheduled: u64,
    /// Of those dropped, the ones that a generator in time would have started.
    pub(crate) missed: u64,
    /// Of an open model: when some of its arrivals started.
    pub(crate) starts: Starts,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// Those that are true: checks that passed, requests that failed.
    pub passes: u64,
    /// All.
    pub total: u64,
}

/// The latest of a gauge's values, and its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// How many values were set.
    pub count: u64,
    /// The latest.
    pub value: f64,
    /// The least; 0 where none was set.
    pub min: f64,
    /// The greatest; 0 where none was set.
    pub max: f64,
    /// When the latest was set, from the run's start: workers and steps set one gauge each for themselves.
    #[serde(rename = "at_ms", with = "super::plain::ms")]
    pub(crate) at: Duration,
}

/// One cell, by the metric's kind.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Trend(Box<TrendCell>),
    Rate(Share),
    Counter(f64),
    Gauge(Range),
    Timeline(Box<Timeline>),
    Tally(Box<Judging>),
}

/// A trend, and when the work was due that belongs to it and never finished.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrendCell {
    pub(crate) histogram: Histogram,
    pub(crate) cut_off: Dues,
    /// By scenario; empty until one drops.
    pub(crate) dropped: Vec<Dues>,
}

// === impl Cells ===

impl Cells {
    pub(crate) fn new(layout: &Layout) -> Self {
        let (sites, scenarios) = (layout.sites().len(), layout.scenarios().len());
        Self {
            request_trends: vec![Histogram::new(); sites * 2 * REQUEST_TRENDS],
            requests: vec![[0; 2]; sites],
            requests_shed: vec![0; sites],
            failures: vec![[0; FAILURES.len()]; sites],
            requests_cut_off: vec![Dues::new(); sites],
            groups: vec![Histogram::new(); sites],
            customs: vec![Vec::new(); sites],
            checks: vec![Share::default(); layout.checks().len()],
            iteration_trends: vec![Histogram::new(); scenarios * ITERATION_TRENDS],
            scenarios: vec![ScenarioCells::default(); scenarios],
            cuts: layout.cuts.cells.iter().map(Prepared::cell).collect(),
            stale_connections: 0,
            users_shared: 0,
            starved: Duration::ZERO,
        }
    }

    /// Adds all of `other`; `timed` where its times count from the same start.
    pub(crate) fn merge(&mut self, other: &Self, timed: bool) {
        each(&mut self.request_trends, &other.request_trends, Histogram::merge);
        each(&mut self.requests, &other.requests, |a, b| each(a, b, |a, b| *a += b));
        each(&mut self.requests_shed, &other.requests_shed, |a, b| *a += b);
        each(&mut self.failures, &other.failures, |a, b| each(a, b, |a, b| *a += b));
        each(&mut self.requests_cut_off, &other.requests_cut_off, Dues::merge);
        each(&mut self.groups, &other.groups, Histogram::merge);
        each(&mut self.customs, &other.customs, |a, b| {
            if a.is_empty() {
                a.clone_from(b);
            } else {
                each(a, b, Cell::merge);
            }
        });
        each(&mut self.checks, &other.checks, Share::merge);
        each(&mut self.iteration_trends, &other.iteration_trends, Histogram::merge);
        each(&mut self.scenarios, &other.scenarios, ScenarioCells::merge);
        each(&mut self.cuts, &other.cuts, |a, b| {
            if timed || !matches!(b, Cell::Timeline(_) | Cell::Tally(_)) {
                a.merge(b);
            }
        });
        self.stale_connections += other.stale_connections;
        self.users_shared += other.users_shared;
        self.starved += other.starved;
    }

    /// Forgets what was counted and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.request_trends.iter_mut().for_each(Histogram::clear);
        self.requests.fill([0; 2]);
        self.requests_shed.fill(0);
        self.failures.fill([0; FAILURES.len()]);
        self.requests_cut_off.iter_mut().for_each(Dues::clear);
        self.groups.iter_mut().for_each(Histogram::clear);
        self.customs.iter_mut().flatten().for_each(Cell::clear);
        self.checks.fill(Share::default());
        self.iteration_trends.iter_mut().for_each(Histogram::clear);
        self.scenarios.iter_mut().for_each(ScenarioCells::clear);
        self.cuts.iter_mut().for_each(Cell::clear);
        (self.stale_connections, self.users_shared, self.starved) = (0, 0, Duration::ZERO);
    }

    /// The eight trends of a site's requests.
    #[inline]
    pub(crate) fn request_trends_mut(&mut self, site: usize, expected: bool) -> Option<&mut [Histogram]> {
        let from = (site * 2 + usize::from(!expected)) * REQUEST_TRENDS;
        self.request_trends.get_mut(from..from + REQUEST_TRENDS)
    }

    pub(crate) fn request_trend(&self, site: usize, expected: bool, trend: usize) -> Option<&Histogram> {
        self.request_trends.get((site * 2 + usize::from(!expected)) * REQUEST_TRENDS + trend)
    }

    #[inline]
    pub(crate) fn iteration_trends_mut(&mut self, scenario: usize) -> Option<&mut [Histogram]> {
        self.iteration_trends.get_mut(scenario * ITERATION_TRENDS..(scenario + 1) * ITERATION_TRENDS)
    }

    /// A site's cell of a custom metric.
    #[inline]
    pub(crate) fn custom_mut(&mut self, layout: &Layout, site: usize, metric: MetricId) -> Option<&mut Cell> {
        let cells = self.customs.get_mut(site)?;
        if cells.is_empty() {
            let own = layout.parts.metrics.iter().skip(super::metric::BUILT_IN.len());
            cells.extend(CUSTOM_BUILT_IN.iter().map(|_| Cell::new(MetricKind::Trend)));
            cells.extend(own.map(|metric| Cell::new(metric.kind)));
        }
        cells.get_mut(metric.custom_slot()?)
    }
}

// === impl Cell ===

impl Cell {
    pub(crate) fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Trend => Self::Trend(Box::default()),
            MetricKind::Rate => Self::Rate(Share::default()),
            MetricKind::Counter => Self::Counter(0.0),
            MetricKind::Gauge => Self::Gauge(Range::default()),
        }
    }

    /// Counts a value as the metric's kind has it; `at` is asked only where the kind needs the time.
    #[inline]
    pub(crate) fn record(&mut self, value: f64, at: impl FnOnce() -> Duration) {
        match self {
            Self::Trend(trend) => trend.histogram.record(value),
            Self::Rate(share) => share.add(value != 0.0),
            Self::Counter(sum) if value.is_finite() => *sum += value,
            Self::Gauge(range) if value.is_finite() => range.set(value, at()),
            Self::Timeline(timeline) => timeline.record(value, at()),
            Self::Tally(judging) => judging.record(value),
            Self::Counter(_) | Self::Gauge(_) => {}
        }
    }

    pub(crate) fn cut_off(&mut self, due: Duration, at: Duration) {
        match self {
            Self::Trend(trend) => trend.cut_off.add(due),
            Self::Timeline(timeline) => timeline.cut_off(due, at),
            Self::Tally(judging) => judging.cut_off(due, at),
            _ => {}
        }
    }

    pub(crate) fn dropped(&mut self, scenario: usize, due: Duration) {
        if let Self::Timeline(timeline) = self {
            timeline.dropped(scenario, due);
        }
        if let Self::Tally(judging) = self {
            judging.dropped(scenario);
        }
        if let Self::Trend(trend) = self {
            if trend.dropped.len() <= scenario {
                trend.dropped.resize_with(scenario + 1, Dues::new);
            }
            if let Some(dues) = trend.dropped.get_mut(scenario) {
                dues.add(due);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Trend(a), Self::Trend(b)) => {
                a.histogram.merge(&b.histogram);
                a.cut_off.merge(&b.cut_off);
                if a.dropped.len() < b.dropped.len() {
                    a.dropped.resize_with(b.dropped.len(), Dues::new);
                }
                each(&mut a.dropped, &b.dropped, Dues::merge);
            }
            (Self::Rate(a), Self::Rate(b)) => a.merge(b),
            (Self::Counter(a), Self::Counter(b)) => *a += b,
            (Self::Gauge(a), Self::Gauge(b)) => a.merge(b),
            (Self::Timeline(a), Self::Timeline(b)) => a.merge(b),
            (Self::Tally(a), Self::Tally(b)) => a.merge(b),
            // Two sets of cells of one layout have the same kinds.
            _ => {}
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Trend(trend) => {
                trend.histogram.clear();
                trend.cut_off.clear();
                trend.dropped.iter_mut().for_each(Dues::clear);
            }
            Self::Rate(share) => *share = Share::default(),
            Self::Counter(sum) => *sum = 0.0,
            Self::Gauge(range) => *range = Range::default(),
            Self::Timeline(timeline) => timeline.clear(),
            Self::Tally(judging) => judging.clear(),
        }
    }
}

// === impl ScenarioCells, Share, Range ===

impl ScenarioCells {
    /// All that did not start.
    pub(crate) fn not_started(&self) -> u64 {
        self.dropped.count() + self.never_due
    }

    fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.cut_off.merge(&other.cut_off);
        self.dropped.merge(&other.dropped);
        self.never_due += other.never_due;
        self.scheduled += other.scheduled;
        self.missed += other.missed;
        self.starts.merge(&other.starts);
        self.sent += other.sent;
        self.received += other.received;
    }

    fn clear(&mut self) {
        self.cut_off.clear();
        self.dropped.clear();
        self.starts.clear();
        (self.completed, self.never_due, self.scheduled, self.missed) = (0, 0, 0, 0);
        (self.sent, self.received) = (0, 0);
    }
}

impl Share {
    /// Counts one.
    #[inline]
    pub(crate) const fn add(&mut self, passed: bool) {
        self.passes += passed as u64;
        self.total += 1;
    }

    pub(crate) const fn merge(&mut self, other: &Self) {
        self.passes += other.passes;
        self.total += other.total;
    }

    /// Those that are not true.
    #[must_use]
    pub const fn fails(&self) -> u64 {
        self.total - self.passes
    }

    /// The share of true ones, 0 to 1; 0 of none, as k6 has it.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.passes as f64 / self.total as f64 }
    }
}

impl Range {
    /// Sets the value, `at` from the run's start.
    pub(crate) fn set(&mut self, value: f64, at: Duration) {
        self.merge(&Self { count: 1, value, min: value, max: value, at });
    }

    /// Adds what another had at the same time.
    pub(crate) fn add(&mut self, other: &Self) {
        self.count = self.count.max(other.count);
        (self.value, self.min, self.max) = (self.value + other.value, self.min + other.min, self.max + other.max);
        self.at = self.at.max(other.at);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        if other.at >= self.at {
            (self.value, self.at) = (other.value, other.at);
        }
    }
}

impl Default for Dues {
    fn default() -> Self {
        Self::new()
    }
}

/// Merges two sequences of the same length, item by item.
fn each<T>(a: &mut [T], b: &[T], merge: impl Fn(&mut T, &T)) {
    a.iter_mut().zip(b).for_each(|(a, b)| merge(a, b));
}
