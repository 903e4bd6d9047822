//! The demo's tables: made where they are missing, filled, and removed again.
//!
//! In a database of somebody else's the demo removes only what it made itself: tables that it
//! created, or the test users and their chats that it added to tables which were there. It marks its tables by a
//! comment, so that a later start knows what a killed one left; and a shared lock says that some
//! demo still uses them.

use super::leases;
use argon2::password_hash::{PasswordHasher, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use std::future::Future;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

/// The tenants and users of config/tenant-workflow.yaml.
const TENANTS: i32 = 20;
const USERS: i32 = 5;
const PASSWORD: &str = "secret";
/// Real users, real rows: enough that the synthetic ones are the smaller part.
const REAL_USERS: i32 = 240;
const REAL_CHATS: i32 = 20_000;
/// The comment on a table that the demo made.
const MARK: &str = "made by pacecar demo";
/// The lock of all demos in one database: "pacecard" in ASCII.
const LOCK: i64 = 0x7061_6365_6361_7264;
/// How long the database may take for one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// Columns of a table: name and type.
type Columns = &'static [(&'static str, &'static str)];

/// The tables, in the order in which they can be made, with their columns as Postgres names their types.
const TABLES: [(&str, &str, Columns); 3] = [
    (
        "tenants",
        "CREATE TABLE IF NOT EXISTS tenants (id bigint PRIMARY KEY, name text NOT NULL)",
        &[("id", "bigint"), ("name", "text")],
    ),
    (
        "users",
        "CREATE TABLE IF NOT EXISTS users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id bigint NOT NULL REFERENCES tenants, email text NOT NULL UNIQUE, password_hash text NOT NULL)",
        &[("id", "bigint"), ("tenant_id", "bigint"), ("email", "text"), ("password_hash", "text")],
    ),
    (
        "llm_usage",
        "CREATE TABLE IF NOT EXISTS llm_usage (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            user_id text NOT NULL, tenant_id bigint NOT NULL, prompt text NOT NULL, model text NOT NULL,
            tokens integer NOT NULL, cost numeric NOT NULL, cached boolean NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now())",
        &[
            ("id", "bigint"),
            ("user_id", "text"),
            ("tenant_id", "bigint"),
            ("prompt", "text"),
            ("model", "text"),
            ("tokens", "integer"),
            ("cost", "numeric"),
            ("cached", "boolean"),
            ("created_at", "timestamp with time zone"),
        ],
    ),
];

/// What a synthetic row is, here and in config/: everything else is real.
const REAL_ROWS: &str = "
    SELECT 'tenants' || t::text FROM tenants t WHERE name NOT LIKE 'test-%'
    UNION ALL SELECT 'users' || t::text FROM users t WHERE email NOT LIKE 'test-%'
    UNION ALL SELECT 'llm_usage' || t::text FROM llm_usage t WHERE user_id NOT LIKE 'test-%'";

/// The demo's hold on its tables.
pub(super) struct Store {
    client: Client,
    /// Tables that the demo made, in the order in which they were made.
    made: Vec<&'static str>,
    /// Test users and tenants that it added to tables which were there before.
    added_users: Vec<i64>,
    added_tenants: Vec<i64>,
    /// The newest chat before the API began: identities only grow.
    newest_chat: i64,
    /// Whether somebody's leases were there before.
    had_leases: bool,
}

/// A digest over all real rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealDigest {
    /// How many there are.
    pub(crate) rows: u64,
    /// Equal exactly where the rows are.
    pub(crate) digest: String,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) real_users: u64,
    pub(crate) test_users: u64,
    /// Rows of `llm_usage` of real users.
    pub(crate) real_chats: u64,
    /// Rows of `llm_usage` of test users: one for each answered chat.
    pub(crate) test_chats: u64,
}

