//! The demo: a sample API with real tables, and a Postgres where there is none.
//!
//! It is what pacecar is tried on with nothing set up, so it must be worth measuring: passwords
//! are really hashed, every read and every answered chat really goes through a pool to Postgres,
//! and real users' rows stand beside the synthetic ones. It runs on threads of its own, so that
//! it does not share the generator's. The command line tells the story; here are the facts.

mod api;
mod leases;
mod own_api;
pub(crate) mod postgres;
mod store;

pub(crate) use api::SettingError;
pub(crate) use own_api::OwnApiError;
pub(crate) use store::{Counts, RealDigest, StoreError};

use api::{Api, ApiSettings};
use own_api::OwnApi;
use postgres::{PostgresError, TemporaryPostgres};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long open requests get when the API stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the API is set to where the environment says nothing and its pool is tuned.
const FOR_A_TUNE: &[(&str, &str)] = &[("PG_QUERY_MS", "20"), ("PG_POOL_MAX", "8"), ("PG_POOL_MIN", "1")];

/// Where the demo lives.
#[derive(Clone, Default)]
pub(crate) struct DemoSettings {
    /// A database that is there already; without one, a temporary Postgres.
    pub(crate) database_url: Option<String>,
    /// The port of the API on 127.0.0.1; without one, a free one.
    pub(crate) port: Option<u16>,
    /// A program and its arguments: an API that takes the sample API's place. Empty: the sample API.
    pub(crate) command: Vec<OsString>,
    /// Where the API exports its spans by OTLP/HTTP; without it, where the environment says.
    pub(crate) spans_to: Option<SocketAddr>,
    /// Whether its queries take a while, so that the size of the pool makes a difference.
    pub(crate) for_a_tune: bool,
}

/// What is served, and where its spans go.
struct OwnSettings {
    command: Vec<OsString>,
    spans_to: Option<SocketAddr>,
}

/// A running demo. Dropping it stops it and removes what it made, as [`Demo::stop`] does.
pub(crate) struct Demo {
    /// `http://127.0.0.1:PORT`.
    pub(crate) api_url: String,
    /// The connection string, password included: never print it.
    pub(crate) database_url: String,
    /// Whether the Postgres is the demo's own.
    pub(crate) temporary_postgres: bool,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    /// Dropped after the thread has ended.
    postgres: Option<TemporaryPostgres>,
}

