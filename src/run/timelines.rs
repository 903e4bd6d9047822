//! Timelines in a run: sources are polled beside it, the reporter tells the totals, and the end asks what moved.
//!
//! One task takes in what sources and the receiver tell, so that nothing piles up whatever phase the run is in. All of
//! it lives on the reporter's runtime: workers know nothing of it.

use super::fidelity::Used;
use crate::correlate::timeline::{self, Candidate, Failing, Sources, SourcesPlan, Timelines, Told, Window, moved};
use crate::measure::threshold::{Aggregation, Expression};
use crate::measure::{Batch, LayoutBuilder, MetricId, Reading, Record, Selector, TimelineId, Totals, WallClock};
use crate::plan::{Diagnostics, Plan};
use crate::report::{GeneratorUse, MovedReport, TimelinesReport};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What of a plan is watched over time.
#[derive(Debug)]
pub(super) struct TimelinesPlan {
    sources: SourcesPlan,
    /// The metrics of thresholds, over time.
    judged: Vec<Judged>,
}

/// A threshold whose metric is kept over time.
#[derive(Debug)]
struct Judged {
    /// The metric, as the plan writes it.
    metric: String,
    /// The expression, as the plan writes it.
    text: String,
    expression: Expression,
    over_time: TimelineId,
}

/// What watches while a run lives. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Watch {
    timelines: Arc<Mutex<Timelines>>,
    told: mpsc::Sender<Told>,
    sources: Option<Sources>,
    /// Takes in what is told; ends when nobody tells any more.
    intake: JoinSet<()>,
    /// The latest sample of the pool that the totals have.
    fed: Mutex<Option<Duration>>,
}

/// News that may wait.
const NEWS: usize = 4_096;
/// The most metrics that are kept over time for what moved with them.
const MOST_JUDGED: usize = 8;
/// What was compared at most: windows of a run.
const WINDOWS: u32 = 60;
/// No window is shorter: sources are asked once a second.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long what was told last may take to be taken in.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The gauges of the pool.
const GAUGES: [MetricId; 3] = [MetricId::POOL_UTILIZATION, MetricId::POOL_USED, MetricId::POOL_PENDING];

