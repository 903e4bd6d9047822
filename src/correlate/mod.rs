//! Joins what the generator saw with what the API, its pool and its threads say.

pub mod attribution;
mod bands;
mod forward;
mod intake;
mod join;
pub mod otlp;
mod own_spans;
mod receiver;
mod tasks;
pub mod timeline;

pub use attribution::Part;
pub use bands::{Band, BandName};
pub use forward::{
    Collector, CollectorError, Forward, ForwardStats, Forwarder, Lookup, OwnSpan, OwnSpans, OwnValue, Prepared,
    Protocol, Tally,
};
pub(crate) use forward::{
    Kind, Part as ForwardPart, Trust, Wire, WireError, attribute, authority, basic, nanoseconds, resource, scope,
    trusting,
};
pub use intake::{Intake, MetricPoint, MetricValue, ServerSpan, SpanKind};
pub use join::{AttributionReport, JoinConfig, JoinCounts, Joiner, local};
pub use own_spans::Narrator;
pub use receiver::{
    Batch, Bound, Incoming, Outgoing, Receiver, ReceiverConfig, ReceiverError, ReceiverStats, Taken, Taker, intake,
};
