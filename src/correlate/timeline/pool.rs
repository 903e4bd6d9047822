//! The pool over time: how large it is, how much of it is used, who waits.
//!
//! Several sources may look at one pool, and one source may look at several pools. Each keeps curves of its own, so
//! that nothing is counted twice; the figures are those of the best source that sees a figure at all, and of the pool
//! that is used most. What no source sees is absent.

use super::curve::{Curve, Level, Window};
use crate::measure::{Histogram, Timeline};
use crate::plan::MetricKind;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who looks at the pool: the best first. An application knows its pool; the database sees only what is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolSource {
    /// OpenTelemetry's metrics.
    Otel,
    /// Prometheus' text.
    Scrape,
    /// JSON.
    Http,
    /// `pg_stat_activity`.
    Postgres,
}

/// What a source saw at an instant; what it did not see is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolSample {
    /// The size.
    pub max: Option<f64>,
    /// Connections in use.
    pub used: Option<f64>,
    /// Requests that wait for one.
    pub pending: Option<f64>,
}

/// All pools.
#[derive(Debug)]
pub(super) struct PoolTimeline {
    /// The size that the plan gives.
    configured: Option<f64>,
    pools: BTreeMap<(PoolSource, String), Pool>,
    /// Waits in ms that a metric told, from when the load began.
    told: Waits,
    /// Waits in ms that spans told.
    spanned: Waits,
    /// The mean wait in ms, where that is all that a metric tells.
    mean: Option<f64>,
}

/// What became of the pool in the time of the load.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct PoolReport {
    /// Which pool, where its source names it.
    pub name: Option<String>,
    /// Its size: the greatest.
    pub max: Option<f64>,
    /// Its size as a source told it last; none where only the plan says it.
    pub seen_max: Option<f64>,
    /// The most connections in use at once.
    pub used_peak: Option<f64>,
    /// Whether `used` is only what the database sees: a lower bound.
    pub lower_bound: bool,
    /// Used of max, weighted by time.
    pub utilization: Option<f64>,
    /// The most requests that waited at once.
    pub pending_peak: Option<f64>,
    /// Waits in ms.
    pub wait: Option<WaitReport>,
    /// The share of the time in which all connections were in use or somebody waited.
    pub saturated_share: Option<f64>,
    /// When, from the start of the load; the longest stretches where there are many.
    pub saturated: Vec<Window>,
    /// How far samples are apart, where that is further than [`RESOLUTION`].
    #[serde(rename = "resolution_ms", with = "crate::measure::plain::ms_option")]
    pub resolution: Option<Duration>,
    /// Other pools of the same source, with their utilization.
    pub others: Vec<(String, Option<f64>)>,
}

/// Waits for a connection.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WaitReport {
    /// Median, p(95) and p(99) in ms; none where only the mean is known.
    pub quantiles: Option<[f64; 3]>,
    /// How many there were; 0 where only the mean is known.
    pub count: u64,
    /// The mean in ms.
    pub mean: f64,
    /// Who tells.
    pub source: WaitSource,
}

/// Who tells of waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitSource {
    /// The wait-time metric.
    Metric,
    /// The API's spans.
    Spans,
}

/// The figures of a pool at an instant, as gauges have them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolGauges {
    /// Used of max.
    pub utilization: Option<f64>,
    /// In use.
    pub used: Option<f64>,
    /// Waiting.
    pub pending: Option<f64>,
}

/// One pool as one source sees it.
#[derive(Clone, Debug, Default)]
struct Pool {
    max: Curve,
    used: Curve,
    pending: Curve,
}

/// Waits over time.
#[derive(Debug)]
struct Waits {
    over_time: Timeline,
    all: Histogram,
}

/// Samples further apart than this cannot serve as a constraint.
pub const RESOLUTION: Duration = Duration::from_secs(5);
/// The most pools that are told apart.
const MOST_POOLS: usize = 32;
/// The most stretches that are named.
const MOST_STRETCHES: usize = 20;

// === impl PoolTimeline ===

impl PoolTimeline {
    /// Nothing seen yet. `configured` is the size where no source knows it.
    #[must_use]
    pub(super) fn new(configured: Option<u64>) -> Self {
        Self {
            configured: configured.map(|max| max as f64),
            pools: BTreeMap::new(),
            told: Waits::default(),
            spanned: Waits::default(),
            mean: None,
        }
    }

