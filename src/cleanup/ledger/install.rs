//! Installs the ledger, and takes it away again without a trace.

use super::state::{ORIGIN, judge};
use super::tables::Table;
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::schema::{self, MARK, Standing};
use crate::cleanup::sweep::{Session, expect_database, timed};
use crate::cleanup::{journal, lease};
use tokio_postgres::Transaction;

/// The tables and functions that do not depend on the application's tables.
const OBJECTS: &str = include_str!("objects.sql");
/// Drops the records of a table that are not by its key of now: from here on nothing would drop them with their rows.
const OTHER_KEYS: &str = "
    DELETE FROM pacecar.ledger l WHERE l.relation = ANY (pacecar.tree($1))
    AND ARRAY(SELECT k FROM pg_catalog.jsonb_object_keys(l.key) k ORDER BY k COLLATE \"C\") <>
        ARRAY(SELECT a.attname::text FROM pg_catalog.pg_constraint c
            JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
            WHERE c.conrelid = $1 AND c.contype = 'p' ORDER BY a.attname::text COLLATE \"C\")";
/// The first version with all that the ledger asks of Postgres.
const OLDEST: i32 = 130_000;

/// A session with the database whose ledger is to be installed or taken away.
#[derive(Debug)]
pub struct Ledger {
    plan: CleanupPlan,
    session: Session,
}

/// What `install` came to. Tables as Postgres quotes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// What is inserted into these is recorded.
    pub recorded: Vec<String>,
    /// Those among them that were not recorded before.
    pub new: Vec<String>,
    /// Without a primary key, so that a row of theirs cannot be named.
    pub keyless: Vec<String>,
}

/// What `uninstall` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uninstalled {
    /// It is gone.
    Gone,
    /// It was not there.
    NotThere,
}

// === impl Ledger ===

impl Ledger {
    /// Connects to the database that the plan means.
    ///
    /// # Errors
    /// Where there is no connection in time, or it is another database.
    pub async fn connect(plan: CleanupPlan) -> Result<Self, Refusal> {
        let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        expect_database(&session, &plan).await?;
        Ok(Self { plan, session })
    }

    /// Installs the ledger, or adds the tables that came since. One transaction: all or nothing.
    ///
    /// # Errors
    /// Where a right is missing, the schema `pacecar` is somebody else's, or the database fails.
    pub async fn install(&mut self) -> Result<Installed, Refusal> {
        tracing::debug!(run = %self.plan.run, "installing the ledger");
        install(&mut self.session).await.map_err(Refusal::new)
    }

    /// Takes the ledger away: afterwards the schema is what it was before `install`.
    ///
    /// # Errors
    /// While rows are recorded or a run is live, where a right is missing, or the database fails.
    pub async fn uninstall(&mut self) -> Result<Uninstalled, Refusal> {
        uninstall(&mut self.session).await.map_err(Refusal::new)
    }
}

// === helpers ===

async fn install(session: &mut Session) -> Result<Installed, RefusalCause> {
    let version = timed("say its version", session.client.query_one("SHOW server_version_num", &[])).await?;
    let version: i32 = version.get::<_, &str>(0).parse().unwrap_or(0);
    if version < OLDEST {
        return Err(RefusalCause::TooOld { version: version / 10_000 });
    }
    let transaction = timed("begin to install the ledger", session.client.transaction()).await?;
    schema::pass_gate(&transaction).await?;
    let leases_before = schema::look(&transaction).await? != Standing::Absent && lease::exists(&transaction).await?;
    schema::ensure(&transaction).await?;
    lease::ensure(&transaction).await?;
    let state = judge(&transaction).await?;
    if state.as_ref().is_some_and(|state| state.copied) {
        return Err(RefusalCause::CopiedLedger);
    }
    if state.is_none() {
        let kept = if leases_before { ", the leases were there before" } else { "" };
        timed("install the ledger", transaction.batch_execute(OBJECTS)).await?;
        // Its own number tells a copy, in which the numbers of the tables are others.
        let comment = format!(
            "DO $do$ BEGIN EXECUTE pg_catalog.format('COMMENT ON TABLE pacecar.ledger IS %L', '{MARK} cleanup install{kept}; ' || {ORIGIN}); END $do$"
        );
        timed("install the ledger", transaction.batch_execute(&comment)).await?;
    }
    let mut installed = Installed::default();
    for table in Table::all(&transaction).await? {
        if !table.has_key() {
            installed.keyless.push(table.name);
            continue;
        }
        may_trigger(&transaction, &table).await?;
        timed("make a trigger function", transaction.batch_execute(&table.functions())).await?;
        if !table.complete {
            timed("look at the ledger", transaction.execute(OTHER_KEYS, &[&table.oid])).await?;
            timed("make the triggers of a table", transaction.batch_execute(&table.triggers())).await?;
            installed.new.push(table.name.clone());
        }
        installed.recorded.push(table.name);
    }
    // Triggers need no right to be called, and nobody else may. Their conditions need one, whoever changes rows.
    let revoke = "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pacecar FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION pacecar.concerns(oid) TO PUBLIC";
    timed("install the ledger", transaction.batch_execute(revoke)).await?;
    timed("install the ledger", transaction.commit()).await?;
    Ok(installed)
}

