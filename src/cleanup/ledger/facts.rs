//! What a run asks the ledger: before its first request whether it can be relied on, at its end what it says.

use super::state::{LedgerState, judge};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::sweep::{Session, expect_database, timed};
use crate::semconv::RunId;

/// What the ledger has of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerFacts {
    /// Rows that are recorded now.
    pub recorded: u64,
    /// Those of them for which a SQL comment is all the evidence.
    pub hearsay: u64,
    /// Rows that were there before and were updated, by table as Postgres quotes it.
    pub updated: Vec<(String, u64)>,
}

// === impl LedgerState ===

impl LedgerState {
    /// Looks whether the plan's ledger can be relied on.
    ///
    /// # Errors
    /// Where it is not installed, is a copy, or the database fails.
    pub async fn of(plan: &CleanupPlan) -> Result<Self, Refusal> {
        let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        expect_database(&session, plan).await?;
        match judge(&session.client).await.map_err(Refusal::new)? {
            None => Err(Refusal::new(RefusalCause::NoLedger)),
            Some(state) if state.copied => Err(Refusal::new(RefusalCause::CopiedLedger)),
            Some(state) => Ok(state),
        }
    }
}

// === impl LedgerFacts ===

impl LedgerFacts {
    /// Reads what the ledger has of `run`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn of(plan: &CleanupPlan, run: RunId) -> Result<Self, Refusal> {
        let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        read(&session, run).await.map_err(Refusal::new)
    }
}

// === helpers ===

async fn read(session: &Session, run: RunId) -> Result<LedgerFacts, RefusalCause> {
    const RECORDED: &str = "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE hearsay)
        FROM pacecar.ledger WHERE run = $1";
    const UPDATED: &str = "
        SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), pg_catalog.sum(u.rows)::bigint
        FROM pacecar.updates u JOIN pg_catalog.pg_class c ON c.oid = u.relation
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE u.run = $1 GROUP BY 1 ORDER BY 1";
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let run = run.to_string();
    let recorded = timed("read the ledger", session.client.query_one(RECORDED, &[&run])).await?;
    let updated = timed("read the ledger", session.client.query(UPDATED, &[&run])).await?;
    Ok(LedgerFacts {
        recorded: count(recorded.get(0)),
        hearsay: count(recorded.get(1)),
        updated: updated.iter().map(|row| (row.get(0), count(row.get(1)))).collect(),
    })
}