    /// Adds what a source saw of the pool `name`, empty where it has none.
    pub(super) fn add(&mut self, source: PoolSource, name: &str, at: Duration, sample: PoolSample) {
        let key = (source, name.to_owned());
        if self.pools.len() >= MOST_POOLS && !self.pools.contains_key(&key) {
            return;
        }
        let pool = self.pools.entry(key).or_default();
        let figures = [(&mut pool.max, sample.max), (&mut pool.used, sample.used), (&mut pool.pending, sample.pending)];
        for (curve, value) in figures {
            if let Some(value) = value.filter(|value| *value >= 0.0) {
                curve.add(at, value);
            }
        }
    }

    /// Adds waits of `ms` that ended `at` (from the load's start).
    pub(super) fn waited(&mut self, source: WaitSource, at: Duration, ms: f64, count: u64) {
        let waits = match source {
            WaitSource::Metric => &mut self.told,
            WaitSource::Spans => &mut self.spanned,
        };
        waits.all.record_n(ms, count);
        // A bin knows values one by one; of a metric's bucket a few stand for all.
        for _ in 0..count.min(MOST_OF_A_BUCKET) {
            waits.over_time.record(ms, at);
        }
    }

    /// Sets the mean wait in ms, where that is all a metric tells.
    pub(super) const fn mean_wait(&mut self, ms: Option<f64>) {
        self.mean = ms;
    }

    /// What the gauges are over a part of the run: means over its time.
    #[must_use]
    pub(super) fn means(&self, window: Window) -> PoolGauges {
        let Some((key, pool)) = self.chosen(window) else { return PoolGauges::default() };
        let level = |curve: &Curve| curve.level(window).map(|level| level.mean);
        PoolGauges {
            utilization: self.utilization(key.0, pool, window).map(|level| level.mean),
            used: level(&pool.used),
            pending: self.figure(key.0, pool, |pool| &pool.pending).and_then(level),
        }
    }

    /// What the gauges are now; none where nothing came since `after`.
    #[must_use]
    pub(super) fn latest(&self, window: Window, after: Option<Duration>) -> Option<(Duration, PoolGauges)> {
        let (key, pool) = self.chosen(window)?;
        let (at, used) = pool.used.latest().filter(|(at, _)| after.is_none_or(|after| *at > after))?;
        let max = self.size_of(key.0, pool).and_then(|max| max.at(at));
        let pending = self.figure(key.0, pool, |pool| &pool.pending).and_then(|pending| pending.at(at));
        let utilization = max.filter(|max| *max > 0.0).map(|max| used / max);
        Some((at, PoolGauges { utilization, used: Some(used), pending }))
    }

    /// Waits in ms: all of the load's, and over its time.
    pub(super) const fn waits_over_time(&self) -> (&Histogram, &Timeline) {
        let (waits, _) = self.known_waits();
        (&waits.all, &waits.over_time)
    }

    /// The curves, by what they show: utilization, used, pending.
    #[must_use]
    pub(super) fn curves(&self, window: Window) -> Vec<(&'static str, Curve)> {
        let Some((key, pool)) = self.chosen(window) else { return Vec::new() };
        let mut curves = vec![("used", pool.used.clone())];
        if let Some(max) = self.size_of(key.0, pool) {
            curves.push(("utilization", pool.used.over(&max)));
        }
        if let Some(pending) = self.figure(key.0, pool, |pool| &pool.pending) {
            curves.push(("pending", pending.clone()));
        }
        curves.retain(|(_, curve)| !curve.is_empty());
        curves
    }

