//! The figures of one run that are laid beside another's.

use crate::measure::threshold::{Aggregation, Expression, Operator};
use crate::measure::{Contains, Histogram, MetricId, Reading, Selector, Share, Trend};
use crate::report::chart::Unit;
use crate::report::format;
use crate::report::result::{Figures, MetricReport};
use crate::report::saved::Opened;
use std::time::Duration;

/// One figure of one run.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) metric: String,
    pub(super) stat: String,
    pub(super) value: f64,
    /// Where it lies by the run's own values alone; none where nothing says.
    pub(super) within: Option<(f64, f64)>,
    /// The same figure of windows of time, one after the other; empty where there are too few.
    pub(super) windows: Vec<f64>,
    /// Of shares: how many of how many.
    pub(super) share: Option<Share>,
    pub(super) better: Better,
    pub(super) shown: Shown,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
    /// A share of what failed: any more of it is worse.
    FewerFailed,
    /// Neither, or nobody says.
    Neither,
}

/// How its value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shown {
    /// In its unit.
    #[default]
    Count,
    /// Milliseconds.
    Time,
    /// Bytes.
    Bytes,
    /// A share.
    Share,
    /// Things per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
}

/// How sure a figure of one run's values is: 99.7 %, for neighbours lean on each other.
const SURE: f64 = 3.0;
/// Windows into which a run is cut.
const WINDOWS: u32 = 20;
/// With fewer windows, or fewer values in one, they say nothing.
const FEWEST: usize = 6;
const VALUES: u64 = 5;

/// Values that must lie above a percentile for it to say anything: a p(95) needs sixty.
const ABOVE: f64 = 3.0;

/// What is slower where it is greater.
/// Iterations hold pauses, and the parts of a request are in it already.
const TIMES: [&str; 2] = ["http_req_duration", "http_req_response_time"];

// === impl Figure ===

impl Figure {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.metric == other.metric && self.stat == other.stat
    }
}

// === impl Shown ===

impl Shown {
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Time => Unit::Time.told(value),
            Self::Count => Unit::Count.told(value),
            Self::Bytes => format::bytes(value),
            Self::Share => format!("{}%", format::trimmed(value * 100.0, 2)),
            Self::PerSecond => Unit::PerSecond.told(value),
            Self::BytesPerSecond => format!("{}/s", format::bytes(value)),
        }
    }

    const fn of(contains: Contains) -> Self {
        match contains {
            Contains::Time => Self::Time,
            Contains::Data => Self::Bytes,
            Contains::Default => Self::Count,
        }
    }
}

/// All figures of a run: of every metric and submetric of its summary, and of each step.
pub(super) fn of(result: &Opened) -> Vec<Figure> {
    let mut figures = Vec::new();
    for metric in &result.report.metrics {
        figures.extend(of_metric(result, metric));
    }
    let mut steps: Vec<&str> = Vec::new();
    for site in result.totals.layout().sites() {
        if !steps.contains(&site.tags.step.as_str()) {
            steps.push(&site.tags.step);
        }
    }
    for step in steps {
        figures.extend(of_step(result, step));
    }
    let mut unique: Vec<Figure> = Vec::new();
    for figure in figures {
        if !unique.iter().any(|known| known.is(&figure)) {
            unique.push(figure);
        }
    }
    unique
}

