//! What the ledger is now, and what it says about a run. Reads only.

use super::tables::Table;
use crate::cleanup::outcome::RefusalCause;
use crate::cleanup::sweep::timed;
use tokio_postgres::GenericClient;

/// What tells the ledger of this database from a copy of it: an SQL expression.
pub(super) const ORIGIN: &str = "(SELECT 'ledger ' || 'pacecar.ledger'::regclass::oid || ' of database ' || d.oid \
     FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())";

/// What the ledger is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Tables with a primary key that are not recorded, as Postgres quotes them.
    pub missing: Vec<String>,
    /// Whether it came with a copy of another database: what it says of tables is then wrong.
    pub copied: bool,
}

/// Looks at the ledger; none where it is not installed.
pub(super) async fn judge(client: &impl GenericClient) -> Result<Option<LedgerState>, RefusalCause> {
    let there = "SELECT pg_catalog.to_regclass('pacecar.ledger') IS NOT NULL";
    if !timed("look at the ledger", client.query_one(there, &[])).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    let origin =
        format!("SELECT pg_catalog.obj_description('pacecar.ledger'::regclass, 'pg_class') LIKE '%' || {ORIGIN}");
    let ours: Option<bool> = timed("look at the ledger", client.query_one(&origin, &[])).await?.get(0);
    let tables = Table::all(client).await?;
    let missing =
        tables.into_iter().filter(|table| table.has_key() && !table.complete).map(|table| table.name).collect();
    Ok(Some(LedgerState { missing, copied: ours != Some(true) }))
}
