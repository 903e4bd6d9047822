//! The sweep against a real Postgres: what it deletes, what it will not, and what it says.
//!
//! One temporary cluster serves all tests of this binary, a database for each. Its watchdog takes
//! it down when the binary ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// The one copy is the demo's: a second way to start a Postgres would be a second way to leave one.
#[allow(dead_code, reason = "the demo uses more of it than a test")]
#[path = "../../../../sidecar/src/demo/postgres/mod.rs"]
mod postgres;

mod follow;
mod model;
mod roots;

use super::*;
use crate::cleanup::compile;
use crate::plan::{Cleanup, CleanupPostgres, Diagnostics, Follow, Ledger, Root, Span, Spanned, When};
use crate::semconv::RunId;
use postgres::TemporaryPostgres;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

static CLUSTER: OnceLock<TemporaryPostgres> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);
const RUN: RunId = RunId::new(0xabcd_ef01_2345_6789);

/// A database of its own, and a session in it.
struct Database {
    url: String,
    name: String,
    client: Client,
}

impl Database {
    async fn new(schema: &str) -> Self {
        let cluster = CLUSTER.get_or_init(|| TemporaryPostgres::start().unwrap());
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        connect(&cluster.url()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let url = cluster.url_of(&name);
        let client = connect(&url).await;
        client.batch_execute(schema).await.unwrap();
        Self { url, name, client }
    }

    async fn count(&self, sql: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {sql}"), &[]).await.unwrap().get(0)
    }

    /// Everything that stands in the catalog under a name of its own.
    async fn objects(&self) -> i64 {
        self.count("pg_class WHERE relnamespace::regnamespace::text NOT LIKE 'pg_toast%'").await
    }

    fn plan(&self, roots: &[(&str, &str)]) -> CleanupPlan {
        self.plan_with(roots, |_| ())
    }

    fn plan_with(&self, roots: &[(&str, &str)], change: impl FnOnce(&mut CleanupPostgres)) -> CleanupPlan {
        let mut section = section(&self.url, roots);
        change(section.postgres.as_mut().unwrap());
        let mut diagnostics = Diagnostics::new("plan.yaml");
        let plan = compile(&section, RUN, &mut diagnostics);
        plan.unwrap_or_else(|| panic!("{diagnostics}"))
    }

    async fn preflight(&self, roots: &[(&str, &str)]) -> Result<Preflight, Refusal> {
        Sweeper::connect(self.plan(roots)).await.unwrap().preflight().await
    }

    async fn sweep(&self, roots: &[(&str, &str)]) -> CleanupOutcome {
        Sweeper::connect(self.plan(roots)).await.unwrap().sweep(|_| ()).await
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn section(url: &str, roots: &[(&str, &str)]) -> Cleanup {
    let root = |(table, where_): &(&str, &str)| Root {
        table: Spanned::new((*table).to_owned(), Span::new(9, 1)),
        where_: Some(Spanned::new((*where_).to_owned(), Span::new(9, 9))),
        max_share: Spanned::nowhere(1.0),
        age: None,
    };
    Cleanup {
        span: Span::new(1, 1),
        postgres: Some(CleanupPostgres {
            span: Span::new(2, 1),
            url: Spanned::nowhere(url.to_owned()),
            database: None,
            roots: roots.iter().map(root).collect(),
            keep_roots: Spanned::nowhere(false),
            keep: Vec::new(),
            follow: Spanned::nowhere(Follow::ForeignKeys),
            ledger: Spanned::nowhere(Ledger::Off),
            batch: Spanned::nowhere(7),
            max_rows: Spanned::nowhere(1_000_000),
            max_rows_per_second: Spanned::nowhere(1_000_000),
        }),
        redis: None,
        when: Spanned::nowhere(When::End),
        lease: Spanned::nowhere(Duration::from_secs(60)),
        settle: Spanned::nowhere(Duration::ZERO),
        keep_for: Spanned::nowhere(Duration::ZERO),
    }
}

fn table(outcome: &CleanupOutcome, name: &str) -> (u64, u64) {
    let table = outcome.tables.iter().find(|table| table.name == name);
    let table = table.unwrap_or_else(|| panic!("no {name} in {outcome:?}"));
    (table.found, table.deleted)
}

const USERS: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL);
    INSERT INTO users SELECT n, 'test-' || n || '@example.com' FROM generate_series(1, 50) n;
    INSERT INTO users SELECT n, 'real-' || n || '@example.com' FROM generate_series(51, 100) n;";
const TEST_USERS: (&str, &str) = ("users", "email LIKE 'test-%'");

/// Waits until somebody waits for a lock in this database.
async fn someone_waits(observer: &Client) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let looked = async {
        while observer.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.expect("the sweep never waited");
}
