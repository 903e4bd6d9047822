//! OTLP on: hands everything that came in, and pacecar's own spans, to the real collector.
//!
//! It never blocks whoever hands over: there is a queue, bounded in bytes, and one task that empties it. A
//! collector that is slow, gone or answers nonsense costs what is in the queue and no more; what it did not
//! acknowledge is counted as lost.

mod collector;
mod environment;
mod own;
mod own_address;
mod queue;
mod send;
pub(in crate::correlate) mod tls;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

/// The header that each request to the collector carries, with the run's id: a receiver that finds its own there
/// is its own collector.
pub(crate) const FORWARDED_BY: &str = "pacecar-forwarded-by";

pub use collector::{Collector, CollectorError, Protocol};
pub use environment::Lookup;
pub use own::{OwnSpan, OwnSpans, OwnValue, Prepared};
pub(crate) use own::{attribute, nanoseconds, resource, scope};
pub use queue::{Forward, ForwardStats, Tally};
pub(crate) use queue::{Kind, Part};
pub use send::Forwarder;
pub(crate) use tls::{Trust, trusting};
pub(crate) use wire::{Wire, WireError, authority, basic};
