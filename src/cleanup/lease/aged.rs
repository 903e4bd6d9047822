//! One sweep while traffic runs: of what is old enough, and of nothing that another live run holds.
//!
//! Who holds what is decided under the gate, as at a run's end. Until the sweep is through, its
//! session has a lock that tells a run that wants to begin with one of the roots to wait: the rows
//! of that run must not be there before it is known that it lives. The lock goes with the session,
//! however this one ends.

use super::fence::Term;
use super::hold::{FIRST, Left, left_roots, share, shared_parts};
use super::keeper::alive;
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{CleanupOutcome, Refusal, RefusalCause};
use crate::cleanup::schema::pass_gate;
use crate::cleanup::scope::{LedgerScope, Scope};
use crate::cleanup::sweep::{Session, Sweeper, expect_database, timed};
use std::time::Duration;

/// What one sweep while traffic ran came to.
#[derive(Debug, Default)]
pub struct Aged {
    /// What was deleted; it counts as found, and nothing as left: the sweep at the end says what is.
    pub outcome: CleanupOutcome,
    /// Shared roots that another live run holds too.
    pub left: Vec<Left>,
}

/// Deletes what of the plan's run, which is live, and of the roots that it shares with no other live run is older than
/// `keep_for`. One look: what becomes old meanwhile is the next sweep's.
///
/// # Errors
/// Where the lease was lost, or the database fails before anything was deleted.
pub async fn sweep_aged(plan: &CleanupPlan, keep_for: Duration) -> Result<Aged, Refusal> {
    let mut session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
    expect_database(&session, plan).await?;
    let shared = shared_parts(&session, plan).await?;
    let left = begin(&mut session, plan, &shared).await.map_err(Refusal::new)?;
    let scope = Scope {
        left_alone: left_roots(&left).collect(),
        ledger: LedgerScope::Runs(vec![plan.run]),
        older_than: Some(keep_for),
        under: Some(Term { run: plan.run, term: FIRST }),
    };
    let mut outcome = Sweeper::of(plan.clone(), scope, session).pass().await;
    for table in &mut outcome.tables {
        (table.found, table.remaining, table.quarantined) = (table.deleted, 0, 0);
    }
    outcome.tables.retain(|table| table.deleted > 0);
    (outcome.remaining, outcome.quarantined) = (0, 0);
    outcome.blocked.clear();
    outcome.notes.clear();
    Ok(Aged { outcome, left })
}

// === helpers ===

/// Answers what is left to others, and from here on lets nobody else begin with the rest.
async fn begin(
    session: &mut Session,
    plan: &CleanupPlan,
    shared: &[Option<String>],
) -> Result<Vec<Left>, RefusalCause> {
    const WHAT: &str = "settle what may be swept";
    const OTHERS: &str = "SELECT run, plan, shared FROM pacecar.lease
        WHERE run <> $1 AND ended IS NULL AND expires > pg_catalog.clock_timestamp() AND kind <> 'cleanup' AND shared && $2";
    let own = plan.run.to_string();
    let names: Vec<&str> = shared.iter().flatten().map(String::as_str).collect();
    let transaction = timed(WHAT, session.client.transaction()).await?;
    pass_gate(&transaction).await?;
    let rows = timed(WHAT, transaction.query(OTHERS, &[&own, &names])).await?;
    let (left, _) = share(plan, shared, &rows);
    let lock = "SELECT pg_catalog.pg_try_advisory_lock($1)";
    timed(WHAT, transaction.query_one(lock, &[&!alive(plan.run)])).await?;
    timed(WHAT, transaction.commit()).await?;
    Ok(left)
}
