//! The result of a run as data: what every rendering starts from. Nothing here is asked of a clock
//! or a recorder again.

use super::correlation::CorrelationReport;
use super::stats::TrendStats;
use super::verdict::Verdict;
use crate::judge::{Fidelity, IntervalReport, JudgeReport};
use crate::measure::threshold::{Aggregation, ThresholdResult, per_second};
use crate::measure::{Contains, Errors, MetricId, Range, Reading, Selector, Share, Thresholds, Totals, Trend};
use crate::measure::{Quantile, metric::Metric};
use crate::semconv::RunId;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Which run.
    pub run: RunMeta,
    /// Metrics and submetrics, by name; a metric before its submetrics.
    pub metrics: Vec<MetricReport>,
    /// The steps with their checks, in the order of the plan.
    pub groups: Vec<GroupReport>,
    /// What became of each threshold, in the order of the plan.
    pub thresholds: Vec<ThresholdResult>,
    /// Whether the figures may be believed.
    pub fidelity: Fidelity,
    /// What the judges came to.
    pub judge: JudgeReport,
    /// How sure the percentiles are; empty where the run was too short to say.
    pub intervals: Vec<IntervalReport>,
    /// What went wrong, by kind.
    pub errors: Errors,
    /// What correlation came to; none where the plan asks for none.
    pub correlation: Option<CorrelationReport>,
    /// What became of the points of each output, by its name; empty where there is none.
    pub outputs: Vec<OutputReport>,
    /// What cleanup found and deleted; none where it did not run.
    pub cleanup: Option<CleanupReport>,
}

/// What became of the points of the outputs of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputReport {
    /// `json`, `influxdb`, `prometheus-rw`, `otlp`.
    pub name: &'static str,
    /// Points that were acknowledged.
    pub written: u64,
    /// Points that were not.
    pub lost: u64,
}

/// What the room `judge` says of a run.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// Whether the figures may be believed.
    pub fidelity: Fidelity,
    /// What the judges came to.
    pub judge: JudgeReport,
    /// How sure the percentiles are.
    pub intervals: Vec<IntervalReport>,
}

/// Which run, and what it came to.
#[derive(Clone, Debug)]
pub struct RunMeta {
    /// Its id.
    pub id: RunId,
    /// The plan's name.
    pub plan: String,
    /// What it came to.
    pub verdict: Verdict,
    /// When it started.
    pub started: SystemTime,
    /// From its start to the end of its load.
    pub duration: Duration,
    /// How much of that it was paused.
    pub paused: Duration,
}

/// The figures of a metric or a submetric.
#[derive(Clone, Debug)]
pub struct MetricReport {
    /// `metric` or `metric{tag:value}`, as the plan writes it.
    pub name: String,
    /// How its values are to be read.
    pub contains: Contains,
    /// Where it stands in the text.
    pub section: Section,
    /// Its figures.
    pub figures: Figures,
}

/// A part of k6's summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The plan's own metrics.
    Custom,
    /// Requests.
    Http,
    /// Iterations and VUs.
    Execution,
    /// Bytes.
    Network,
    /// Only in JSON, as k6 has it.
    Hidden,
}

/// Figures by the metric's kind.
#[derive(Clone, Debug)]
pub enum Figures {
    /// Of a distribution.
    Trend(TrendFigures),
    /// A share: for `http_req_failed` `passes` are the failures, as in k6.
    Rate(Share),
    /// A sum.
    Counter {
        /// The sum.
        count: f64,
        /// It, per second of the run.
        rate: f64,
    },
    /// The latest value and its range.
    Gauge {
        /// The latest.
        value: f64,
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
}

/// Figures of a distribution, by name and in order.
#[derive(Clone, Debug, Default)]
pub struct TrendFigures {
    /// How many values there are.
    pub count: u64,
    /// What was asked for.
    pub stats: Vec<(String, Quantile)>,
}

/// A step's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReport {
    /// The step's name.
    pub name: String,
    /// Its checks that were made, in the order of the plan.
    pub checks: Vec<CheckReport>,
}

/// A check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// `STEP KEY`.
    pub name: String,
    /// How often it held.
    pub passes: u64,
    /// How often it did not.
    pub fails: u64,
}

/// What cleanup did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct CleanupReport {
    /// What was found and deleted in each table.
    pub tables: Vec<TableReport>,
    /// Test rows that are still there.
    pub remaining: u64,
    /// Test rows that a real row needs.
    pub quarantined: u64,
    /// The real rows that need test rows, by name: the first few, a sentence each.
    pub blocked: Vec<String>,
    /// Whether nothing was to be deleted.
    pub dry_run: bool,
}

