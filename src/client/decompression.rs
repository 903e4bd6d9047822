//! Decodes what comes compressed, and bounds how much of a body is read.
//!
//! Innermost: what stands above sees an answer as it is meant. Nothing is asked for (as in
//! k6, no `accept-encoding` is sent unless the plan does), but whatever comes is decoded.
//! The decoders are tower-http's; an answer without `content-encoding` passes untouched.

use super::Request;
use crate::measure::{Failure, FailureKind};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use tower::Service;
use tower_http::decompression::DecompressionBody;

/// Decodes and bounds bodies.
#[derive(Clone, Debug)]
pub(crate) struct Decompression<S> {
    inner: S,
    max_body: u64,
}

pin_project! {
    /// A request whose answer may have to be decoded.
    pub(crate) struct Decoding<F> {
        #[pin]
        inner: F,
        max_body: u64,
    }
}

/// A body, decoded and bounded.
pub struct Decoded<B: Body> {
    body: Coding<B>,
    /// How many bytes may still come.
    left: u64,
}

enum Coding<B: Body> {
    Identity(B),
    Compressed(Pin<Box<DecompressionBody<B>>>),
    /// It ended, or grew too large: what it came from is closed.
    Over,
}

// === impl Decompression ===

impl<S> Decompression<S> {
    /// Wraps `inner`; a body of more than `max_body` bytes, decoded, fails with [`FailureKind::TooLarge`].
    pub(crate) fn new(inner: S, max_body: u64) -> Self {
        Self { inner, max_body }
    }
}

impl<S, B> Service<Request> for Decompression<S>
where
    S: Service<Request, Response = http::Response<B>, Error = Failure>,
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Response = http::Response<Decoded<B>>;
    type Error = Failure;
    type Future = Decoding<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Decoding { inner: self.inner.call(request), max_body: self.max_body }
    }
}

// === impl Decoding ===

impl<F, B> Future for Decoding<F>
where
    F: Future<Output = Result<http::Response<B>, Failure>>,
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Output = Result<http::Response<Decoded<B>>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let left = *this.max_body;
        let coding = response.headers().get(CONTENT_ENCODING).and_then(coding);
        Poll::Ready(Ok(match coding {
            None => response.map(|body| Decoded { body: Coding::Identity(body), left }),
            Some(coding) => decode(response, coding, left),
        }))
    }
}

/// The coding, spelled as tower-http wants it; none where it is none or one that nobody here knows.
fn coding(value: &HeaderValue) -> Option<&'static str> {
    let text = value.to_str().ok()?.trim();
    let known = [("gzip", "gzip"), ("x-gzip", "gzip"), ("deflate", "deflate"), ("br", "br"), ("zstd", "zstd")];
    known.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, coding)| coding)
}

/// Passes one answer through tower-http's layer, which is the only way to its decoders.
/// The layer takes headers away; as in k6 they stay, so that a plan can check what came.
fn decode<B>(mut response: http::Response<B>, coding: &'static str, left: u64) -> http::Response<Decoded<B>>
where
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    let headers = response.headers().clone();
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    let mut response = Some(response);
    let mut layer = tower_http::decompression::Decompression::new(tower::service_fn(|_: http::Request<()>| {
        let response = response.take();
        async move {
            match response {
                Some(response) => Ok::<_, Infallible>(response),
                // The service is called once, here below.
                None => std::future::pending().await,
            }
        }
    }));
    let future = pin!(layer.call(http::Request::new(())));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(mut response)) => {
            *response.headers_mut() = headers;
            response.map(|body| Decoded { body: Coding::Compressed(Box::pin(body)), left })
        }
        Poll::Pending => http::Response::new(Decoded { body: Coding::Over, left }),
    }
}

// === impl Decoded ===

impl<B> Body for Decoded<B>
where
    B: Body<Data = Bytes, Error = Failure> + Unpin,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let frame = match &mut this.body {
            Coding::Identity(body) => ready!(Pin::new(body).poll_frame(cx)),
            Coding::Compressed(body) => ready!(body.as_mut().poll_frame(cx)).map(decoded),
            Coding::Over => None,
        };
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                match this.left.checked_sub(len) {
                    Some(left) => this.left = left,
                    None => {
                        this.body = Coding::Over;
                        return Poll::Ready(Some(Err(Failure::new(FailureKind::TooLarge))));
                    }
                }
            }
            Some(Err(_)) | None => this.body = Coding::Over,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Coding::Identity(body) => body.is_end_stream(),
            Coding::Compressed(body) => body.is_end_stream(),
            Coding::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Coding::Identity(body) => body.size_hint(),
            Coding::Compressed(body) => body.size_hint(),
            Coding::Over => SizeHint::with_exact(0),
        }
    }
}

/// A decoder's frame; its error is what the body beneath failed with, or that it does not decode.
#[allow(clippy::result_large_err, reason = "a failure is rare, and its size is that of a response's head")]
fn decoded(frame: Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>) -> Result<Frame<Bytes>, Failure> {
    frame.map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(error) => Failure { source: Some(error), ..Failure::new(FailureKind::Protocol) },
    })
}
