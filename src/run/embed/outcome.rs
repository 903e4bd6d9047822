//! What an embedded run came to.

use crate::measure::Quantile;
use crate::plan::Diagnostics;
use crate::report::{self, Exit, Figures, RunReport, Style, Verdict};
use crate::run::Completed;
use serde_json::Value;
use std::fmt;
use thiserror::Error;

/// What a run came to. Displayed, it is the summary that the program prints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunResult {
    /// Whether every threshold and judge holds; or that the figures say nothing.
    pub verdict: Verdict,
    /// All figures.
    pub report: RunReport,
    /// What a person should read beside them, a line each.
    pub notes: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The plan cannot be read, or has errors. Displayed, all of them with their places and hints.
    #[error("the plan is invalid\n{0}")]
    Plan(Diagnostics),
    /// There is no tokio runtime to run the target on.
    #[error("a run is executed on a tokio runtime, and there is none")]
    NoRuntime {
        /// What tokio says.
        source: tokio::runtime::TryCurrentError,
    },
    /// The run was refused, its setup failed, or its cleanup did not finish.
    #[error("the run did not come to a verdict (exit code {}){}", *exit as i32, lines(problems))]
    Unfinished {
        /// As the program would end.
        exit: Exit,
        /// What happened, a line each, the gravest first.
        problems: Vec<String>,
        /// What there is of figures.
        report: Option<Box<RunReport>>,
    },
}

fn lines(problems: &[String]) -> String {
    problems.iter().flat_map(|problem| ["\n", problem]).collect()
}

// === impl RunResult ===

impl RunResult {
    pub(super) fn of(completed: Completed, mut notes: Vec<String>) -> Result<Self, RunError> {
        let Completed { report, problems, exit, .. } = completed;
        let verdict = match exit {
            Exit::Passed => Verdict::Pass,
            Exit::Failed => Verdict::Fail,
            Exit::InvalidRun => Verdict::Invalid,
            _ => return Err(RunError::Unfinished { exit, problems, report: report.map(Box::new) }),
        };
        let Some(report) = report else { return Err(RunError::Unfinished { exit, problems, report: None }) };
        notes.extend(problems);
        Ok(Self { verdict, report, notes })
    }

    /// A figure of the summary: `("http_req_duration", "p(95)")` in ms, `("http_reqs", "count")`,
    /// `("http_req_failed", "value")`, `("http_req_duration{step:login}", "avg")`. None where there is none.
    #[must_use]
    pub fn figure(&self, metric: &str, stat: &str) -> Option<f64> {
        let found = self.report.metrics.iter().find(|known| known.name == metric)?;
        match (&found.figures, stat) {
            (Figures::Trend(trend), "count") => Some(count(trend.count)),
            (Figures::Trend(trend), _) => trend.get(stat).map(|Quantile { value, .. }| value),
            (Figures::Rate(share), "value" | "rate") => Some(share.rate()),
            (Figures::Rate(share), "passes") => Some(count(share.passes)),
            (Figures::Rate(share), "fails") => Some(count(share.fails())),
            (Figures::Counter { count, .. }, "count") => Some(*count),
            (Figures::Counter { rate, .. }, "rate") => Some(*rate),
            (Figures::Gauge { value, .. }, "value") => Some(*value),
            (Figures::Gauge { min, .. }, "min") => Some(*min),
            (Figures::Gauge { max, .. }, "max") => Some(*max),
            _ => None,
        }
    }

    /// The summary as `--summary-export` writes it.
    #[must_use]
    pub fn summary(&self) -> Value {
        report::summary(&self.report)
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&report::text(&self.report, Style::Plain))?;
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure for people")]
fn count(number: u64) -> f64 {
    number as f64
}
