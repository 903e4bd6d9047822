//! The body of an answer that comes over a connection.
//!
//! It owns the connection while it streams, drives it, and gives it back when it ended
//! cleanly. Dropped half-read, it closes the connection: the rest would be read for nothing.

use super::host::Host;
use super::http1::Http1;
use super::http2::Http2;
use crate::client::classify;
use crate::measure::{Failure, FailureKind};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// The body of an answer that comes over a connection. Trailers are left out.
#[derive(Debug)]
pub struct ConnectionBody(Source);

/// Where the rest comes from.
#[derive(Debug)]
enum Source {
    /// Nothing comes any more.
    Over,
    /// A connection, and where it goes afterwards; none where it is not kept.
    Http1(Box<Http1>, Option<Rc<Host>>),
    /// A connection that others may use as well: it lives as long as the body.
    Http2(Incoming, #[allow(dead_code, reason = "held, not read")] Rc<Http2>),
}

// === impl ConnectionBody ===

impl ConnectionBody {
    /// The body of an answer whose head has come over `connection`, which then goes to `home`.
    pub(super) fn http1(connection: Box<Http1>, home: Option<Rc<Host>>) -> Self {
        let mut body = Self(Source::Http1(connection, home));
        body.end_if_over();
        body
    }

    /// The body of an answer over HTTP/2.
    pub(super) fn http2(incoming: Incoming, connection: Rc<Http2>) -> Self {
        if incoming.is_end_stream() { Self(Source::Over) } else { Self(Source::Http2(incoming, connection)) }
    }

    /// Gives the connection back where the body has ended.
    fn end_if_over(&mut self) {
        let over = match &self.0 {
            Source::Over => return,
            Source::Http1(connection, _) => connection.is_answered(),
            Source::Http2(incoming, _) => incoming.is_end_stream(),
        };
        if over
            && let Source::Http1(connection, Some(host)) = std::mem::replace(&mut self.0, Source::Over)
            && connection.is_reusable()
        {
            host.keep(connection);
        }
    }

    /// The next piece as it comes.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        match &mut self.0 {
            Source::Over => Poll::Ready(None),
            Source::Http1(connection, _) => {
                connection.poll_data(cx).map_err(|error| failed(classify::answering(&error), error))
            }
            Source::Http2(incoming, _) => loop {
                match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
                    // Trailers are none.
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        Err(_) => continue,
                    },
                    Some(Err(error)) => {
                        return Poll::Ready(Some(Err(failed(classify::exchanging(&error), error))));
                    }
                    None => return Poll::Ready(None),
                }
            },
        }
    }
}

impl Body for ConnectionBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let next = ready!(self.poll_data(cx));
        match &next {
            Some(Ok(_)) | None => self.end_if_over(),
            Some(Err(_)) => self.0 = Source::Over,
        }
        Poll::Ready(next).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Source::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Over => SizeHint::with_exact(0),
            Source::Http1(connection, _) => connection.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Source::Http2(incoming, _) => incoming.size_hint(),
        }
    }
}

fn failed(kind: FailureKind, error: impl Error + Send + Sync + 'static) -> Failure {
    Failure { source: Some(error.into()), ..Failure::new(kind) }
}
