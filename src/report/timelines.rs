//! The pool, the runtime and their neighbours over the time of the load: lines of CORRELATION, and JSON.

use super::format;
use crate::correlate::timeline::{Level, Moved, PoolReport, RuntimeFigure, TimelineReport, WaitReport};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What timelines came to.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TimelinesReport {
    /// The figures.
    pub timelines: TimelineReport,
    /// What moved with the failure; none where nothing failed, or nothing moved.
    pub moved: Option<MovedReport>,
    /// What the generator itself used; none where there was no load.
    pub generator: Option<GeneratorUse>,
}

/// What moved with a metric that failed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MovedReport {
    /// The metric, as the plan writes it.
    pub metric: String,
    /// What moved, most telling first.
    pub found: Vec<Moved>,
}

/// What the generator itself used of the machine that it may share with the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct GeneratorUse {
    /// In cores.
    pub cores: f64,
    /// Of all cores: 0 to 1.
    pub share: f64,
    /// How long its control group, which is the API's too where they share one, was denied the CPU.
    #[serde(rename = "throttled_ms", with = "crate::measure::plain::ms")]
    pub throttled: Duration,
}

/// A block of the event loop shorter than this is Node's usual work.
const BLOCK_MS: f64 = 50.0;

// === impl TimelinesReport ===

impl TimelinesReport {
    /// What follows the sentence about the pool: `the pool was at 100 % with 6 waiting`.
    pub(super) fn pool_clause(&self) -> Option<String> {
        let pool = self.timelines.pool.as_ref()?;
        let share = peak_share(pool)?;
        let waiting = pool.pending_peak.map(|pending| format!(" with {} waiting", whole(pending)));
        Some(format!("the pool was at {} %{}", whole(share * 100.0), waiting.unwrap_or_default()))
    }

    /// Lines below the table: a name, and what it is.
    pub(super) fn lines(&self) -> Vec<(&'static str, String, Vec<String>)> {
        let mut lines = Vec::new();
        lines.extend(self.timelines.pool.as_ref().map(pool_line));
        lines.extend(self.runtime_line());
        for statement in &self.timelines.statements {
            let more = vec![format!("{} calls", statement.calls), statement.query.clone()];
            lines.push(("statement", format::duration(rounded(statement.total_ms)), more));
        }
        lines
    }

    /// What moved with the failure, a line each; the first says with what.
    pub(super) fn moved_lines(&self) -> Vec<String> {
        let Some(moved) = &self.moved else { return Vec::new() };
        let mut lines = vec![format!("what moved with {}:", moved.metric)];
        lines.extend(moved.found.iter().map(|figure| {
            let Moved { name, good, bad, correlation } = figure;
            format!("{name}: {} → {} (rank correlation {correlation:.2})", figure_text(*good), figure_text(*bad))
        }));
        lines
    }

