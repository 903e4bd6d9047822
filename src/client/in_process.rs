//! A target in the same process: any tower service in the place of the connection.
//!
//! What a socket would tell (bytes, phases) is not there; the time to its answer is `waiting`.

use super::Request;
use super::progress::Progress;
use crate::measure::{Failure, FailureKind, Proto};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tower::util::Oneshot;
use tower::{Service, ServiceExt as _};

type BoxError = Box<dyn Error + Send + Sync>;

/// Calls a target in the same process.
#[derive(Clone, Debug)]
pub(crate) struct InProcess<S> {
    target: S,
    progress: Progress,
}

pin_project! {
    /// A request that a target in the same process answers.
    pub(crate) struct Answering<S: Service<Request>> {
        #[pin]
        call: Oneshot<S, Request>,
        extensions: http::Extensions,
        progress: Progress,
    }
}

/// The body of such an answer. Boxed: it may be of any type.
pub struct ForeignBody<B>(Pin<Box<B>>);

// === impl InProcess ===

impl<S> InProcess<S> {
    /// Puts `target` in the place of the connection.
    pub(crate) fn new(target: S, progress: Progress) -> Self {
        Self { target, progress }
    }
}

impl<S, B> Service<Request> for InProcess<S>
where
    S: Service<Request, Response = http::Response<B>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = http::Response<ForeignBody<B>>;
    type Error = Failure;
    type Future = Answering<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Each call makes its own clone ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Full<Bytes>>) -> Self::Future {
        let now = Instant::now();
        self.progress.blocked(now);
        self.progress.sent(now, None);
        self.progress.keep_copy(&request);
        let extensions = request.extensions().clone();
        Answering { call: self.target.clone().oneshot(request), extensions, progress: self.progress.clone() }
    }
}

// === impl Answering ===

impl<S, B> Future for Answering<S>
where
    S: Service<Request, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<http::Response<ForeignBody<B>>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match ready!(this.call.poll(cx)) {
            Ok(mut response) => {
                let exchange = this.progress.answered(Proto::Http11, None);
                response.extensions_mut().extend(std::mem::take(this.extensions));
                response.extensions_mut().insert(exchange);
                Poll::Ready(Ok(response.map(|body| ForeignBody(Box::pin(body)))))
            }
            Err(error) => {
                // A service that fails instead of answering is a server that hangs up.
                let failure = this.progress.fail(FailureKind::Reset);
                Poll::Ready(Err(Failure { source: Some(error.into()), ..failure }))
            }
        }
    }
}

// === impl ForeignBody ===

impl<B> Body for ForeignBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.0
            .as_mut()
            .poll_frame(cx)
            .map_err(|error| Failure { source: Some(error.into()), ..Failure::new(FailureKind::Reset) })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
