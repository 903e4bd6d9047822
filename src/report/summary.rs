//! `--summary-export`: k6's shape key for key, and beside it one key of pacecar's own.

use super::fidelity::fidelity_value;
use super::judge::judge_value;
use super::result::{CleanupReport, Figures, MetricReport, OutputReport, RunReport, error_counts};
use crate::judge::{Confidence, IntervalReport};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The summary as JSON.
#[must_use]
pub fn summary(report: &RunReport) -> Value {
    let metrics: Map<_, _> =
        report.metrics.iter().map(|metric| (metric.name.clone(), metric_value(metric, report))).collect();
    json!({ "root_group": root_group(report), "metrics": metrics, "pacecar": pacecar(report) })
}

fn metric_value(metric: &MetricReport, report: &RunReport) -> Value {
    let mut fields = Map::new();
    match &metric.figures {
        Figures::Trend(figures) => {
            for (name, figure) in &figures.stats {
                fields.insert(name.clone(), number(figure.value));
            }
        }
        Figures::Counter { count, rate } => {
            fields.insert("count".into(), number(*count));
            fields.insert("rate".into(), number(*rate));
        }
        Figures::Gauge { value, min, max } => {
            fields.insert("value".into(), number(*value));
            fields.insert("min".into(), number(*min));
            fields.insert("max".into(), number(*max));
        }
        Figures::Rate(share) => {
            fields.insert("passes".into(), share.passes.into());
            fields.insert("fails".into(), share.fails().into());
            fields.insert("value".into(), number(share.rate()));
        }
    }
    let mut thresholds = Map::new();
    for threshold in report.thresholds_of(&metric.name) {
        // As in k6, `true` means failed. One expression over two parts of the run is one key.
        let failed = thresholds.entry(threshold.expression.clone()).or_insert(Value::Bool(false));
        *failed = Value::Bool(threshold.failed() || *failed == Value::Bool(true));
    }
    if !thresholds.is_empty() {
        fields.insert("thresholds".into(), thresholds.into());
    }
    fields.into()
}

fn root_group(report: &RunReport) -> Value {
    let mut groups = Map::new();
    for group in &report.groups {
        let path = format!("::{}", group.name);
        let mut checks = Map::new();
        for check in &group.checks {
            let path = format!("{path}::{}", check.name);
            let value = json!({
                "name": check.name,
                "path": path,
                "id": md5_hex(&path),
                "passes": check.passes,
                "fails": check.fails,
            });
            checks.insert(check.name.clone(), value);
        }
        let value = json!({ "name": group.name, "path": path, "id": md5_hex(&path), "groups": {}, "checks": checks });
        groups.insert(group.name.clone(), value);
    }
    json!({ "name": "", "path": "", "id": md5_hex(""), "groups": groups, "checks": {} })
}

fn pacecar(report: &RunReport) -> Value {
    let run = &report.run;
    let errors: Map<_, _> =
        error_counts(&report.errors).into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
    let ms = |duration: std::time::Duration| number((duration.as_secs_f64() * 1e3).round());
    let mut sections = json!({
        "run": {
            "id": run.id.to_string(),
            "plan": run.plan,
            "verdict": run.verdict.as_str(),
            "started": humantime::format_rfc3339_millis(run.started).to_string(),
            "duration_ms": ms(run.duration),
        },
        "fidelity": fidelity_value(&report.fidelity),
        "errors": errors,
    });
    if !run.paused.is_zero() {
        sections["run"]["paused_ms"] = ms(run.paused);
    }
    if let Some(sections) = sections.as_object_mut() {
        if !report.intervals.is_empty() {
            let of = |interval: &IntervalReport| {
                let Confidence { low, high, effective } = interval.confidence;
                // An open end is null: what lies above never finished, or too little was seen there.
                let value =
                    json!({ "interval": [number(low), high.map(number)], "effective": number(effective.round()) });
                (interval.metric.to_owned(), json!({ interval.stat: value }))
            };
            let confidence: Map<_, _> = report.intervals.iter().map(of).collect();
            sections.insert("confidence".into(), confidence.into());
        }
        if let Some(judge) = judge_value(&report.judge) {
            sections.insert("judge".into(), judge);
        }
        for (name, value) in report.correlation.iter().flat_map(|correlation| correlation.values()) {
            sections.insert(name.into(), value);
        }
        if !report.outputs.is_empty() {
            let of = |output: &OutputReport| {
                (output.name.to_owned(), json!({ "written": output.written, "lost": output.lost }))
            };
            let outputs: Map<_, _> = report.outputs.iter().map(of).collect();
            sections.insert("outputs".into(), outputs.into());
        }
        if let Some(cleanup) = &report.cleanup {
            sections.insert("cleanup".into(), cleanup_value(cleanup));
        }
    }
    sections
}

/// The `cleanup` section, which the command `cleanup` writes too.
#[must_use]
pub fn cleanup_value(cleanup: &CleanupReport) -> Value {
    let by_table = |count: fn(&super::result::TableReport) -> u64| -> Map<_, _> {
        cleanup.tables.iter().map(|table| (table.table.clone(), count(table).into())).collect()
    };
    json!({
        "found": by_table(|table| table.found),
        "deleted": by_table(|table| table.deleted),
        "remaining": cleanup.remaining,
        "quarantined": cleanup.quarantined,
    })
}

/// A number without a fraction is written without one, as k6 does.
pub(super) fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return (value as i64).into();
    }
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
