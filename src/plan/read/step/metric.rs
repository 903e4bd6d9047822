//! `metrics:` of a step: `{ trend: duration }`, `{ rate: $.cached }`, `{ counter: 1 }`.

use crate::plan::document::{CustomMetric, MetricKind, MetricSource, Text};
use crate::plan::node::Node;
use crate::plan::reader::Reader;
use crate::plan::span::Spanned;
use crate::semconv::metric as names;

/// The longest name of a metric, by k6's rule.
const LONGEST_NAME: usize = 129;
/// What a metric looks like.
const HINT: &str =
    "write `{ trend: duration }`, `{ trend: $.usage.total_tokens }`, `{ rate: $.cached }` or `{ counter: 1 }`";

/// k6's own metrics and pacecar's: no plan may feed them.
const TAKEN: [&str; 31] = [
    names::HTTP_REQS,
    names::HTTP_REQ_DURATION,
    names::HTTP_REQ_BLOCKED,
    names::HTTP_REQ_CONNECTING,
    names::HTTP_REQ_TLS_HANDSHAKING,
    names::HTTP_REQ_SENDING,
    names::HTTP_REQ_WAITING,
    names::HTTP_REQ_RECEIVING,
    names::HTTP_REQ_FAILED,
    names::HTTP_REQ_RESPONSE_TIME,
    names::ITERATIONS,
    names::ITERATION_DURATION,
    names::ITERATION_RESPONSE_TIME,
    names::ITERATION_LAG,
    names::DROPPED_ITERATIONS,
    names::CHECKS,
    names::GROUP_DURATION,
    names::VUS,
    names::VUS_MAX,
    names::DATA_SENT,
    names::DATA_RECEIVED,
    names::CONNECTION_RESET,
    names::CONNECTION_REFUSED,
    names::TIMEOUT,
    names::LLM_TTFT,
    names::LLM_TOKEN_GAP,
    names::POOL_UTILIZATION,
    names::POOL_USED,
    names::POOL_PENDING,
    names::POOL_WAIT,
    names::HTTP_REQS_SHED,
];

pub(super) fn metrics(reader: &mut Reader<'_>, node: &Node) -> Vec<CustomMetric> {
    let mut metrics = Vec::new();
    for (name, value) in reader.entries(node, "metrics") {
        if !proper_name(reader, name) {
            continue;
        }
        metrics.extend(metric(reader, name, value));
    }
    metrics
}

fn metric(reader: &mut Reader<'_>, name: &Text, node: &Node) -> Option<CustomMetric> {
    let mut section = reader.section(node, "step.metrics");
    let kinds = [
        (MetricKind::Trend, section.entry("trend")),
        (MetricKind::Rate, section.entry("rate")),
        (MetricKind::Counter, section.entry("counter")),
        (MetricKind::Gauge, section.entry("gauge")),
    ];
    let span = section.span;
    section.close(reader);
    let mut given = kinds.into_iter().filter_map(|(kind, entry)| entry.map(|(_, node)| (kind, node)));
    let (Some((kind, node)), None) = (given.next(), given.next()) else {
        reader.error(span, "a metric has exactly one type").hint(HINT);
        return None;
    };
    let text = reader.filled_text(node, "metrics")?;
    let source = source(reader, kind, text)?;
    Some(CustomMetric { name: name.clone(), kind, source })
}

fn source(reader: &mut Reader<'_>, kind: MetricKind, text: Text) -> Option<MetricSource> {
    if text.value == "duration" {
        if kind == MetricKind::Trend {
            return Some(MetricSource::Duration);
        }
        reader.error(text.span, "only a trend takes `duration`").hint("write `{ trend: duration }`");
        return None;
    }
    if text.starts_with('$') {
        return Some(MetricSource::Json(text));
    }
    let number = text.parse::<f64>().is_ok_and(f64::is_finite);
    if text.contains("{{") || number {
        return Some(MetricSource::Template(text));
    }
    if kind == MetricKind::Rate && matches!(text.as_str(), "true" | "false") {
        let number = if text.value == "true" { "1" } else { "0" };
        return Some(MetricSource::Template(Spanned::new(number.to_owned(), text.span)));
    }
    let shown = reader.show_text(&text);
    reader.error(text.span, format!("no value of a metric comes from {shown}")).hint(HINT);
    None
}

/// k6's rule: `^[a-zA-Z_][a-zA-Z0-9_]{1,128}$`, and none that is taken.
fn proper_name(reader: &mut Reader<'_>, name: &Text) -> bool {
    let proper = (2..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit());
    let taken = TAKEN.contains(&name.as_str());
    if !proper || taken {
        let shown = reader.show_text(name);
        let (message, hint) = if taken {
            (format!("the metric {shown} is measured already"), "give yours another name")
        } else {
            (
                format!("{shown} cannot be the name of a metric"),
                "2 to 129 letters of ASCII, digits and `_`, not a digit first",
            )
        };
        reader.error(name.span, message).hint(hint);
    }
    proper && !taken
}
