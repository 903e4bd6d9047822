//! All timelines of a run, fed with what sources and the receiver tell.
//!
//! Pure: events come in with their instants, figures go out for a window. Who polls, and when, is `source/`.

use super::curve::{Curve, Window};
use super::otel::{PoolMetrics, PoolNews};
use super::pool::{PoolGauges, PoolReport, PoolSample, PoolSource, PoolTimeline, WaitSource};
use super::runtime::{RuntimeReport, RuntimeTimeline};
use super::series::{SeriesReport, SeriesTimeline};
use crate::correlate::MetricPoint;
use crate::measure::{Histogram, Part, Timeline, WallClock};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// One thing that a source learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A metric that the API exported, and when it came.
    Metric(MetricPoint, Instant),
    /// Waits for a connection that spans tell of, in ms, each with the end of its request.
    Waits(Vec<(Instant, f64)>),
    /// The pool, as a source of the plan saw it.
    Pool {
        /// Who.
        source: PoolSource,
        /// When.
        at: Instant,
        /// What.
        sample: PoolSample,
    },
    /// Any other figures.
    Figures {
        /// Who: `llm`, `redis`, `postgres`.
        source: String,
        /// When.
        at: Instant,
        /// Name and value.
        values: Vec<(String, f64)>,
    },
    /// What a person should know: a source that is dead, a table of statements.
    Note(String),
    /// Statements that took the database's time, the slowest first.
    Statements(Vec<SlowStatement>),
}

/// A statement and what it took in the time of the load.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SlowStatement {
    /// Its text without its values, cut short.
    pub query: String,
    /// How often it ran.
    pub calls: u64,
    /// How long it ran in all, in ms.
    pub total_ms: f64,
}

/// Which metrics of the API are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelinesConfig {
    /// Whether the pool's are.
    pub pool_metrics: bool,
    /// The pool's size, where no source knows it.
    pub pool_max: Option<u64>,
}

/// All timelines.
#[derive(Debug)]
pub struct Timelines {
    config: TimelinesConfig,
    epoch: Instant,
    clock: WallClock,
    /// When the load began; before it waits are not of the load.
    load: Option<Instant>,
    first: Option<Instant>,
    last: Option<Instant>,
    shifts: HashMap<String, i128>,
    metrics: PoolMetrics,
    pool: PoolTimeline,
    runtime: RuntimeTimeline,
    series: SeriesTimeline,
    notes: Vec<String>,
    statements: Vec<SlowStatement>,
}

/// What all timelines came to.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TimelineReport {
    /// The pool; none where nobody saw it.
    pub pool: Option<PoolReport>,
    /// The API's runtime.
    pub runtime: RuntimeReport,
    /// Other figures, by source and name.
    pub series: Vec<SeriesReport>,
    /// Statements that took the database's time.
    pub statements: Vec<SlowStatement>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The most services whose clocks are known.
const MOST_SERVICES: usize = 512;
/// The most notes.
const MOST_NOTES: usize = 16;

// === impl Timelines ===

impl Timelines {
    /// Nothing told yet. Both clocks begin with `epoch`.
    #[must_use]
    pub fn new(config: TimelinesConfig, epoch: Instant, clock: WallClock) -> Self {
        Self {
            config,
            epoch,
            clock,
            load: None,
            first: None,
            last: None,
            shifts: HashMap::new(),
            metrics: PoolMetrics::default(),
            pool: PoolTimeline::new(config.pool_max),
            runtime: RuntimeTimeline::default(),
            series: SeriesTimeline::default(),
            notes: Vec::new(),
            statements: Vec::new(),
        }
    }

    /// The load begins.
    pub const fn begin(&mut self, at: Instant) {
        self.load = Some(at);
    }

    /// A request of the load ran from `began` to `ended`.
    pub fn saw_request(&mut self, began: Instant, ended: Instant) {
        self.first = Some(self.first.map_or(began, |first| first.min(began)));
        self.last = Some(self.last.map_or(ended, |last| last.max(ended)));
    }