fn of_metric(result: &Opened, metric: &MetricReport) -> Vec<Figure> {
    let named = |stat: &str, value: f64, better: Better, shown: Shown| Figure {
        metric: metric.name.clone(),
        stat: stat.to_owned(),
        value,
        within: None,
        windows: Vec::new(),
        share: None,
        better,
        shown,
    };
    match &metric.figures {
        Figures::Trend(trend) => {
            let (name, selector) = Selector::parse_metric(&metric.name).unwrap_or((&metric.name, Selector::default()));
            let layout = result.totals.layout();
            let Some(id) = layout.find(name) else { return Vec::new() };
            let Some(Reading::Trend(trend)) = result.totals.metric(id, &selector, result.report.run.duration) else {
                // A cut that only a threshold has: the figures of the summary are all that is known of it.
                let told = trend.stats.iter().filter(|_| trend.count > 0);
                let shown = Shown::of(metric.contains);
                return told.map(|(stat, figure)| named(stat, figure.value, Better::Neither, shown)).collect();
            };
            let windows = |q| match selector.tags.as_slice() {
                [] => over_time(result, id, q),
                [(tag, step)] if tag == "step" && id == MetricId::HTTP_REQ_DURATION => step_over_time(result, step, q),
                _ => Vec::new(),
            };
            of_trend(result, &metric.name, metric.contains, &trend, windows)
        }
        Figures::Rate(share) => {
            let better = match metric.name.split('{').next().unwrap_or_default() {
                "http_req_failed" => Better::FewerFailed,
                "checks" => Better::Higher,
                _ => asked(result, &metric.name, Aggregation::Rate),
            };
            let figure = named("rate", share.rate(), better, Shown::Share);
            if share.total > 0 { vec![Figure { share: Some(*share), ..figure }] } else { Vec::new() }
        }
        Figures::Counter { count, rate } => {
            let (all, each) = match Shown::of(metric.contains) {
                Shown::Bytes => (Shown::Bytes, Shown::BytesPerSecond),
                other => (other, Shown::PerSecond),
            };
            let each = if all == Shown::Time { Shown::Count } else { each };
            vec![named("count", *count, Better::Neither, all), named("rate", *rate, Better::Neither, each)]
        }
        Figures::Gauge { value, max, .. } => {
            let shown = Shown::of(metric.contains);
            vec![named("value", *value, Better::Neither, shown), named("max", *max, Better::Neither, shown)]
        }
    }
}

fn of_step(result: &Opened, step: &str) -> Vec<Figure> {
    let end = result.report.run.duration;
    let selector = Selector { tags: vec![("step".to_owned(), step.to_owned())] };
    let mut figures = Vec::new();
    for (id, name) in [
        (MetricId::HTTP_REQ_DURATION, "http_req_duration"),
        (MetricId::HTTP_REQ_RESPONSE_TIME, "http_req_response_time"),
    ] {
        if let Some(Reading::Trend(trend)) = result.totals.metric(id, &selector, end) {
            let windows =
                |q| if id == MetricId::HTTP_REQ_DURATION { step_over_time(result, step, q) } else { Vec::new() };
            figures.extend(of_trend(result, &format!("{name}{{step:{step}}}"), Contains::Time, &trend, windows));
        }
    }
    if let Some(Reading::Rate(share)) = result.totals.metric(MetricId::HTTP_REQ_FAILED, &selector, end)
        && share.total > 0
    {
        figures.push(Figure {
            metric: format!("http_req_failed{{step:{step}}}"),
            stat: "rate".to_owned(),
            value: share.rate(),
            within: None,
            windows: Vec::new(),
            share: Some(share),
            better: Better::FewerFailed,
            shown: Shown::Share,
        });
    }
    figures
}

fn of_trend(
    result: &Opened,
    name: &str,
    contains: Contains,
    trend: &Trend,
    windows: impl Fn(f64) -> Vec<f64>,
) -> Vec<Figure> {
    if trend.count() == 0 {
        return Vec::new();
    }
    let parent = name.split('{').next().unwrap_or_default();
    let own_time = contains == Contains::Time && result.totals.layout().find(parent).is_some_and(is_custom);
    // Of a step it is the duration, whose course is known; what went well is in the whole already.
    let part = name.len() > parent.len() && parent != "http_req_duration";
    let slower = (TIMES.contains(&parent) && !part && !name.contains("expected_response")) || own_time;
    let figure = |stat: Aggregation, better: Better| {
        let value = stat.of(trend).value;
        let q = match stat {
            Aggregation::Med => Some(0.5),
            Aggregation::Percentile(p) => Some(p / 100.0),
            _ => None,
        };
        let judged = better != Better::Neither;
        Figure {
            metric: name.to_owned(),
            stat: stat.to_string(),
            value,
            within: q.map_or_else(|| of_mean(trend), |q| of_quantile(trend, q)).filter(|_| judged),
            windows: q.filter(|_| judged).map(&windows).unwrap_or_default(),
            share: None,
            better,
            shown: Shown::of(contains),
        }
    };
    let mut stats =
        vec![Aggregation::Avg, Aggregation::Med, Aggregation::Percentile(95.0), Aggregation::Percentile(99.0)];
    for threshold in result.report.thresholds.iter().filter(|threshold| threshold.metric == name) {
        if !stats.contains(&threshold.aggregation) && threshold.aggregation != Aggregation::Count {
            stats.push(threshold.aggregation);
        }
    }
    let better = |stat: Aggregation| match stat {
        Aggregation::Med | Aggregation::Percentile(_) if slower => {
            // The tail of a tail is noise: what is judged is the middle and p(95).
            let above = match stat {
                Aggregation::Med => 0.5,
                Aggregation::Percentile(95.0) => 0.05,
                _ => 0.0,
            };
            let known = trend.count() as f64 * above >= ABOVE;
            if known { Better::Lower } else { Better::Neither }
        }
        stat => asked(result, name, stat),
    };
    stats.into_iter().map(|stat| figure(stat, better(stat))).collect()
}

