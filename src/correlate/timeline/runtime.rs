//! The runtime over time: event loop, garbage, workers, CPU and memory of the API's processes.
//!
//! Each figure is kept for each instance of the service and told of the one where it is worst: three idle replicas do
//! not make the fourth's blocked loop a quarter as bad.

use super::counter::Counter;
use super::curve::{Curve, Level, Window};
use crate::correlate::{MetricPoint, MetricValue};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A figure of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeFigure {
    /// The least delay of the event loop in ms: the resolution of the measurement.
    EventLoopDelayMin,
    /// Its mean in ms.
    EventLoopDelayMean,
    /// Its median in ms.
    EventLoopDelayP50,
    /// Its p(90) in ms.
    EventLoopDelayP90,
    /// Its p(99) in ms.
    EventLoopDelayP99,
    /// Its greatest in ms.
    EventLoopDelayMax,
    /// The share of time in which the event loop was busy.
    EventLoopUtilization,
    /// The share of time that garbage collection took.
    GcShare,
    /// The heap in use, in bytes.
    HeapUsed,
    /// CPU in cores.
    Cpu,
    /// CPU as a share of what the process may use.
    CpuUtilization,
    /// Memory in bytes.
    Memory,
    /// Tokio's workers.
    Workers,
    /// Of them, busy ones: a share.
    WorkersBusy,
    /// Tasks that wait in Tokio's global queue.
    GlobalQueue,
    /// Tasks that live in Tokio.
    AliveTasks,
    /// Requests in the server.
    ActiveRequests,
}

/// All instances' runtimes.
#[derive(Debug, Default)]
pub(super) struct RuntimeTimeline {
    curves: BTreeMap<(RuntimeFigure, String), Curve>,
    /// Sums that become rates, by figure and instance.
    sums: HashMap<(RuntimeFigure, String), Growth>,
    /// Levels that are summed over their attributes, by figure and instance.
    levels: HashMap<(RuntimeFigure, String), Summed>,
}

/// What the runtime was in the time of the load: of each figure the instance where it is worst.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct RuntimeReport {
    /// The figures.
    pub figures: BTreeMap<RuntimeFigure, Level>,
}

/// Counters of several series that are one figure: `user` and `system`, each kind of garbage collection.
#[derive(Debug, Default)]
struct Growth {
    counters: HashMap<String, Counter>,
    /// All growth so far.
    total: f64,
    /// When the last word came, with the growth before it.
    at: Option<(Duration, f64)>,
}

/// Levels of several series that are one figure: the spaces of a heap.
#[derive(Debug, Default)]
struct Summed(HashMap<String, f64>);

/// How a metric becomes a figure.
enum Way {
    /// Its value times a factor.
    Level(f64),
    /// The sum over its attributes.
    Sum,
    /// Growth per second, times a factor, summed over its attributes.
    Rate(f64),
}

/// The most instances, times figures, that are told apart.
const MOST: usize = 1_024;
/// The most series of one figure of one instance.
const MOST_SERIES: usize = 64;

// === impl RuntimeTimeline ===

impl RuntimeTimeline {
    /// Takes a point, at an instant of the timelines; one of another kind is nothing.
    pub(super) fn take(&mut self, point: &MetricPoint, at: Duration) {
        let Some((figure, way)) = read(&point.name, &point.unit) else { return };
        let key = (figure, point.service.clone());
        if self.curves.len() >= MOST && !self.curves.contains_key(&key) {
            return;
        }
        let value = match way {
            Way::Level(factor) => number(&point.value).map(|value| (at, value * factor)),
            Way::Sum => number(&point.value)
                .and_then(|value| self.levels.entry(key.clone()).or_default().take(series(point), value))
                .map(|sum| (at, sum)),
            Way::Rate(factor) => self
                .sums
                .entry(key.clone())
                .or_default()
                .take(series(point), &point.value, at)
                .map(|(at, rate)| (at, rate * factor)),
        };
        if let Some((at, value)) = value {
            self.curves.entry(key).or_default().add(at, value);
        }
    }

    /// What it was in a part of the run.
    #[must_use]
    pub(super) fn report(&self, window: Window) -> RuntimeReport {
        let mut figures: BTreeMap<RuntimeFigure, Level> = BTreeMap::new();
        for ((figure, _), curve) in &self.curves {
            let Some(level) = curve.level(window) else { continue };
            let worst = figures.entry(*figure).or_insert(level);
            if level.max > worst.max {
                *worst = level;
            }
        }
        RuntimeReport { figures }
    }

    /// The curves of each figure's worst instance.
    #[must_use]
    pub(super) fn curves(&self, window: Window) -> Vec<(RuntimeFigure, Curve)> {
        let mut worst: BTreeMap<RuntimeFigure, (f64, &Curve)> = BTreeMap::new();
        for ((figure, _), curve) in &self.curves {
            let Some(level) = curve.level(window) else { continue };
            if worst.get(figure).is_none_or(|(known, _)| level.max > *known) {
                worst.insert(*figure, (level.max, curve));
            }
        }
        worst.into_iter().map(|(figure, (_, curve))| (figure, curve.clone())).collect()
    }
}