/// Compiles what of `correlate:` is watched, and asks the layout for what that needs. None where nothing is.
pub(super) fn compile(plan: &Plan, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<TimelinesPlan> {
    let sources = timeline::compile(plan, diagnostics);
    if !sources.as_ref().is_some_and(|sources| sources.sees_pool) {
        for threshold in plan.thresholds.iter().filter(|threshold| is_of_pool(&threshold.metric)) {
            let name = &threshold.metric.value;
            diagnostics
                .warning(threshold.metric.span, format!("nothing tells of {name}: a metric without values passes"))
                .hint("correlate: { pool: { http: { url: /stats, used: $.pool.used, max: $.pool.max } } }");
        }
    }
    let sources = sources?;
    let mut judged: Vec<Judged> = Vec::new();
    for threshold in plan.thresholds.iter().filter(|threshold| !is_of_pool(&threshold.metric)) {
        let (Ok((name, selector)), Ok(expression)) =
            (Selector::parse_metric(&threshold.metric), threshold.expression.parse())
        else {
            continue;
        };
        let Some(id) = layout.find(name).filter(|_| judged.len() < MOST_JUDGED) else { continue };
        judged.push(Judged {
            metric: threshold.metric.value.clone(),
            text: threshold.expression.value.clone(),
            expression,
            over_time: layout.timeline(id, &selector),
        });
    }
    // The first request and the last answer are known from it.
    layout.stream();
    Some(TimelinesPlan { sources, judged })
}

fn is_of_pool(metric: &str) -> bool {
    metric.trim_start().starts_with("pool_")
}

// === impl TimelinesPlan ===

impl TimelinesPlan {
    /// Whether anything tells of the pool.
    pub(super) const fn sees_pool(&self) -> bool {
        self.sources.sees_pool
    }

    /// Begins to watch.
    pub(super) fn start(&self) -> Watch {
        let timelines = Timelines::new(self.sources.timelines, Instant::now(), WallClock::now());
        let timelines = Arc::new(Mutex::new(timelines));
        let (told, mut news) = mpsc::channel(NEWS);
        let mut intake = JoinSet::new();
        let shared = Arc::clone(&timelines);
        intake.spawn(async move {
            while let Some(news) = news.recv().await {
                lock(&shared).take(news);
            }
        });
        let sources = Some(self.sources.start(&told));
        Watch { timelines, told, sources, intake, fed: Mutex::new(None) }
    }

    /// What moved with the first threshold that failed and has something that moved with it.
    fn moved(
        &self,
        timelines: &Timelines,
        totals: &Totals,
        end: Duration,
        failed: &[(String, String)],
    ) -> Option<MovedReport> {
        let width = (end / WINDOWS).max(SHORTEST);
        let count = u32::try_from(end.as_millis() / width.as_millis().max(1)).unwrap_or(WINDOWS).min(WINDOWS);
        let windows: Vec<_> = (0..count).map(|window| width * window..width * (window + 1)).collect();
        let curves = timelines.curves();
        let candidates: Vec<Candidate> = curves
            .into_iter()
            .map(|(name, curve)| {
                let value = |part: &std::ops::Range<Duration>| {
                    let window = Window { from: timelines.place(part.start), to: timelines.place(part.end) };
                    curve.level(window).map(|level| level.mean).or_else(|| curve.at(window.from + window.length() / 2))
                };
                Candidate { name, values: windows.iter().map(value).collect() }
            })
            .collect();
        let failing =
            |judged: &&Judged| failed.iter().any(|(metric, text)| *metric == judged.metric && *text == judged.text);
        self.judged.iter().filter(failing).find_map(|judged| {
            let over_time = totals.timeline(judged.over_time)?;
            let expression = judged.expression;
            let values: Vec<Option<f64>> = windows
                .iter()
                .map(|part| figure(&over_time.reading(part, end), expression.aggregation, width))
                .collect();
            let bad = values
                .iter()
                .map(|value| value.is_some_and(|value| !expression.operator.holds(value, expression.bound)))
                .collect();
            let found = moved(&Failing { values, bad }, &candidates);
            (!found.is_empty()).then(|| MovedReport { metric: judged.metric.clone(), found })
        })
    }
}

/// The figure that a threshold asks for, of one window; none where nothing was measured.
fn figure(reading: &Reading, aggregation: Aggregation, width: Duration) -> Option<f64> {
    match reading {
        Reading::Trend(trend) => (trend.count() > 0).then(|| aggregation.of(trend).value),
        Reading::Rate(share) => (share.total > 0).then(|| share.rate()),
        Reading::Counter(sum) => Some(sum / width.as_secs_f64()),
        Reading::Gauge(range) => (range.count > 0).then_some(range.value),
    }
}

// === impl Watch ===

impl Watch {
    /// Where the receiver and the join tell what they learn.
    pub(super) fn ear(&self) -> mpsc::Sender<Told> {
        self.told.clone()
    }

    /// The load begins.
    pub(super) fn begin(&self, at: Instant) {
        lock(&self.timelines).begin(at);
    }

    /// What a worker recorded of the load.
    pub(super) fn saw(&self, batch: &Batch) {
        let mut timelines = lock(&self.timelines);
        for record in &batch.records {
            match record {
                Record::Request(request) | Record::Shed(request) => {
                    let sample = &request.sample;
                    let began = sample.ended.checked_sub(sample.timings.duration()).unwrap_or(sample.ended);
                    timelines.saw_request(began, sample.ended);
                }
                Record::CutOff(cut_off) => timelines.saw_request(cut_off.started, cut_off.at),
                _ => {}
            }
        }
    }

    /// Tells the totals what is known of the pool. Answers with what is new.
    pub(super) fn feed(&self, totals: &mut Totals) -> Vec<(MetricId, f64)> {
        let mut news = Vec::new();
        let timelines = lock(&self.timelines);
        let mut fed = self.fed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, now)) = timelines.pool_now(*fed) {
            *fed = Some(at);
            let of_load = at.saturating_sub(timelines.place(Duration::ZERO));
            for (metric, value) in GAUGES.into_iter().zip([now.utilization, now.used, now.pending]) {
                if let Some(value) = value {
                    totals.sample_target(metric, value, of_load);
                    news.push((metric, value));
                }
            }
        }
        settle(&timelines, totals);
        news
    }

    /// The load is over: nobody looks any more.
    pub(super) async fn load_ended(&mut self) {
        if let Some(sources) = self.sources.take() {
            sources.finish().await;
        }
    }

    /// All is told: tells the totals the last of it.
    pub(super) async fn settle(&mut self, totals: &mut Totals) {
        let (nobody, _) = mpsc::channel(1);
        self.told = nobody;
        let _ = tokio::time::timeout(LAST_WORDS, async { while self.intake.join_next().await.is_some() {} }).await;
        settle(&lock(&self.timelines), totals);
    }

    /// What it all came to, for a load that lasted until `end`; `failed` are thresholds that failed: metric and
    /// expression.
    pub(super) fn report(
        &self,
        plan: &TimelinesPlan,
        totals: &Totals,
        end: Duration,
        used: Used,
        failed: &[(String, String)],
    ) -> TimelinesReport {
        let timelines = lock(&self.timelines);
        let moved = if failed.is_empty() { None } else { plan.moved(&timelines, totals, end, failed) };
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let generator = (!end.is_zero()).then(|| GeneratorUse {
            cores: used.cpu.as_secs_f64() / end.as_secs_f64(),
            share: used.cpu.as_secs_f64() / end.as_secs_f64() / cores,
            throttled: used.throttled,
        });
        TimelinesReport { timelines: timelines.report(), moved, generator }
    }
}

fn settle(timelines: &Timelines, totals: &mut Totals) {
    let all = timelines.pool_means(None);
    for (place, metric) in GAUGES.into_iter().enumerate() {
        totals.settle_target(metric, |part| {
            let means = if part.is_some() { timelines.pool_means(part) } else { all };
            [means.utilization, means.used, means.pending].get(place).copied().flatten()
        });
    }
    let (waits, over_time) = timelines.waits_over_time();
    totals.settle_waits(waits, over_time);
}

fn lock(timelines: &Mutex<Timelines>) -> MutexGuard<'_, Timelines> {
    // What a panic left behind is figures that are whole, each by itself.
    timelines.lock().unwrap_or_else(PoisonError::into_inner)
}
