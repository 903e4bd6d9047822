//! Turning a synthetic request away: an answer with a marker, so that its sender counts it as shed and not as failed.

use crate::semconv;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// The header that marks such an answer.
pub(super) const SHED: HeaderName = HeaderName::from_static(semconv::SHED);

pin_project! {
    /// The response future of [`YieldLayer`](super::YieldLayer) and [`LimitLayer`](super::LimitLayer): the answer of
    /// what they wrap, or one that turns the request away.
    #[derive(Debug)]
    pub struct ResponseFuture<F, B> {
        #[pin]
        kind: Kind<F, B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<F, B> {
        Admitted { #[pin] future: F },
        Shed { response: Option<Response<B>> },
    }
}

/// The answer to a request that is turned away; its body is empty.
fn answer<B: Default>(status: StatusCode, reason: &'static str, retry_after: Duration) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // A word that is no header's value is an embedder's slip: the marker matters more than its word.
    headers.insert(SHED, HeaderValue::from_str(reason).unwrap_or_else(|_| HeaderValue::from_static("pressure")));
    // Whole seconds, as the header has them: later rather than too early, and never at once.
    let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

// === impl ResponseFuture ===

impl<F, B> ResponseFuture<F, B> {
    pub(super) const fn admitted(future: F) -> Self {
        Self { kind: Kind::Admitted { future } }
    }

    pub(super) fn shed(status: StatusCode, reason: &'static str, retry_after: Duration) -> Self
    where
        B: Default,
    {
        Self { kind: Kind::Shed { response: Some(answer(status, reason, retry_after)) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProjection::Admitted { future } => future.poll(cx),
            // Polled after its end it stays silent, as a future may.
            KindProjection::Shed { response } => {
                response.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
        }
    }
}