/// Why the database is of no use. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Not a connection string.
    #[error("DATABASE_URL is no connection string: postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Url,
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] tokio_postgres::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// A table of that name is somebody else's.
    #[error("the table `{0}` is there with other columns than the demo's: take another database or schema")]
    Taken(&'static str),
    /// The database refused.
    #[error("cannot {operation}")]
    Database {
        /// What was asked.
        operation: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
    /// `PACECAR_SECRET` is no secret.
    #[error("PACECAR_SECRET cannot be used")]
    Secret(#[source] pacecar::semconv::SecretError),
    /// A password could not be hashed.
    #[error("cannot hash a password")]
    Hash,
}

// === impl Store ===

impl Store {
    /// Makes what is missing and adds the users.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let mut client = connect(url).await?;
        let transaction = timed("begin", client.transaction()).await?;
        // Two that start at once would both find the tables missing.
        timed("take the demo's lock", transaction.execute("SELECT pg_advisory_xact_lock($1::bigint + 1)", &[&LOCK]))
            .await?;
        let sole = timed("take the demo's lock", transaction.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]));
        let sole: bool = sole.await?.get(0);
        let had_leases = timed("look at the schema pacecar", leases::there(&transaction)).await?;
        let (mut made, mut fresh) = (Vec::new(), false);
        for (table, create, columns) in TABLES {
            let found = columns_of(&transaction, table).await?;
            if found.is_empty() {
                timed("create a table", transaction.batch_execute(create)).await?;
                let mark = format!("COMMENT ON TABLE {table} IS '{MARK}'");
                timed("mark a table", transaction.batch_execute(&mark)).await?;
                made.push(table);
                fresh = true;
            } else if !columns.iter().all(|(name, kind)| found.iter().any(|(n, k)| n == name && k == kind))
                || found.len() != columns.len()
            {
                return Err(StoreError::Taken(table));
            } else if marked(&transaction, table).await? && sole {
                // Left by a demo that was killed: nobody holds the lock.
                made.push(table);
            }
        }
        let (added_users, added_tenants) = add_test_users(&transaction).await?;
        if fresh && made.len() == TABLES.len() {
            add_real_rows(&transaction).await?;
        }
        let newest = transaction.query_one("SELECT coalesce(max(id), 0) FROM llm_usage", &[]);
        let newest_chat = timed("look at the tables", newest).await?.get(0);
        timed("commit", transaction.commit()).await?;
        // From here on shared: another demo may come.
        timed("hold the demo's lock", client.execute("SELECT pg_advisory_lock_shared($1)", &[&LOCK])).await?;
        if sole {
            timed("hold the demo's lock", client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK])).await?;
        }
        timed("look at the tables", client.batch_execute("ANALYZE tenants, users, llm_usage")).await.ok();
        Ok(Self { client, made, added_users, added_tenants, newest_chat, had_leases })
    }

    /// Removes what the demo made. Where another demo uses it, that one will.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        let client = &self.client;
        timed("leave the demo's lock", client.execute("SELECT pg_advisory_unlock_shared($1)", &[&LOCK])).await?;
        let alone =
            timed("look for other demos", client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])).await?;
        if !alone.get::<_, bool>(0) {
            return Ok(());
        }
        if !self.made.contains(&"llm_usage") {
            // What a run that was killed, or left at once, did not clean up.
            let chats = "DELETE FROM llm_usage WHERE id > $1 AND user_id LIKE 'test-%'";
            timed("remove the test rows", client.execute(chats, &[&self.newest_chat])).await?;
        }
        if !self.made.contains(&"users") {
            let users = "DELETE FROM users WHERE id = ANY($1)";
            timed("remove the test users", client.execute(users, &[&self.added_users])).await?;
        }
        if !self.made.contains(&"tenants") {
            let tenants =
                "DELETE FROM tenants t WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM users WHERE tenant_id = t.id)";
            timed("remove the test tenants", client.execute(tenants, &[&self.added_tenants])).await?;
        }
        for table in self.made.iter().rev() {
            let drop = format!("SET lock_timeout = '5s'; DROP TABLE IF EXISTS {table}");
            timed("drop a table", client.batch_execute(&drop)).await?;
        }
        if !self.had_leases {
            timed("drop the schema pacecar", leases::remove(client)).await?;
        }
        Ok(())
    }
}

/// Says whether all real rows are as they were.
pub(super) async fn real_digest(url: &str) -> Result<RealDigest, StoreError> {
    let client = connect(url).await?;
    let sql = format!(
        "SELECT count(*), coalesce(md5(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\")), '') FROM ({REAL_ROWS}) rows(r)"
    );
    let row = timed("read the real rows", client.query_one(&sql, &[])).await?;
    Ok(RealDigest { rows: row.get::<_, i64>(0).unsigned_abs(), digest: row.get(1) })
}

/// Counts all rows.
pub(super) async fn counts(url: &str) -> Result<Counts, StoreError> {
    let client = connect(url).await?;
    let sql = "SELECT (SELECT count(*) FROM users WHERE email NOT LIKE 'test-%'),
        (SELECT count(*) FROM users WHERE email LIKE 'test-%'),
        (SELECT count(*) FROM llm_usage WHERE user_id NOT LIKE 'test-%'),
        (SELECT count(*) FROM llm_usage WHERE user_id LIKE 'test-%')";
    let row = timed("count rows", client.query_one(sql, &[])).await?;
    let count = |column: usize| row.get::<_, i64>(column).unsigned_abs();
    Ok(Counts { real_users: count(0), test_users: count(1), real_chats: count(2), test_chats: count(3) })
}