/// Why the demo does not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// There is no Postgres.
    #[error("cannot start a temporary Postgres")]
    Postgres(#[source] PostgresError),
    /// The database is there, but not fit.
    #[error("cannot use the database")]
    Store(#[source] StoreError),
    /// A variable that is no setting.
    #[error("a setting of the sample API is wrong")]
    Setting(#[source] SettingError),
    /// The port is taken.
    #[error("cannot bind {address}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The API in the sample API's place does not come up.
    #[error("cannot start the API")]
    OwnApi(#[source] OwnApiError),
    /// No thread or no runtime.
    #[error("cannot start the sample API")]
    Runtime(#[source] io::Error),
    /// Its thread ended without a word.
    #[error("the sample API ended unexpectedly")]
    Gone,
}

// === impl Demo ===

impl Demo {
    /// Starts everything: about two seconds with a temporary Postgres.
    ///
    /// # Errors
    /// Where a part does not start. What had started is stopped and removed again.
    pub(crate) async fn start(settings: DemoSettings) -> Result<Self, DemoError> {
        let usual = if settings.for_a_tune { FOR_A_TUNE } else { &[] };
        let api = ApiSettings::from_environment(usual).map_err(DemoError::Setting)?;
        Self::start_with(settings, api).await
    }

    async fn start_with(settings: DemoSettings, api: ApiSettings) -> Result<Self, DemoError> {
        let started = tokio::task::spawn_blocking(move || Self::start_blocking(settings, api)).await;
        started.map_err(|_| DemoError::Gone)?
    }

    fn start_blocking(settings: DemoSettings, api_settings: ApiSettings) -> Result<Self, DemoError> {
        let given = settings.database_url.filter(|url| !url.trim().is_empty());
        let postgres = match given {
            Some(_) => None,
            None => Some(TemporaryPostgres::start().map_err(DemoError::Postgres)?),
        };
        let database_url = given.or_else(|| postgres.as_ref().map(TemporaryPostgres::url)).unwrap_or_default();

        let (stop, stopped) = oneshot::channel();
        let (started, address) = mpsc::sync_channel(1);
        let (url, port) = (database_url.clone(), settings.port.unwrap_or(0));
        let own = OwnSettings { command: settings.command, spans_to: settings.spans_to };
        let serve = move || serve(&url, port, api_settings, &own, &started, stopped);
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(serve).map_err(DemoError::Runtime)?;
        let mut demo = Self {
            api_url: String::new(),
            database_url,
            temporary_postgres: postgres.is_some(),
            stop: Some(stop),
            thread: Some(thread),
            postgres,
        };
        // The thread says how it went, or ends, which closes the channel.
        let address = address.recv().map_err(|_| DemoError::Gone)??;
        demo.api_url = format!("http://{address}");
        Ok(demo)
    }

    /// A digest over all rows that are real: the same before and after says that none was touched.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub(crate) async fn real_digest(&self) -> Result<RealDigest, DemoError> {
        store::real_digest(&self.database_url).await.map_err(DemoError::Store)
    }

    /// How many rows there are, real and synthetic.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub(crate) async fn counts(&self) -> Result<Counts, DemoError> {
        store::counts(&self.database_url).await.map_err(DemoError::Store)
    }

    /// Stops everything and removes what the demo made.
    ///
    /// # Errors
    /// Where what it made in a database of somebody else's could not be removed.
    pub(crate) async fn stop(mut self) -> Result<(), DemoError> {
        let stopped = tokio::task::spawn_blocking(move || self.stop_blocking()).await;
        stopped.map_err(|_| DemoError::Gone)?
    }

    fn stop_blocking(&mut self) -> Result<(), DemoError> {
        self.stop.take();
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        let temporary = self.postgres.take().is_some();
        match ended.map_err(|_| DemoError::Gone)? {
            // A cluster that is gone as a whole holds nothing any more.
            Err(_) if temporary => Ok(()),
            other => other.map_err(DemoError::Store),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(error) = self.stop_blocking() {
            tracing::warn!(%error, "the demo did not stop cleanly");
        }
    }
}

impl fmt::Debug for Demo {
    /// Without the connection string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

// === helpers ===

/// The demo's thread: its own runtime, from the first table to the last.
fn serve(
    database_url: &str,
    port: u16,
    settings: ApiSettings,
    own: &OwnSettings,
    started: &mpsc::SyncSender<Result<SocketAddr, DemoError>>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), StoreError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(settings.worker_threads).max_blocking_threads(settings.blocking_threads);
    let runtime = match builder.thread_name("demo-api").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(DemoError::Runtime(error)));
            return Ok(());
        }
    };
    let ended = runtime.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(source) => {
                let _ = started.send(Err(DemoError::Bind { address, source }));
                return Ok(());
            }
        };
        let store = match Store::open(database_url).await {
            Ok(store) => store,
            Err(error) => {
                let _ = started.send(Err(DemoError::Store(error)));
                return Ok(());
            }
        };
        if !own.command.is_empty() {
            serve_own(database_url, listener, own, started, stopped).await;
            return store.close().await;
        }
        match (Api::start(database_url, settings, own.spans_to).await, listener.local_addr()) {
            (Ok(api), Ok(address)) => {
                let _ = started.send(Ok(address));
                api.serve(listener, stopped, FAREWELL).await;
            }
            (Err(error), _) => {
                let _ = started.send(Err(DemoError::Store(error)));
            }
            (_, Err(source)) => {
                let _ = started.send(Err(DemoError::Bind { address, source }));
            }
        }
        store.close().await
    });
    runtime.shutdown_timeout(FAREWELL);
    ended
}

/// As [`serve`] does, with a program in the sample API's place.
async fn serve_own(
    database_url: &str,
    listener: TcpListener,
    own: &OwnSettings,
    started: &mpsc::SyncSender<Result<SocketAddr, DemoError>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    // It was only held to know that it is free.
    drop(listener);
    let api = tokio::select! {
        api = OwnApi::start(&own.command, database_url, port, own.spans_to) => api,
        // What had started goes with the future.
        _ = &mut stopped => return,
    };
    match api {
        Ok(api) => {
            let _ = started.send(Ok(api.address()));
            let _ = stopped.await;
            api.stop(FAREWELL).await;
        }
        Err(error) => {
            let _ = started.send(Err(DemoError::OwnApi(error)));
        }
    }
}

#[cfg(test)]
#[path = "postgres/tests.rs"]
mod postgres_tests;
#[cfg(test)]
mod tests;