/// What cleanup did in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TableReport {
    /// The table, quoted as Postgres quotes it.
    pub table: String,
    /// Test rows before.
    pub found: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Test rows still there.
    pub remaining: u64,
    /// Those of them that a real row needs.
    pub quarantined: u64,
}

/// What always stands beside `http_req_duration`.
const EXPECTED: &str = "http_req_duration{expected_response:true}";

// === impl RunReport ===

impl RunReport {
    /// Reads everything off the totals. `run.duration` is where the run ended, from its start: what never finished has
    /// been due until then, and rates are over it but for pauses.
    #[must_use]
    pub fn collect(
        run: RunMeta,
        totals: &Totals,
        thresholds: &Thresholds,
        stats: &TrendStats,
        judged: Judged,
        cleanup: Option<CleanupReport>,
    ) -> Self {
        let Judged { fidelity, judge, intervals } = judged;
        let end = run.duration;
        Self {
            metrics: metrics(totals, thresholds, stats, end),
            groups: groups(totals),
            thresholds: thresholds.judge(totals, end),
            fidelity,
            judge,
            intervals,
            errors: totals.errors(),
            correlation: None,
            outputs: Vec::new(),
            cleanup,
            run,
        }
    }

    /// Checks of all steps: how many held of how many.
    #[must_use]
    pub fn checks(&self) -> Share {
        let mut all = Share::default();
        for check in self.groups.iter().flat_map(|group| &group.checks) {
            all.passes += check.passes;
            all.total += check.passes + check.fails;
        }
        all
    }

    /// A metric or submetric by its name.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&MetricReport> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The thresholds of a metric or submetric, in the order of the plan.
    pub fn thresholds_of<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = &'a ThresholdResult> {
        self.thresholds.iter().filter(move |threshold| threshold.metric == metric)
    }
}

// === impl TrendFigures ===

impl TrendFigures {
    /// The figure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Quantile> {
        self.stats.iter().find(|(stat, _)| stat == name).map(|(_, figure)| *figure)
    }

    fn of(trend: &Trend, stats: &TrendStats, own: bool) -> Self {
        let mut figures: Vec<_> = stats.iter().map(|(name, stat)| (name.to_owned(), stat.of(trend))).collect();
        let p99 = Aggregation::Percentile(99.0);
        if own && figures.iter().all(|(name, _)| *name != p99.to_string()) {
            figures.push((p99.to_string(), p99.of(trend)));
        }
        Self { count: trend.count(), stats: figures }
    }
}

// === impl Figures ===

impl Figures {
    fn of(reading: &Reading, stats: &TrendStats, own: bool, over: Duration) -> Self {
        match reading {
            Reading::Trend(trend) => Self::Trend(TrendFigures::of(trend, stats, own)),
            Reading::Rate(share) => Self::Rate(*share),
            Reading::Counter(count) => Self::Counter { count: *count, rate: per_second(*count, over) },
            Reading::Gauge(Range { value, min, max, .. }) => Self::Gauge { value: *value, min: *min, max: *max },
        }
    }
}

/// Errors by the names that the summary has for them. `other` is none of k6's and stands only where it is not 0.
pub(super) fn error_counts(errors: &Errors) -> Vec<(&'static str, u64)> {
    let mut counts = vec![
        ("connection_reset", errors.connection_reset),
        ("timeout", errors.timeout),
        ("connection_refused", errors.connection_refused),
        ("tls", errors.tls),
        ("dns", errors.dns),
        ("status", errors.status),
        ("check", errors.check),
    ];
    if errors.other > 0 {
        counts.push(("other", errors.other));
    }
    counts
}

