//! The end of a run: what it caused is deleted, rows first, then keys, and then its lease ends.
//!
//! In this order: as long as the lease says that its holder sweeps, nobody begins who shares a
//! root or a pattern with it. What was swept while traffic ran is part of the figures.

use super::compile::Compiled;
use super::completed::Findings;
use super::drive::{explain, told};
use super::lease::{Task, Tenure, told_of_loss, told_of_stop};
use super::progress::{Phase, Progress};
use crate::cleanup::redis::RedisPlan;
use crate::cleanup::{self, CleanupOutcome, TableOutcome};
use crate::load::StopReason;
use crate::report::{CleanupReport, Exit};

// === impl Compiled ===

impl Compiled {
    /// Deletes what the run caused, where the plan says what that is.
    pub(super) async fn clean_up(
        &self,
        tenure: Option<Tenure>,
        show: &mut impl FnMut(&Progress),
        findings: &mut Findings,
    ) -> Option<CleanupReport> {
        let (Some(plan), Some(mut tenure)) = (&self.cleanup, tenure) else {
            let keys = self.redis.clone()?;
            let mut outcome = CleanupOutcome::default();
            self.sweep_keys(Some(keys), &mut outcome, show).await;
            return Some(report(&outcome, findings));
        };
        show(&Progress { phase: Phase::Cleanup { deleted: 0 }, ..Progress::default() });
        if self.stop.reason() == Some(StopReason::Lease) {
            told_of_stop(findings);
        }
        let meanwhile = tenure.swept(findings).await;
        match tenure.settle(plan, findings).await {
            Ok(Task::Sweep(scope, left)) => {
                // Those that were not known to be dead at the start; the rows that the API needs for it are still there.
                self.undo_leftovers(findings).await;
                let before = meanwhile.deleted();
                let tell = |progress: cleanup::Progress| {
                    let deleted = before + progress.deleted;
                    show(&Progress { phase: Phase::Cleanup { deleted }, ..Progress::default() });
                };
                let mut outcome = cleanup::sweep(plan, &scope, false, tell).await;
                outcome.absorb(meanwhile);
                if outcome.lost_its_lease() {
                    return Some(self.reclaim(tenure, outcome, findings).await);
                }
                self.sweep_keys(self.redis.as_ref().and_then(|_| plan.keys_but(&left)), &mut outcome, show).await;
                // What could not be done is the next start's: it finishes a lease that did not end.
                tenure.end(plan, self.name(), outcome.refused.is_none(), findings).await;
                Some(report(&outcome, findings))
            }
            Ok(Task::Keep) => {
                tenure.end(plan, self.name(), true, findings).await;
                None
            }
            Ok(Task::Reclaim) => Some(self.reclaim(tenure, meanwhile, findings).await),
            Err(refusal) => {
                let told = format!("cleanup could not run, test data may be left: {}", explain(&refusal));
                findings.add(Exit::CleanupUnfinished, told);
                // Who else has the patterns that runs share cannot be asked.
                let keys = self.redis.clone().and_then(RedisPlan::only_of_its_run);
                let nothing = meanwhile.tables.is_empty() && keys.is_none();
                let mut outcome = meanwhile;
                self.sweep_keys(keys, &mut outcome, show).await;
                (!nothing).then(|| report(&outcome, findings))
            }
        }
    }

    /// Sweeps as another would, because the lease was lost.
    async fn reclaim(&self, tenure: Tenure, before: CleanupOutcome, findings: &mut Findings) -> CleanupReport {
        told_of_loss(findings);
        let Some(plan) = &self.cleanup else { return CleanupReport::from(&before) };
        let mut outcome = tenure.reclaim(plan, self.name()).await;
        // Of what was found before, the later look says what is left.
        let gone = |table: TableOutcome| TableOutcome { found: table.deleted, remaining: 0, quarantined: 0, ..table };
        let tables = before.tables.into_iter().map(gone).collect();
        outcome.absorb(CleanupOutcome { tables, ..CleanupOutcome::default() });
        report(&outcome, findings)
    }
}

// === helpers ===

/// The figures; what a person must read is told, and what is left decides the exit code.
fn report(outcome: &CleanupOutcome, findings: &mut Findings) -> CleanupReport {
    if !outcome.is_clean() {
        findings.exit(Exit::CleanupUnfinished);
        for problem in told(outcome) {
            findings.note(problem);
        }
    }
    for note in &outcome.notes {
        findings.note(format!("cleanup: {note}"));
    }
    CleanupReport::from(outcome)
}
