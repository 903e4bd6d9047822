//! The section `fidelity` of the summary: the keys that scripts may rely on, and what else is known of the generator.

use super::format;
use super::result::{RunReport, error_counts};
use super::summary::number;
use crate::judge::arrivals::Found;
use crate::judge::{Arrivals, Fidelity, StationarityReport};
use serde_json::{Map, Value, json};

pub(super) fn fidelity_value(fidelity: &Fidelity) -> Value {
    let input = &fidelity.input;
    let mut value = json!({
        "valid": fidelity.valid,
        "reasons": fidelity.reasons,
        "scheduled": input.scheduled,
        "started": input.started,
        "dropped": input.dropped,
        "completed": input.completed,
        "censored": input.censored,
        "stale_connections": input.stale_connections,
        "achieved_ratio": number(fidelity.achieved_ratio),
        "lag_ms": { "med": number(input.lag.med), "p(99)": number(input.lag.p99), "max": number(input.lag.max) },
        "cpu_seconds": number(input.cpu_seconds),
        "max_rss_bytes": input.max_rss_bytes,
    });
    if let Some(keys) = value.as_object_mut() {
        if !fidelity.arrivals.is_empty() {
            let of = |arrivals: &Arrivals| (arrivals.scenario.clone(), arrivals_value(arrivals));
            keys.insert("arrivals".into(), fidelity.arrivals.iter().map(of).collect::<Map<_, _>>().into());
        }
        if let Some(stationarity) = &fidelity.stationarity {
            keys.insert("stationary".into(), stationarity_value(stationarity));
        }
        if !fidelity.notes.is_empty() {
            keys.insert("notes".into(), fidelity.notes.clone().into());
        }
    }
    value
}

fn arrivals_value(arrivals: &Arrivals) -> Value {
    // Null where nobody can say.
    let (wanted, kept) = (arrivals.wanted.as_str(), arrivals.kept());
    match &arrivals.found {
        Found::Even { within, spacing } => json!({
            "wanted": wanted,
            "kept": kept,
            "gaps": spacing.n,
            "within_ms": number(within.as_secs_f64() * 1e3),
            "uneven": number(spacing.uneven),
        }),
        Found::Exponential(fit) => json!({
            "wanted": wanted,
            "kept": kept,
            "gaps": fit.n,
            "statistic": number(fit.statistic),
            "p_value": number(fit.p_value()),
        }),
        Found::Unknown(why) => json!({ "wanted": wanted, "kept": kept, "why": why }),
    }
}

fn stationarity_value(found: &StationarityReport) -> Value {
    let ms = |at: std::time::Duration| number((at.as_secs_f64() * 1e3).round());
    json!({
        "stationary": found.stationary,
        "held_ms": [ms(found.held.start), ms(found.held.end)],
        "change": number(found.change),
        "interval": [number(found.interval.low), number(found.interval.high)],
        "beginning": number(found.beginning),
        "p_value": number(found.p_value),
        "settled_after_ms": found.settled.map(ms),
    })
}

/// The figures of the section FIDELITY: a name, what it is, and what stands beside it.
pub(super) fn rows(report: &RunReport) -> Vec<(&'static str, String, Vec<String>)> {
    let RunReport { fidelity, errors, intervals, run, .. } = report;
    let input = &fidelity.input;
    let (lag, time) = (&input.lag, format::duration);
    let mut rows = vec![
        (
            "iterations",
            format!("{} scheduled", input.scheduled),
            vec![
                format!("{} started", input.started),
                format!("{} completed", input.completed),
                format!("{} dropped", input.dropped),
                format!("{} cut off", input.cut_off()),
            ],
        ),
        ("achieved", format::percent(fidelity.achieved_ratio), Vec::new()),
        (
            "lag",
            format!("med={}", time(lag.med)),
            vec![format!("p(99)={}", time(lag.p99)), format!("max={}", time(lag.max))],
        ),
    ];
    if !run.paused.is_zero() {
        let paused = time((run.paused.as_secs_f64() * 1e3).round());
        rows.push(("paused", paused, vec!["left out of the rates".to_owned()]));
    }
    rows.extend(fidelity.arrivals.iter().map(|arrivals| {
        let kept = arrivals.kept() != Some(false);
        let mark = if kept { "" } else { "! " };
        ("arrivals", format!("{mark}{}: {}", arrivals.scenario, arrivals.sentence()), Vec::new())
    }));
    if let Some(stationarity) = &fidelity.stationarity {
        rows.push(("stationary", stationarity.sentence(), Vec::new()));
    }
    if input.cpu_seconds > 0.0 || input.max_rss_bytes > 0 {
        let memory = format!("memory={}", format::bytes(input.max_rss_bytes as f64));
        rows.push(("generator", format!("cpu={}", time(input.cpu_seconds * 1e3)), vec![memory]));
    }
    for interval in intervals {
        let high = interval.confidence.high.map_or_else(|| "or more".to_owned(), |high| format!("to {}", time(high)));
        let sure = format!("95 % sure: {} {high}", time(interval.confidence.low));
        rows.push((interval.metric, format!("{}, {sure}", interval.stat), Vec::new()));
    }
    if input.stale_connections > 0 {
        rows.push(("stale_connections", input.stale_connections.to_string(), Vec::new()));
    }
    let named = error_counts(errors).into_iter().filter(|(_, count)| *count > 0);
    let mut named = named.map(|(name, count)| format!("{name}={count}"));
    if let Some(first) = named.next() {
        rows.push(("errors", first, named.collect()));
    }
    rows
}