/// Hashes a password so that a login costs a millisecond or two: real work, for a demo.
pub(super) fn hash_password(password: &[u8]) -> Result<String, StoreError> {
    let params = Params::new(1024, 1, 1, None).map_err(|_| StoreError::Hash)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash: PasswordHash = argon2.hash_password(password).map_err(|_| StoreError::Hash)?;
    Ok(hash.to_string())
}

// === helpers ===

/// A session of its own. The task that drives it ends with the client.
async fn connect(url: &str) -> Result<Client, StoreError> {
    let mut config: tokio_postgres::Config = url.trim().parse().map_err(|_| StoreError::Url)?;
    config.connect_timeout(CONNECT).application_name("pacecar demo");
    let connected = tokio::time::timeout(CONNECT, config.connect(NoTls)).await;
    let (client, connection) = connected.map_err(|_| StoreError::Timeout(CONNECT))?.map_err(StoreError::Connect)?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(client)
}

async fn timed<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| StoreError::Timeout(PATIENCE))?;
    answer.map_err(|source| StoreError::Database { operation, source })
}

type Transaction<'a> = tokio_postgres::Transaction<'a>;

/// The columns of a table with their types; none where there is no such table.
async fn columns_of(transaction: &Transaction<'_>, table: &str) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
    let rows = timed("look at the tables", transaction.query(sql, &[&table])).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Whether a table bears the demo's mark.
async fn marked(transaction: &Transaction<'_>, table: &str) -> Result<bool, StoreError> {
    let sql = "SELECT coalesce(obj_description(to_regclass($1)::oid, 'pg_class'), '') = $2";
    Ok(timed("look at the tables", transaction.query_one(sql, &[&table, &MARK])).await?.get(0))
}

/// Adds the synthetic tenants and users that are missing; gives the ids of those added.
async fn add_test_users(transaction: &Transaction<'_>) -> Result<(Vec<i64>, Vec<i64>), StoreError> {
    let tenants = "INSERT INTO tenants (id, name) SELECT n, 'test-' || n FROM generate_series(1, $1::int) n
        ON CONFLICT DO NOTHING RETURNING id";
    let tenants = timed("add tenants", transaction.query(tenants, &[&TENANTS])).await?;
    let users = "INSERT INTO users (tenant_id, email, password_hash)
        SELECT t, 'test-' || t || '-' || u || '@example.com', $3
        FROM generate_series(1, $1::int) t, generate_series(1, $2::int) u
        ON CONFLICT (email) DO NOTHING RETURNING id";
    let hash = hash_password(PASSWORD.as_bytes())?;
    let users = timed("add users", transaction.query(users, &[&TENANTS, &USERS, &hash])).await?;
    let ids = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get(0)).collect();
    Ok((ids(users), ids(tenants)))
}

/// Adds people who are not to be touched, with what they did. Nobody knows their password.
async fn add_real_rows(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let tenants =
        "INSERT INTO tenants (id, name) SELECT 1000000 + n, (ARRAY['Acme', 'Globex', 'Initech', 'Umbrella'])[n]
        FROM generate_series(1, 4) n ON CONFLICT DO NOTHING";
    timed("add real tenants", transaction.batch_execute(tenants)).await?;
    let unknown: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
    let hash = hash_password(unknown.as_bytes())?;
    let users = "INSERT INTO users (tenant_id, email, password_hash)
        SELECT 1000001 + n % 4,
            (ARRAY['ada', 'grace', 'alan', 'edsger', 'barbara', 'donald'])[1 + n % 6] || CASE WHEN n < 6 THEN '' ELSE n::text END
            || '@' || (ARRAY['acme', 'globex', 'initech', 'umbrella'])[1 + n % 4] || '.example', $2
        FROM generate_series(0, $1::int - 1) n";
    timed("add real users", transaction.execute(users, &[&REAL_USERS, &hash])).await?;
    let chats = "INSERT INTO llm_usage (user_id, tenant_id, prompt, model, tokens, cost, cached, created_at)
        SELECT u.email, u.tenant_id, 'Summarise ticket ' || n, 'demo-1', 200 + n % 200, (n % 7) * 0.0005, n % 3 = 0,
            now() - n * interval '3 minutes'
        FROM generate_series(1, $1::int) n
        JOIN (SELECT email, tenant_id, row_number() OVER (ORDER BY id) - 1 AS place FROM users WHERE email NOT LIKE 'test-%') u
            ON u.place = n % $2::int";
    timed("add real rows", transaction.execute(chats, &[&REAL_CHATS, &REAL_USERS])).await?;
    Ok(())
}