    /// Takes what a source learned.
    pub fn take(&mut self, told: Told) {
        match told {
            Told::Metric(point, came) => self.metric(&point, came),
            Told::Waits(waits) => {
                for (at, ms) in waits {
                    if let Some(at) = self.of_load(at) {
                        self.pool.waited(WaitSource::Spans, at, ms, 1);
                    }
                }
            }
            Told::Pool { source, at, sample } => self.pool.add(source, "", self.since_epoch(at), sample),
            Told::Figures { source, at, values } => {
                let at = self.since_epoch(at);
                for (name, value) in values {
                    self.series.add(&source, &name, at, value);
                }
            }
            Told::Note(note) => {
                if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            Told::Statements(statements) => self.statements = statements,
        }
    }

    /// From the first request to the last answer; none before there was one.
    #[must_use]
    pub fn window(&self) -> Option<Window> {
        Some(Window { from: self.since_epoch(self.first?), to: self.since_epoch(self.last?) })
    }

    /// The pool's latest sample, where it came after `after` (from the epoch) and in the load.
    #[must_use]
    pub fn pool_now(&self, after: Option<Duration>) -> Option<(Duration, PoolGauges)> {
        let load = self.load?;
        let window = Window { from: self.since_epoch(load), to: Duration::MAX / 4 };
        self.pool.latest(window, after)
    }

    /// The pool's gauges as means over the load so far, or over a part of it (from the load's start).
    #[must_use]
    pub fn pool_means(&self, part: Option<&Part>) -> PoolGauges {
        let (Some(window), Some(load)) = (self.window(), self.load) else { return PoolGauges::default() };
        let window = match part {
            None => window,
            Some(part) => {
                let load = self.since_epoch(load);
                let from = load.saturating_add(part.start).max(window.from);
                Window { from, to: load.saturating_add(part.end).min(window.to).max(from) }
            }
        };
        self.pool.means(window)
    }

    /// Waits for a connection in ms: all of the load's, and over its time.
    #[must_use]
    pub const fn waits_over_time(&self) -> (&Histogram, &Timeline) {
        self.pool.waits_over_time()
    }

    /// An instant of the load (from its start) on the timelines.
    #[must_use]
    pub fn place(&self, of_load: Duration) -> Duration {
        self.load.map_or(Duration::ZERO, |load| self.since_epoch(load)) + of_load
    }

    /// What all timelines came to.
    #[must_use]
    pub fn report(&self) -> TimelineReport {
        let window = self.window().unwrap_or(Window { from: Duration::ZERO, to: Duration::ZERO });
        TimelineReport {
            pool: self.pool.report(window).filter(|pool| !pool.is_empty()),
            runtime: self.runtime.report(window),
            series: self.series.report(window),
            statements: self.statements.clone(),
            notes: self.notes.clone(),
        }
    }

    /// All curves with their names: what could have moved with a failure.
    #[must_use]
    pub fn curves(&self) -> Vec<(String, Curve)> {
        let Some(window) = self.window() else { return Vec::new() };
        let mut all: Vec<(String, Curve)> = Vec::new();
        all.extend(self.pool.curves(window).into_iter().map(|(name, curve)| (format!("pool {name}"), curve)));
        let runtime = self.runtime.curves(window);
        all.extend(runtime.into_iter().map(|(figure, curve)| (figure.name().to_owned(), curve)));
        all.extend(self.series.curves().map(|(source, name, curve)| (format!("{source} {name}"), curve.clone())));
        all
    }

    fn metric(&mut self, point: &MetricPoint, came: Instant) {
        let at = self.when(point, came);
        self.runtime.take(point, at);
        if !self.config.pool_metrics {
            return;
        }
        match self.metrics.take(point, at) {
            Some(PoolNews::Sample(name, sample)) => self.pool.add(PoolSource::Otel, &name, at, sample),
            Some(PoolNews::Waits(waits)) => {
                let began = self.load.map(|load| self.since_epoch(load));
                // What was told when the load began is of before.
                if let Some(of_load) = began.and_then(|began| at.checked_sub(began)) {
                    for waited in waits {
                        self.pool.waited(WaitSource::Metric, of_load, waited.ms, waited.count);
                    }
                }
            }
            Some(PoolNews::MeanWait(mean)) => self.pool.mean_wait(mean),
            None => {}
        }
    }

    /// When a point was measured, on the timelines: the service's clock, put right by the quickest of its messages.
    fn when(&mut self, point: &MetricPoint, came: Instant) -> Duration {
        let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        let arrived = nanos(self.since_epoch(came));
        if point.at.is_zero() {
            return self.since_epoch(came);
        }
        let measured = nanos(point.at) - nanos(self.clock.unix(self.epoch));
        let shift = arrived - measured;
        let known = match self.shifts.get_mut(&point.service) {
            Some(known) => {
                *known = (*known).min(shift);
                *known
            }
            None => {
                if self.shifts.len() < MOST_SERVICES {
                    self.shifts.insert(point.service.clone(), shift);
                }
                shift
            }
        };
        Duration::from_nanos(u64::try_from((measured + known).max(0)).unwrap_or(u64::MAX))
    }

    fn since_epoch(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }

    /// An instant from the load's start; none before it.
    fn of_load(&self, at: Instant) -> Option<Duration> {
        at.checked_duration_since(self.load?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::correlate::MetricValue;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn timelines(epoch: Instant) -> Timelines {
        let clock = WallClock::new(epoch, s(1_000));
        let mut timelines = Timelines::new(TimelinesConfig { pool_metrics: true, pool_max: Some(10) }, epoch, clock);
        timelines.begin(epoch + s(10));
        timelines.saw_request(epoch + s(10), epoch + s(12));
        timelines.saw_request(epoch + s(12), epoch + s(20));
        timelines
    }

    fn used(at_unix: u64, value: f64) -> MetricPoint {
        MetricPoint {
            name: "db.client.connection.count".to_owned(),
            unit: String::new(),
            service: "api".to_owned(),
            at: s(at_unix),
            attributes: vec![("db.client.connection.state".to_owned(), "used".to_owned())],
            value: MetricValue::Gauge(value),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_load_is_from_the_first_request_to_the_last_answer() {
        let epoch = Instant::now();
        let mut timelines = timelines(epoch);
        assert_eq!(timelines.window(), Some(Window { from: s(10), to: s(20) }));
        for at in 0..30 {
            let sample =
                PoolSample { used: Some(if (10..=20).contains(&at) { 5.0 } else { 0.0 }), ..PoolSample::default() };
            timelines.take(Told::Pool { source: PoolSource::Http, at: epoch + s(at), sample });
        }
        let pool = timelines.report().pool.unwrap();
        assert_eq!((pool.utilization, pool.max), (Some(0.5), Some(10.0)));
        assert_eq!(timelines.pool_means(Some(&(s(0)..s(3)))).used, Some(5.0));
        assert_eq!(timelines.pool_now(Some(s(29))), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_whose_clock_is_wrong_and_messages_that_come_late_stand_where_they_belong() {
        let epoch = Instant::now();
        let mut timelines = timelines(epoch);
        // Its clock is 500 s ahead. The first message takes no time, the second comes 4 s late.
        timelines.take(Told::Metric(used(1_511, 4.0), epoch + s(11)));
        timelines.take(Told::Metric(used(1_514, 8.0), epoch + s(18)));
        let curves = timelines.curves();
        let (_, curve) = curves.iter().find(|(name, _)| name == "pool used").unwrap();
        assert_eq!(curve.latest(), Some((s(14), 8.0)));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_of_before_the_load_are_not_its() {
        let epoch = Instant::now();
        let mut timelines = timelines(epoch);
        timelines.take(Told::Waits(vec![(epoch + s(5), 900.0), (epoch + s(11), 30.0)]));
        let (all, over_time) = timelines.waits_over_time();
        assert_eq!((all.count(), over_time.count(&(s(0)..s(9))), over_time.count(&(s(2)..s(3)))), (1, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn notes_are_told_once() {
        let mut timelines = timelines(Instant::now());
        (0..3).for_each(|_| timelines.take(Told::Note("redis is gone".to_owned())));
        assert_eq!(timelines.report().notes, ["redis is gone"]);
        assert!(timelines.report().pool.is_none() && timelines.report().series.is_empty());
    }
}
