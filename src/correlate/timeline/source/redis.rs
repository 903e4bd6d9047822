//! Redis over time: how long it takes to answer, how often it has what it is asked for, how full it is.

use super::super::counter::{Counter, Rate};
use super::super::timelines::Told;
use super::poll::Source;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, InfoDict, cmd};
use std::fmt;
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// Which Redis. Its `Debug` shows no secret.
#[derive(Clone)]
pub(super) struct RedisPlan {
    pub(super) client: Client,
    pub(super) every: Duration,
}

/// Looks at it.
pub(super) struct Redis {
    client: Client,
    connection: Option<MultiplexedConnection>,
    began: Instant,
    hits: Counter,
    misses: Counter,
    evicted: Rate,
}

/// Why a look failed: its kind alone, because a message may hold what was configured.
#[derive(Debug, Error)]
pub(in crate::correlate::timeline) enum RedisTrouble {
    #[error("no connection: {0}")]
    Connect(&'static str),
    #[error("it does not answer PING: {0}")]
    Ping(&'static str),
}

/// How long a connection, or an answer, may take.
const WITHIN: Duration = Duration::from_secs(3);

// === impl RedisPlan ===

impl fmt::Debug for RedisPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPlan").field("every", &self.every).finish_non_exhaustive()
    }
}

// === impl Redis ===

impl Redis {
    pub(super) fn new(plan: &RedisPlan) -> Self {
        Self {
            client: plan.client.clone(),
            connection: None,
            began: Instant::now(),
            hits: Counter::default(),
            misses: Counter::default(),
            evicted: Rate::default(),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisTrouble> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(WITHIN)).set_response_timeout(Some(WITHIN));
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        connecting.await.map_err(|error| RedisTrouble::Connect(kind(&error)))
    }

    /// What INFO says, as figures. Where it may not be asked there are none.
    fn figures(&mut self, info: &InfoDict, at: Duration) -> Vec<(String, f64)> {
        let number = |name: &str| info.get::<f64>(name);
        let mut values = Vec::new();
        let mut add = |name: &str, value: Option<f64>| values.extend(value.map(|value| (name.to_owned(), value)));
        let hits = number("keyspace_hits").and_then(|whole| self.hits.whole(whole, None));
        let misses = number("keyspace_misses").and_then(|whole| self.misses.whole(whole, None));
        if let (Some(hits), Some(misses)) = (hits, misses) {
            // Where nobody asked there is no rate.
            add("hit_rate", (hits + misses > 0.0).then(|| hits / (hits + misses)));
        }
        add("evicted_per_second", number("evicted_keys").and_then(|whole| self.evicted.whole(at, whole, None)));
        add("memory_bytes", number("used_memory"));
        add("clients", number("connected_clients"));
        add("blocked_clients", number("blocked_clients"));
        add("ops_per_second", number("instantaneous_ops_per_sec"));
        values
    }
}

impl Source for Redis {
    type Trouble = RedisTrouble;

    fn name(&self) -> String {
        "correlate.redis".to_owned()
    }

    async fn look(&mut self) -> Result<Vec<Told>, RedisTrouble> {
        // Put back only when it has proven that it can be used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let begun = Instant::now();
        cmd("PING").exec_async(&mut connection).await.map_err(|error| RedisTrouble::Ping(kind(&error)))?;
        let took = begun.elapsed();
        let info = cmd("INFO").query_async::<InfoDict>(&mut connection).await;
        let mut values = vec![("ping_ms".to_owned(), took.as_secs_f64() * 1e3)];
        if let Ok(info) = info {
            let since = begun.saturating_duration_since(self.began);
            values.extend(self.figures(&info, since));
        }
        self.connection = Some(connection);
        Ok(vec![Told::Figures { source: "redis".to_owned(), at: begun + took / 2, values }])
    }
}

fn kind(error: &redis::RedisError) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connection_refusal() {
        "connection refused"
    } else if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) {
        "it wants another password"
    } else if error.is_io_error() {
        "the connection broke"
    } else {
        "it refuses"
    }
}
