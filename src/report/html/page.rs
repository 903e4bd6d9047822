//! All that the page shows, as text: what is left to the template is where it stands.

use super::Drawn;
use super::clean::clean;
use super::distribution::distribution;
use super::over_time::over_time;
use super::steps::{StepView, attribution, steps, time};
use super::tiles::{CustomView, Tile, custom, tiles};
use crate::judge::JudgeVerdict;
use crate::measure::threshold::ThresholdOutcome;
use crate::report::explain::{figures_sentence, grouped, observed, threshold_name, verdict_sentence};
use crate::report::fidelity;
use crate::report::format;
use crate::report::result::{RunReport, error_counts};
use crate::report::saved::{Opened, Worker};
use crate::report::text::{Style, text};
use serde::Serialize;

/// All that the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    verdict: &'static str,
    plan: String,
    sentence: String,
    figures: String,
    problems: Vec<String>,
    tiles: Vec<Tile>,
    facts: Vec<(&'static str, String)>,
    workers: Vec<WorkerView>,
    over_time: Option<Drawn>,
    saturated: bool,
    distribution: Option<Drawn>,
    steps: Vec<StepView>,
    attribution: Option<AttributionView>,
    thresholds: Vec<Question>,
    judges: Vec<Question>,
    errors: Vec<(&'static str, u64)>,
    failures: Vec<FailureView>,
    checks: Vec<CheckView>,
    custom: Vec<CustomView>,
    watched: Vec<Line>,
    moved: Vec<String>,
    notes: Vec<String>,
    cleanup: Option<CleanupView>,
    fidelity: FidelityView,
    terminal: String,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct WorkerView {
    id: String,
    segment: String,
    verdict: &'static str,
    started: String,
    lasted: String,
}

#[derive(Debug, Serialize)]
struct AttributionView {
    sentence: Option<String>,
    chart: Drawn,
    traces: Vec<(String, Vec<String>)>,
    joined: String,
}

/// What was asked, and what was seen.
#[derive(Debug, Serialize)]
struct Question {
    name: String,
    seen: String,
    held: bool,
    no_data: bool,
}

#[derive(Debug, Serialize)]
struct FailureView {
    step: String,
    scenario: String,
    what: String,
    count: String,
    traces: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct CheckView {
    name: String,
    passes: String,
    fails: String,
    held: bool,
    share: String,
}

/// A name, what it is, and what stands beside it.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    value: String,
    beside: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CleanupView {
    sentence: String,
    clean: bool,
    tables: Vec<(String, u64, u64, u64, u64)>,
    blocked: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FidelityView {
    valid: bool,
    reasons: Vec<String>,
    notes: Vec<String>,
    lines: Vec<Line>,
}

// === impl Page ===

impl Page {
    pub(super) fn of(result: &Opened) -> Self {
        let report = &result.report;
        let correlation = report.correlation.as_ref();
        let timelines = correlation.and_then(|correlation| correlation.timelines.as_ref());
        let over_time = over_time(result);
        let pool = timelines.and_then(|timelines| timelines.timelines.pool.as_ref());
        Self {
            verdict: report.run.verdict.as_str(),
            plan: clean(&report.run.plan),
            sentence: clean(&verdict_sentence(report)),
            figures: clean(&figures_sentence(report)),
            problems: result.saved.run.problems.iter().map(|problem| clean(problem)).collect(),
            tiles: tiles(result),
            facts: facts(result),
            workers: if result.saved.is_merged() {
                result.saved.workers.iter().map(WorkerView::of).collect()
            } else {
                Vec::new()
            },
            saturated: over_time.is_some() && pool.is_some_and(|pool| !pool.saturated.is_empty()),
            over_time,
            distribution: distribution(result),
            steps: steps(result),
            attribution: correlation.and_then(|correlation| {
                let told = correlation.attribution.as_ref()?;
                let traces = |band: &crate::correlate::Band| {
                    let name = format!("{} {}", clean(&band.step), band.band.as_str());
                    (name, band.exemplars.iter().map(ToString::to_string).collect())
                };
                Some(AttributionView {
                    sentence: correlation.sentence().map(|sentence| clean(&sentence)),
                    chart: attribution(told)?,
                    traces: told.bands.iter().filter(|band| !band.exemplars.is_empty()).map(traces).collect(),
                    joined: format!(
                        "{} of {} requests",
                        grouped(told.counts.joined as f64),
                        grouped(told.counts.expected as f64)
                    ),
                })
            }),
            thresholds: thresholds(report),
            judges: judges(report),
            errors: error_counts(&report.errors).into_iter().filter(|(_, count)| *count > 0).collect(),
            failures: failures(result),
            checks: checks(report),
            custom: custom(result),
            watched: correlation
                .map(|correlation| correlation.lines().into_iter().map(Line::of).collect())
                .unwrap_or_default(),
            moved: timelines
                .map(|timelines| timelines.moved_lines().iter().map(|line| clean(line)).collect())
                .unwrap_or_default(),
            notes: correlation
                .into_iter()
                .flat_map(|correlation| {
                    let own = correlation.timelines.iter().flat_map(|timelines| &timelines.timelines.notes);
                    correlation.notes.iter().chain(own)
                })
                .map(|note| clean(note))
                .collect(),
            cleanup: cleanup(report),
            fidelity: FidelityView {
                valid: report.fidelity.valid,
                reasons: report.fidelity.reasons.iter().map(|reason| clean(reason)).collect(),
                notes: report.fidelity.notes.iter().map(|note| clean(note)).collect(),
                lines: fidelity::rows(report).into_iter().map(Line::of).collect(),
            },
            terminal: clean(text(report, Style::Plain).trim_matches('\n')),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Line {
    fn of((name, value, beside): (&'static str, String, Vec<String>)) -> Self {
        Self {
            name: name.replace('_', " "),
            value: clean(&value),
            beside: beside.iter().map(|text| clean(text)).collect(),
        }
    }
}

impl WorkerView {
    fn of(worker: &Worker) -> Self {
        Self {
            id: worker.id.to_string(),
            segment: clean(&worker.segment),
            verdict: worker.verdict.as_str(),
            started: at(worker.started),
            lasted: time(worker.duration.as_secs_f64() * 1e3),
        }
    }
}

fn facts(result: &Opened) -> Vec<(&'static str, String)> {
    let (run, saved) = (&result.report.run, &result.saved);
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("started", at(run.started)),
        ("lasted", format::duration((run.duration.as_secs_f64() * 1e3).round())),
    ];
    if !run.paused.is_zero() {
        facts.push(("paused", time(run.paused.as_secs_f64() * 1e3)));
    }
    if let Some(worker) = saved.workers.first().filter(|_| !saved.is_merged()) {
        if worker.segment != "0:1" {
            facts.push(("segment", clean(&worker.segment)));
        }
        let on = &worker.environment;
        let plural = |count: u32, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        facts.push((
            "on",
            clean(&format!("{} {}, {}, {}", on.os, on.arch, plural(on.cores, "core"), plural(on.workers, "worker"))),
        ));
    }
    facts.push(("pacecar", clean(&saved.pacecar)));
    facts.push(("plan digest", clean(&saved.run.digest)));
    facts
}

fn thresholds(report: &RunReport) -> Vec<Question> {
    let of = |result: &crate::measure::ThresholdResult| Question {
        name: clean(&threshold_name(result)),
        seen: clean(&observed(result, report.metric(&result.metric))),
        held: !result.failed(),
        no_data: result.outcome == ThresholdOutcome::NoData,
    };
    report.thresholds.iter().map(of).collect()
}

fn judges(report: &RunReport) -> Vec<Question> {
    let of = |(name, verdict, sentence): (&str, JudgeVerdict, &str)| Question {
        name: name.replace('_', " "),
        seen: clean(sentence),
        held: verdict == JudgeVerdict::Pass,
        no_data: false,
    };
    report.judge.lines().map(of).collect()
}

fn failures(result: &Opened) -> Vec<FailureView> {
    let of = |group: crate::measure::FailureGroup| FailureView {
        step: clean(&group.step),
        scenario: clean(&group.scenario),
        what: clean(&group.what),
        count: grouped(group.count as f64),
        traces: group.last.iter().rev().map(|one| (clean(&one.trace), time(one.at.as_secs_f64() * 1e3))).collect(),
    };
    result.totals.failures().into_iter().take(MOST_FAILURES).map(of).collect()
}

/// More than anybody reads.
const MOST_FAILURES: usize = 30;

fn checks(report: &RunReport) -> Vec<CheckView> {
    let all = report.groups.iter().flat_map(|group| &group.checks);
    all.map(|check| {
        let total = check.passes + check.fails;
        CheckView {
            name: clean(&check.name),
            passes: grouped(check.passes as f64),
            fails: grouped(check.fails as f64),
            held: check.fails == 0,
            share: format::percent(check.passes as f64 / total.max(1) as f64),
        }
    })
    .collect()
}

fn cleanup(report: &RunReport) -> Option<CleanupView> {
    let cleanup = report.cleanup.as_ref()?;
    let deleted: u64 = cleanup.tables.iter().map(|table| table.deleted).sum();
    let left = cleanup.remaining;
    let rows = |count: u64| format!("{} row{}", grouped(count as f64), if count == 1 { "" } else { "s" });
    let clean_up = left == 0 && cleanup.quarantined == 0;
    let sentence = if clean_up {
        format!("{} deleted, nothing left", rows(deleted))
    } else {
        format!("{} deleted, {} left, {} of them quarantined", rows(deleted), rows(left), cleanup.quarantined)
    };
    Some(CleanupView {
        sentence,
        clean: clean_up,
        tables: cleanup
            .tables
            .iter()
            .map(|table| (clean(&table.table), table.found, table.deleted, table.remaining, table.quarantined))
            .collect(),
        blocked: cleanup.blocked.iter().map(|blocked| clean(blocked)).collect(),
    })
}

/// To the second: nobody looks a run up by its milliseconds.
fn at(instant: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(instant).to_string().replace('T', " ").replace('Z', " UTC")
}
