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
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The body of an answer that comes over a connection. Trailers are left out.
#[derive(Debug)]
pub struct ConnectionBody {
    incoming: Incoming,
    lease: Lease,
}

/// What the body holds while it streams.
#[derive(Debug)]
pub(super) enum Lease {
    /// Nothing any more.
    None,
    /// A connection, and where it goes afterwards; none where it is not kept.
    Http1(Box<Http1>, Option<Rc<Host>>),
    /// A connection that others may use as well.
    Http2(#[allow(dead_code, reason = "held, not read: it lives as long as the body")] Rc<Http2>),
}

// === impl ConnectionBody ===

impl ConnectionBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self { incoming, lease };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    /// The body has ended cleanly.
    fn end(&mut self) {
        if let Lease::Http1(connection, Some(host)) = std::mem::replace(&mut self.lease, Lease::None)
            && connection.is_reusable()
        {
            host.keep(connection);
        }
    }

    /// Takes a frame that is there, without arranging to be woken: the connection does that.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

impl Body for ConnectionBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        loop {
            let next = match &mut this.lease {
                Lease::Http1(..) => {
                    let mut idle = Context::from_waker(Waker::noop());
                    // Nearly always the frame came with the head.
                    let mut next = this.poll_incoming(&mut idle);
                    if next.is_pending()
                        && let Lease::Http1(connection, _) = &mut this.lease
                    {
                        connection.drive(cx);
                        let over = connection.is_over();
                        next = this.poll_incoming(&mut idle);
                        if next.is_pending() && over {
                            // Nothing will come any more.
                            this.lease = Lease::None;
                            return Poll::Ready(Some(Err(Failure::new(FailureKind::Reset))));
                        }
                    }
                    next
                }
                Lease::Http2(_) => this.poll_incoming(cx),
                Lease::None => return Poll::Ready(None),
            };
            match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    if this.incoming.is_end_stream() {
                        this.end();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => {
                    this.end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.lease = Lease::None;
                    let kind = classify::exchanging(&error, false);
                    let failure = Failure { source: Some(error.into()), ..Failure::new(kind) };
                    return Poll::Ready(Some(Err(failure)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.lease, Lease::None) || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
