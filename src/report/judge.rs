//! What the judges came to, as the summary's JSON has it. A figure that nobody can say is null, never 0.

use crate::judge::{BreakingPointReport, DriftReport, JudgeReport, RecoveryReport};
use serde_json::{Map, Value, json};

/// The section `judge`; none where the plan asks nothing.
pub(super) fn judge_value(report: &JudgeReport) -> Option<Value> {
    let mut sections = Map::new();
    if let Some(recovery) = &report.recovery {
        sections.insert("recovery".to_owned(), recovery_value(recovery));
    }
    if let Some(breaking_point) = &report.breaking_point {
        sections.insert("breaking_point".to_owned(), breaking_point_value(breaking_point));
    }
    if let Some(drift) = &report.drift {
        sections.insert("drift".to_owned(), drift_value(drift));
    }
    (!sections.is_empty()).then_some(Value::Object(sections))
}

fn recovery_value(report: &RecoveryReport) -> Value {
    let after = report.recovered_after.map(|after| (after.as_secs_f64() * 1e3).round());
    json!({
        "verdict": report.verdict.as_str(),
        "recovered_after_ms": after,
        "before": report.before,
        "after": report.after,
        "sentence": report.sentence,
    })
}

fn breaking_point_value(report: &BreakingPointReport) -> Value {
    let scalability = report.scalability.map(|scaling| {
        json!({
            "contention": scaling.law.contention,
            "coherency": scaling.law.coherency,
            "peak_vus": scaling.peak.map(|peak| [finite(peak.low), finite(peak.high)]),
        })
    });
    json!({
        "verdict": report.verdict.as_str(),
        "rate": report.broke_at.map(|load| load.rate),
        "vus": report.broke_at.map(|load| load.vus),
        "pattern": report.pattern.map(|pattern| pattern.as_str()),
        "scalability": scalability,
        "sentence": report.sentence,
    })
}

fn drift_value(report: &DriftReport) -> Value {
    json!({
        "verdict": report.verdict.as_str(),
        "per_hour": report.per_hour,
        "interval": report.interval.map(|interval| [finite(interval.low), finite(interval.high)]),
        "sentence": report.sentence,
    })
}

/// JSON has no infinity: an open end is null.
fn finite(figure: f64) -> Option<f64> {
    figure.is_finite().then_some(figure)
}