// === impl RuntimeReport ===

impl RuntimeReport {
    /// A figure, if anybody told it.
    #[must_use]
    pub fn get(&self, figure: RuntimeFigure) -> Option<&Level> {
        self.figures.get(&figure)
    }

    /// For how long the event loop ran nothing else at worst, in ms. Node measures a delay together with the distance
    /// of its own looks, which is the least delay; none where nobody measured.
    #[must_use]
    pub fn longest_block(&self) -> Option<f64> {
        let max = self.get(RuntimeFigure::EventLoopDelayMax)?.max;
        let least = self.get(RuntimeFigure::EventLoopDelayMin).map_or(0.0, |level| level.min);
        Some((max - least).max(0.0))
    }
}

// === impl RuntimeFigure ===

impl RuntimeFigure {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventLoopDelayMin => "event loop delay min",
            Self::EventLoopDelayMean => "event loop delay mean",
            Self::EventLoopDelayP50 => "event loop delay p50",
            Self::EventLoopDelayP90 => "event loop delay p90",
            Self::EventLoopDelayP99 => "event loop delay p99",
            Self::EventLoopDelayMax => "event loop delay max",
            Self::EventLoopUtilization => "event loop utilization",
            Self::GcShare => "gc share",
            Self::HeapUsed => "heap used",
            Self::Cpu => "cpu cores",
            Self::CpuUtilization => "cpu utilization",
            Self::Memory => "memory",
            Self::Workers => "tokio workers",
            Self::WorkersBusy => "tokio workers busy",
            Self::GlobalQueue => "tokio global queue",
            Self::AliveTasks => "tokio tasks",
            Self::ActiveRequests => "requests in the server",
        }
    }
}

// === impl Growth ===

impl Growth {
    /// Counts growth. Series of one export have one instant: the rate up to it is known when the next one comes.
    fn take(&mut self, series: String, value: &MetricValue, at: Duration) -> Option<(Duration, f64)> {
        let rate = match self.at {
            Some((before, grown)) if at > before => {
                let seconds = (at - before).as_secs_f64();
                let (told, rate) = (before, (self.total - grown) / seconds);
                self.at = Some((at, self.total));
                // What grew up to `before` was told with it; it is the rate of the stretch that ended there.
                Some((told, rate))
            }
            Some(_) => None,
            None => {
                self.at = Some((at, self.total));
                None
            }
        };
        if self.counters.len() >= MOST_SERIES && !self.counters.contains_key(&series) {
            return rate;
        }
        let (whole, cumulative, start) = match value {
            MetricValue::Gauge(value) => (*value, true, None),
            MetricValue::Sum { value, cumulative, start } => (*value, *cumulative, Some(*start)),
            MetricValue::Histogram { sum, cumulative, start, .. } => (*sum, *cumulative, Some(*start)),
        };
        let growth = if cumulative {
            self.counters.entry(series).or_default().whole(whole, start)
        } else {
            Counter::change(whole)
        };
        self.total += growth.unwrap_or(0.0);
        rate
    }
}

// === impl Summed ===

impl Summed {
    fn take(&mut self, series: String, value: f64) -> Option<f64> {
        if self.0.len() >= MOST_SERIES && !self.0.contains_key(&series) {
            return None;
        }
        self.0.insert(series, value);
        Some(self.0.values().sum())
    }
}

/// The figure that a metric is, and how it becomes one.
fn read(name: &str, unit: &str) -> Option<(RuntimeFigure, Way)> {
    use RuntimeFigure as Figure;
    // Delays are in seconds by convention; some write nanoseconds or milliseconds, and say so.
    let ms = match unit {
        "ms" => 1.0,
        "us" => 1e-3,
        "ns" => 1e-6,
        _ => 1e3,
    };
    if let Some(stat) = name.strip_prefix("nodejs.eventloop.delay.") {
        let figure = match stat {
            "min" => Figure::EventLoopDelayMin,
            "mean" => Figure::EventLoopDelayMean,
            "p50" => Figure::EventLoopDelayP50,
            "p90" => Figure::EventLoopDelayP90,
            "p99" => Figure::EventLoopDelayP99,
            "max" => Figure::EventLoopDelayMax,
            _ => return None,
        };
        return Some((figure, Way::Level(ms)));
    }
    if let Some(rest) = name.strip_prefix("tokio.") {
        return tokio(rest, ms);
    }
    Some(match name {
        "nodejs.eventloop.utilization" => (Figure::EventLoopUtilization, Way::Level(1.0)),
        "v8js.gc.duration" => (Figure::GcShare, Way::Rate(ms / 1e3)),
        "v8js.memory.heap.used" => (Figure::HeapUsed, Way::Sum),
        "process.cpu.time" => (Figure::Cpu, Way::Rate(ms / 1e3)),
        "process.cpu.utilization" => (Figure::CpuUtilization, Way::Sum),
        "process.memory.usage" => (Figure::Memory, Way::Level(1.0)),
        "http.server.active_requests" => (Figure::ActiveRequests, Way::Sum),
        _ => return None,
    })
}

