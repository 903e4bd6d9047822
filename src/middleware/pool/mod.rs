//! A pool of connections that says how long its users wait: a wrapper around `deadpool_postgres::Pool`.
//!
//! What it adds:
//!
//! - each [`Pool::get`] is timed: the span `pool.acquire`, the semantic conventions' metrics (among them the histogram
//!   `db.client.connection.wait_time`), and `pool` in the `Server-Timing` of synthetic requests;
//! - [`Connection::transaction_for`] tells the database whose a transaction is, so that the ledger of rows can record
//!   what a synthetic one inserts; in a way that cannot stay behind in the connection;
//! - [`Pool::resize`] holds at once, while the pool is in use;
//! - [`Pool::waiting_above`] is a [`Pressure`] for [`YieldLayer`](super::YieldLayer).
//!
//! The metrics go to OpenTelemetry's global meter provider: set it before the pool is made. The version of the crate
//! `opentelemetry` that this is (0.33) is nowhere in its types; with another version in the application the metrics go
//! nowhere, and [`Pool::status`] and [`Pool::waits`] still have the figures.
//!
//! # Example
//!
//! ```no_run
//! use deadpool_postgres::{Manager, Pool as Deadpool, tokio_postgres::NoTls};
//! use pacecar::middleware::Synthetic;
//! use pacecar::middleware::pool::Pool;
//!
//! # async fn example(synthetic: Option<Synthetic>) -> Result<(), Box<dyn std::error::Error>> {
//! let manager = Manager::new("host=127.0.0.1 dbname=app".parse()?, NoTls);
//! let pool = Pool::new(Deadpool::builder(manager).max_size(16).build()?, "app");
//!
//! // In a handler; `synthetic` is what `SyntheticLayer` put into the request's extensions.
//! let mut connection = pool.get().await?;
//! let transaction = connection.transaction_for(synthetic.as_ref()).await?;
//! transaction.execute("INSERT INTO chats (text) VALUES ($1)", &[&"hello"]).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! An admin route that resizes it, for `tune` (`apply: { http: { request: PUT /admin/pool, json: { max: … } } }`), is a
//! handler that calls [`Pool::resize`]. Give it to operators only.

mod connection;
mod metrics;
mod permits;

pub use connection::Connection;

use super::clock;
use super::pressure::Pressure;
use super::scope;
use deadpool_postgres::{Pool as Deadpool, PoolError, TimeoutType};
use metrics::Metrics;
use permits::{Permit, Permits};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

/// A pool that is measured. Clones are the same pool.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// How full a pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// How many connections there may be.
    pub max: usize,
    /// How many are in use, or being opened for who waits for them.
    pub used: usize,
    /// How many are open and idle.
    pub idle: usize,
    /// How many wait for one.
    pub waiting: usize,
}

/// The waits for a connection since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolWaits {
    /// How many got one.
    pub count: u64,
    /// How long they waited, all together.
    pub total: Duration,
}

struct Shared {
    inner: Deadpool,
    permits: Arc<Permits>,
    metrics: Metrics,
}

// === impl Pool ===

impl Pool {
    /// Measures `pool`; `name` is its `db.client.connection.pool.name`. Whoever takes connections past this one is
    /// neither counted nor bounded by [`Pool::resize`].
    #[must_use]
    pub fn new(pool: Deadpool, name: impl Into<String>) -> Self {
        let permits = Arc::new(Permits::new(pool.status().max_size));
        let metrics = Metrics::new(name.into(), &pool, &permits);
        Self(Arc::new(Shared { inner: pool, permits, metrics }))
    }

    /// Takes a connection, and waits for one where none is free: at most as long as the pool's own timeouts say.
    ///
    /// # Errors
    /// As `deadpool_postgres::Pool::get`.
    pub async fn get(&self) -> Result<Connection, PoolError> {
        let shared = &*self.0;
        let span = tracing::info_span!("pool.acquire", "db.client.connection.pool.name" = shared.metrics.name());
        let began = clock::now();
        let taken = self.take().instrument(span).await;
        let wait = clock::now().saturating_duration_since(began);
        scope::waited_for_pool(wait);
        match taken {
            Ok((object, permit)) => {
                shared.metrics.waited(wait);
                Ok(Connection::new(object, permit, Arc::clone(&self.0)))
            }
            Err(error) => {
                if let PoolError::Timeout(TimeoutType::Wait) = error {
                    shared.metrics.timed_out();
                }
                Err(error)
            }
        }
    }

    async fn take(&self) -> Result<(deadpool_postgres::Object, Permit), PoolError> {
        let Shared { inner, permits, .. } = &*self.0;
        let mut timeouts = inner.timeouts();
        // Our permits bound the connections; what is left for deadpool's own queue is nothing to wait for.
        let permit = match timeouts.wait {
            None => permits.take().await,
            Some(wait) => {
                tokio::time::timeout(wait, permits.take()).await.map_err(|_| PoolError::Timeout(TimeoutType::Wait))?
            }
        };
        timeouts.wait = timeouts.wait.filter(|wait| !wait.is_zero());
        let object = inner.timeout_get(&timeouts).await?;
        Ok((object, permit))
    }

    /// How many connections there may be from now on. Fewer: what is above it is closed when it is given back, and
    /// nobody is given a connection until there is room. More: who waits gets one at once.
    pub fn resize(&self, max: NonZeroUsize) {
        self.0.permits.resize(max.get());
        self.0.inner.resize(max.get());
    }

    /// How full it is.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        status(&self.0.inner, &self.0.permits)
    }

    /// The waits since it was made.
    #[must_use]
    pub fn waits(&self) -> PoolWaits {
        self.0.metrics.waits()
    }

    /// Pressure while more than `limit` wait for a connection.
    #[must_use]
    pub fn waiting_above(&self, limit: usize) -> impl Pressure + use<> {
        Waiting { permits: Arc::clone(&self.0.permits), limit }
    }

    /// The pool that is measured.
    #[must_use]
    pub fn inner(&self) -> &Deadpool {
        &self.0.inner
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.0.metrics.name()).field("status", &self.status()).finish()
    }
}

// === helpers ===

struct Waiting {
    permits: Arc<Permits>,
    limit: usize,
}

impl Pressure for Waiting {
    fn reason(&self) -> Option<&'static str> {
        (self.permits.waiting() > self.limit).then_some("pool")
    }
}

fn status(pool: &Deadpool, permits: &Permits) -> PoolStatus {
    let (max, used) = permits.max_and_used();
    let idle = pool.status().size.saturating_sub(used);
    PoolStatus { max, used, idle, waiting: permits.waiting() }
}
