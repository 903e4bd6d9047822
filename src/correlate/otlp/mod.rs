//! OTLP as bytes: a reader and a writer of protobuf's wire format, and JSON made into protobuf.
//!
//! Nothing is decoded into structs that only passes through. A message from somebody else's trace is looked at
//! for its trace ids and goes on as the bytes that came; this is what makes the receiver fast, and what makes
//! 'unchanged' true to the letter, unknown fields too.

mod json;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

pub use json::transcode;
pub(crate) use read::{Field, Fields, Value};
pub(crate) use write::Writer;

use thiserror::Error;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
    /// `ExportLogsServiceRequest`.
    Logs,
}

/// Why bytes are no OTLP message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// They end within a field.
    #[error("the message ends within a field")]
    Truncated,
    /// A number longer than 64 bits, a field number or a wire type that there is not.
    #[error("a field that protobuf does not have")]
    BadField,
    /// A known field of another type than OTLP gives it.
    #[error("a field of the wrong type")]
    WrongType,
    /// More of one run in one message than can ever be taken at once.
    #[error("more spans or points in one message than can be taken at once")]
    TooMuch,
    /// JSON that is none, or not OTLP's.
    #[error("no OTLP/JSON: {0}")]
    Json(String),
}

// === impl Signal ===

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Where OTLP/HTTP takes it, below the base URL.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// The gRPC method that takes it.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}
