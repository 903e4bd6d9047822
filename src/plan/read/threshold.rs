//! `thresholds:`: expressions by metric, as text, a mapping, or a list of either.

use crate::plan::document::{Text, ThresholdDocument};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::Reader;
use crate::plan::units;
use std::time::Duration;

pub(super) fn thresholds(reader: &mut Reader<'_>, node: &Node) -> Vec<ThresholdDocument> {
    let mut thresholds = Vec::new();
    for (metric, value) in reader.entries(node, "thresholds") {
        match &value.kind {
            Kind::List(items) => {
                if items.is_empty() {
                    reader
                        .diagnostics
                        .warning(metric.span, "this metric has no threshold, so nothing is judged here")
                        .hint("write an expression, for example `p(95)<200`, or leave the metric out");
                }
                thresholds.extend(items.iter().filter_map(|item| threshold(reader, metric, item)));
            }
            _ => thresholds.extend(threshold(reader, metric, value)),
        }
    }
    thresholds
}

fn threshold(reader: &mut Reader<'_>, metric: &Text, node: &Node) -> Option<ThresholdDocument> {
    let plain = |expression| ThresholdDocument {
        metric: metric.clone(),
        expression,
        abort_on_fail: false,
        delay_abort_eval: Duration::ZERO,
        during: None,
    };
    if !matches!(node.kind, Kind::Map(_)) {
        return reader.filled_text(node, "threshold").map(plain);
    }
    let mut section = reader.section(node, "thresholds");
    let expression = section.require(reader, "threshold").and_then(|node| reader.filled_text(node, "threshold"));
    let abort_on_fail = section.boolean(reader, "abortOnFail");
    let delay_abort_eval = section.duration(reader, "delayAbortEval");
    let during = section.read(reader, "during", |reader, node, key| {
        let hint = "write a part of the run from its start, `2m..3m`, or `2m..` to its end";
        reader.quantity(node, key, "a part of the run", hint, units::during)
    });
    section.close(reader);
    Some(ThresholdDocument {
        abort_on_fail: abort_on_fail.is_some_and(|it| it.value),
        delay_abort_eval: delay_abort_eval.map(|it| it.value).unwrap_or_default(),
        during: during.map(|it| it.value),
        ..plain(expression?)
    })
}
