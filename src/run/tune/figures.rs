//! The figures that a trial is made for: the objective and what must hold, compiled against what can be counted, and
//! read off the totals once the target has settled.

use crate::judge::StationarityReport;
use crate::measure::metric::Scope;
use crate::measure::threshold::{Aggregation, Expression, per_second};
use crate::measure::{
    Contains, LayoutBuilder, MetricId, Part, Reading, Selector, SeriesId, Timeline, TimelineId, Totals,
};
use crate::plan::{ConstraintDocument, Diagnostics, During, FigureDocument, MetricKind, Span, Text, TuneDocument};
use crate::stats::LoadPoint;
use crate::tune::{Constraint, ConstraintValue, Incidents, Measured, Objective};
use std::time::Duration;

/// What of a trial is read.
#[derive(Clone, Debug)]
pub(in crate::run) struct Figures {
    objective: Aggregation,
    over_time: TimelineId,
    constraints: Vec<Bound>,
    counts: Counts,
    /// `http_req_duration`, for how many were under way at once.
    durations: TimelineId,
    utilization: SeriesId,
    /// Never measured.
    warmup: Duration,
    /// How long the load is after that.
    duration: Duration,
}

/// The objective and the constraints, by name: what the search knows of them.
#[derive(Clone, Debug)]
pub(in crate::run) struct Goals {
    pub(super) objective: Objective,
    /// How the objective's figures read.
    pub(super) contains: Contains,
    pub(super) constraints: Vec<Constraint>,
    /// Where a constraint that the plan writes is about the pool.
    pub(super) of_pool: Option<Span>,
    /// Whether one that the plan does not write is left out, because nothing tells of the pool.
    pub(super) left_out: bool,
}

/// A constraint and where its figure is.
#[derive(Clone, Debug)]
struct Bound {
    name: String,
    aggregation: Aggregation,
    source: Source,
}

/// Where a figure is.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// A cut over time.
    Timeline(TimelineId),
    /// A gauge that the target tells, over its time.
    Gauge(SeriesId),
}

/// What is counted of every trial.
#[derive(Clone, Copy, Debug)]
struct Counts {
    failed: TimelineId,
    resets: TimelineId,
    timeouts: TimelineId,
    refusals: TimelineId,
}

/// A figure, read from the plan.
struct Read {
    metric: MetricId,
    selector: Selector,
    kind: MetricKind,
    contains: Contains,
    scope: Scope,
}

/// At least this share of the time is measured, however late the target settles.
const LEAST_SHARE: f64 = 0.5;
/// The part of a trial for which its load is told.
const SECOND: Duration = Duration::from_secs(1);
/// The most of them: a law needs no more.
const MOST_LOADS: usize = 600;

// === impl Goals ===

impl Goals {
    /// Reads what a plan wants of its knobs. Every problem is told.
    /// `sees_pool`: whether the plan says where the pool is seen.
    pub(super) fn compile(
        document: &TuneDocument,
        sees_pool: bool,
        layout: &LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Self {
        let read = objective(&document.objective, document.span, layout, diagnostics);
        let contains = read.as_ref().map_or(Contains::Time, |(read, _)| read.contains);
        let stat = read.map_or(Aggregation::Percentile(95.0), |(_, stat)| stat).to_string();
        let objective = Objective { metric: document.objective.metric.value.clone(), stat };
        let mut constraints = Vec::new();
        let (mut of_pool, mut left_out) = (None, false);
        for written in &document.constraints {
            if let Some((read, expression)) = constraint(written, document.span, layout, diagnostics) {
                let Expression { operator, bound, aggregation } = expression;
                let name = name_of(written, aggregation, &document.constraints);
                match written.metric.span {
                    Span::NONE if read.scope == Scope::Target && !sees_pool => {
                        left_out = true;
                        continue;
                    }
                    span if read.scope == Scope::Target && span != Span::NONE => drop(of_pool.get_or_insert(span)),
                    _ => {}
                }
                constraints.push(Constraint { name, operator, bound });
            }
        }
        Self { objective, contains, constraints, of_pool, left_out }
    }
}

// === impl Figures ===

impl Figures {
    /// Prepares what a trial reads. None where the plan has an error there, which [`Goals::compile`] tells.
    pub(in crate::run) fn prepare(
        document: &TuneDocument,
        warmup: Duration,
        duration: Duration,
        layout: &mut LayoutBuilder,
    ) -> Option<Self> {
        let mut told = Diagnostics::new("");
        let (read, stat) = objective(&document.objective, document.span, layout, &mut told)?;
        let over_time = layout.timeline(read.metric, &read.selector);
        let after = During { from: warmup, to: None };
        let mut constraints = Vec::new();
        for written in &document.constraints {
            let (read, expression) = constraint(written, document.span, layout, &mut told)?;
            let source = if read.scope == Scope::Target && read.kind == MetricKind::Gauge {
                Source::Gauge(layout.series(read.metric, &read.selector, Some(after)))
            } else {
                Source::Timeline(layout.timeline(read.metric, &read.selector))
            };
            let name = name_of(written, expression.aggregation, &document.constraints);
            constraints.push(Bound { name, aggregation: expression.aggregation, source });
        }
        let mut all = |metric| layout.timeline(metric, &Selector::default());
        let counts = Counts {
            failed: all(MetricId::HTTP_REQ_FAILED),
            resets: all(MetricId::CONNECTION_RESET),
            timeouts: all(MetricId::TIMEOUT),
            refusals: all(MetricId::CONNECTION_REFUSED),
        };
        let durations = all(MetricId::HTTP_REQ_DURATION);
        let utilization = layout.series(MetricId::POOL_UTILIZATION, &Selector::default(), Some(after));
        Some(Self { objective: stat, over_time, constraints, counts, durations, utilization, warmup, duration })
    }