    /// The keys below `pacecar`, each where there is something to say.
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let mut values = Vec::new();
        values.extend(self.timelines.pool.as_ref().map(|pool| ("pool", pool_value(pool))));
        let runtime = self.runtime_value();
        if !runtime.is_empty() {
            values.push(("runtime", runtime.into()));
        }
        let timelines = self.timelines_value();
        if !timelines.is_empty() {
            values.push(("timelines", timelines.into()));
        }
        if let Some(moved) = &self.moved {
            let figure = |moved: &Moved| json!({ "name": moved.name, "good": moved.good, "bad": moved.bad, "correlation": moved.correlation });
            let found: Vec<_> = moved.found.iter().map(figure).collect();
            values.push(("moved", json!({ "with": moved.metric, "figures": found })));
        }
        values
    }

    /// Adds what another worker saw of the same target at the same time.
    pub(super) fn merge(&mut self, other: &Self) {
        match (&mut self.timelines.pool, &other.timelines.pool) {
            (Some(pool), Some(other)) => pool.merge(other),
            (pool @ None, other) => pool.clone_from(other),
            _ => {}
        }
        for (figure, level) in &other.timelines.runtime.figures {
            self.timelines.runtime.figures.entry(*figure).or_insert(*level);
        }
        for note in &other.timelines.notes {
            if !self.timelines.notes.contains(note) {
                self.timelines.notes.push(note.clone());
            }
        }
        if let (Some(mine), Some(theirs)) = (&mut self.generator, &other.generator) {
            mine.cores += theirs.cores;
            mine.share = mine.share.max(theirs.share);
            mine.throttled += theirs.throttled;
        }
        if self.moved.is_none() {
            self.moved.clone_from(&other.moved);
        }
    }

    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        let TimelineReport { pool, runtime, series, statements, notes } = &self.timelines;
        let quiet = pool.is_none() && runtime.figures.is_empty() && series.is_empty() && statements.is_empty();
        quiet && notes.is_empty() && self.moved.is_none() && self.generator.is_none()
    }

    fn runtime_line(&self) -> Option<(&'static str, String, Vec<String>)> {
        let runtime = &self.timelines.runtime;
        let mut said = Vec::new();
        if let Some(block) = runtime.longest_block() {
            said.push(if block >= BLOCK_MS {
                format!("the event loop was blocked for up to {}", format::duration(block.round()))
            } else {
                format!("the event loop was free (at most {} late)", format::duration(rounded(block)))
            });
        }
        let percent = |figure, what: &str| {
            runtime.get(figure).map(|level: &Level| format!("{what} {} %", whole(level.mean * 100.0)))
        };
        said.extend(percent(RuntimeFigure::EventLoopUtilization, "loop busy"));
        said.extend(percent(RuntimeFigure::GcShare, "gc"));
        if let Some(queue) = runtime.get(RuntimeFigure::GlobalQueue) {
            said.push(format!("tokio's queue up to {}", whole(queue.max)));
        }
        if let Some(cpu) = runtime.get(RuntimeFigure::Cpu) {
            said.push(format!("cpu {} cores", figure_text(cpu.mean)));
        }
        if let Some(memory) = runtime.get(RuntimeFigure::Memory) {
            said.push(format!("memory {}", format::bytes(memory.max)));
        }
        if let Some(generator) = &self.generator {
            let throttled = (!generator.throttled.is_zero())
                .then(|| format!(", throttled {}", format::duration(generator.throttled.as_secs_f64() * 1e3)));
            let share = whole(generator.share * 100.0);
            said.push(format!("pacecar took {share} % of the CPU{}", throttled.unwrap_or_default()));
        }
        let mut said = said.into_iter();
        Some(("runtime", said.next()?, said.collect()))
    }

    fn runtime_value(&self) -> Map<String, Value> {
        use RuntimeFigure as Figure;
        let runtime = &self.timelines.runtime;
        let mean = |figure| runtime.get(figure).map(|level: &Level| level.mean);
        let max = |figure| runtime.get(figure).map(|level: &Level| level.max);
        let mut value = Map::new();
        let delay = object([
            ("mean", mean(Figure::EventLoopDelayMean)),
            ("p50", mean(Figure::EventLoopDelayP50)),
            ("p90", mean(Figure::EventLoopDelayP90)),
            ("p99", mean(Figure::EventLoopDelayP99)),
            ("max", max(Figure::EventLoopDelayMax)),
        ]);
        let mut node = object([
            ("eventloop_utilization", mean(Figure::EventLoopUtilization)),
            ("eventloop_blocked_ms", runtime.longest_block()),
            ("gc_share", mean(Figure::GcShare)),
            ("heap_peak_bytes", max(Figure::HeapUsed)),
        ]);
        if !delay.is_empty() {
            node.insert("eventloop_delay_ms".to_owned(), delay.into());
        }
        let busy = mean(Figure::WorkersBusy);
        let share = busy.zip(mean(Figure::Workers)).map(|(busy, workers)| busy / workers.max(1.0));
        let tokio = object([
            ("workers", max(Figure::Workers)),
            ("busy_share", share),
            ("global_queue_peak", max(Figure::GlobalQueue)),
            ("tasks_peak", max(Figure::AliveTasks)),
        ]);
        let process = object([
            ("cpu_cores", mean(Figure::Cpu)),
            ("cpu_cores_peak", max(Figure::Cpu)),
            ("cpu_utilization", mean(Figure::CpuUtilization)),
            ("memory_peak_bytes", max(Figure::Memory)),
            ("requests_peak", max(Figure::ActiveRequests)),
        ]);
        let generator = self.generator.map(|generator| {
            object([
                ("cpu_cores", Some(generator.cores)),
                ("cpu_share", Some(generator.share)),
                ("throttled_ms", Some(generator.throttled.as_secs_f64() * 1e3)),
            ])
        });
        let parts =
            [("node", node), ("tokio", tokio), ("process", process), ("pacecar", generator.unwrap_or_default())];
        for (name, part) in parts {
            if !part.is_empty() {
                value.insert(name.to_owned(), part.into());
            }
        }
        value
    }

    fn timelines_value(&self) -> Map<String, Value> {
        let mut value: Map<String, Value> = Map::new();
        for series in &self.timelines.series {
            let Level { mean, min, max, last, .. } = series.level;
            let source = value.entry(series.source.clone()).or_insert_with(|| json!({}));
            if let Some(source) = source.as_object_mut() {
                source.insert(series.name.clone(), json!({ "mean": mean, "min": min, "max": max, "last": last }));
            }
        }
        if !self.timelines.statements.is_empty() {
            let statement = |known: &crate::correlate::timeline::SlowStatement| json!({ "query": known.query, "calls": known.calls, "total_ms": known.total_ms });
            let statements: Vec<_> = self.timelines.statements.iter().map(statement).collect();
            value.insert("statements".to_owned(), statements.into());
        }
        value
    }
}

