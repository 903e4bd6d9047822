//! Looks and deletes in turns, until a look finds nothing more that may go.

use super::catalog::Catalog;
use super::delete::Deleter;
use super::gentle::Pace;
use super::judge::judge_meaning;
use super::look::{Found, Look, small};
use super::order::row_batches;
use super::rows::FixedRow;
use super::session::Session;
use super::standbys::Standbys;
use super::{CleanupPlan, Progress, Scope};
use crate::cleanup::outcome::{Blocked, CleanupOutcome, Refusal, RefusalCause, TableOutcome};

/// How often is looked again. Each round deletes something, or is the last.
pub(super) const ROUNDS: u32 = 20;

/// A sweep under way.
pub(super) struct Rounds<'a, P> {
    pub(super) session: &'a mut Session,
    pub(super) plan: &'a CleanupPlan,
    pub(super) scope: &'a Scope,
    pub(super) progress: P,
}

// === impl Rounds ===

impl<P: FnMut(Progress)> Rounds<'_, P> {
    /// Looks at most `most` times. One look deletes what it found and leaves it to others to look again.
    pub(super) async fn run(mut self, most: u32) -> CleanupOutcome {
        let mut outcome = CleanupOutcome::default();
        if let Err(refusal) = self.rounds(&mut outcome, most).await {
            // What is left is what was found and is not known to be gone.
            for table in &mut outcome.tables {
                table.remaining = table.found.saturating_sub(table.deleted);
            }
            outcome.remaining = outcome.tables.iter().map(|table| table.remaining).sum();
            outcome.refused = Some(refusal);
        }
        outcome
    }

    async fn rounds(&mut self, outcome: &mut CleanupOutcome, most: u32) -> Result<(), Refusal> {
        let mut stayed: Vec<FixedRow> = Vec::new();
        let mut gentle = (Pace::new(self.plan.max_rows_per_second), Standbys::default());
        for round in 1..=most {
            if round > 1 {
                // Stragglers may still be coming.
                tokio::time::sleep(self.plan.settle).await;
            }
            // Anew each time: a partition may have come meanwhile.
            let catalog = judge_meaning(self.session, self.plan, self.scope).await?;
            let mut found = Look::look(self.session, self.plan, self.scope, &catalog, &stayed, None).await?;
            stayed = found
                .fixed
                .iter()
                .flat_map(|fixed| fixed.rows().iter().filter(|row| row.is_quarantined() && row.is_root()).copied())
                .collect();
            tell(outcome, &catalog, &mut found);
            (self.progress)(Progress { found: outcome.found(), deleted: outcome.deleted() });
            if found.rows() == found.quarantined() {
                return Ok(());
            }
            if round == most && most > 1 {
                return Err(Refusal::new(RefusalCause::StillThere { rounds: round }));
            }
            let before = outcome.deleted();
            let (blocked, more) = self.delete(&catalog, &found, &mut gentle, outcome).await?;
            drop(found);
            if most == 1 {
                return Ok(());
            }
            stayed.extend(more.into_iter().filter(FixedRow::is_root));
            stayed.sort_unstable_by_key(FixedRow::place);
            if outcome.deleted() == before {
                // The look saw nothing in the way, and yet nothing went.
                let mut found = Look::look(self.session, self.plan, self.scope, &catalog, &stayed, None).await?;
                tell(outcome, &catalog, &mut found);
                if outcome.blocked.is_empty() && !blocked.is_empty() {
                    outcome.quarantined = outcome.quarantined.max(blocked.len() as u64);
                    outcome.blocked = blocked;
                }
                let unexplained = found.rows() > outcome.quarantined;
                return if unexplained {
                    Err(Refusal::new(RefusalCause::StillThere { rounds: round }))
                } else {
                    Ok(())
                };
            }
        }
        Ok(())
    }

    /// Deletes who refers before what it refers to. Gives what stood in the way unseen, and what may still be there.
    async fn delete(
        &mut self,
        catalog: &Catalog,
        found: &Found,
        (pace, standbys): &mut (Pace, Standbys),
        outcome: &mut CleanupOutcome,
    ) -> Result<(Vec<Blocked>, Vec<FixedRow>), Refusal> {
        let limit = pace.limit(self.plan.batch.get());
        let mut deleter = Deleter {
            session: self.session,
            catalog,
            found,
            pace,
            standbys,
            deleted: vec![0; catalog.targets.len()],
            blocked: Vec::new(),
            stayed: Vec::new(),
        };
        let (all, before) = (outcome.found(), outcome.deleted());
        let mut ended = Ok(());
        'all: for (number, component) in catalog.order.iter().enumerate() {
            let batches = batches_of(component.tables.as_slice(), found, number, limit);
            for rows in batches {
                // A ring that is larger than a batch cannot be parted.
                let together = rows.len() > limit;
                ended = deleter.delete(&rows, together).await;
                (self.progress)(Progress { found: all, deleted: before + deleter.deleted.iter().sum::<u64>() });
                if ended.is_err() {
                    break 'all;
                }
            }
        }
        for (target, deleted) in deleter.deleted.iter().enumerate() {
            if let Some(table) = outcome.tables.iter_mut().find(|table| table.name == catalog.targets[target].name) {
                table.deleted += deleted;
            }
        }
        ended.map_err(Refusal::new)?;
        Ok((deleter.blocked, deleter.stayed))
    }
}