    /// Reads a trial whose load ended at `end`. `closely`: whether the pool was looked at often enough to constrain.
    pub(in crate::run) fn read(
        &self,
        totals: &Totals,
        end: Duration,
        settled: Option<&StationarityReport>,
        closely: bool,
    ) -> Measured {
        let part = self.warmup.max(self.settled(settled))..Duration::MAX;
        let over_time = totals.timeline(self.over_time);
        let (mut objective, mut p95) = Default::default();
        let seen = over_time.is_some_and(|timeline| timeline.count(&part) > 0);
        if let Some(Reading::Trend(trend)) = over_time.map(|timeline| timeline.reading(&part, end)) {
            objective = self.objective.of(&trend);
            p95 = Aggregation::Percentile(95.0).of(&trend).value;
        }
        let count = |timeline: TimelineId| match totals.timeline(timeline).map(|it| it.reading(&part, end)) {
            Some(Reading::Counter(sum)) => sum as u64,
            _ => 0,
        };
        let (failed, requests) = match totals.timeline(self.counts.failed).map(|it| it.reading(&part, end)) {
            Some(Reading::Rate(share)) => (share.passes, share.total),
            _ => (0, 0),
        };
        let incidents = Incidents {
            failed,
            resets: count(self.counts.resets),
            timeouts: count(self.counts.timeouts),
            refusals: count(self.counts.refusals),
        };
        let utilization = gauge(totals, self.utilization, end);
        Measured {
            objective,
            p95,
            constraints: self.constraints.iter().map(|bound| bound.read(totals, &part, end, closely)).collect(),
            utilization,
            requests: if seen { requests } else { 0 },
            throughput: per_second(requests as f64, end.saturating_sub(part.start)),
            incidents,
            loads: totals.timeline(self.durations).map(|timeline| loads(timeline, &part, end)).unwrap_or_default(),
            ..Measured::default()
        }
    }

