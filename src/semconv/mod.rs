//! Names and codecs that pacecar shares with the APIs it drives: headers, attributes,
//! metric names, the run id, and the trace context that carries it.
//!
//! Light on purpose: an embedding API compiles this room without any dependency.

mod context;
mod ids;
pub mod metric;
#[cfg(feature = "engine")]
mod plain;
mod sampling;

pub use context::{Baggage, TRACEPARENT_LEN, TraceContext, TraceContextError};
pub use ids::{IdError, RunId, SpanId, TraceId};
pub use sampling::Sampling;

/// The header that carries W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// The header that carries W3C Baggage.
pub const BAGGAGE: &str = "baggage";
/// The span attribute (OpenTelemetry 1.44) that marks synthetic traffic; its value is [`SYNTHETIC_TEST`].
pub const SYNTHETIC_TYPE: &str = "user_agent.synthetic.type";
/// The value of [`SYNTHETIC_TYPE`] that pacecar uses.
pub const SYNTHETIC_TEST: &str = "test";
/// What pacecar calls itself in `user-agent`, unless the plan or `--user-agent` says otherwise.
pub const USER_AGENT: &str = concat!("pacecar/", env!("CARGO_PKG_VERSION"));
