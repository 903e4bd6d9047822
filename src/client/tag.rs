//! Says who is asking: `user-agent` and `baggage`.
//!
//! Outermost, so that a redirect's hops carry what the request carried.

use super::Request;
use crate::measure::RequestContext;
use crate::semconv;
use http::header::{HeaderName, HeaderValue, USER_AGENT};
use std::task::{Context, Poll};
use tower::Service;

const BAGGAGE: HeaderName = HeaderName::from_static(semconv::BAGGAGE);

/// Writes `user-agent`, unless the plan did, and `baggage`, beside what the plan wrote.
#[derive(Clone, Debug)]
pub(crate) struct Tag<S> {
    inner: S,
    user_agent: HeaderValue,
}

// === impl Tag ===

impl<S> Tag<S> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: S, user_agent: HeaderValue) -> Self {
        Self { inner, user_agent }
    }
}

impl<S: Service<Request>> Service<Request> for Tag<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let baggage = request.extensions().get::<RequestContext>().map(|context| context.baggage.clone());
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        if let Some(baggage) = baggage {
            headers.append(BAGGAGE, baggage);
        }
        self.inner.call(request)
    }
}
