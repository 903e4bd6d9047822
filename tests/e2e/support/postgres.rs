//! A Postgres of the tests' own: the temporary cluster of the demo, with a database as the
//! ready plans name it. Its watchdog takes it away when this process has ended, however it ends.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

#[path = "../../../sidecar/src/demo/postgres/mod.rs"]
#[allow(dead_code, reason = "the demo uses more of it")]
mod temporary;

use temporary::TemporaryPostgres;

/// The database that the ready plans name.
const DATABASE: &str = "app_staging";

/// A running cluster with an empty database.
pub(crate) struct Database {
    /// Its connection string.
    pub(crate) url: String,
    /// Lives as long as this process.
    _cluster: Option<TemporaryPostgres>,
}

/// The one that all tests share.
pub(crate) fn shared() -> &'static Database {
    static SHARED: OnceLock<Database> = OnceLock::new();
    SHARED.get_or_init(Database::start)
}

impl Database {
    /// A new database in the same cluster, empty: its connection string.
    pub(crate) fn another(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("beside_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        self._cluster.as_ref().expect("the shared one").url_of(&name)
    }

    fn start() -> Self {
        let cluster = TemporaryPostgres::start().unwrap_or_else(|error| {
            panic!("{error:?}: the end-to-end tests need a Postgres: scripts/ensure.sh postgres")
        });
        let maintenance = Self { url: cluster.url(), _cluster: None };
        maintenance.execute(&format!("CREATE DATABASE {DATABASE}"));
        Self { url: cluster.url_of(DATABASE), _cluster: Some(cluster) }
    }

    /// Another database of the same server.
    pub(crate) fn beside(&self, url: String) -> Self {
        Self { url, _cluster: None }
    }

    /// The first column of the first row, a count.
    pub(crate) fn count(&self, query: &str) -> i64 {
        self.block_on(async |client| client.query_one(query, &[]).await.map(|row| row.get(0)))
            .unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    /// All rows of a query as one text each: the query makes the text.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        self.block_on(async |client| {
            client.query(query, &[]).await.map(|rows| rows.iter().map(|row| row.get(0)).collect())
        })
        .unwrap_or_else(|error| panic!("{query}: {error:?}"))
    }

    /// Runs statements.
    pub(crate) fn execute(&self, statements: &str) {
        self.block_on(async |client| client.batch_execute(statements).await)
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    }

    /// A connection for one question; the tests ask few.
    fn block_on<T>(
        &self,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
            let driver = tokio::spawn(connection);
            let result = work(&client).await;
            drop(client);
            let _ = driver.await;
            result
        })
    }
}
