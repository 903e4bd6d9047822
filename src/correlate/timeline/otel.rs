//! A pool's metrics as OpenTelemetry names them, of new and old conventions and of drivers with their own.
//!
//! An API may run in several instances: the connections of one pool are summed over them, each as it last said. An
//! instance that falls silent (it was restarted) counts no more. Levels that arrive as changes are added up.

use super::pool::PoolSample;
use super::waits::{WaitSums, WaitTimes, Waited};
use crate::correlate::{MetricPoint, MetricValue};
use std::collections::HashMap;
use std::time::Duration;

/// Reads pool metrics.
#[derive(Debug, Default)]
pub(super) struct PoolMetrics {
    instances: HashMap<(String, String), Instance>,
    times: WaitTimes,
    sums: WaitSums,
}

/// What a point says of a pool.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PoolNews {
    /// The pool of this name, summed over its instances.
    Sample(String, PoolSample),
    /// Waits.
    Waits(Vec<Waited>),
    /// The mean of all waits so far, in ms.
    MeanWait(Option<f64>),
}

/// A pool of one instance as it last said.
#[derive(Debug, Default)]
struct Instance {
    max: Level,
    used: Level,
    pending: Level,
    at: Duration,
    /// How long it was silent before its last word; none after the first.
    silence: Option<Duration>,
}

/// A level of one figure; some conventions tell its changes.
#[derive(Debug, Default)]
struct Level(Option<f64>);

/// What a metric is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Used,
    Max,
    Pending,
    /// A histogram.
    WaitTime,
    /// A sum in ms.
    WaitSum,
    /// A count.
    WaitCount,
}

/// The most instances, times pools, that are told apart.
const MOST_INSTANCES: usize = 256;
/// So many of its usual silences an instance may say nothing.
const PATIENCE: u32 = 3;
/// And at least so long.
const LEAST_PATIENCE: Duration = Duration::from_secs(3);
/// After its first word nobody knows how often it speaks: SDKs do once a minute unless told otherwise.
const FIRST_PATIENCE: Duration = Duration::from_secs(90);

// === impl PoolMetrics ===

impl PoolMetrics {
    /// Takes a point, at an instant of the timelines. None where it is of no pool, or says nothing that is needed.
    pub(super) fn take(&mut self, point: &MetricPoint, at: Duration) -> Option<PoolNews> {
        let figure = figure(point)?;
        let pool = pool_name(point);
        match figure {
            Figure::WaitTime => {
                let ms = if point.unit == "ms" { 1.0 } else { 1e3 };
                let series = series(point, &pool);
                return Some(PoolNews::Waits(self.times.take(&series, point, ms)));
            }
            Figure::WaitSum | Figure::WaitCount => {
                let MetricValue::Sum { value, .. } = point.value else { return None };
                let series = series(point, &pool);
                if figure == Figure::WaitSum {
                    self.sums.sum(&series, value)
                } else {
                    self.sums.count(&series, value)
                }
                return Some(PoolNews::MeanWait(self.sums.mean()));
            }
            Figure::Used | Figure::Max | Figure::Pending => {}
        }
        let key = (pool.clone(), point.service.clone());
        if self.instances.len() >= MOST_INSTANCES && !self.instances.contains_key(&key) {
            self.instances.retain(|_, instance| !instance.is_silent(at));
            if self.instances.len() >= MOST_INSTANCES {
                return None;
            }
        }
        let instance = self.instances.entry(key).or_insert_with(|| Instance { at, ..Instance::default() });
        if at > instance.at {
            instance.silence = Some(at - instance.at);
            instance.at = at;
        }
        let level = match figure {
            Figure::Used => &mut instance.used,
            Figure::Max => &mut instance.max,
            _ => &mut instance.pending,
        };
        level.take(&point.value);
        let of_pool = || self.instances.iter().filter(|((name, _), instance)| *name == pool && !instance.is_silent(at));
        let sum = |of: fn(&Instance) -> Option<f64>| {
            of_pool()
                .filter_map(|(_, instance)| of(instance))
                .fold(None, |sum: Option<f64>, value| Some(sum.unwrap_or(0.0) + value))
        };
        let mut sample = PoolSample::default();
        // Only the figure that was told is a sample: the others are as old as they were.
        match figure {
            Figure::Used => sample.used = sum(|instance| instance.used.0),
            Figure::Max => sample.max = sum(|instance| instance.max.0),
            _ => sample.pending = sum(|instance| instance.pending.0),
        }
        Some(PoolNews::Sample(pool, sample))
    }
}

// === impl Instance ===

impl Instance {
    fn is_silent(&self, at: Duration) -> bool {
        let patience = self.silence.map_or(FIRST_PATIENCE, |usual| (usual * PATIENCE).max(LEAST_PATIENCE));
        at.saturating_sub(self.at) > patience
    }
}

// === impl Level ===

impl Level {
    fn take(&mut self, value: &MetricValue) {
        match value {
            MetricValue::Gauge(level) | MetricValue::Sum { value: level, cumulative: true, .. } => {
                self.0 = Some(*level)
            }
            // Nobody uses fewer than none: where changes say so, the beginning was missed.
            MetricValue::Sum { value: change, .. } => self.0 = Some((self.0.unwrap_or(0.0) + change).max(0.0)),
            MetricValue::Histogram { .. } => {}
        }
    }
}

