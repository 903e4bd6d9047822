//! The rows that `pacecar cleanup` takes: all, one run's, or what killed runs left. Where there are leases, the keys in
//! Redis are taken with them, under the same one.

use crate::progress::CleanupLine;
use pacecar::cleanup::{self, CleanupOutcome, CleanupPlan, Fence, Lease, LeaseKind, LeaseTerms, Refusal, Scope, Takes};
use pacecar::semconv::RunId;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Delete all that the roots match.
    All,
    /// Delete what this run left.
    Run(RunId),
    /// Delete what runs left whose lease ran out.
    Expired,
    /// Install the ledger of rows.
    Install,
    /// Take it away.
    Uninstall,
}

/// What says which rows are test data.
pub(super) struct Rows {
    pub(super) plan: CleanupPlan,
    /// The plan's name.
    pub(super) name: String,
    /// A digest of the plan's text.
    pub(super) digest: String,
}

/// Judges, then counts or deletes.
///
/// # Errors
/// Where nothing was begun.
pub(super) async fn sweep(
    rows: Rows,
    task: Task,
    dry_run: bool,
    line: &mut CleanupLine,
) -> Result<CleanupOutcome, Refusal> {
    let Rows { plan, name, digest } = rows;
    let (scope, takes) = match task {
        Task::Run(run) => (Scope::of_run(&plan), Takes::Of(run)),
        _ => (Scope::all(), Takes::All),
    };
    if task == Task::Expired {
        // What a killed run made was judged before its first request; its lease says what that is.
        let reaped = cleanup::reap(&plan, &name, dry_run, |progress| line.show(progress)).await?;
        return Ok(reaped.into_outcome());
    }
    cleanup::preflight(&plan, &scope).await?;
    let lease = if dry_run {
        None
    } else {
        // Of its own, so that --expired finishes this one too.
        let holder = super::new_run_id();
        let terms = LeaseTerms { holder, kind: LeaseKind::Cleanup, plan: name.clone(), digest, takes, kept: false };
        Some(Lease::take(&plan, terms, Fence::default()).await?)
    };
    let tell = |progress| line.show(progress);
    let outcome = match task {
        Task::Run(_) => cleanup::sweep_run(&plan, dry_run, tell).await,
        _ => cleanup::sweep_everything(&plan, &name, dry_run, tell).await,
    };
    if let Some(lease) = lease {
        lease.end(true).await?;
    }
    Ok(outcome)
}
