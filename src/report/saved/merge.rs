//! Several results as one run: counts and histograms add up, and what the plan asks is asked of the whole.
//!
//! Workers of one run begin within seconds of each other, and a minute of the plan is that minute on each: so what is
//! over time is laid over each other from each one's start. Rates are over the time in which any of them played.

use super::open::Questions;
use super::{ResultError, SavedMeta, SavedRun, SavedThreshold};
use crate::judge::{Fidelity, FidelityInput, JudgeReport};
use crate::measure::{Course, SavedTotals, ThresholdResult, Totals};
use crate::report::correlation::CorrelationReport;
use crate::report::result::{CleanupReport, Judged, RunMeta, RunReport, TableReport};
use crate::report::summary::summary;
use crate::report::verdict::{Exit, Verdict};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Merges results, each with how messages call it. Answers with what a person should be told, too.
///
/// # Errors
/// Where they are of different plans, or one is given twice.
pub fn merge(mut results: Vec<(String, SavedRun)>) -> Result<(SavedRun, Vec<String>), ResultError> {
    results.sort_by_key(|(_, run)| run.run.started);
    let warnings = admit(&results)?;
    if results.len() == 1 {
        return results.pop().map(|(_, only)| (only, warnings)).ok_or(ResultError::Nothing);
    }
    let Some((_, first)) = results.first() else { return Err(ResultError::Nothing) };
    let runs: Vec<&SavedRun> = results.iter().map(|(_, run)| run).collect();
    let time = Played::of(&runs);
    let mut thresholds: Vec<SavedThreshold> = Vec::new();
    for threshold in runs.iter().flat_map(|run| &run.thresholds) {
        if !thresholds.contains(threshold) {
            thresholds.push(threshold.clone());
        }
    }
    let mut restored = SavedTotals::restore(runs.iter().map(|run| &run.totals))?;
    let questions = Questions::compile(first, &thresholds, &mut restored)?;
    let later: Vec<Duration> = runs.iter().map(|run| time.length.saturating_sub(run.run.duration)).collect();
    let mut totals = restored.totals(&later, time.together)?;
    totals.set_paused(time.paused);
    let fidelity = fidelity(&runs, &totals, &questions, time.length);
    let judge = judged(&runs, &totals, &questions, time.length);
    let failed = questions.thresholds.judge(&totals, time.length).iter().any(ThresholdResult::failed);
    let verdict = Verdict::of(fidelity.valid, failed || judge.failed());
    let exit = Exit::choose(std::iter::once(verdict.exit()).chain(runs.iter().filter_map(|run| beside(run))));
    let meta = RunMeta {
        id: first.run.id,
        plan: first.run.plan.clone(),
        verdict,
        started: first.run.started,
        duration: time.length,
        paused: time.paused,
    };
    let judged = Judged { fidelity, judge, intervals: questions.intervals.read(&totals, time.length) };
    let mut report =
        RunReport::collect(meta, &totals, &questions.thresholds, &first.trend_stats(), judged, cleanup(&runs));
    report.correlation = correlation(&runs);
    let mut outputs: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (name, (written, lost)) in runs.iter().flat_map(|run| &run.outputs) {
        let sum = outputs.entry(name.clone()).or_default();
        *sum = (sum.0 + written, sum.1 + lost);
    }
    let mut course = Course::default();
    runs.iter().for_each(|run| course.merge(&run.course));
    let mut merged = SavedRun {
        format: first.format.clone(),
        version: super::VERSION,
        pacecar: env!("CARGO_PKG_VERSION").to_owned(),
        run: SavedMeta {
            verdict,
            exit: exit.code(),
            duration: time.length,
            paused: time.paused,
            problems: problems(&runs),
            ..first.run.clone()
        },
        workers: runs.iter().flat_map(|run| run.workers.clone()).collect(),
        thresholds,
        judges: first.judges.clone(),
        judge: report.judge.clone(),
        fidelity: report.fidelity.clone(),
        correlation: report.correlation.clone(),
        cleanup: report.cleanup.clone(),
        outputs,
        trend_stats: first.trend_stats.clone(),
        summary: Value::Null,
        totals: totals.save(),
        course,
    };
    report.outputs = merged.outputs();
    merged.summary = summary(&report);
    Ok((merged, warnings))
}

