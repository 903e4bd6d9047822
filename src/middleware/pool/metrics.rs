//! The semantic conventions' metrics of a pool of connections (OpenTelemetry 1.44).

use super::PoolWaits;
use super::permits::Permits;
use deadpool_postgres::Pool as Deadpool;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of the times in seconds: waits are short until they are long.
const BOUNDS: [f64; 13] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// What is measured of a pool.
pub(super) struct Metrics {
    name: String,
    attributes: [KeyValue; 1],
    wait_time: Histogram<f64>,
    use_time: Histogram<f64>,
    timeouts: Counter<u64>,
    count: AtomicU64,
    waited: AtomicU64,
}

// === impl Metrics ===

impl Metrics {
    /// Registers the instruments. What is observed does not keep the pool alive.
    pub(super) fn new(name: String, pool: &Deadpool, permits: &Arc<Permits>) -> Self {
        let meter = global::meter("pacecar");
        let attributes = [KeyValue::new("db.client.connection.pool.name", name.clone())];
        let of_state = |state: &'static str| {
            let [name] = attributes.clone();
            [name, KeyValue::new("db.client.connection.state", state)]
        };
        let (idle, used) = (of_state("idle"), of_state("used"));
        let (weak, seen) = (pool.weak(), Arc::downgrade(permits));
        meter
            .i64_observable_up_down_counter("db.client.connection.count")
            .with_unit("{connection}")
            .with_description("Connections by their state")
            .with_callback(move |observer| {
                if let (Some(pool), Some(permits)) = (weak.upgrade(), seen.upgrade()) {
                    let status = super::status(&pool, &permits);
                    observer.observe(whole(status.idle), &idle);
                    observer.observe(whole(status.used), &used);
                }
            })
            .build();
        for (name, unit, description, read) in [
            (
                "db.client.connection.max",
                "{connection}",
                "How many there may be",
                (|permits| permits.max_and_used().0) as Read,
            ),
            ("db.client.connection.pending_requests", "{request}", "How many wait for one", Permits::waiting),
        ] {
            let (of_pool, seen) = (attributes.clone(), Arc::downgrade(permits));
            meter
                .i64_observable_up_down_counter(name)
                .with_unit(unit)
                .with_description(description)
                .with_callback(move |observer| {
                    if let Some(permits) = seen.upgrade() {
                        observer.observe(whole(read(&permits)), &of_pool);
                    }
                })
                .build();
        }
        let time = |name, description| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description)
                .with_boundaries(BOUNDS.to_vec())
                .build()
        };
        Self {
            name,
            wait_time: time("db.client.connection.wait_time", "How long it took to get a connection"),
            use_time: time("db.client.connection.use_time", "How long a connection was out"),
            timeouts: meter
                .u64_counter("db.client.connection.timeouts")
                .with_unit("{timeout}")
                .with_description("Those that did not get one in time")
                .build(),
            attributes,
            count: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Somebody got a connection after so long.
    pub(super) fn waited(&self, wait: Duration) {
        self.wait_time.record(wait.as_secs_f64(), &self.attributes);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Somebody gave one back after so long.
    pub(super) fn used(&self, time: Duration) {
        self.use_time.record(time.as_secs_f64(), &self.attributes);
    }

    /// Somebody got none in time.
    pub(super) fn timed_out(&self) {
        self.timeouts.add(1, &self.attributes);
    }

    pub(super) fn waits(&self) -> PoolWaits {
        let total = Duration::from_nanos(self.waited.load(Ordering::Relaxed));
        PoolWaits { count: self.count.load(Ordering::Relaxed), total }
    }
}

type Read = fn(&Permits) -> usize;

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
