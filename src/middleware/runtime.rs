//! Figures of tokio's runtime, by OpenTelemetry's global meter provider: what `correlate` draws beside the pool's.
//!
//! tokio has no semantic conventions yet; the names are its own. They are read when an exporter asks, so they cost
//! nothing in between. Set the meter provider first.
//!
//! | metric | is |
//! |---|---|
//! | `tokio.runtime.num_workers` | threads that run tasks |
//! | `tokio.runtime.num_alive_tasks` | tasks that are not over |
//! | `tokio.runtime.global_queue_depth` | tasks that wait for a thread |
//! | `tokio.runtime.worker_total_busy_duration` | seconds that the threads worked, all together (64-bit targets) |
//! | `tokio.runtime.worker_park_count` | how often a thread went to sleep (64-bit targets) |
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // Once, when the API starts.
//! pacecar::middleware::runtime::observe(&tokio::runtime::Handle::current());
//! # }
//! ```

use opentelemetry::global;
use tokio::runtime::{Handle, RuntimeMetrics};

/// Registers the metrics of a runtime, for as long as the meter provider lives.
pub fn observe(runtime: &Handle) {
    let meter = global::meter("pacecar");
    let metrics = runtime.metrics();
    for (name, unit, read) in [
        ("tokio.runtime.num_workers", "{thread}", RuntimeMetrics::num_workers as fn(&RuntimeMetrics) -> usize),
        ("tokio.runtime.num_alive_tasks", "{task}", RuntimeMetrics::num_alive_tasks),
        ("tokio.runtime.global_queue_depth", "{task}", RuntimeMetrics::global_queue_depth),
    ] {
        let metrics = metrics.clone();
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_callback(move |observer| observer.observe(u64::try_from(read(&metrics)).unwrap_or(u64::MAX), &[]))
            .build();
    }
    #[cfg(target_has_atomic = "64")]
    {
        let busy = metrics.clone();
        meter
            .f64_observable_counter("tokio.runtime.worker_total_busy_duration")
            .with_unit("s")
            .with_callback(move |observer| {
                let of = |worker| busy.worker_total_busy_duration(worker).as_secs_f64();
                observer.observe((0..busy.num_workers()).map(of).sum(), &[]);
            })
            .build();
        meter
            .u64_observable_counter("tokio.runtime.worker_park_count")
            .with_unit("{park}")
            .with_callback(move |observer| {
                observer.observe((0..metrics.num_workers()).map(|worker| metrics.worker_park_count(worker)).sum(), &[]);
            })
            .build();
    }
}