fn figure(point: &MetricPoint) -> Option<Figure> {
    let state = || {
        let known = ["db.client.connection.state", "state", "status"];
        known.iter().find_map(|key| attribute(point, key))
    };
    Some(match point.name.as_str() {
        "db.client.connection.count" | "db.client.connections.usage" | "db.sql.connection.open" => {
            let used = matches!(state(), Some("used" | "inuse" | "in_use" | "active"));
            return used.then_some(Figure::Used);
        }
        "db.client.connection.max" | "db.client.connections.max" | "db.sql.connection.max_open" => Figure::Max,
        "db.client.connection.pending_requests" | "db.client.connections.pending_requests" => Figure::Pending,
        "db.client.connection.wait_time" | "db.client.connections.wait_time" => Figure::WaitTime,
        "db.sql.connection.wait_duration" => Figure::WaitSum,
        "db.sql.connection.wait" => Figure::WaitCount,
        _ => return None,
    })
}

fn pool_name(point: &MetricPoint) -> String {
    let known = ["db.client.connection.pool.name", "db.client.connections.pool.name", "pool.name", "db.instance"];
    known.iter().find_map(|key| attribute(point, key)).unwrap_or_default().to_owned()
}

fn series(point: &MetricPoint, pool: &str) -> String {
    format!("{}\n{pool}\n{}", point.service, point.name.split('.').next_back().unwrap_or_default())
}

fn attribute<'a>(point: &'a MetricPoint, key: &str) -> Option<&'a str> {
    point.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn point(name: &str, service: &str, attributes: &[(&str, &str)], value: MetricValue) -> MetricPoint {
        MetricPoint {
            name: name.to_owned(),
            unit: String::new(),
            service: service.to_owned(),
            at: Duration::ZERO,
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            value,
        }
    }

    fn used(service: &str, value: f64) -> MetricPoint {
        let attributes = [("db.client.connection.pool.name", "main"), ("db.client.connection.state", "used")];
        point("db.client.connection.count", service, &attributes, MetricValue::Gauge(value))
    }

    fn told(news: Option<PoolNews>) -> PoolSample {
        let Some(PoolNews::Sample(_, sample)) = news else { panic!("{news:?}") };
        sample
    }

    #[test]
    fn conventions_old_and_new_say_the_same() {
        let gauge = MetricValue::Gauge(3.0);
        for (name, attributes) in [
            ("db.client.connection.count", [("db.client.connection.state", "used")]),
            ("db.client.connections.usage", [("state", "used")]),
            ("db.sql.connection.open", [("status", "inuse")]),
        ] {
            let mut metrics = PoolMetrics::default();
            assert_eq!(
                told(metrics.take(&point(name, "", &attributes, gauge.clone()), s(1))).used,
                Some(3.0),
                "{name}"
            );
            let idle = [(attributes[0].0, "idle")];
            assert_eq!(metrics.take(&point(name, "", &idle, gauge.clone()), s(1)), None, "{name}");
        }
        let mut metrics = PoolMetrics::default();
        for name in ["db.client.connection.max", "db.client.connections.max", "db.sql.connection.max_open"] {
            assert_eq!(told(metrics.take(&point(name, "", &[], gauge.clone()), s(1))).max, Some(3.0), "{name}");
        }
        for name in ["db.client.connection.pending_requests", "db.client.connections.pending_requests"] {
            assert_eq!(told(metrics.take(&point(name, "", &[], gauge.clone()), s(1))).pending, Some(3.0), "{name}");
        }
        assert_eq!(metrics.take(&point("db.client.operation.duration", "", &[], gauge), s(1)), None);
    }

    #[test]
    fn instances_of_a_pool_are_summed_until_one_falls_silent() {
        let mut metrics = PoolMetrics::default();
        let mut sums = Vec::new();
        for at in 0..20 {
            metrics.take(&used("a", 2.0), s(at));
            let second =
                if at < 5 { metrics.take(&used("b", 3.0), s(at)) } else { metrics.take(&used("a", 2.0), s(at)) };
            sums.push(told(second).used.unwrap());
        }
        assert_eq!(sums[4], 5.0);
        assert_eq!(sums[19], 2.0, "it was restarted under another name, or is gone");
    }

    #[test]
    fn changes_are_added_up_and_never_below_none() {
        let mut metrics = PoolMetrics::default();
        let change = |value| MetricValue::Sum { value, cumulative: false, start: s(0) };
        let attributes = [("state", "used")];
        let mut add = |value| {
            told(metrics.take(&point("db.client.connections.usage", "", &attributes, change(value)), s(1))).used
        };
        assert_eq!([add(2.0), add(1.0), add(-2.0), add(-5.0)], [Some(2.0), Some(3.0), Some(1.0), Some(0.0)]);
    }

    #[test]
    fn otelsqls_sums_are_a_mean() {
        let mut metrics = PoolMetrics::default();
        let sum = |value| MetricValue::Sum { value, cumulative: true, start: s(0) };
        for (name, value) in [("wait_duration", 100.0), ("wait", 10.0), ("wait_duration", 200.0)] {
            metrics.take(&point(&format!("db.sql.connection.{name}"), "", &[], sum(value)), s(1));
        }
        let news = metrics.take(&point("db.sql.connection.wait", "", &[], sum(14.0)), s(2));
        assert_eq!(news, Some(PoolNews::MeanWait(Some(25.0))));
    }
}