/// Which way is better, as a threshold of the plan has it.
fn asked(result: &Opened, metric: &str, stat: Aggregation) -> Better {
    let of_it =
        result.report.thresholds.iter().find(|threshold| {
            threshold.metric == metric && threshold.aggregation == stat && threshold.during.is_none()
        });
    match of_it.and_then(|threshold| threshold.expression.parse::<Expression>().ok()).map(|it| it.operator) {
        Some(Operator::Less | Operator::LessOrEqual) => Better::Lower,
        Some(Operator::Greater | Operator::GreaterOrEqual) => Better::Higher,
        _ => Better::Neither,
    }
}

fn is_custom(id: MetricId) -> bool {
    id.index() >= crate::measure::metric::BUILT_IN.len()
}

/// Where a quantile lies by the ranks around it.
fn of_quantile(trend: &Trend, q: f64) -> Option<(f64, f64)> {
    let n = trend.count() as f64;
    let reach = SURE * (q * (1.0 - q) / n).sqrt();
    let at = |q: f64| trend.quantile(q.clamp(0.0, 1.0)).map(|figure| figure.value);
    at(q - reach).zip(at(q + reach))
}

/// Where a mean lies by the spread of the values.
fn of_mean(trend: &Trend) -> Option<(f64, f64)> {
    let (histogram, mean) = (trend.finished(), trend.mean()?.value);
    let squares: f64 = histogram.values().map(|(value, count)| count as f64 * (value - mean).powi(2)).sum();
    let n = trend.count() as f64;
    let reach = SURE * (squares / n).sqrt() / n.sqrt();
    Some((mean - reach, mean + reach))
}

/// A quantile of all requests in windows of time.
fn over_time(result: &Opened, id: MetricId, q: f64) -> Vec<f64> {
    let shown = match id {
        MetricId::HTTP_REQ_DURATION => result.shown.duration,
        MetricId::HTTP_REQ_RESPONSE_TIME => result.shown.response_time,
        _ => return Vec::new(),
    };
    let end = result.report.run.duration;
    let Some(timeline) = result.totals.timeline(shown) else { return Vec::new() };
    let width = (end / WINDOWS).max(timeline.width());
    let count = u32::try_from(end.as_nanos() / width.as_nanos().max(1)).unwrap_or(WINDOWS).min(WINDOWS);
    let windows = (0..count).filter_map(|n| match timeline.reading(&(width * n..width * (n + 1)), end) {
        Reading::Trend(trend) if trend.count() >= VALUES => trend.quantile(q).map(|figure| figure.value),
        _ => None,
    });
    enough(windows.collect())
}

/// A quantile of a step in windows of time.
fn step_over_time(result: &Opened, step: &str, q: f64) -> Vec<f64> {
    let course = result.course();
    let Some(at) = course.steps().iter().position(|known| known == step) else { return Vec::new() };
    let bins: Vec<(Duration, &Histogram)> =
        course.bins().filter_map(|(from, bins)| Some((from, &bins.get(at)?.duration))).collect();
    let group = bins.len().div_ceil(WINDOWS as usize).max(1);
    let windows = bins.chunks(group).filter_map(|bins| {
        let mut sum = Histogram::new();
        bins.iter().for_each(|(_, bin)| sum.merge(bin));
        sum.quantile(q).filter(|_| sum.count() >= VALUES)
    });
    enough(windows.collect())
}

fn enough(windows: Vec<f64>) -> Vec<f64> {
    if windows.len() >= FEWEST { windows } else { Vec::new() }
}
