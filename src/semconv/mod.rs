//! Names and codecs that pacecar shares with the APIs it drives: headers, attributes,
//! metric names, the run id, and the trace context that carries it.
//!
//! Light on purpose: an embedding API compiles this room without any dependency.

mod context;
mod ids;
pub mod metric;
#[cfg(feature = "engine")]
mod plain;
#[cfg(feature = "auth")]
mod proof;
mod received;
mod sampling;

pub use context::{Baggage, TRACEPARENT_LEN, TraceContext, TraceContextError};
pub use ids::{IdError, RunId, SpanId, TraceId};
#[cfg(feature = "auth")]
pub use proof::{LIFETIME, PROOF_LEN, Secret, SecretError};
pub use received::ReceivedBaggage;
pub use sampling::Sampling;

/// The header that carries W3C Trace Context.
pub const TRACEPARENT: &str = "traceparent";
/// The header that carries W3C Baggage.
pub const BAGGAGE: &str = "baggage";
/// The header that says of a request that it comes from who knows the shared secret. Bound to one trace and short-lived;
/// not in baggage, which travels on to third parties.
pub const PROOF: &str = "pacecar-proof";
/// The header that marks an answer (503 or 429, with `retry-after`) to a synthetic request that the target turned away
/// to spare real ones. Its value says why: one word. Such an answer counts as shed, not as failed.
pub const SHED: &str = "pacecar-shed";
/// The header (W3C Server Timing) in which a target says of an answer where its time went.
pub const SERVER_TIMING: &str = "server-timing";
/// The environment variable that holds the secret of [`PROOF`].
pub const SECRET: &str = "PACECAR_SECRET";
/// The span attribute (OpenTelemetry 1.44) that marks synthetic traffic; its value is [`SYNTHETIC_TEST`].
pub const SYNTHETIC_TYPE: &str = "user_agent.synthetic.type";
/// The value of [`SYNTHETIC_TYPE`] that pacecar uses.
pub const SYNTHETIC_TEST: &str = "test";
/// The span attribute that says how long a request waited before its handler began, in seconds.
pub const TIME_IN_QUEUE: &str = "http.server.request.time_in_queue";
/// What pacecar calls itself in `user-agent`, unless the plan or `--user-agent` says otherwise.
pub const USER_AGENT: &str = concat!("pacecar/", env!("CARGO_PKG_VERSION"));