/// The metrics that have something to say, and all that a threshold names.
pub(crate) fn metrics(
    totals: &Totals,
    thresholds: &Thresholds,
    stats: &TrendStats,
    end: Duration,
) -> Vec<MetricReport> {
    let layout = totals.layout();
    // By parent and name, as k6 sorts them: a metric before its submetrics.
    let mut found = BTreeMap::new();
    let mut add = |name: &str, id: MetricId, metric: &Metric, reading: &Reading| {
        let parent = metric.name.clone();
        let report = MetricReport {
            name: name.to_owned(),
            contains: metric.contains,
            section: section(id),
            figures: Figures::of(reading, stats, is_own(id), totals.unpaused(end)),
        };
        found.insert((parent, name.to_owned()), report);
    };
    let named = |id| thresholds.items().iter().any(|threshold| threshold.id() == id);
    for (id, metric) in layout.metrics() {
        let Some(reading) = totals.metric(id, &Selector::default(), end) else { continue };
        if named(id) || always_stands(id) || !reading.is_empty() {
            add(&metric.name, id, metric, &reading);
        }
    }
    let duration = layout.describe(MetricId::HTTP_REQ_DURATION);
    if let (Some(metric), Ok((_, selector))) = (duration, Selector::parse_metric(EXPECTED))
        && let Some(reading) = totals.metric(MetricId::HTTP_REQ_DURATION, &selector, end)
    {
        add(EXPECTED, MetricId::HTTP_REQ_DURATION, metric, &reading);
    }
    for threshold in thresholds.items() {
        if let (Some(metric), Some(reading)) = (layout.describe(threshold.id()), totals.series(threshold.shown(), end))
        {
            add(&threshold.metric, threshold.id(), metric, &reading);
        }
    }
    found.into_values().collect()
}

/// The steps with their checks. The same step of two scenarios is one group, as it is in k6.
pub(crate) fn groups(totals: &Totals) -> Vec<GroupReport> {
    let layout = totals.layout();
    let mut groups: Vec<GroupReport> = Vec::new();
    for (at, site) in layout.sites().iter().enumerate() {
        let name = &site.tags.step;
        let index = groups.iter().position(|group| group.name == *name).unwrap_or_else(|| {
            groups.push(GroupReport { name: name.clone(), checks: Vec::new() });
            groups.len() - 1
        });
        let Some(group) = groups.get_mut(index) else { continue };
        let made = layout.checks().iter().zip(totals.checks());
        for (check, share) in made.filter(|(check, share)| check.site.0 as usize == at && share.total > 0) {
            match group.checks.iter_mut().find(|had| had.name == check.name) {
                Some(had) => {
                    had.passes += share.passes;
                    had.fails += share.fails();
                }
                None => {
                    let report = CheckReport { name: check.name.clone(), passes: share.passes, fails: share.fails() };
                    group.checks.push(report);
                }
            }
        }
    }
    groups
}

/// Whether a metric stands in the result even where nothing was counted: a script may ask for it.
fn always_stands(id: MetricId) -> bool {
    id.index() <= MetricId::TIMEOUT.index()
        || [
            MetricId::ITERATIONS,
            MetricId::ITERATION_DURATION,
            MetricId::ITERATION_RESPONSE_TIME,
            MetricId::ITERATION_LAG,
            MetricId::DROPPED_ITERATIONS,
            MetricId::DATA_SENT,
            MetricId::DATA_RECEIVED,
        ]
        .contains(&id)
}

/// Whether a trend is pacecar's own, and so has its `p(99)` too.
fn is_own(id: MetricId) -> bool {
    [
        MetricId::HTTP_REQ_RESPONSE_TIME,
        MetricId::ITERATION_RESPONSE_TIME,
        MetricId::ITERATION_LAG,
        MetricId::LLM_TTFT,
        MetricId::LLM_TOKEN_GAP,
        MetricId::POOL_WAIT,
    ]
    .contains(&id)
}

/// Where a metric stands in the text. k6 leaves the phases of a request, and what checks and groups say elsewhere, to JSON.
const fn section(id: MetricId) -> Section {
    match id {
        MetricId::HTTP_REQ_DURATION
        | MetricId::HTTP_REQ_RESPONSE_TIME
        | MetricId::HTTP_REQ_FAILED
        | MetricId::HTTP_REQS
        | MetricId::HTTP_REQS_SHED
        | MetricId::CONNECTION_RESET
        | MetricId::CONNECTION_REFUSED
        | MetricId::TIMEOUT => Section::Http,
        MetricId::HTTP_REQ_BLOCKED
        | MetricId::HTTP_REQ_CONNECTING
        | MetricId::HTTP_REQ_TLS_HANDSHAKING
        | MetricId::HTTP_REQ_SENDING
        | MetricId::HTTP_REQ_WAITING
        | MetricId::HTTP_REQ_RECEIVING
        | MetricId::GROUP_DURATION
        | MetricId::CHECKS => Section::Hidden,
        MetricId::DATA_SENT | MetricId::DATA_RECEIVED => Section::Network,
        MetricId::ITERATIONS
        | MetricId::ITERATION_DURATION
        | MetricId::ITERATION_RESPONSE_TIME
        | MetricId::ITERATION_LAG
        | MetricId::DROPPED_ITERATIONS
        | MetricId::VUS
        | MetricId::VUS_MAX => Section::Execution,
        _ => Section::Custom,
    }
}
