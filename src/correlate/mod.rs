//! Joins what the generator saw with what the API, its pool and its threads say.

mod forward;
mod intake;
pub mod otlp;
mod receiver;
mod tasks;

pub use forward::{
    Collector, CollectorError, Forward, ForwardStats, Forwarder, Lookup, OwnSpan, OwnSpans, OwnValue, Prepared,
    Protocol, Tally,
};
pub use intake::{Intake, MetricPoint, MetricValue, ServerSpan, SpanKind};
pub use receiver::{
    Batch, Bound, Incoming, Outgoing, Receiver, ReceiverConfig, ReceiverError, ReceiverStats, Taken, Taker, intake,
};
