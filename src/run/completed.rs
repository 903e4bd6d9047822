//! What a run came to: its report, what went wrong besides, and the exit code.

use crate::report::saved::Kept;
use crate::report::{Exit, RunReport, SavedRun};
use crate::tune::Measured;

/// What a run came to.
#[derive(Debug)]
pub struct Completed {
    /// The result as data; none where the run was refused before it began.
    pub report: Option<RunReport>,
    /// It with all that was counted; none where nobody asked for it to be kept.
    pub saved: Option<Box<SavedRun>>,
    /// What a person should read beside the report, a line each, the gravest first.
    pub problems: Vec<String>,
    /// How the command ends.
    pub exit: Exit,
    /// What a trial of a tune measured; none of any other run.
    pub measured: Option<Measured>,
}

/// Collects what went wrong while a run is driven.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<String>,
    exits: Vec<Exit>,
}

// === impl Findings ===

impl Findings {
    /// Something went wrong that decides the exit code.
    pub(super) fn add(&mut self, exit: Exit, problem: impl Into<String>) {
        self.exits.push(exit);
        self.problems.push(problem.into());
    }

    /// Something decides the exit code that the report itself tells.
    pub(super) fn exit(&mut self, exit: Exit) {
        self.exits.push(exit);
    }

    /// Something that decides nothing, but should be read.
    pub(super) fn note(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn complete(self, report: Option<RunReport>) -> Completed {
        Completed { report, saved: None, problems: self.problems, exit: Exit::choose(self.exits), measured: None }
    }

    /// As [`complete`](Self::complete), with what was kept for a result.
    pub(super) fn complete_with(self, report: RunReport, kept: Option<Kept>) -> Completed {
        let mut completed = self.complete(Some(report));
        let report = completed.report.as_ref();
        completed.saved = report
            .zip(kept)
            .map(|(report, kept)| Box::new(SavedRun::new(report, kept, completed.exit, &completed.problems)));
        completed
    }
}

/// An error with all that is behind it, in one line: `starting worker 1: too many open files`.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
