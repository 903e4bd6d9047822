//! What the receiver hands on of what an API exports: plain data, in no wire format.
//!
//! The receiver decodes and forwards; what joins and what draws timelines see only these types, so neither knows
//! OTLP, and both are tested with values.

use crate::semconv::{SpanId, TraceId};
use std::time::Duration;

/// One thing that the receiver learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Intake {
    /// A span of this run's traces.
    Span(Box<ServerSpan>),
    /// A point of a metric that a timeline knows.
    Metric(MetricPoint),
}

/// A span that the API, or something behind it, recorded for a request of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSpan {
    /// Its trace: begins with the run's id.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// Its parent; none at a root.
    pub parent: Option<SpanId>,
    /// Its name, as the instrumentation gave it.
    pub name: String,
    /// The name of the instrumentation scope: `@opentelemetry/instrumentation-pg`.
    pub scope: String,
    /// `service.name` and `service.instance.id` or `host.name` of its resource: whose clock it is on.
    pub service: String,
    /// What it is.
    pub kind: SpanKind,
    /// When it began, since the Unix epoch, on the clock of its host.
    pub start: Duration,
    /// When it ended, on the same clock.
    pub end: Duration,
    /// Its attributes: scalars as text, arrays and maps left out; at most 64 of at most 256 bytes.
    pub attributes: Vec<(String, String)>,
}

/// OpenTelemetry's kinds of span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Within a process.
    #[default]
    Internal,
    /// Answers a request.
    Server,
    /// Makes a request.
    Client,
    /// Puts into a queue.
    Producer,
    /// Takes from a queue.
    Consumer,
}

/// A point of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// Its name: `db.client.connection.count`.
    pub name: String,
    /// Its unit, as the instrumentation gave it: `s`, `ms`, `By`, `1`.
    pub unit: String,
    /// Whose it is, as [`ServerSpan::service`].
    pub service: String,
    /// When it was measured, since the Unix epoch.
    pub at: Duration,
    /// Its attributes, as [`ServerSpan::attributes`].
    pub attributes: Vec<(String, String)>,
    /// What it says.
    pub value: MetricValue,
}

/// What a point says.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// A gauge, or a sum that also falls.
    Gauge(f64),
    /// A sum that only rises.
    Sum {
        /// The sum, or the change of it.
        value: f64,
        /// Whether it is the whole since `start`, not the change since the last point.
        cumulative: bool,
        /// Since when it counts, since the Unix epoch: a new one is a process that began anew.
        start: Duration,
    },
    /// A distribution with explicit bounds.
    Histogram {
        /// Values in it.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Upper bounds, rising; the last bucket has none.
        bounds: Vec<f64>,
        /// Values per bucket: one more than bounds.
        counts: Vec<u64>,
        /// Whether it is the whole since `start`.
        cumulative: bool,
        /// Since when it counts, since the Unix epoch.
        start: Duration,
    },
}
