//! Carries the trace: `traceparent`.
//!
//! Above the redirect: the hops of a request are one span, so they carry one parent.

use super::Request;
use crate::measure::RequestContext;
use crate::semconv;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use std::task::{Context, Poll};
use tower::Service;

const TRACEPARENT: HeaderName = HeaderName::from_static(semconv::TRACEPARENT);

/// Writes `traceparent`, whatever the plan wrote: without it nothing can be joined.
#[derive(Clone, Debug)]
pub(crate) struct TraceContext<S> {
    inner: S,
    sampling: semconv::Sampling,
    flags: u8,
}

// === impl TraceContext ===

impl<S> TraceContext<S> {
    /// Wraps `inner`. `sampling` says which traces bear the flag of a recorded one; `random_flag` sets the random flag
    /// of level 2, which older SDKs do not bear.
    pub(crate) fn new(inner: S, sampling: semconv::Sampling, random_flag: bool) -> Self {
        Self { inner, sampling, flags: if random_flag { semconv::TraceContext::RANDOM } else { 0 } }
    }
}

impl<S: Service<Request>> Service<Request> for TraceContext<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(context) = request.extensions().get::<RequestContext>() {
            let sampled = if self.sampling.takes(&context.trace) { semconv::TraceContext::SAMPLED } else { 0 };
            let flags = self.flags | sampled;
            let parent = semconv::TraceContext { trace: context.trace, span: context.span, flags };
            let value = Bytes::copy_from_slice(&parent.encode());
            // Hex digits and dashes are always a header's value.
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                request.headers_mut().insert(TRACEPARENT, value);
            }
        }
        self.inner.call(request)
    }
}