/// Only its owner may say that a trigger always fires.
async fn may_trigger(transaction: &Transaction<'_>, table: &Table) -> Result<(), RefusalCause> {
    let sql = "SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c WHERE c.oid = $1";
    let row = timed("look at rights", transaction.query_opt(sql, &[&table.oid])).await?;
    if row.is_some_and(|row| row.get(0)) { Ok(()) } else { Err(RefusalCause::NotOwner { table: table.name.clone() }) }
}

async fn uninstall(session: &mut Session) -> Result<Uninstalled, RefusalCause> {
    const RECORDED: &str = "
        SELECT coalesce(pg_catalog.obj_description(c.oid, 'pg_class') LIKE '%the leases were there before%', false)
        FROM pg_catalog.pg_class c WHERE c.oid = 'pacecar.ledger'::regclass";
    // Whatever table they stand on now.
    const TRIGGERS: &str = "
        SELECT pg_catalog.format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
        FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname = 'pacecar' AND t.tgparentid = 0 ORDER BY t.tgrelid, t.tgname";
    const FUNCTIONS: &str = "
        SELECT pg_catalog.format('DROP FUNCTION %s', p.oid::regprocedure)
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'pacecar'";
    let transaction = timed("begin to take the ledger away", session.client.transaction()).await?;
    schema::pass_gate(&transaction).await?;
    let Standing::Ours { made } = schema::look(&transaction).await? else { return Ok(Uninstalled::NotThere) };
    let Some(state) = judge(&transaction).await? else { return Ok(Uninstalled::NotThere) };
    if !state.copied {
        // Nothing may be recorded between the look and the end.
        timed("lock the ledger", transaction.batch_execute("LOCK TABLE pacecar.ledger IN SHARE ROW EXCLUSIVE MODE"))
            .await?;
        let forget = "DELETE FROM pacecar.ledger l WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = l.relation)";
        timed("look at the ledger", transaction.execute(forget, &[])).await?;
        let row =
            timed("look at the ledger", transaction.query_one("SELECT pg_catalog.count(*) FROM pacecar.ledger", &[]));
        let records: i64 = row.await?.get(0);
        if records > 0 {
            return Err(RefusalCause::Recorded { records: u64::try_from(records).unwrap_or(0) });
        }
    }
    let keep_leases: bool = timed("look at the ledger", transaction.query_one(RECORDED, &[])).await?.get(0);
    let unfinished = lease::unfinished(&transaction).await?;
    if let Some(run) = unfinished.filter(|_| !keep_leases) {
        return Err(RefusalCause::Unfinished { run });
    }
    for sql in [TRIGGERS, FUNCTIONS] {
        for row in timed("look triggers up", transaction.query(sql, &[])).await? {
            timed("take the ledger away", transaction.batch_execute(row.get(0))).await?;
        }
    }
    let mut sql = "DROP TABLE pacecar.ledger, pacecar.updates;".to_owned();
    if !keep_leases {
        let lines = journal::lines(&transaction).await?;
        if lines.is_some_and(|lines| lines > 0) {
            return Err(RefusalCause::ToUndo { lines: lines.unwrap_or(0) });
        }
        if lines.is_some() {
            sql.push_str("DROP TABLE pacecar.journal;");
        }
        sql.push_str("DROP TABLE pacecar.lease;");
        if made && !others(&transaction).await? {
            sql.push_str("DROP SCHEMA pacecar");
        }
    }
    timed("take the ledger away", transaction.batch_execute(&sql)).await?;
    timed("take the ledger away", transaction.commit()).await?;
    Ok(Uninstalled::Gone)
}

/// Whether there is more in the schema than the ledger and the leases.
async fn others(transaction: &Transaction<'_>) -> Result<bool, RefusalCause> {
    const SQL: &str = "
        SELECT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pacecar'::regnamespace
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT IN ('ledger', 'updates', 'lease', 'journal'))";
    Ok(timed("look at the schema pacecar", transaction.query_one(SQL, &[])).await?.get(0))
}
