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
mod tls;
mod transport;

#[cfg(test)]
mod tests;

pub use collector::{Collector, CollectorError, Protocol};
pub use own::{OwnSpan, OwnSpans, OwnValue, Prepared};
pub use queue::{Forward, ForwardStats, Tally};
pub use send::Forwarder;
pub(crate) use queue::{Kind, Part};