    /// What became of the pool in the time of the load; none where nobody saw anything of it.
    #[must_use]
    pub(super) fn report(&self, window: Window) -> Option<PoolReport> {
        let wait = self.wait();
        let Some((key, pool)) = self.chosen(window) else {
            return wait.map(|wait| PoolReport { wait: Some(wait), ..PoolReport::default() });
        };
        let (source, name) = key;
        let used = pool.used.level(window)?;
        let size = self.size_of(*source, pool);
        let pending = self.figure(*source, pool, |pool| &pool.pending);
        let ratio = size.as_ref().map(|size| pool.used.over(size));
        let full = ratio.as_ref().map(|ratio| ratio.stretches(window, |share| share >= 1.0)).unwrap_or_default();
        let waiting = pending.map(|pending| pending.stretches(window, |waiting| waiting > 0.0)).unwrap_or_default();
        let saturated = union(full, waiting);
        let judged = ratio.is_some() || pending.is_some();
        let share = saturated.iter().map(|stretch| stretch.length().as_secs_f64()).sum::<f64>();
        let length = window.length().as_secs_f64();
        let others = self.pools.iter().filter(|(other, _)| other.0 == *source && *other != key);
        Some(PoolReport {
            name: (!name.is_empty()).then(|| name.clone()),
            max: size.as_ref().and_then(|size| greatest(size, window)),
            seen_max: self.figure(*source, pool, |pool| &pool.max).and_then(Curve::latest).map(|(_, max)| max),
            used_peak: Some(used.max),
            lower_bound: *source == PoolSource::Postgres,
            utilization: ratio.as_ref().and_then(|ratio| ratio.level(window)).map(|level| level.mean),
            pending_peak: pending.and_then(|pending| pending.level(window)).map(|level| level.max),
            wait,
            saturated_share: judged.then(|| if length > 0.0 { (share / length).min(1.0) } else { 0.0 }),
            saturated: from_start(saturated, window),
            resolution: (used.spacing > RESOLUTION).then_some(used.spacing),
            others: others
                .map(|((source, name), pool)| {
                    (name.clone(), self.utilization(*source, pool, window).map(|level| level.mean))
                })
                .collect(),
        })
    }

    fn wait(&self) -> Option<WaitReport> {
        let (waits, source) = self.known_waits();
        match (waits.all.mean(), self.mean) {
            (Some(mean), _) => {
                let quantile = |q| waits.all.quantile(q).unwrap_or(mean);
                let quantiles = Some([0.5, 0.95, 0.99].map(quantile));
                Some(WaitReport { quantiles, count: waits.all.count(), mean, source })
            }
            (None, Some(mean)) => Some(WaitReport { quantiles: None, count: 0, mean, source: WaitSource::Metric }),
            (None, None) => None,
        }
    }

    /// A metric's waits where there are any, else the spans'.
    const fn known_waits(&self) -> (&Waits, WaitSource) {
        if self.told.all.count() > 0 { (&self.told, WaitSource::Metric) } else { (&self.spanned, WaitSource::Spans) }
    }

    /// The pool that the figures are of: of the best source that looks often enough, the one that is used most.
    fn chosen(&self, window: Window) -> Option<(&(PoolSource, String), &Pool)> {
        let seen = self.pools.iter().filter_map(|(key, pool)| Some((key, pool, pool.used.level(window)?)));
        let rank = |source: PoolSource, level: &Level| (level.spacing > RESOLUTION, source);
        let seen: Vec<_> = seen.collect();
        let best = seen.iter().map(|(key, _, level)| rank(key.0, level)).min()?;
        let busiest = |pool: &Pool, source| self.utilization(source, pool, window).map_or(-1.0, |level| level.mean);
        let of_best = seen.into_iter().filter(|(key, _, level)| rank(key.0, level) == best);
        let chosen = of_best.max_by(|(key, one, _), (other_key, other, _)| {
            busiest(one, key.0).total_cmp(&busiest(other, other_key.0))
        })?;
        Some((chosen.0, chosen.1))
    }

    fn utilization(&self, source: PoolSource, pool: &Pool, window: Window) -> Option<Level> {
        pool.used.over(&self.size_of(source, pool)?).level(window)
    }

    /// The size over time: the pool's own, else that of another source, else what the plan says.
    fn size_of(&self, source: PoolSource, pool: &Pool) -> Option<Curve> {
        if let Some(known) = self.figure(source, pool, |pool| &pool.max) {
            return Some(known.clone());
        }
        let mut constant = Curve::default();
        constant.add(Duration::ZERO, self.configured?);
        Some(constant)
    }

    /// A pool's own figure, else that of the best source that has it and looks at one pool: whose of several would it
    /// be?
    fn figure<'a>(
        &'a self,
        source: PoolSource,
        pool: &'a Pool,
        of: impl Fn(&'a Pool) -> &'a Curve,
    ) -> Option<&'a Curve> {
        if !of(pool).is_empty() {
            return Some(of(pool));
        }
        let known = || self.pools.iter().filter(|(_, other)| !of(other).is_empty());
        let best = known().map(|((other, _), _)| *other).filter(|other| *other != source).min()?;
        let mut curves = known().filter(|((other, _), _)| *other == best).map(|(_, other)| of(other));
        let first = curves.next();
        first.filter(|_| curves.next().is_none())
    }
}

