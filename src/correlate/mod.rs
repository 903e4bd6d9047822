//! Joins what the generator saw with what the API, its pool and its threads say.

pub mod attribution;
mod intake;

pub use intake::{Intake, MetricPoint, MetricValue, ServerSpan, SpanKind};
