//! Where a Postgres is, and how it is connected to.

use super::tls::{self, Verify};
use std::fmt;
use std::future::Future;
use std::time::Duration;
use thiserror::Error;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

/// How long a connection may take, all addresses together.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the database is. Its `Debug` shows no secret.
#[derive(Clone)]
pub(crate) struct Database {
    config: Config,
    verify: Verify,
    root: Option<String>,
}

/// The text is no connection string. What is wrong with it is not told: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAConnectionString;

/// Why there is no connection. None holds a secret.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    /// It took too long.
    #[error("no connection to the database within {0:?}")]
    Timeout(Duration),
    /// The database, or the way to it, says no.
    #[error("the database cannot be connected to")]
    Refused(#[source] tokio_postgres::Error),
    /// TLS cannot be set up.
    #[error("TLS to the database cannot be set up: {0}")]
    Tls(String),
}

// === impl Database ===

impl Database {
    /// Reads a connection string: a URL, or libpq's `key=value`.
    pub(crate) fn parse(text: &str) -> Result<Self, NotAConnectionString> {
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

    /// Connects, at most 5 s. What drives the connection is the caller's to spawn and to end.
    pub(crate) async fn connect(&self) -> Result<(Client, impl Future<Output = ()> + Send + use<>), ConnectError> {
        let connector = tls::connector(self.verify, self.root.as_deref()).map_err(ConnectError::Tls)?;
        let connected = tokio::time::timeout(CONNECT, self.config.connect(connector)).await;
        let (client, connection) =
            connected.map_err(|_| ConnectError::Timeout(CONNECT))?.map_err(ConnectError::Refused)?;
        let driver = async move {
            // What ends the connection is told to whoever waits for an answer.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        };
        Ok((client, driver))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("dbname", &self.config.get_dbname()).finish_non_exhaustive()
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
}
