//! One sweep of a part of the test data, or a dry run of one, with a connection of its own.

use super::compile::CleanupPlan;
use super::ledger::LedgerState;
use super::outcome::{CleanupOutcome, Refusal};
use super::scope::Scope;
use super::sweep::{Progress, Sweeper};

/// Sweeps what `scope` says, or with `dry_run` counts it. Whether that may be meant is not judged here.
pub async fn sweep(plan: &CleanupPlan, scope: &Scope, dry_run: bool, progress: impl FnMut(Progress)) -> CleanupOutcome {
    let outcome = run(plan, scope, dry_run, progress).await;
    CleanupOutcome { dry_run, ..outcome.unwrap_or_else(CleanupOutcome::refused) }
}

/// Judges whether what `scope` says may be deleted: the command `cleanup` at its start. Reads only.
///
/// # Errors
/// Where it may not be meant, or cannot be done.
pub async fn preflight(plan: &CleanupPlan, scope: &Scope) -> Result<(), Refusal> {
    judge_ledger(plan).await?;
    Sweeper::connect(plan.clone()).await?.within(scope.clone()).preflight().await.map(drop)
}

// === helpers ===

async fn run(
    plan: &CleanupPlan,
    scope: &Scope,
    dry_run: bool,
    progress: impl FnMut(Progress),
) -> Result<CleanupOutcome, Refusal> {
    judge_ledger(plan).await?;
    let mut sweeper = Sweeper::connect(plan.clone()).await?.within(scope.clone());
    Ok(if dry_run { sweeper.dry_run().await } else { sweeper.sweep(progress).await })
}

/// A ledger that is not this database's own would prove that real rows are test data.
async fn judge_ledger(plan: &CleanupPlan) -> Result<(), Refusal> {
    if plan.has_ledger() { LedgerState::of(plan).await.map(drop) } else { Ok(()) }
}