/// Tokio has no conventions yet; these are its own names for its figures, with dots or underscores.
fn tokio(name: &str, ms: f64) -> Option<(RuntimeFigure, Way)> {
    use RuntimeFigure as Figure;
    let name = name.strip_prefix("runtime.").unwrap_or(name).replace('.', "_");
    Some(match name.as_str() {
        "num_workers" | "workers" | "workers_count" => (Figure::Workers, Way::Level(1.0)),
        "num_alive_tasks" | "alive_tasks" | "tasks_alive" => (Figure::AliveTasks, Way::Level(1.0)),
        "global_queue_depth" => (Figure::GlobalQueue, Way::Level(1.0)),
        "worker_total_busy_duration" | "workers_busy_duration" | "worker_busy_duration" | "total_busy_duration" => {
            (Figure::WorkersBusy, Way::Rate(ms / 1e3))
        }
        _ => return None,
    })
}

const fn number(value: &MetricValue) -> Option<f64> {
    match value {
        MetricValue::Gauge(value) | MetricValue::Sum { value, .. } => Some(*value),
        MetricValue::Histogram { .. } => None,
    }
}

/// What tells the series of a figure apart.
fn series(point: &MetricPoint) -> String {
    point.attributes.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LOAD: Window = Window { from: s(0), to: s(10) };

    fn point(name: &str, unit: &str, service: &str, mode: &str, value: MetricValue) -> MetricPoint {
        MetricPoint {
            name: name.to_owned(),
            unit: unit.to_owned(),
            service: service.to_owned(),
            at: Duration::ZERO,
            attributes: vec![("mode".to_owned(), mode.to_owned())],
            value,
        }
    }

    #[test]
    fn a_blocked_loop_is_told_without_the_distance_of_the_looks() {
        let mut runtime = RuntimeTimeline::default();
        for (at, max) in [(1, 0.012), (2, 0.310), (3, 0.013)] {
            runtime.take(&point("nodejs.eventloop.delay.min", "s", "a", "", MetricValue::Gauge(0.010)), s(at));
            runtime.take(&point("nodejs.eventloop.delay.max", "s", "a", "", MetricValue::Gauge(max)), s(at));
        }
        let block = runtime.report(LOAD).longest_block().unwrap();
        assert!((block - 300.0).abs() < 1e-6, "{block}");
        assert_eq!(RuntimeReport::default().longest_block(), None);
    }

    #[test]
    fn each_figure_is_of_the_instance_where_it_is_worst() {
        let mut runtime = RuntimeTimeline::default();
        for (service, utilization) in [("a", 0.1), ("b", 0.9), ("c", 0.2)] {
            let point = point("nodejs.eventloop.utilization", "1", service, "", MetricValue::Gauge(utilization));
            runtime.take(&point, s(1));
        }
        let report = runtime.report(LOAD);
        assert_eq!(report.get(RuntimeFigure::EventLoopUtilization).unwrap().mean, 0.9);
        assert_eq!(runtime.curves(LOAD).len(), 1);
    }

    #[test]
    fn cpu_is_the_growth_of_all_modes_per_second_across_a_restart() {
        let mut runtime = RuntimeTimeline::default();
        for (at, user, system, start) in
            [(1, 100.0, 50.0, 0), (2, 100.6, 50.2, 0), (3, 101.2, 50.4, 0), (4, 0.5, 0.3, 4), (5, 1.1, 0.5, 4)]
        {
            for (mode, value) in [("user", user), ("system", system)] {
                let value = MetricValue::Sum { value, cumulative: true, start: s(start) };
                runtime.take(&point("process.cpu.time", "s", "a", mode, value), s(at));
            }
        }
        let level = *runtime.report(LOAD).get(RuntimeFigure::Cpu).unwrap();
        assert!((level.max - 0.8).abs() < 1e-9 && level.min >= 0.0, "{level:?}");
    }

    #[test]
    fn a_heap_is_the_sum_of_its_spaces_and_tokio_has_names_of_its_own() {
        let mut runtime = RuntimeTimeline::default();
        runtime.take(&point("v8js.memory.heap.used", "By", "a", "old", MetricValue::Gauge(10.0)), s(1));
        runtime.take(&point("v8js.memory.heap.used", "By", "a", "new", MetricValue::Gauge(5.0)), s(1));
        runtime.take(&point("tokio.runtime.global_queue_depth", "1", "a", "", MetricValue::Gauge(7.0)), s(1));
        runtime.take(&point("tokio.what_is_this", "1", "a", "", MetricValue::Gauge(7.0)), s(1));
        let report = runtime.report(LOAD);
        assert_eq!(report.get(RuntimeFigure::HeapUsed).unwrap().max, 15.0);
        assert_eq!(report.get(RuntimeFigure::GlobalQueue).unwrap().max, 7.0);
        assert_eq!(report.figures.len(), 2);
    }
}
