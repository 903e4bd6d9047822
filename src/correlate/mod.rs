//! Joins what the generator saw with what the API, its pool and its threads say.

pub mod attribution;
mod bands;
mod intake;
mod join;

pub use attribution::Part;
pub use bands::{Band, BandName};
pub use intake::{Intake, MetricPoint, MetricValue, ServerSpan, SpanKind};
pub use join::{AttributionReport, JoinConfig, JoinCounts, Joiner};