    /// From when on the target had settled, where it began off its level; not so late that too little is left.
    fn settled(&self, report: Option<&StationarityReport>) -> Duration {
        let latest = self.warmup + self.duration.mul_f64(1.0 - LEAST_SHARE);
        report.and_then(|report| report.settled).unwrap_or_default().min(latest)
    }
}

// === impl Bound ===

impl Bound {
    fn read(&self, totals: &Totals, part: &Part, end: Duration, closely: bool) -> ConstraintValue {
        let lasts = end.saturating_sub(part.start);
        let (value, of) = match self.source {
            Source::Gauge(series) => (gauge(totals, series, end).filter(|_| closely), None),
            Source::Timeline(timeline) => match totals.timeline(timeline) {
                None => (None, None),
                Some(timeline) => match timeline.reading(part, end) {
                    Reading::Trend(trend) if trend.count() > 0 => (Some(self.aggregation.of(&trend).value), None),
                    Reading::Rate(share) if share.total > 0 => (Some(share.rate()), Some(share.total)),
                    Reading::Counter(sum) if self.aggregation == Aggregation::Rate => {
                        (Some(per_second(sum, lasts)), None)
                    }
                    Reading::Counter(sum) => (Some(sum), None),
                    Reading::Gauge(_) => (timeline.level(part), None),
                    Reading::Trend(_) | Reading::Rate(_) => (None, None),
                },
            },
        };
        ConstraintValue { name: self.name.clone(), value, of }
    }
}

// === helpers ===

/// Requests under way and requests ended, by the second. Little's law: what is under way is what ends a second times how
/// long each takes.
fn loads(durations: &Timeline, part: &Part, end: Duration) -> Vec<LoadPoint> {
    let mut points = Vec::new();
    let mut from = part.start;
    while from + SECOND <= end && points.len() < MOST_LOADS {
        if let Reading::Trend(trend) = durations.reading(&(from..from + SECOND), end)
            && let Some(mean) = trend.finished().mean()
        {
            let ended = trend.finished().count() as f64;
            points.push(LoadPoint { load: ended * mean / 1e3, yielded: ended });
        }
        from += SECOND;
    }
    points
}

fn gauge(totals: &Totals, series: SeriesId, end: Duration) -> Option<f64> {
    match totals.series(series, end)? {
        Reading::Gauge(range) => (range.count > 0).then_some(range.value),
        _ => None,
    }
}

/// The metric that is meant; a problem where there is none.
fn metric(text: &Text, span: Span, layout: &LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<Read> {
    let at = if text.span == Span::NONE { span } else { text.span };
    let (name, selector) = Selector::parse_metric(text)
        .map_err(|error| {
            diagnostics.error(at, error.to_string()).hint("a metric is `metric` or `metric{tag:value}`");
        })
        .ok()?;
    let Some(id) = layout.find(name) else {
        let like = |other: &&str| strsim::jaro(other, name);
        let near = layout.metric_names().max_by(|a, b| like(a).total_cmp(&like(b)));
        let near = near.filter(|near| like(near) > 0.7).map(|near| format!("did you mean `{near}`?"));
        let hint = near.unwrap_or_else(|| "a metric of k6's, of pacecar's, or of a step".to_owned());
        diagnostics.error(at, format!("no metric is called {name:?}")).hint(hint);
        return None;
    };
    let known = layout.describe(id)?;
    let (kind, contains, scope) = (known.kind, known.contains, known.scope);
    if let Err(tag) = layout.can_meet(id, &selector) {
        let message = format!("no sample of {} can have {tag}", text.value);
        diagnostics.error(at, message).hint("nothing could be judged by it");
        return None;
    }
    Some(Read { metric: id, selector, kind, contains, scope })
}

/// What is to be made small: a figure of a trend.
fn objective(
    document: &FigureDocument,
    span: Span,
    layout: &LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<(Read, Aggregation)> {
    let read = metric(&document.metric, span, layout, diagnostics)?;
    if read.kind != MetricKind::Trend {
        diagnostics
            .error(document.metric.span, format!("the objective {} is no trend", document.metric.value))
            .hint("a time is made small: http_req_response_time, http_req_duration, llm_ttft");
        return None;
    }
    let Some(stat) = &document.stat else { return Some((read, Aggregation::Percentile(95.0))) };
    match stat.value.trim().parse::<Aggregation>() {
        Ok(Aggregation::Count | Aggregation::Rate | Aggregation::Value) | Err(_) => {
            diagnostics
                .error(stat.span, format!("`{}` is no statistic of an objective", stat.value))
                .hint("avg, min, med, max or p(95)");
            None
        }
        Ok(stat) => Some((read, stat)),
    }
}

/// What must hold: `<0.8`, or with an aggregation as in a threshold.
fn constraint(
    document: &ConstraintDocument,
    span: Span,
    layout: &LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<(Read, Expression)> {
    let read = metric(&document.metric, span, layout, diagnostics);
    let text = document.expression.value.trim();
    let kind = read.as_ref().map_or(MetricKind::Trend, |read| read.kind);
    let (usual, example) = match kind {
        MetricKind::Trend => ("p(95)", "p(95)<200"),
        MetricKind::Rate => ("rate", "==0"),
        MetricKind::Counter => ("count", "==0"),
        MetricKind::Gauge => ("value", "<0.8"),
    };
    let bare = text.starts_with(['<', '>', '=', '!']);
    let whole = if bare { format!("{usual}{text}") } else { text.to_owned() };
    match whole.parse::<Expression>() {
        Ok(expression) if expression.aggregation.fits(kind) => Some((read?, expression)),
        Ok(expression) => {
            let (metric, aggregation) = (&document.metric.value, expression.aggregation);
            diagnostics
                .error(document.expression.span, format!("{metric} has no {aggregation}"))
                .hint(format!("write it as `{example}`"));
            None
        }
        Err(_) => {
            diagnostics
                .error(document.expression.span, format!("`{text}` is no constraint: not `operator number`"))
                .hint(format!("write it as `{example}`"));
            None
        }
    }
}

/// A constraint's name: its metric, with the aggregation where several are of that metric.
fn name_of(document: &ConstraintDocument, aggregation: Aggregation, all: &[ConstraintDocument]) -> String {
    let metric = &document.metric.value;
    let alone = all.iter().filter(|other| other.metric.value == *metric).count() == 1;
    if alone { metric.clone() } else { format!("{metric} {aggregation}") }
}
