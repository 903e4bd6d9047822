//! What the workflow tells the client of one request, handed down beside it.

use crate::semconv::{SpanId, TraceId};
use http::HeaderValue;
use tokio::time::Instant;

/// What the workflow tells the client of one request. It stands in the extensions of the
/// request (`http::Extensions`), and comes back in those of the response.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The trace of the iteration.
    pub trace: TraceId,
    /// The span of this request: the parent of what the target does.
    pub span: SpanId,
    /// The value of `baggage`, prepared once per step and tenant.
    pub baggage: HeaderValue,
    /// Which iteration of the VU this is: a cookie lives as long as this number stays the same.
    pub iteration: u64,
    /// When the request was due.
    pub due: Instant,
}
