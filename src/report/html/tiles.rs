//! The figures in large, and the plan's own metrics with their sums.

use super::clean::clean;
use super::steps::time;
use crate::measure::{Contains, MetricId, Selector};
use crate::report::chart::Unit;
use crate::report::explain::grouped;
use crate::report::format;
use crate::report::result::{Figures, MetricReport, RunReport, Section};
use crate::report::saved::Opened;
use serde::Serialize;

/// One figure in large.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    name: &'static str,
    value: String,
    beside: String,
    bad: bool,
}

/// A metric of the plan's own.
#[derive(Debug, Serialize)]
pub(super) struct CustomView {
    name: String,
    /// What it is at a glance.
    value: String,
    /// The sum, where adding up means something.
    total: Option<String>,
    beside: Vec<(String, String)>,
}

/// What is looked at first.
pub(super) fn tiles(result: &Opened) -> Vec<Tile> {
    let report = &result.report;
    let end = report.run.duration;
    let mut tiles = Vec::new();
    let mut add = |name, value, beside, bad| tiles.push(Tile { name, value, beside, bad });
    let trend = |id| result.totals.trend(id, &Selector::default(), end);
    let felt = trend(MetricId::HTTP_REQ_RESPONSE_TIME);
    if let (Some(p95), Some(med)) = (felt.quantile(0.95), felt.quantile(0.5)) {
        let bound = if p95.censored { "≥ " } else { "" };
        add("response p(95)", format!("{bound}{}", time(p95.value)), format!("median {}", time(med.value)), false);
    }
    if let Some(Figures::Counter { count, rate }) = figures(report, "http_reqs") {
        add("requests", grouped(*count), format!("{}/s", format::trimmed(*rate, 1)), false);
    }
    if let Some(Figures::Rate(share)) = figures(report, "http_req_failed") {
        add(
            "failed",
            format::percent(share.rate()),
            format!("{} of {}", grouped(share.passes as f64), grouped(share.total as f64)),
            share.passes > 0,
        );
    }
    if let Some(Figures::Counter { count, .. }) = figures(report, "iterations") {
        let dropped = match figures(report, "dropped_iterations") {
            Some(Figures::Counter { count, .. }) => *count,
            _ => 0.0,
        };
        let beside = if dropped > 0.0 { format!("{} dropped", grouped(dropped)) } else { "none dropped".to_owned() };
        add("iterations", grouped(*count), beside, dropped > 0.0);
    }
    for metric in report.metrics.iter().filter(|metric| metric.name.contains("cost") && !metric.name.contains('{')) {
        if let (Figures::Trend(figures), Some(sum)) = (&metric.figures, sum(result, metric)) {
            let each =
                format!("{} × {}", grouped(figures.count as f64), Unit::Count.told(sum / figures.count.max(1) as f64));
            add("total cost", total(sum), each, false);
            break;
        }
    }
    if let Some(cleanup) = &report.cleanup {
        let deleted: u64 = cleanup.tables.iter().map(|table| table.deleted).sum();
        let left = cleanup.remaining;
        add("rows left", grouped(left as f64), format!("{} deleted", grouped(deleted as f64)), left > 0);
    }
    tiles
}

/// The plan's own metrics, each with its sum where that means something.
pub(super) fn custom(result: &Opened) -> Vec<CustomView> {
    let report = &result.report;
    let own =
        report.metrics.iter().filter(|metric| metric.section == Section::Custom && !metric.name.starts_with("pool_"));
    own.filter_map(|metric| {
        let show = |value: f64| match metric.contains {
            Contains::Time => time(value),
            Contains::Data => format::bytes(value),
            Contains::Default => Unit::Count.told(value),
        };
        let (value, beside) = match &metric.figures {
            Figures::Trend(figures) if figures.count == 0 => return None,
            Figures::Trend(figures) => {
                let told = |name: &str| figures.get(name).map(|figure| (name.to_owned(), show(figure.value)));
                let mean = figures.get("avg").map(|figure| show(figure.value)).unwrap_or_default();
                let mut beside: Vec<_> = ["med", "p(95)", "max"].into_iter().filter_map(told).collect();
                beside.push(("count".to_owned(), grouped(figures.count as f64)));
                (format!("avg {mean}"), beside)
            }
            Figures::Rate(share) => {
                let of = format!("{} of {}", grouped(share.passes as f64), grouped(share.total as f64));
                (format::percent(share.rate()), vec![("yes".to_owned(), of)])
            }
            Figures::Counter { count, rate } => (show(*count), vec![("per second".to_owned(), show(*rate))]),
            Figures::Gauge { value, min, max } => {
                (show(*value), vec![("min".to_owned(), show(*min)), ("max".to_owned(), show(*max))])
            }
        };
        let total = sum(result, metric).map(total);
        Some(CustomView { name: clean(&metric.name), value, total, beside })
    })
    .collect()
}

/// The sum of a trend's values: of times it means nothing.
fn sum(result: &Opened, metric: &MetricReport) -> Option<f64> {
    if metric.contains == Contains::Time || metric.name.contains('{') || !matches!(metric.figures, Figures::Trend(_)) {
        return None;
    }
    let id = result.totals.layout().find(&metric.name)?;
    let trend = result.totals.trend(id, &Selector::default(), result.report.run.duration);
    (trend.count() > 0).then(|| trend.finished().sum())
}

/// A sum: of money two digits and more where it is little.
fn total(sum: f64) -> String {
    grouped(format::trimmed(sum, if sum.abs() < 1.0 { 4 } else { 2 }).parse().unwrap_or(sum))
}

fn figures<'a>(report: &'a RunReport, name: &str) -> Option<&'a Figures> {
    report.metric(name).map(|metric| &metric.figures)
}
