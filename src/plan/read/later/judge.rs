//! `judge:`.

use super::{above_zero, share};
use crate::plan::document::{
    BreakingPointDocument, DriftDocument, FigureDocument, JudgeDocument, RecoveryDocument, Text,
};
use crate::plan::node::Node;
use crate::plan::reader::{Reader, Section};
use crate::plan::span::Spanned;
use crate::plan::units;
use std::time::Duration;

const METRIC: &str = "http_req_response_time";

pub(super) fn judge(reader: &mut Reader<'_>, node: &Node) -> JudgeDocument {
    let mut section = reader.section(node, "judge");
    let recovery = section.get("recovery").map(|node| recovery(reader, node));
    let breaking_point = section.get("breaking_point").map(|node| breaking_point(reader, node));
    let drift = section.get("drift").map(|node| drift(reader, node));
    section.close(reader);
    JudgeDocument { span: node.span, recovery, breaking_point, drift }
}

fn recovery(reader: &mut Reader<'_>, node: &Node) -> RecoveryDocument {
    let mut section = reader.section(node, "judge.recovery");
    let before = section.read(reader, "before", |reader, node, key| {
        reader.quantity(node, key, "a part of the run", "write it as `0s..1m`", units::during)
    });
    let after = section.duration(reader, "after");
    let figure = figure(reader, &mut section);
    let within = section.read(reader, "within", Reader::positive_duration);
    let factor = section
        .read(reader, "factor", |reader, node, key| reader.number(node, key, "a number of at least 1", |n| n >= 1.0));
    section.close(reader);
    if let (Some(before), Some(after)) = (before, after)
        && before.value.to.is_none_or(|to| to > after.value)
    {
        reader
            .error(before.span, "`before` must end before the spike is over, at `after`")
            .hint("`before` is the calm ahead of the spike: `0s..1m`");
    }
    RecoveryDocument {
        span: node.span,
        before,
        after,
        figure,
        within: within.unwrap_or(Spanned::nowhere(Duration::from_secs(30))),
        factor: factor.unwrap_or(Spanned::nowhere(1.2)),
    }
}

fn breaking_point(reader: &mut Reader<'_>, node: &Node) -> BreakingPointDocument {
    let mut section = reader.section(node, "judge.breaking_point");
    let figure = figure(reader, &mut section);
    let limit = section.read(reader, "limit", above_zero);
    let failed = section.read(reader, "failed", share);
    section.close(reader);
    BreakingPointDocument {
        span: node.span,
        figure,
        limit: limit.unwrap_or(Spanned::nowhere(10_000.0)),
        failed: failed.unwrap_or(Spanned::nowhere(0.1)),
    }
}

fn drift(reader: &mut Reader<'_>, node: &Node) -> DriftDocument {
    let mut section = reader.section(node, "judge.drift");
    let figure = figure(reader, &mut section);
    let per_hour = section.read(reader, "per_hour", above_zero);
    section.close(reader);
    DriftDocument { span: node.span, figure, per_hour: per_hour.unwrap_or(Spanned::nowhere(0.05)) }
}

/// `metric` and `stat`: which figure is meant.
pub(in crate::plan::read) fn figure(reader: &mut Reader<'_>, section: &mut Section<'_>) -> FigureDocument {
    let text = |reader: &mut Reader<'_>, node: &Node, key: &'static str| reader.filled_text(node, key);
    let metric: Option<Text> = section.read(reader, "metric", text);
    let stat = section.read(reader, "stat", text);
    FigureDocument { stat, ..metric.map_or_else(default_figure, |metric| FigureDocument { metric, stat: None }) }
}

/// The figure where the plan names none.
pub(in crate::plan::read) fn default_figure() -> FigureDocument {
    FigureDocument { metric: Spanned::nowhere(METRIC.to_owned()), stat: None }
}
