//! One session with the database, in which nothing can hang.

use crate::cleanup::outcome::RefusalCause;
use crate::postgres::{ConnectError, Database};
use futures_core::Stream;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// How long the database may work on one statement.
const STATEMENT: Duration = Duration::from_secs(60);
/// How long we wait for its answer: a little longer, so that the database itself ends it first.
pub(super) const ANSWER: Duration = Duration::from_secs(65);

/// What holds for the whole session. Hidden rows shall be an error, not a smaller count; and what a
/// quote means shall be what the predicates were judged by. One core of the database is enough.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '5s'; \
     SET idle_in_transaction_session_timeout = '120s'; SET row_security = off; \
     SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; \
     SET max_parallel_workers_per_gather = 0";

/// A parameter of a statement, and its type there.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// A session. Dropping it closes the connection.
#[derive(Debug)]
pub(in crate::cleanup) struct Session {
    pub(in crate::cleanup) client: Client,
    /// Whether the database reads ranges of places, and looks many places up by hash: Postgres 14.
    pub(super) ranges: bool,
    /// Whether a transaction was begun and may still be open.
    open: bool,
    /// Drives the connection; ended by `Drop`.
    driver: JoinHandle<()>,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Look.
    Read,
    /// Delete.
    Write,
}

// === impl Session ===

impl Session {
    /// Connects, at most 5 s.
    pub(in crate::cleanup) async fn connect(database: &Database) -> Result<Self, RefusalCause> {
        let (client, driver) = database.connect().await.map_err(|error| match error {
            ConnectError::Timeout(limit) => RefusalCause::ConnectTimeout(limit),
            ConnectError::Refused(source) => RefusalCause::Connect(source),
            ConnectError::Tls(problem) => RefusalCause::Tls(problem),
        })?;
        let driver = tokio::spawn(driver);
        let mut session = Self { client, ranges: false, open: false, driver };
        timed("prepare a session", session.client.batch_execute(SETTINGS)).await?;
        let version = "SELECT pg_catalog.current_setting('server_version_num')::int4";
        let version = timed("say its version", session.client.query_one(version, &[])).await?;
        session.ranges = version.get::<_, i32>(0) >= 140_000;
        Ok(session)
    }

    /// Begins a transaction: one snapshot for all its statements. One that a dropped future left open ends.
    pub(super) async fn begin(&mut self, access: Access) -> Result<(), RefusalCause> {
        self.end().await?;
        self.open = true;
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            Access::Write => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        };
        timed("begin a transaction", self.client.batch_execute(begin)).await
    }

    /// Ends the transaction, if one is open, without a trace.
    pub(super) async fn end(&mut self) -> Result<(), RefusalCause> {
        if self.open {
            timed("end a transaction", self.client.batch_execute("ROLLBACK")).await?;
            self.open = false;
        }
        Ok(())
    }

    /// Makes what the transaction did last.
    pub(super) async fn commit(&mut self) -> Result<(), RefusalCause> {
        timed("commit", self.client.batch_execute("COMMIT")).await?;
        self.open = false;
        Ok(())
    }

    /// Runs a query and sees its rows as they come, so that memory does not grow with their number. It is planned
    /// for these values: a plan made for ten places is not one for a thousand.
    pub(super) async fn each_row(
        &mut self,
        operation: &'static str,
        sql: &str,
        values: &[Value<'_>],
        mut see: impl FnMut(&Row),
    ) -> Result<(), RefusalCause> {
        let rows = async {
            let rows = self.client.query_typed_raw(sql, values.iter().cloned()).await?;
            let mut rows = std::pin::pin!(rows);
            while let Some(row) = std::future::poll_fn(|context| rows.as_mut().poll_next(context)).await {
                see(&row?);
            }
            Ok(())
        };
        timed(operation, rows).await
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === helpers ===

/// Waits for an answer of the database, but not for ever.
pub(in crate::cleanup) async fn timed<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, RefusalCause> {
    match tokio::time::timeout(ANSWER, answer).await {
        Err(_) => Err(RefusalCause::Timeout { operation, limit: ANSWER }),
        Ok(Err(source)) if source.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) => {
            Err(RefusalCause::Timeout { operation, limit: STATEMENT })
        }
        Ok(answer) => answer.map_err(|source| RefusalCause::Database { operation, source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_never_answers_ends_in_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let database = Database::parse(&format!("postgres://u:p@127.0.0.1:{port}/d")).unwrap();
        let error = Session::connect(&database).await.unwrap_err();
        assert!(matches!(error, RefusalCause::ConnectTimeout(_)), "{error}");
    }
}
