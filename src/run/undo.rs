//! `undo`: the journal, what killed runs left, and what this run created.
//!
//! What this run created is undone after its load and before its teardown, while tokens are still good;
//! what killed runs left, after setup and before the load, and once more at the end, when a lease that
//! was still good then has run out. The journal stands in Postgres where the run has a lease there, else
//! beside the plan; what is left is looked for in both.

use super::compile::Compiled;
use super::completed::{Findings, chain};
use super::explain;
use super::local;
use super::settings::Source;
use crate::cleanup::journal::{self, Journal, Leftover, Log, TableJournal};
use crate::cleanup::{CleanupPlan, Refusal};
use crate::measure::{Recorder, RecorderHandle};
use crate::report::{CleanupReport, Exit, TableReport};
use crate::semconv::RunId;
use crate::workflow::UndoReport;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::time::Instant;

/// Where the journals of a plan stand, and whether what is in them is undone.
#[derive(Clone, Debug)]
pub(super) struct UndoPlace {
    /// The plan's path: journals stand beside it.
    plan: PathBuf,
    /// Whether what is created stays, as with `--no-cleanup`: it is written down all the same.
    stays: bool,
}

/// What killed runs of a plan left to be undone. Nobody else undoes it as long as this lives.
#[derive(Debug)]
pub struct Leftovers(Vec<Leftover>);

/// Why it cannot be said what is left to be undone.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// A journal beside the plan.
    #[error(transparent)]
    File(#[from] journal::LeftoverError),
    /// The journal in Postgres.
    #[error("cannot read the journal of undo: {}", explain(.0))]
    Table(Refusal),
}