/// Refuses what is no one run; what may be meant is told.
fn admit(results: &[(String, SavedRun)]) -> Result<Vec<String>, ResultError> {
    let mut warnings = Vec::new();
    let Some((one, first)) = results.first() else { return Err(ResultError::Nothing) };
    for (at, (other, run)) in results.iter().enumerate() {
        if run.run.plan != first.run.plan {
            let (this, that) = (first.run.plan.clone(), run.run.plan.clone());
            return Err(ResultError::Plans { one: one.clone(), this, other: other.clone(), that });
        }
        for (known, before) in results.iter().take(at) {
            if before.workers.iter().any(|mine| run.workers.iter().any(|theirs| mine.id == theirs.id)) {
                return Err(ResultError::Twice { one: known.clone(), other: other.clone() });
            }
        }
        if run.run.digest != first.run.digest {
            warnings.push(format!("{one} and {other} were written by different texts of the plan {}", run.run.plan));
        }
        for cut in run.totals.lacks(&first.totals) {
            warnings.push(format!("{other} did not count {cut}: what is judged there is of the others only"));
        }
        for cut in first.totals.lacks(&run.totals) {
            warnings.push(format!("{one} did not count {cut}: what is judged there is of the others only"));
        }
    }
    let mut segments: Vec<&str> =
        results.iter().flat_map(|(_, run)| &run.workers).map(|worker| worker.segment.as_str()).collect();
    segments.sort_unstable();
    let twice = segments.windows(2).find(|pair| pair[0] == pair[1] && pair[0] != WHOLE);
    if let Some(twice) = twice {
        warnings.push(format!("the segment {} was played more than once", twice[0]));
    }
    warnings.dedup();
    Ok(warnings)
}

/// What a worker without a segment plays.
const WHOLE: &str = "0:1";

/// When results were played.
struct Played {
    /// The time in which any of them played.
    length: Duration,
    /// How much of that was a pause.
    paused: Duration,
    /// Whether they are parts of one run, so that their VUs add up.
    together: bool,
}

// === impl Played ===

impl Played {
    fn of(runs: &[&SavedRun]) -> Self {
        // In the order of their starts: each stretch of time in which somebody played, with its longest pause.
        let mut stretches: Vec<(SystemTime, SystemTime, Duration)> = Vec::new();
        for run in runs {
            let from = run.run.started;
            let to = from.checked_add(run.run.duration).unwrap_or(from);
            match stretches.last_mut() {
                Some((_, end, paused)) if from <= *end => {
                    *end = to.max(*end);
                    *paused = run.run.paused.max(*paused);
                }
                _ => stretches.push((from, to, run.run.paused)),
            }
        }
        let length = stretches.iter().map(|(from, to, _)| to.duration_since(*from).unwrap_or_default()).sum();
        let paused = stretches.iter().map(|(.., paused)| *paused).sum();
        let mut segments: Vec<&str> =
            runs.iter().flat_map(|run| &run.workers).map(|worker| worker.segment.as_str()).collect();
        let all = segments.len();
        segments.sort_unstable();
        segments.dedup();
        let parts = segments.len() == all && !segments.contains(&WHOLE);
        Self { length, paused, together: parts || stretches.len() == 1 }
    }
}

/// How the whole ends beside its verdict: 122 where one worker's cleanup did not finish, say.
fn beside(run: &SavedRun) -> Option<Exit> {
    // Those are asked of the whole anew.
    Exit::of(run.run.exit).filter(|exit| ![Exit::Failed, Exit::InvalidRun].contains(exit))
}

