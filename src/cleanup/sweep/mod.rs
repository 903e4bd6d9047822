//! Judges, looks, deletes, and looks again until nothing is found.
//!
//! Nothing is deleted by predicate. A look fixes rows by identity, in one snapshot, and takes out
//! those that real rows need; only fixed rows are deleted, who refers before what is referred to;
//! then the next look says what is left. So a row that becomes real in between stays, and what
//! the database would delete by cascade is never deleted uncounted.

mod catalog;
mod delete;
mod find;
mod judge;
mod order;
mod rows;
mod session;
mod tls;

pub(super) use session::Database;

use super::compile::CleanupPlan;
use super::outcome::{CleanupOutcome, Refusal, RefusalCause, TableOutcome};
use catalog::Catalog;
use delete::{Deleter, Pace};
use find::{Found, look};
pub use judge::{Preflight, TableShare};
use order::{Component, components, waves};
use rows::FixedRow;
use session::Session;

/// How often is looked again. Each round deletes something, or is the last.
const ROUNDS: u32 = 20;

/// A session with the database that is to be swept.
#[derive(Debug)]
pub struct Sweeper {
    plan: CleanupPlan,
    session: Session,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Test rows found so far.
    pub found: u64,
    /// Test rows deleted so far.
    pub deleted: u64,
}

// === impl Sweeper ===

impl Sweeper {
    /// Connects, at most 5 s. A run connects before its first request for [`Self::preflight`], and
    /// anew at its end for [`Self::sweep`]: a session need not live as long as the run.
    ///
    /// # Errors
    /// Where there is no connection in time.
    pub async fn connect(plan: CleanupPlan) -> Result<Self, Refusal> {
        let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        Ok(Self { plan, session })
    }

    /// Judges whether cleanup can work and may do what it would: before the first request of a run,
    /// and at the start of the command `cleanup`. Reads only.
    ///
    /// # Errors
    /// Where it may not, or cannot.
    pub async fn preflight(&mut self) -> Result<Preflight, Refusal> {
        let catalog = judge::judge_meaning(&self.session, &self.plan).await?;
        judge::judge_extent(&mut self.session, &self.plan, &catalog).await
    }

    /// Says what a sweep would find. Deletes nothing and creates nothing.
    pub async fn dry_run(&mut self) -> CleanupOutcome {
        let looked = async {
            let catalog = judge::judge_meaning(&self.session, &self.plan).await?;
            let found = look(&mut self.session, &self.plan, &catalog, &[], |_| false).await?;
            Ok((catalog, found))
        };
        match looked.await {
            Ok((catalog, found)) => {
                let mut outcome = CleanupOutcome { dry_run: true, ..CleanupOutcome::default() };
                tell(&mut outcome, &catalog, found, &vec![0; catalog.targets.len()]);
                outcome
            }
            Err(refusal) => CleanupOutcome { dry_run: true, ..CleanupOutcome::refused(refusal) },
        }
    }

    /// Deletes what the roots match, until a look finds nothing more that may go. `max_share` and
    /// `max_rows` are not judged here: what a run itself added is not to be held against it.
    ///
    /// Dropping the future stops it between two statements; what is deleted stays deleted.
    pub async fn sweep(&mut self, mut progress: impl FnMut(Progress)) -> CleanupOutcome {
        tokio::time::sleep(self.plan.settle).await;
        let catalog = match judge::judge_meaning(&self.session, &self.plan).await {
            Ok(catalog) => catalog,
            Err(refusal) => return CleanupOutcome::refused(refusal),
        };
        let mut outcome = CleanupOutcome::default();
        let mut deleted = vec![0; catalog.targets.len()];
        if let Err(refusal) = self.rounds(&catalog, &mut outcome, &mut deleted, &mut progress).await {
            // What is left is what was found and is not known to be gone.
            for (table, deleted) in outcome.tables.iter_mut().zip(&deleted) {
                table.deleted = *deleted;
            }
            outcome.remaining = outcome.found().saturating_sub(outcome.deleted());
            outcome.refused = Some(refusal);
        }
        outcome
    }

