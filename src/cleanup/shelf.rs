//! What of a plan must outlive a restart, kept in the schema `pacecar` beside the leases.
//!
//! Whose it is and what it means, others know: here it is a JSON value under the plan's name and a
//! key. A change reads and writes it under one lock of its row, so of two that change it at once
//! neither is lost. Time is the database's, read when the lock is held.

use super::compile::CleanupPlan;
use super::outcome::{Refusal, RefusalCause};
use super::schema::{self, MARK};
use super::sweep::{Session, expect_database, timed};
use serde_json::Value;
use std::time::Duration;
use tokio_postgres::Transaction;

/// The form of what is kept. One of another form is set aside and not read.
const VERSION: i32 = 1;

const TABLE: &str = "
    -- What of a plan outlives a restart.
    CREATE TABLE pacecar.state (
        plan text NOT NULL,
        key text NOT NULL,
        version integer NOT NULL,
        value jsonb,
        changed timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
        PRIMARY KEY (plan, key)
    )";

/// A session with the database in which values are kept. Dropping it closes the connection.
#[derive(Debug)]
pub struct Shelf {
    session: Session,
}

/// What a change found and left.
#[derive(Debug)]
pub struct Shelved<T> {
    /// What the change answered.
    pub answer: T,
    /// Whether what stood there had another form, and was set aside under another key.
    pub set_aside: bool,
}

// === impl Shelf ===

impl Shelf {
    /// Connects to the database that the plan means, and makes the table where there is none.
    ///
    /// # Errors
    /// Where there is no connection in time, it is another database, or the table may not be made.
    pub async fn open(plan: &CleanupPlan) -> Result<Self, Refusal> {
        let mut session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        expect_database(&session, plan).await?;
        ensure(&mut session).await.map_err(Refusal::new)?;
        Ok(Self { session })
    }

    /// Replaces the value of `key` by what `change` makes of it at this time of the database (since its epoch); none
    /// leaves it. Whole or not at all.
    ///
    /// # Errors
    /// Where the database fails, or another holds the value for more than 5 s. Nothing is changed then, unless the
    /// connection broke while it was committed.
    pub async fn change<T>(
        &mut self,
        plan: &str,
        key: &str,
        change: impl FnOnce(Option<Value>, Duration) -> (Option<Value>, T),
    ) -> Result<Shelved<T>, Refusal> {
        self.try_change(plan, key, change).await.map_err(Refusal::new)
    }

    async fn try_change<T>(
        &mut self,
        plan: &str,
        key: &str,
        change: impl FnOnce(Option<Value>, Duration) -> (Option<Value>, T),
    ) -> Result<Shelved<T>, RefusalCause> {
        const MAKE: &str =
            "INSERT INTO pacecar.state (plan, key, version) VALUES ($1, $2, $3) ON CONFLICT (plan, key) DO NOTHING";
        const LOCK: &str = "SELECT version, value::text FROM pacecar.state WHERE plan = $1 AND key = $2 FOR UPDATE";
        // A statement of its own: the time when the lock was had, not when it was asked for.
        const TIME: &str = "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint";
        const WRITE: &str = "UPDATE pacecar.state SET version = $3, value = $4::text::jsonb,
            changed = pg_catalog.clock_timestamp() WHERE plan = $1 AND key = $2";
        let transaction = timed("change what is kept", self.session.client.transaction()).await?;
        timed("change what is kept", transaction.execute(MAKE, &[&plan, &key, &VERSION])).await?;
        let row = timed("read what is kept", transaction.query_one(LOCK, &[&plan, &key])).await?;
        let now: i64 = timed("say the time", transaction.query_one(TIME, &[])).await?.get(0);
        let (version, text): (i32, Option<String>) = (row.get(0), row.get(1));
        let set_aside = version != VERSION && text.is_some();
        if set_aside {
            put_aside(&transaction, plan, key).await?;
        }
        let known = text.filter(|_| !set_aside).and_then(|text| serde_json::from_str(&text).ok());
        let (value, answer) = change(known, Duration::from_millis(u64::try_from(now).unwrap_or(0)));
        if let Some(value) = value {
            let value = value.to_string();
            timed("write what is kept", transaction.execute(WRITE, &[&plan, &key, &VERSION, &value])).await?;
        }
        timed("change what is kept", transaction.commit()).await?;
        Ok(Shelved { answer, set_aside })
    }
}

// === helpers ===

async fn ensure(session: &mut Session) -> Result<(), RefusalCause> {
    const THERE: &str = "SELECT pg_catalog.to_regclass('pacecar.state') IS NOT NULL";
    let transaction = timed("look for what is kept", session.client.transaction()).await?;
    schema::pass_gate(&transaction).await?;
    if timed("look for what is kept", transaction.query_one(THERE, &[])).await?.get::<_, bool>(0) {
        // Whose schema it is matters all the same.
        schema::look(&transaction).await?;
        return Ok(());
    }
    schema::ensure(&transaction).await?;
    let sql = format!("{TABLE}; COMMENT ON TABLE pacecar.state IS '{MARK}'");
    timed("make the table of what is kept", transaction.batch_execute(&sql)).await?;
    timed("make the table of what is kept", transaction.commit()).await
}

/// Keeps what cannot be read under another key, so that nothing is lost; the one before it goes.
async fn put_aside(transaction: &Transaction<'_>, plan: &str, key: &str) -> Result<(), RefusalCause> {
    const SQL: &str = "INSERT INTO pacecar.state (plan, key, version, value)
        SELECT plan, key || '.set-aside', version, value FROM pacecar.state WHERE plan = $1 AND key = $2
        ON CONFLICT (plan, key) DO UPDATE SET version = excluded.version, value = excluded.value,
            changed = pg_catalog.clock_timestamp()";
    timed("set aside what is kept", transaction.execute(SQL, &[&plan, &key])).await.map(drop)
}
