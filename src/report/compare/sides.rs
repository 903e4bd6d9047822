//! What is compared with what, and what a person should know before believing it.

use crate::report::result::Figures;
use crate::report::saved::Opened;
use crate::report::verdict::Verdict;
use serde::Serialize;

/// The runs of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// Each of them.
    pub runs: Vec<SideRun>,
}

/// One run of a side.
#[derive(Clone, Debug, Serialize)]
pub struct SideRun {
    /// How messages call it: its file.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its plan.
    pub plan: String,
    /// When it started.
    pub started: String,
    /// How long it lasted, in ms.
    pub duration_ms: f64,
    /// Requests that it made.
    pub requests: f64,
    /// What it came to.
    pub verdict: &'static str,
}

/// Runs whose lengths differ by more are told.
const LENGTHS: f64 = 0.2;

// === impl Side ===

impl Side {
    pub(super) fn of(runs: &[(String, Opened)]) -> Self {
        let of = |(name, result): &(String, Opened)| SideRun {
            name: name.clone(),
            id: result.report.run.id.to_string(),
            plan: result.report.run.plan.clone(),
            started: humantime::format_rfc3339_seconds(result.report.run.started).to_string(),
            duration_ms: result.report.run.duration.as_secs_f64() * 1e3,
            requests: requests(result),
            verdict: result.report.run.verdict.as_str(),
        };
        Self { runs: runs.iter().map(of).collect() }
    }
}

fn requests(result: &Opened) -> f64 {
    match result.report.metric("http_reqs").map(|metric| &metric.figures) {
        Some(Figures::Counter { count, .. }) => *count,
        _ => 0.0,
    }
}

/// What makes the two sides hard to compare, and what the number of runs can tell.
pub(super) fn notes(bases: &[(String, Opened)], news: &[(String, Opened)]) -> Vec<String> {
    let mut notes = Vec::new();
    let all = || bases.iter().chain(news);
    let Some((first, base)) = bases.first() else { return notes };
    for (name, result) in all().skip(1) {
        let (one, other) = (&base.saved, &result.saved);
        if one.run.plan != other.run.plan {
            notes.push(format!("{first} is of the plan {}, {name} of {}", one.run.plan, other.run.plan));
        } else if one.run.digest != other.run.digest {
            notes.push(format!("{first} and {name} were made by different texts of the plan {}", one.run.plan));
        }
        let (lasted, took) = (one.run.duration.as_secs_f64(), other.run.duration.as_secs_f64());
        if (lasted - took).abs() > LENGTHS * lasted.max(took) {
            notes.push(format!("{first} lasted {lasted:.0} s, {name} {took:.0} s"));
        }
        let on = |saved: &crate::report::saved::SavedRun| {
            saved.workers.first().map(|worker| {
                let on = &worker.environment;
                (on.os.clone(), on.arch.clone(), on.cores, saved.workers.len())
            })
        };
        if on(one) != on(other) {
            notes.push(format!("{first} and {name} were played on different machines"));
        }
    }
    for (name, result) in all().filter(|(_, result)| result.report.run.verdict == Verdict::Invalid) {
        let why = result.report.fidelity.reasons.first().cloned().unwrap_or_default();
        notes.push(format!("{name} is invalid, its figures say nothing of the target: it {why}"));
    }
    for (name, result) in news {
        if let Some((known, _)) = bases.iter().find(|(_, base)| base.report.run.id == result.report.run.id) {
            notes.push(format!("{known} and {name} hold the same run"));
        }
    }
    notes.push(match (bases.len(), news.len()) {
        (1, 1) => ONE_OF_EACH.to_owned(),
        (one, other) if one.min(other) < ENOUGH => {
            format!("{one} and {other} runs: so few tell only large differences from noise; five of each tell more")
        }
        (one, other) => format!("{one} and {other} runs: intervals are of how runs differ"),
    });
    notes
}

/// With fewer runs of a side the interval is wide.
const ENOUGH: usize = 3;
/// What one run of each can tell, and what not.
const ONE_OF_EACH: &str = "one run of each: intervals are of how these two runs went over time, not of how runs differ; \
    two runs of the same code can differ twofold in p(95), so a difference here is a reason to look, and several runs of \
    each (--base FILE, repeatable) are the proof";