/// Why leftovers could not be undone at all.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The guard does not allow it.
    #[error("refused")]
    Guard(#[source] Box<crate::guard::Refusal>),
    /// The journal or a thread failed.
    #[error("cannot undo what killed runs left")]
    Io(#[from] std::io::Error),
}

/// What undoing leftovers came to.
#[derive(Debug, Default)]
pub struct Undone {
    /// The figures.
    pub figures: CleanupReport,
    /// What a person should know.
    pub problems: Vec<String>,
}

// === impl UndoPlace ===

impl UndoPlace {
    pub(super) fn beside(source: &Source, stays: bool) -> Self {
        Self { plan: beside(source), stays }
    }
}

// === impl Leftovers ===

impl Leftovers {
    /// What killed runs of a plan left beside it, and in the Postgres of `rows`, the plan's cleanup and its name; only
    /// `run`'s where one is given. With `leases_or_not` also where the lease of a killed run has not run out.
    ///
    /// # Errors
    /// Where a journal cannot be read.
    pub async fn of(
        source: &Source,
        rows: Option<(&CleanupPlan, &str)>,
        run: Option<RunId>,
        leases_or_not: bool,
    ) -> Result<Self, LeftoversError> {
        Self::at(&beside(source), rows, run, leases_or_not).await
    }

    /// What killed runs of a plan left beside it; only `run`'s where one is given.
    ///
    /// # Errors
    /// Where a journal cannot be read.
    pub fn beside(source: &Source, run: Option<RunId>) -> Result<Self, LeftoversError> {
        Ok(Self(journal::leftovers(&beside(source), run)?))
    }

    async fn at(
        plan: &Path,
        rows: Option<(&CleanupPlan, &str)>,
        run: Option<RunId>,
        leases_or_not: bool,
    ) -> Result<Self, LeftoversError> {
        let mut all = journal::leftovers(plan, run)?;
        if let Some((rows, name)) = rows {
            let there = journal::leftovers_in(rows, name, run, leases_or_not).await;
            all.extend(there.map_err(LeftoversError::Table)?);
        }
        Ok(Self(all))
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What undoing it would be about.
    #[must_use]
    pub fn count(&self) -> CleanupReport {
        let mut steps: BTreeMap<&str, u64> = BTreeMap::new();
        for entry in self.0.iter().flat_map(|leftover| &leftover.entries) {
            *steps.entry(&entry.creation.step).or_default() += 1;
        }
        CleanupReport {
            remaining: steps.values().sum(),
            tables: steps.into_iter().map(|(step, found)| table(step, found, 0)).collect(),
            dry_run: true,
            ..CleanupReport::default()
        }
    }
}

// === impl Compiled ===

impl Compiled {
    /// Undoes what killed runs left: what the command `cleanup` does. Plays no setup.
    ///
    /// # Errors
    /// Where the guard does not allow it, or a thread cannot be started.
    pub async fn undo(&self, leftovers: Leftovers) -> Result<Undone, UndoError> {
        self.guard.admit(&self.plan).map_err(|refusal| UndoError::Guard(Box::new(refusal)))?;
        let problems = self.undo_left(leftovers).await?;
        let report = self.program.undo_report();
        let figures = figures(&report);
        Ok(Undone { figures, problems: problems.into_iter().chain(report.problems).collect() })
    }

    /// Opens the journal of this run, before its first request; why it cannot be. None where no step has an `undo`.
    pub(super) async fn open_journal(&self, leased: bool) -> Result<Option<Log>, String> {
        let Some(place) = self.undo.as_ref().filter(|_| self.program.has_undo()) else { return Ok(None) };
        let log = match self.cleanup.as_ref().filter(|_| leased && !place.stays) {
            Some(plan) => {
                let journal = TableJournal::create(plan, self.name()).await;
                Log::Table(journal.map_err(|refusal| explain(&refusal))?)
            }
            None => {
                let journal = Journal::create(&journal::path(&place.plan, self.run));
                let hint = "it stands beside the plan: make its folder writable";
                Log::File(journal.map_err(|error| format!("{error}\n    hint: {hint}"))?)
            }
        };
        self.program.undo_in(log.as_log());
        Ok(Some(log))
    }

    /// Undoes what killed runs of this plan left, before the load.
    pub(super) async fn undo_leftovers(&self, findings: &mut Findings) {
        let Some(place) = self.undo.as_ref().filter(|place| !place.stays && self.program.has_undo()) else { return };
        let rows = self.cleanup.as_ref().map(|plan| (plan, self.name()));
        let undone = match Leftovers::at(&place.plan, rows, None, false).await {
            Ok(left) if left.is_empty() => return,
            Ok(left) => self.undo_left(left).await.map_err(|error| chain(&error)),
            Err(error) => Err(chain(&error)),
        };
        match undone {
            Ok(problems) => problems.into_iter().for_each(|problem| findings.note(problem)),
            Err(problem) => findings.add(Exit::CleanupUnfinished, format!("cleanup: undo: {problem}")),
        }
    }

    /// Undoes what this run created so far.
    pub(super) async fn undo_created(&self, findings: &mut Findings) {
        let undoes = self.undo.as_ref().is_some_and(|place| !place.stays) && self.program.has_undo();
        if undoes && let Err(error) = self.play_undo(false).await {
            findings.add(Exit::CleanupUnfinished, format!("cleanup: undo could not run: {error}"));
        }
    }

    /// Closes the journal, and adds what undoing came to.
    pub(super) async fn close_journal(
        &self,
        journal: Option<Log>,
        before: Option<CleanupReport>,
        findings: &mut Findings,
    ) -> Option<CleanupReport> {
        let Some(journal) = journal else { return before };
        journal.finish().await;
        let report = self.program.undo_report();
        let stays = self.undo.as_ref().is_some_and(|place| place.stays);
        if !report.problems.is_empty() || (report.remaining() > 0 && !stays) {
            findings.exit(Exit::CleanupUnfinished);
            for problem in &report.problems {
                findings.note(format!("cleanup: undo: {problem}"));
            }
        }
        if stays {
            return before;
        }
        let mut all = before.unwrap_or_default();
        all.add(figures(&report));
        Some(all)
    }

    async fn undo_left(&self, leftovers: Leftovers) -> std::io::Result<Vec<String>> {
        let (mut journals, mut problems) = (Vec::new(), Vec::new());
        for leftover in leftovers.0 {
            let (run, entries, torn) = (leftover.run, leftover.entries.clone(), leftover.torn);
            problems.push(format!("undo: run {run} was killed and left {} to be undone", entries.len()));
            if torn > 1 {
                problems.push(format!("undo: {torn} lines of its journal cannot be read and are left out"));
            }
            let journal = leftover.settle()?;
            let log = journal.as_log();
            for entry in entries {
                self.program.take_up(entry.creation, entry.sure, Arc::clone(&log));
            }
            journals.push(journal);
        }
        self.play_undo(true).await?;
        for journal in journals {
            journal.finish().await;
        }
        Ok(problems)
    }

    /// Sends the requests that undo, on a thread of their own, and lets no figure of the run have them.
    async fn play_undo(&self, leftovers: bool) -> std::io::Result<()> {
        let (client, program, layout) = (self.client.clone(), Arc::clone(&self.program), Arc::clone(&self.layout));
        let target = self.target.clone();
        local::run("pacecar-undo", move || async move {
            let recorder = RecorderHandle::new(Recorder::new(layout, Instant::now()));
            let client = client.worker();
            match target {
                None => program.undo(|traffic| client.vu(traffic), recorder, leftovers).await,
                Some(target) => program.undo(|_| client.vu_over(target.clone()), recorder, leftovers).await,
            };
        })
        .await
    }
}

/// The path beside which a plan's journals stand.
fn beside(source: &Source) -> PathBuf {
    let name = Path::new(&source.name).file_name().filter(|_| source.name != "-");
    source.directory.join(name.unwrap_or("pacecar".as_ref()))
}

fn figures(report: &UndoReport) -> CleanupReport {
    CleanupReport {
        tables: report.steps.iter().map(|step| table(&step.step, step.found, step.undone)).collect(),
        remaining: report.remaining(),
        ..CleanupReport::default()
    }
}

fn table(step: &str, found: u64, deleted: u64) -> TableReport {
    let remaining = found.saturating_sub(deleted);
    TableReport { table: format!("undo:{step}"), found, deleted, remaining, quarantined: 0 }
}