// === impl Waits ===

impl Default for Waits {
    fn default() -> Self {
        Self { over_time: Timeline::new(MetricKind::Trend), all: Histogram::new() }
    }
}

/// The most values of one bucket of a metric that stand on the timeline.
const MOST_OF_A_BUCKET: u64 = 64;

// === impl PoolReport ===

impl PoolReport {
    /// Adds what another looked at: the same pool at the same time.
    pub fn merge(&mut self, other: &Self) {
        let most = |one: Option<f64>, other: Option<f64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
        self.max = most(self.max, other.max);
        self.used_peak = most(self.used_peak, other.used_peak);
        self.pending_peak = most(self.pending_peak, other.pending_peak);
        self.utilization = most(self.utilization, other.utilization);
        let waits = |wait: &Option<WaitReport>| wait.as_ref().map_or(0, |wait| wait.count);
        if waits(&other.wait) > waits(&self.wait) {
            self.wait.clone_from(&other.wait);
        }
    }

    /// Whether its samples are close enough for a constraint to rest on them.
    #[must_use]
    pub const fn can_constrain(&self) -> bool {
        self.utilization.is_some() && self.resolution.is_none()
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The greatest value of a curve that holds in a part of the run.
fn greatest(curve: &Curve, window: Window) -> Option<f64> {
    let held = curve.at(window.from);
    curve.level(window).map(|level| level.max).or(held)
}

/// All of two lists of stretches, overlapping ones joined.
fn union(one: Vec<Window>, other: Vec<Window>) -> Vec<Window> {
    let mut all: Vec<Window> = one.into_iter().chain(other).collect();
    all.sort_by_key(|stretch| stretch.from);
    let mut joined: Vec<Window> = Vec::new();
    for stretch in all {
        match joined.last_mut() {
            Some(last) if stretch.from <= last.to => last.to = last.to.max(stretch.to),
            _ => joined.push(stretch),
        }
    }
    joined
}

/// The longest stretches, in their order, from the start of the load.
fn from_start(mut stretches: Vec<Window>, load: Window) -> Vec<Window> {
    stretches.sort_by_key(|stretch| std::cmp::Reverse(stretch.length()));
    stretches.truncate(MOST_STRETCHES);
    stretches.sort_by_key(|stretch| stretch.from);
    let moved = |at: Duration| at.saturating_sub(load.from);
    stretches.into_iter().map(|stretch| Window { from: moved(stretch.from), to: moved(stretch.to) }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LOAD: Window = Window { from: s(10), to: s(20) };

    fn sample(
        max: impl Into<Option<f64>>,
        used: impl Into<Option<f64>>,
        pending: impl Into<Option<f64>>,
    ) -> PoolSample {
        PoolSample { max: max.into(), used: used.into(), pending: pending.into() }
    }

    /// Each second from 0 to 30; used within the load, idle around it.
    fn watched(source: PoolSource, used: f64, pending: Option<f64>, max: Option<f64>) -> PoolTimeline {
        let mut pools = PoolTimeline::new(None);
        watch(&mut pools, source, "", used, pending, max);
        pools
    }

    fn watch(
        pools: &mut PoolTimeline,
        source: PoolSource,
        name: &str,
        used: f64,
        pending: Option<f64>,
        max: Option<f64>,
    ) {
        for at in 0..30 {
            let busy = (10..=20).contains(&at);
            let figure = |value: f64| if busy { value } else { 0.0 };
            pools.add(source, name, s(at), sample(max, figure(used), pending.map(figure)));
        }
    }

    #[test]
    fn a_pool_that_is_full_says_so_over_the_load_alone() {
        let report = watched(PoolSource::Http, 2.0, Some(6.0), Some(2.0)).report(LOAD).unwrap();
        assert_eq!((report.max, report.used_peak, report.pending_peak), (Some(2.0), Some(2.0), Some(6.0)));
        assert_eq!((report.utilization, report.saturated_share), (Some(1.0), Some(1.0)));
        assert_eq!(report.saturated, [Window { from: s(0), to: s(10) }]);
        assert_eq!((report.resolution, report.lower_bound, report.can_constrain()), (None, false, true));
    }

    #[test]
    fn what_a_source_cannot_see_is_absent() {
        let report = watched(PoolSource::Postgres, 3.0, None, None).report(LOAD).unwrap();
        assert_eq!((report.used_peak, report.lower_bound), (Some(3.0), true));
        assert_eq!((report.max, report.utilization, report.pending_peak), (None, None, None));
        assert_eq!((report.saturated_share, report.wait.clone(), report.can_constrain()), (None, None, false));
        assert_eq!(PoolTimeline::new(Some(10)).report(LOAD), None);
    }

    #[test]
    fn the_plans_size_serves_where_no_source_knows_it() {
        let mut pools = PoolTimeline::new(Some(10));
        watch(&mut pools, PoolSource::Postgres, "", 4.0, None, None);
        let report = pools.report(LOAD).unwrap();
        assert_eq!(report.max, Some(10.0));
        assert!((report.utilization.unwrap() - 0.4).abs() < 1e-9);
        watch(&mut pools, PoolSource::Http, "", 4.0, Some(0.0), Some(5.0));
        let report = pools.report(LOAD).unwrap();
        assert_eq!(report.max, Some(5.0), "a source knows better");
        assert!((report.utilization.unwrap() - 0.8).abs() < 1e-9);
    }

    #[test]
    fn figures_are_completed_by_other_sources() {
        let mut pools = watched(PoolSource::Otel, 4.0, None, None);
        watch(&mut pools, PoolSource::Http, "", 9.0, Some(1.0), Some(8.0));
        let report = pools.report(LOAD).unwrap();
        assert_eq!((report.used_peak, report.max, report.pending_peak), (Some(4.0), Some(8.0), Some(1.0)));
    }

    #[test]
    fn a_source_that_looks_seldom_steps_back() {
        let mut pools = PoolTimeline::new(Some(10));
        for at in [0, 12, 18] {
            pools.add(PoolSource::Otel, "", s(at), sample(10.0, 5.0, 0.0));
        }
        let alone = pools.report(LOAD).unwrap();
        assert_eq!((alone.resolution, alone.can_constrain()), (Some(s(6)), false));
        watch(&mut pools, PoolSource::Postgres, "", 4.0, None, None);
        assert_eq!(pools.report(LOAD).unwrap().used_peak, Some(4.0));
    }

    #[test]
    fn of_several_pools_the_one_that_is_used_most_is_told_first() {
        let mut pools = watched(PoolSource::Otel, 0.0, None, None);
        watch(&mut pools, PoolSource::Otel, "small", 2.0, Some(3.0), Some(2.0));
        watch(&mut pools, PoolSource::Otel, "large", 5.0, Some(0.0), Some(50.0));
        let report = pools.report(LOAD).unwrap();
        assert_eq!((report.name.as_deref(), report.utilization), (Some("small"), Some(1.0)));
        assert_eq!(report.pending_peak, Some(3.0));
        let large = report.others.iter().find(|(name, _)| name == "large").and_then(|(_, share)| *share);
        assert!((large.unwrap() - 0.1).abs() < 1e-9, "{report:?}");
    }

    #[test]
    fn gauges_are_means_in_the_end_and_samples_meanwhile() {
        let mut pools = PoolTimeline::new(Some(4));
        for at in 10..=20 {
            pools.add(PoolSource::Http, "", s(at), sample(None, if at < 15 { 4.0 } else { 0.0 }, None));
        }
        assert_eq!(pools.latest(LOAD, Some(s(20))), None, "nothing new");
        let (at, now) = pools.latest(LOAD, Some(s(19))).unwrap();
        assert_eq!((at, now.utilization, now.used, now.pending), (s(20), Some(0.0), Some(0.0), None));
        let means = pools.means(LOAD);
        assert!((means.utilization.unwrap() - 0.45).abs() < 1e-9, "{means:?}");
    }

    #[test]
    fn waits_come_from_the_metric_before_they_come_from_spans() {
        let mut pools = PoolTimeline::new(None);
        pools.waited(WaitSource::Spans, s(1), 30.0, 5);
        let spans = pools.report(LOAD).unwrap().wait.unwrap();
        assert_eq!((spans.source, spans.mean), (WaitSource::Spans, 30.0));
        pools.mean_wait(Some(7.0));
        pools.waited(WaitSource::Metric, s(2), 10.0, 100);
        let told = pools.report(LOAD).unwrap().wait.unwrap();
        assert_eq!((told.source, told.count), (WaitSource::Metric, 100));
        let (all, over_time) = pools.waits_over_time();
        assert_eq!((all.count(), over_time.count(&(s(0)..s(1)))), (100, 0));
    }
}