fn pool_line(pool: &PoolReport) -> (&'static str, String, Vec<String>) {
    let mut said = Vec::new();
    let used = pool.used_peak.map(whole);
    let at_least = if pool.lower_bound { "at least " } else { "" };
    match (used, pool.max) {
        (Some(used), Some(max)) => said.push(format!("{at_least}{used} of {} in use at most", whole(max))),
        (Some(used), None) => said.push(format!("{at_least}{used} in use at most")),
        (None, _) => {}
    }
    if let Some(utilization) = pool.utilization {
        said.push(format!("{at_least}{} % over the load", whole(utilization * 100.0)));
    }
    if let Some(pending) = pool.pending_peak {
        said.push(format!("up to {} waiting", whole(pending)));
    }
    if let Some(share) = pool.saturated_share.filter(|share| *share > 0.0) {
        said.push(format!("saturated for {} % of the time", whole(share * 100.0)));
    }
    if let Some(WaitReport { quantiles: Some([med, p95, _]), .. }) = &pool.wait {
        said.push(format!("wait med={} p(95)={}", format::duration(rounded(*med)), format::duration(rounded(*p95))));
    } else if let Some(wait) = &pool.wait {
        said.push(format!("wait avg={}", format::duration(rounded(wait.mean))));
    }
    if let Some(resolution) = pool.resolution {
        said.push(format!("seen each {} s only", whole(resolution.as_secs_f64())));
    }
    let mut said = said.into_iter();
    ("pool", said.next().unwrap_or_default(), said.collect())
}

/// How full it was at its fullest.
fn peak_share(pool: &PoolReport) -> Option<f64> {
    let max = pool.max.filter(|max| *max > 0.0)?;
    Some(pool.used_peak? / max)
}

fn pool_value(pool: &PoolReport) -> Value {
    let mut value = object([
        ("max", pool.max),
        ("used_peak", pool.used_peak),
        ("utilization", pool.utilization),
        ("pending_peak", pool.pending_peak),
    ]);
    if pool.lower_bound {
        value.insert("used_is_lower_bound".to_owned(), true.into());
    }
    if let Some(WaitReport { quantiles, mean, .. }) = &pool.wait {
        let [med, p95, p99] = match quantiles {
            Some(quantiles) => quantiles.map(Some),
            None => [None; 3],
        };
        let wait = object([("avg", Some(*mean)), ("med", med), ("p(95)", p95), ("p(99)", p99)]);
        value.insert("wait_ms".to_owned(), wait.into());
    }
    if let Some(share) = pool.saturated_share {
        let stretch = |window: &crate::correlate::timeline::Window| json!([ms(window.from), ms(window.to)]);
        let stretches: Vec<_> = pool.saturated.iter().map(stretch).collect();
        value.insert("saturated".to_owned(), json!({ "share": share, "intervals_ms": stretches }));
    }
    if let Some(resolution) = pool.resolution {
        value.insert("resolution_ms".to_owned(), ms(resolution));
    }
    if let Some(name) = &pool.name {
        value.insert("name".to_owned(), name.clone().into());
    }
    if !pool.others.is_empty() {
        let others: Map<_, _> = pool.others.iter().map(|(name, share)| (name.clone(), json!(share))).collect();
        value.insert("others".to_owned(), others.into());
    }
    value.into()
}

/// The keys that have a figure.
fn object<const N: usize>(figures: [(&str, Option<f64>); N]) -> Map<String, Value> {
    figures.into_iter().filter_map(|(name, value)| Some((name.to_owned(), number(value?)))).collect()
}

/// A whole number where it is one.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn ms(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

fn whole(value: f64) -> String {
    format::trimmed(value, 0)
}

/// A figure of unknown unit, short.
fn figure_text(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 1.0 {
        1
    } else {
        3
    };
    format::trimmed(value, digits)
}

fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}