/// The whole may be believed where each part may.
fn fidelity(runs: &[&SavedRun], totals: &Totals, questions: &Questions, end: Duration) -> Fidelity {
    let mut input = FidelityInput::of(totals, end);
    let mut merged = Fidelity { valid: true, ..Fidelity::default() };
    for run in runs {
        let (part, label) = (&run.fidelity, label(run));
        input.cpu_seconds += part.input.cpu_seconds;
        input.max_rss_bytes = input.max_rss_bytes.max(part.input.max_rss_bytes);
        input.throttled += part.input.throttled;
        let (all, one) = (&mut input.generator, &part.input.generator);
        all.lasted = all.lasted.max(one.lasted);
        all.cpu += one.cpu;
        all.cores += one.cores;
        all.starved = all.starved.max(one.starved);
        all.open |= one.open;
        merged.valid &= part.valid;
        merged.reasons.extend(part.reasons.iter().map(|reason| format!("{label}: {reason}")));
        merged.notes.extend(part.notes.iter().map(|note| format!("{label}: {note}")));
        for arrivals in &part.arrivals {
            let scenario = format!("{} ({label})", arrivals.scenario);
            merged.arrivals.push(crate::judge::Arrivals { scenario, ..arrivals.clone() });
        }
    }
    merged.achieved_ratio = if input.scheduled == 0 { 1.0 } else { input.started as f64 / input.scheduled as f64 };
    merged.input = input;
    merged.stationarity = questions.stationarity.judge(totals, end);
    merged
}

/// How a part is called.
fn label(run: &SavedRun) -> String {
    match run.workers.as_slice() {
        [worker] if worker.segment != WHOLE => worker.segment.clone(),
        _ => run.run.id.to_string(),
    }
}

/// The judges are asked once more, of the whole; what no part was held to the whole is not, either.
fn judged(runs: &[&SavedRun], totals: &Totals, questions: &Questions, end: Duration) -> JudgeReport {
    let mut report = questions.judges.judge(totals, end);
    if runs.iter().any(|run| [Exit::Stopped.code(), Exit::Signal.code()].contains(&run.run.exit)) {
        let _ = report.leave_out_unjudged();
    }
    report.recovery = report.recovery.filter(|_| runs.iter().any(|run| run.judge.recovery.is_some()));
    report.breaking_point = report.breaking_point.filter(|_| runs.iter().any(|run| run.judge.breaking_point.is_some()));
    report.drift = report.drift.filter(|_| runs.iter().any(|run| run.judge.drift.is_some()));
    report
}

fn cleanup(runs: &[&SavedRun]) -> Option<CleanupReport> {
    let mut sum: Option<CleanupReport> = None;
    for part in runs.iter().filter_map(|run| run.cleanup.as_ref()) {
        let sum = sum.get_or_insert_default();
        for table in &part.tables {
            match sum.tables.iter_mut().find(|known| known.table == table.table) {
                Some(known) => add(known, table),
                None => sum.tables.push(table.clone()),
            }
        }
        sum.remaining += part.remaining;
        sum.quarantined += part.quarantined;
        sum.dry_run |= part.dry_run;
        for blocked in &part.blocked {
            if !sum.blocked.contains(blocked) {
                sum.blocked.push(blocked.clone());
            }
        }
    }
    sum
}

fn add(known: &mut TableReport, more: &TableReport) {
    known.found += more.found;
    known.deleted += more.deleted;
    known.remaining += more.remaining;
    known.quarantined += more.quarantined;
}

/// What every worker's receiver heard adds up; the pool and the runtime are one target's, seen by each.
fn correlation(runs: &[&SavedRun]) -> Option<CorrelationReport> {
    let mut parts = runs.iter().filter_map(|run| run.correlation.as_ref());
    let mut sum = parts.next()?.clone();
    for part in parts {
        match (&mut sum.attribution, &part.attribution) {
            (Some(sum), Some(part)) => sum.merge(part),
            (sum @ None, part) => sum.clone_from(part),
            _ => {}
        }
        if let Some(part) = &part.receiver {
            let sum = sum.receiver.get_or_insert_default();
            sum.spans += part.spans;
            sum.foreign += part.foreign;
            sum.forwarded += part.forwarded;
            sum.lost += part.lost;
            sum.rejected += part.rejected;
        }
        match (&mut sum.timelines, &part.timelines) {
            (Some(sum), Some(part)) => sum.merge(part),
            (sum @ None, part) => sum.clone_from(part),
            _ => {}
        }
        for note in &part.notes {
            if !sum.notes.contains(note) {
                sum.notes.push(note.clone());
            }
        }
    }
    Some(sum)
}

fn problems(runs: &[&SavedRun]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for run in runs {
        for problem in &run.run.problems {
            let told = format!("{}: {problem}", label(run));
            if !all.contains(&told) {
                all.push(told);
            }
        }
    }
    all
}
