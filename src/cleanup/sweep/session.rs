//! One session with the database, in which nothing can hang.

use super::tls::{self, Verify};
use crate::cleanup::outcome::RefusalCause;
use futures_core::Stream;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

/// How long a connection may take, all addresses together.
const CONNECT: Duration = Duration::from_secs(5);
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

/// Where the database is. Its `Debug` shows no secret.
#[derive(Clone)]
pub(in crate::cleanup) struct Database {
    config: Config,
    verify: Verify,
    root: Option<String>,
}

/// A session. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
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

/// The text is no connection string. What is wrong with it is not told: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cleanup) struct NotAConnectionString;

// === impl Database ===

impl Database {
    /// Reads a connection string: a URL, or libpq's `key=value`.
    pub(in crate::cleanup) fn parse(text: &str) -> Result<Self, NotAConnectionString> {
        let mut found = Parameters::default();
        let plain = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            match text.split_once('?') {
                None => text.to_owned(),
                Some((before, query)) => {
                    let kept: Vec<&str> = query.split('&').filter(|pair| !found.take(pair)).collect();
                    if kept.is_empty() { before.to_owned() } else { format!("{before}?{}", kept.join("&")) }
                }
            }
        } else if text.contains(['\'', '\\']) {
            text.to_owned()
        } else {
            let kept: Vec<&str> = text.split_whitespace().filter(|pair| !found.take(pair)).collect();
            kept.join(" ")
        };
        let mut config: Config = plain.parse().map_err(|_| NotAConnectionString)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(NotAConnectionString);
        }
        if let Some(mode) = found.mode {
            config.ssl_mode(mode);
        }
        config.application_name("pacecar");
        config.connect_timeout(CONNECT);
        config.keepalives_idle(Duration::from_secs(30));
        Ok(Self { config, verify: found.verify, root: found.root })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("dbname", &self.config.get_dbname()).finish_non_exhaustive()
    }
}

// === impl Session ===

impl Session {
    /// Connects, at most 5 s.
    pub(super) async fn connect(database: &Database) -> Result<Self, RefusalCause> {
        let connector = tls::connector(database.verify, database.root.as_deref())?;
        let connected = tokio::time::timeout(CONNECT, database.config.connect(connector)).await;
        let (client, connection) =
            connected.map_err(|_| RefusalCause::ConnectTimeout(CONNECT))?.map_err(RefusalCause::Connect)?;
        let driver = tokio::spawn(async move {
            // What ends the connection is told to whoever waits for an answer.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection of cleanup ended");
            }
        });
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
pub(super) async fn timed<T>(
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

/// The parameters about TLS that libpq knows and the driver does not.
#[derive(Default)]
struct Parameters {
    mode: Option<SslMode>,
    verify: Verify,
    root: Option<String>,
}

impl Parameters {
    /// Takes `key=value` if it is one of ours; says whether.
    fn take(&mut self, pair: &str) -> bool {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => {
                (self.mode, self.verify) = match mode {
                    "disable" => (Some(SslMode::Disable), Verify::Nothing),
                    "allow" | "prefer" => (Some(SslMode::Prefer), Verify::Nothing),
                    "require" => (Some(SslMode::Require), Verify::Nothing),
                    "verify-ca" => (Some(SslMode::Require), Verify::Authority),
                    "verify-full" => (Some(SslMode::Require), Verify::Host),
                    // Left in place, for the driver to refuse.
                    _ => return false,
                };
                true
            }
            Some(("sslrootcert", "")) => true,
            Some(("sslrootcert", file)) => {
                let file = percent_encoding::percent_decode_str(file).decode_utf8_lossy().into_owned();
                self.root = (file != "system").then_some(file);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn libpqs_modes_are_known() {
        for (text, mode, verify) in [
            ("postgres://u:p@h/d", SslMode::Prefer, Verify::Nothing),
            ("postgres://u:p@h/d?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("postgresql://u:p@h:5433/d?sslmode=require&application_name=x", SslMode::Require, Verify::Nothing),
            ("postgres://u:p@h/d?sslmode=verify-full&sslrootcert=%2Ftmp%2Fca.pem", SslMode::Require, Verify::Host),
            ("host=h user=u password=p sslmode=verify-ca", SslMode::Require, Verify::Authority),
        ] {
            let database = Database::parse(text).unwrap();
            assert_eq!((database.config.get_ssl_mode(), database.verify), (mode, verify), "{text}");
        }
        assert_eq!(Database::parse("postgres://h/d?sslrootcert=%2Fca.pem").unwrap().root.as_deref(), Some("/ca.pem"));
    }

    #[test]
    fn what_is_no_connection_string_is_refused() {
        for text in
            ["x", "mysql://h/d", "postgres://h/d?sslmode=no", "http://u:secret@h/", "user=u", "postgres://u:p@h:port/d"]
        {
            assert!(Database::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let database = Database::parse("postgres://u:hidden@h/d?sslmode=require").unwrap();
        assert!(!format!("{database:?}").contains("hidden"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_never_answers_ends_in_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let database = Database::parse(&format!("postgres://u:p@127.0.0.1:{port}/d")).unwrap();
        let error = Session::connect(&database).await.unwrap_err();
        assert!(matches!(error, RefusalCause::ConnectTimeout(_)), "{error}");
    }
}
