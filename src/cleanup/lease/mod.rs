//! Who is at work on a database, and what counts as its data: the leases, and who finishes what a killed run left.
//!
//! Before its first request a run writes its lease; it renews it while it lives, and ends it
//! when its sweep is done. A lease that was not renewed in time is a dead run's; time is the
//! database's. Whoever starts next under the same plan's name finishes the dead run's work.
//!
//! **Who sweeps.** A root that several runs share is swept by the last of them. Who that is is
//! decided under one lock (the gate), in one transaction with what follows from it: either
//! nobody else holds the root, and the lease says from here on that it is being swept, so that a
//! run that wants to begin waits; or somebody does, and the lease lets go of it. So of two that
//! end at the same instant exactly one is the last.
//!
//! **While traffic runs** a run may sweep what is old enough of the roots that no other live run
//! holds (`aged`); a run that wants to begin with one of them waits until that sweep is through.
//!
//! **A lease that is lost** (not renewed in time) stops the traffic before another may begin to
//! delete: nothing new starts after two thirds of its time, and what is under way is cut off
//! after five sixths. One that slept through all of that finds the fence closed (`fence`).
//!
//! A run also holds a session lock of its own. It proves nothing about who is dead, but a lease
//! without it may be a dead run's: whoever ends then waits until the lease is renewed or has run
//! out, instead of leaving its rows to the dead.

mod aged;
mod claim;
mod fence;
mod hold;
mod keeper;
mod reap;
mod selection;

pub use aged::{Aged, sweep_aged};
pub(super) use claim::claim;
pub use fence::{Fence, Term};
pub use hold::{Lease, LeaseKind, LeaseTerms, Left, Part, Takes};
pub use keeper::Hold;
pub use reap::{Reaped, reap, reclaim};
pub use selection::{sweep_everything, sweep_run};

use super::outcome::RefusalCause;
use super::schema::{self, MARK};
use super::sweep::timed;
use tokio_postgres::{GenericClient, Transaction};

/// The table of the leases.
const TABLE: &str = include_str!("table.sql");

/// Whether there is a table of leases.
pub(super) async fn exists(client: &impl GenericClient) -> Result<bool, RefusalCause> {
    let sql = "SELECT pg_catalog.to_regclass('pacecar.lease') IS NOT NULL";
    Ok(timed("look for leases", client.query_one(sql, &[])).await?.get(0))
}

/// Makes the table of leases, and its schema, where there is none. The caller has the gate.
pub(super) async fn ensure(transaction: &Transaction<'_>) -> Result<(), RefusalCause> {
    if exists(transaction).await? {
        schema::look(transaction).await?;
        return Ok(());
    }
    schema::ensure(transaction).await?;
    let sql = format!("{TABLE}; COMMENT ON TABLE pacecar.lease IS '{MARK}'");
    timed("make the table of leases", transaction.batch_execute(&sql)).await
}

/// The first run that has not ended, live or dead; one that keeps its rows counts while it lives.
pub(super) async fn unfinished(client: &impl GenericClient) -> Result<Option<String>, RefusalCause> {
    const SQL: &str = "SELECT run FROM pacecar.lease
        WHERE ended IS NULL AND (NOT kept OR expires > pg_catalog.clock_timestamp()) ORDER BY started LIMIT 1";
    if !exists(client).await? {
        return Ok(None);
    }
    Ok(timed("look at the leases", client.query_opt(SQL, &[])).await?.map(|row| row.get(0)))
}