// === helpers ===

/// The free rows of a ring of tables, in batches that can go one after the other.
fn batches_of(tables: &[usize], found: &Found, component: usize, limit: usize) -> Vec<Vec<FixedRow>> {
    let mut free: Vec<(u32, u32)> = Vec::new();
    for &target in tables {
        let rows = found.fixed[target].rows();
        let mut positions: Vec<u32> = (0..small(rows.len())).filter(|row| rows[*row as usize].is_free()).collect();
        // In the order in which they lie there.
        positions.sort_unstable_by_key(|row| rows[*row as usize].place());
        free.extend(positions.into_iter().map(|row| (small(target), row)));
    }
    let row = |place: &(u32, u32)| *found.row(*place);
    let references = &found.references[component];
    if references.is_empty() {
        return free.chunks(limit.max(1)).map(|batch| batch.iter().map(row).collect()).collect();
    }
    // Number the free rows through, and take the references among them.
    let mut sorted: Vec<((u32, u32), u32)> = free.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let number = |place| {
        let at = sorted.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        Some(sorted[at].1)
    };
    let references: Vec<(u32, u32)> =
        references.iter().filter_map(|reference| Some((number(reference.from)?, number(reference.to)?))).collect();
    row_batches(free.len(), &references, limit)
        .into_iter()
        .map(|batch| {
            let mut rows: Vec<FixedRow> = batch.iter().map(|at| row(&free[*at as usize])).collect();
            rows.sort_unstable_by_key(FixedRow::place);
            rows
        })
        .collect()
}

/// Writes what a look found into the outcome.
pub(super) fn tell(outcome: &mut CleanupOutcome, catalog: &Catalog, found: &mut Found) {
    for (target, fixed) in catalog.targets.iter().zip(&found.fixed) {
        let there = fixed.count(FixedRow::is_found);
        let table = match outcome.tables.iter().position(|table| table.name == target.name) {
            Some(table) => &mut outcome.tables[table],
            None if target.rooted || there > 0 => {
                outcome.tables.push(TableOutcome { name: target.name.clone(), ..TableOutcome::default() });
                let last = outcome.tables.len() - 1;
                &mut outcome.tables[last]
            }
            None => continue,
        };
        // Later rounds may find stragglers: all that was ever found, found once.
        table.found = table.found.max(table.deleted + there);
        table.remaining = there;
        table.quarantined = fixed.count(FixedRow::is_quarantined);
    }
    outcome.remaining = found.rows();
    outcome.quarantined = found.quarantined();
    outcome.blocked = std::mem::take(&mut found.blocked);
    outcome.notes = std::mem::take(&mut found.notes);
}