    async fn rounds(
        &mut self,
        catalog: &Catalog,
        outcome: &mut CleanupOutcome,
        deleted: &mut Vec<u64>,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), Refusal> {
        let references: Vec<_> = catalog.keys.iter().filter_map(|key| Some((key.from?, key.to))).collect();
        let order = components(catalog.targets.len(), &references);
        let together = |a: usize, b: usize| {
            order
                .iter()
                .any(|component| component.cyclic && component.tables.contains(&a) && component.tables.contains(&b))
        };
        let mut stayed: Vec<FixedRow> = Vec::new();
        let mut pace = Pace::new(self.plan.max_rows_per_second);
        for round in 1..=ROUNDS {
            let found = look(&mut self.session, &self.plan, catalog, &stayed, |key| {
                key.from.is_some_and(|from| together(from, key.to))
            })
            .await?;
            let free = found.rows() - found.quarantined();
            stayed =
                found.fixed.iter().flat_map(|fixed| fixed.rows().iter().filter(|row| row.blocked).copied()).collect();
            let found = tell(outcome, catalog, found, deleted);
            progress(Progress { found: outcome.found(), deleted: outcome.deleted() });
            if free == 0 {
                return Ok(());
            }
            let before: u64 = deleted.iter().sum();
            if round == ROUNDS {
                return Err(Refusal::new(RefusalCause::StillThere { rounds: round }));
            }
            let all = outcome.found();
            let mut report = |deleted: u64| progress(Progress { found: all, deleted });
            let mut deleter = Deleter {
                session: &mut self.session,
                catalog,
                batch: self.plan.batch.get(),
                pace,
                deleted: std::mem::take(deleted),
                blocked: Vec::new(),
                stayed: std::mem::take(&mut stayed),
            };
            let ran = delete_in_order(&mut deleter, &order, &found, &mut report).await;
            (pace, *deleted, stayed) = (deleter.pace, deleter.deleted, deleter.stayed);
            let blocked = deleter.blocked;
            ran.map_err(Refusal::new)?;
            stayed.sort_unstable();
            if deleted.iter().sum::<u64>() == before {
                // The look saw nothing in the way, and yet nothing went.
                let found = look(&mut self.session, &self.plan, catalog, &stayed, |_| false).await?;
                let rows = found.rows();
                tell(outcome, catalog, found, deleted);
                let told = outcome.blocked.is_empty() && !blocked.is_empty();
                if told {
                    outcome.quarantined = outcome.quarantined.max(blocked.len() as u64);
                    outcome.blocked = blocked;
                }
                let unexplained = rows > outcome.quarantined;
                return if unexplained {
                    Err(Refusal::new(RefusalCause::StillThere { rounds: round }))
                } else {
                    Ok(())
                };
            }
        }
        Ok(())
    }
}

// === helpers ===

/// Deletes who refers before what it refers to; in tables that refer to each other, row by row in waves.
async fn delete_in_order(
    deleter: &mut Deleter<'_>,
    order: &[Component],
    found: &Found,
    report: &mut impl FnMut(u64),
) -> Result<(), RefusalCause> {
    for component in order {
        let free = |target: usize| found.fixed[target].rows().iter().enumerate().filter(|(_, row)| !row.blocked);
        if !component.cyclic {
            for &target in &component.tables {
                let rows: Vec<FixedRow> = free(target).map(|(_, row)| *row).collect();
                // A few batches at a time, so that progress is told.
                for part in rows.chunks(deleter.batch.saturating_mul(8)) {
                    deleter.delete(target, part).await?;
                    report(deleter.deleted.iter().sum());
                }
            }
            continue;
        }
        // Number the free rows of all its tables through.
        let numbered: Vec<(usize, usize)> =
            component.tables.iter().flat_map(|&target| free(target).map(move |(row, _)| (target, row))).collect();
        let number = |row: &(usize, usize)| numbered.binary_search(row).ok();
        let references: Vec<_> =
            found.references.iter().filter_map(|(from, to)| Some((number(from)?, number(to)?))).collect();
        let (waves, ring) = waves(numbered.len(), &references);
        let rows_of = |wave: &[usize], target: usize| -> Vec<FixedRow> {
            let mine = wave.iter().map(|&row| numbered[row]).filter(|(table, _)| *table == target);
            mine.map(|(table, row)| found.fixed[table].rows()[row]).collect()
        };
        for wave in &waves {
            for &target in &component.tables {
                deleter.delete(target, &rows_of(wave, target)).await?;
            }
            report(deleter.deleted.iter().sum());
        }
        let ring: Vec<_> = component.tables.iter().map(|&target| (target, rows_of(&ring, target))).collect();
        deleter.delete_ring(&ring).await?;
        report(deleter.deleted.iter().sum());
    }
    Ok(())
}

/// Writes what a look found into the outcome, and gives it back.
fn tell(outcome: &mut CleanupOutcome, catalog: &Catalog, mut found: Found, deleted: &[u64]) -> Found {
    if outcome.tables.is_empty() {
        let table = |name: &String| TableOutcome { name: name.clone(), found: 0, deleted: 0 };
        outcome.tables = catalog.targets.iter().map(|target| table(&target.name)).collect();
    }
    for ((table, fixed), deleted) in outcome.tables.iter_mut().zip(&found.fixed).zip(deleted) {
        // Later rounds may find stragglers: all that was ever found, found once.
        table.found = table.found.max(deleted + fixed.len());
        table.deleted = *deleted;
    }
    outcome.remaining = found.rows();
    outcome.quarantined = found.quarantined();
    outcome.blocked = std::mem::take(&mut found.blocked);
    if outcome.notes.is_empty() {
        outcome.notes = std::mem::take(&mut found.notes);
    }
    found
}

#[cfg(test)]
mod tests;
