//! The schema `pacecar`: the one place in the database where pacecar makes anything.

use super::outcome::RefusalCause;
use super::sweep::timed;
use tokio_postgres::Transaction;

/// The comment on what pacecar made.
pub(super) const MARK: &str = "made by pacecar";
/// The lock under which it is decided who holds what, and under which the schema is made: "pacecar" in ASCII.
pub(super) const GATE: i64 = 0x0070_6163_6563_6172;

/// What the schema is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is none.
    Absent,
    /// There is one, of ours or empty and ours to use.
    Ours {
        /// Whether pacecar made the schema itself.
        made: bool,
    },
}

/// Waits for the gate until the transaction ends. Whoever has it decides alone.
pub(super) async fn pass_gate(transaction: &Transaction<'_>) -> Result<(), RefusalCause> {
    let sql = "SELECT pg_catalog.pg_advisory_xact_lock($1)";
    timed("lock the leases", transaction.execute(sql, &[&GATE])).await.map(drop)
}

/// Looks at the schema; reads only.
///
/// # Errors
/// Where a schema of this name is somebody else's.
pub(super) async fn look(client: &impl tokio_postgres::GenericClient) -> Result<Standing, RefusalCause> {
    const SQL: &str = "
        SELECT coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace') LIKE $1 || '%', false),
            EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relname IN ('lease', 'state')
                AND pg_catalog.obj_description(c.oid, 'pg_class') LIKE $1 || '%'),
            pg_catalog.has_schema_privilege(n.oid, 'CREATE')
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid)
        FROM pg_catalog.pg_namespace n WHERE n.nspname = 'pacecar'";
    let row = timed("look at the schema pacecar", client.query_opt(SQL, &[&MARK])).await?;
    let Some(row) = row else { return Ok(Standing::Absent) };
    let (made, tables, empty): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if made || tables || empty { Ok(Standing::Ours { made }) } else { Err(RefusalCause::ForeignSchema) }
}

/// Makes the schema where there is none. The caller has the gate.
///
/// # Errors
/// Where it may not, or a schema of this name is somebody else's.
pub(super) async fn ensure(transaction: &Transaction<'_>) -> Result<(), RefusalCause> {
    if look(transaction).await? != Standing::Absent {
        return Ok(());
    }
    let may = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')";
    if !timed("look at rights", transaction.query_one(may, &[])).await?.get::<_, bool>(0) {
        return Err(RefusalCause::MayNotCreate);
    }
    let sql = format!("CREATE SCHEMA pacecar; COMMENT ON SCHEMA pacecar IS '{MARK}'");
    timed("make the schema pacecar", transaction.batch_execute(&sql)).await
}

/// Whether nobody wrote into a table of the schema who could not do everything himself: it is ours, a superuser's or the
/// database owner's. What others wrote there lets us do no more than our own plan says.
pub(super) async fn is_of_the_trusted(
    client: &impl tokio_postgres::GenericClient,
    table: &str,
) -> Result<bool, RefusalCause> {
    const SQL: &str = "
        SELECT r.rolsuper OR r.rolname = CURRENT_USER OR r.oid = d.datdba
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
        JOIN pg_catalog.pg_database d ON d.datname = pg_catalog.current_database()
        WHERE c.oid = pg_catalog.to_regclass($1)";
    let row = timed("look whose a table is", client.query_opt(SQL, &[&table])).await?;
    Ok(row.is_some_and(|row| row.get(0)))
}
