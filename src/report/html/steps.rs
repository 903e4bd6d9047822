//! Each step: how much, how well, how long; and where its time went, where the API told.

use super::Drawn;
use super::clean::clean;
use crate::correlate::{AttributionReport, Part};
use crate::measure::{Histogram, MetricId, Reading, Selector};
use crate::report::chart::{Ink, Row, Segment, Stack, Unit, spark};
use crate::report::explain::grouped;
use crate::report::format;
use crate::report::saved::Opened;
use minijinja::Value;
use serde::Serialize;

/// One step's figures, as they are shown.
#[derive(Debug, Serialize)]
pub(super) struct StepView {
    name: String,
    requests: String,
    failed: String,
    any_failed: bool,
    med: String,
    p95: String,
    p99: String,
    max: String,
    spark: Option<Value>,
}

/// The most points of a line as small as a word.
const POINTS: usize = 60;

/// All steps that sent something, in the order of the plan.
pub(super) fn steps(result: &Opened) -> Vec<StepView> {
    let mut names: Vec<&str> = Vec::new();
    for site in result.totals.layout().sites() {
        if !names.contains(&site.tags.step.as_str()) {
            names.push(&site.tags.step);
        }
    }
    names.into_iter().filter_map(|name| step(result, name)).collect()
}

fn step(result: &Opened, name: &str) -> Option<StepView> {
    let end = result.report.run.duration;
    let selector = Selector { tags: vec![("step".to_owned(), name.to_owned())] };
    let Some(Reading::Rate(failed)) = result.totals.metric(MetricId::HTTP_REQ_FAILED, &selector, end) else {
        return None;
    };
    let trend = result.totals.trend(MetricId::HTTP_REQ_DURATION, &selector, end);
    let figure = |q| trend.quantile(q).map_or_else(String::new, |figure| time(figure.value));
    (failed.total > 0).then(|| StepView {
        name: clean(name),
        requests: grouped(failed.total as f64),
        failed: if failed.passes == 0 {
            "0".to_owned()
        } else {
            format!("{} ({})", grouped(failed.passes as f64), format::percent(failed.rate()))
        },
        any_failed: failed.passes > 0,
        med: figure(0.5),
        p95: figure(0.95),
        p99: figure(0.99),
        max: figure(1.0),
        spark: p95_over_time(result, name),
    })
}

/// p(95) of a step over time, as small as a word.
fn p95_over_time(result: &Opened, name: &str) -> Option<Value> {
    let course = result.course();
    let at = course.steps().iter().position(|step| step == name)?;
    let bins: Vec<Option<&Histogram>> = course.bins().map(|(_, bins)| Some(&bins.get(at)?.duration)).collect();
    let group = bins.len().div_ceil(POINTS).max(1);
    let p95 = |bins: &[Option<&Histogram>]| {
        let mut sum = Histogram::new();
        bins.iter().flatten().for_each(|bin| sum.merge(bin));
        sum.quantile(0.95)
    };
    let values: Vec<Option<f64>> = bins.chunks(group).map(p95).collect();
    let high = values.iter().flatten().copied().fold(0.0, f64::max);
    let title = format!("p(95) of {} over time, up to {}", clean(name), Unit::Time.told(high));
    spark(&title, &values).map(Value::from_safe_string)
}

/// Where the time of each step went, band by band.
pub(super) fn attribution(report: &AttributionReport) -> Option<Drawn> {
    let mut rows: Vec<Row> = Vec::new();
    let mut before = "";
    for band in &report.bands {
        let segments = Part::ALL.iter().enumerate().map(|(at, part)| Segment {
            name: part.as_str().replace('_', " "),
            value: band.part(*part),
            ink: Ink::Part(u8::try_from(at).unwrap_or(0)),
        });
        let apart = !rows.is_empty() && band.step != before;
        rows.push(Row {
            name: format!("{} {}", clean(&band.step), band.band.as_str()),
            segments: segments.collect(),
            apart,
        });
        before = &band.step;
    }
    if rows.is_empty() {
        return None;
    }
    let title = "Where the time went".to_owned();
    let description =
        "For each step, around its median, its p(95) and its p(99): what its requests waited for.".to_owned();
    let stack = Stack { title, description, unit: Unit::Time, rows };
    let mut drawn = Drawn::new(|size| stack.svg(size));
    drawn.legend = stack.legend().into_iter().map(|(name, class)| (name.to_owned(), class)).collect();
    Some(drawn)
}

/// A time with as many digits as are read.
pub(super) fn time(ms: f64) -> String {
    Unit::Time.told(ms)
}
