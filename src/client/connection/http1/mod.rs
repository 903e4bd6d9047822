//! One HTTP/1.1 connection, driven in place: by whoever waits for its answer, not by a task.
//!
//! One request is under way at a time, so there is no queue, no channel and nobody to wake but
//! the one who waits. A request is written where it is handed over, mostly with one system
//! call; an answer is read into room that all connections of a worker share, so an idle
//! connection holds no buffer. An idle one that nobody polls does not notice that the server
//! has closed it, so it is looked at before it is used again: what cannot be sent comes back.

mod answer;
mod framing;
mod request;
#[cfg(test)]
mod tests;

use super::host::Host;
use super::io::{Marks, Timed};
use crate::client::Request;
use crate::measure::TlsVersion;
use bytes::{Buf as _, Bytes, BytesMut};
use framing::{Framing, FramingError};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body as _;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// The largest head of an answer, in bytes. Browsers stop there too.
pub(crate) const MAX_BUFFER: usize = 256 * 1024;

/// How much is read at once, in bytes.
const READ: usize = 64 * 1024;

/// Up to this size a body goes out together with its head.
const TOGETHER: usize = 16 * 1024;

/// One HTTP/1.1 connection.
pub(crate) struct Http1 {
    io: Timed,
    pub(crate) marks: Rc<Marks>,
    pub(crate) tls: Option<TlsVersion>,
    room: Room,
    /// What of the request is still to be written: first this, then `body`.
    unsent: Bytes,
    body: Bytes,
    /// Whether what was written is still to be flushed.
    flushing: bool,
    /// What was read and belongs to nobody yet.
    held: Bytes,
    /// How much was held when no whole head was in it.
    searched: usize,
    asked: Asked,
    framing: Framing,
    /// Whether it may serve another request.
    keep: bool,
}

/// Where the connections of a worker read and write. Only used between two waits, so one is enough.
#[derive(Clone)]
pub(crate) struct Room(Rc<RefCell<Buffers>>);

struct Buffers {
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
}

/// What of a request decides whether its answer has a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Head,
    Connect,
    Other,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

/// Why there is no (whole) answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Http1Error {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The connection ended in good order before the answer was whole.
    #[error("the connection ended before the answer was whole")]
    Incomplete,
    /// The head is more than anybody reads.
    #[error("the answer's head is larger than {MAX_BUFFER} bytes")]
    TooLarge,
    /// The head is no HTTP.
    #[error("the answer's head is no HTTP/1.1")]
    Head(#[source] httparse::Error),
    /// A name or value in the head cannot be one.
    #[error("the answer's head holds what no head may hold")]
    Field(#[source] http::Error),
    /// The head does not say where the body ends.
    #[error("the answer does not say where its body ends")]
    Length(#[source] FramingError),
    /// The body is not as its head says.
    #[error("the answer's body is not as its head says")]
    Body(#[source] FramingError),
}

// === impl Room ===

impl Default for Room {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Buffers { incoming: vec![0; READ].into_boxed_slice(), outgoing: Vec::new() })))
    }
}

// === impl Asked ===

impl Asked {
    fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Head,
            Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

// === impl Http1 ===

impl Http1 {
    /// Speaks HTTP/1.1 over a connection that is up.
    pub(crate) fn new(io: Timed, marks: Rc<Marks>, tls: Option<TlsVersion>, room: Room) -> Box<Self> {
        Box::new(Self {
            io,
            marks,
            tls,
            room,
            unsent: Bytes::new(),
            body: Bytes::new(),
            flushing: false,
            held: Bytes::new(),
            searched: 0,
            asked: Asked::Other,
            framing: Framing::Ended,
            keep: true,
        })
    }

    /// Whether the server has closed it, or said something that nobody asked for.
    pub(crate) fn is_closed(&mut self) -> bool {
        // A byte of room tells; what comes unasked is thrown away with the connection.
        !matches!(self.io.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes a request, as far as that goes at once; the rest follows while the answer is waited for. False where
    /// nothing of it could be written, and the connection is of no use.
    #[must_use]
    pub(crate) fn send(&mut self, request: &Request, host: &Host, keep_alive: bool) -> bool {
        self.marks.begin_bounded();
        self.asked = Asked::of(request.method());
        self.held = Bytes::new();
        self.searched = 0;
        let room = Rc::clone(&self.room.0);
        let out = &mut room.borrow_mut().outgoing;
        out.clear();
        let body = whole(request.body().clone());
        self.keep = request::write(request, host, keep_alive, body.len(), out);
        self.body = if body.len() <= TOGETHER {
            out.extend_from_slice(&body);
            Bytes::new()
        } else {
            body
        };
        match self.io.try_write(out) {
            Ok(written) => self.unsent = Bytes::copy_from_slice(&out[written..]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.unsent = Bytes::copy_from_slice(out),
            Err(_) => return false,
        }
        self.flushing = true;
        self.push(&mut Context::from_waker(Waker::noop()));
        true
    }

    /// The head of the answer, informational ones left out.
    ///
    /// # Errors
    /// An [`Http1Error`], after which the connection is of no use.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Http1Error>> {
        loop {
            self.push(cx);
            while self.is_worth_reading() {
                match answer::parse(&mut self.held, self.asked)? {
                    answer::Parsed::Whole { head, framing, keep } => {
                        self.marks.headed();
                        self.searched = 0;
                        self.framing = framing;
                        self.keep &= keep;
                        return Poll::Ready(Ok(head));
                    }
                    answer::Parsed::Informational => self.searched = 0,
                    answer::Parsed::Partial if self.held.len() >= MAX_BUFFER => {
                        return Poll::Ready(Err(Http1Error::TooLarge));
                    }
                    answer::Parsed::Partial => self.searched = self.held.len(),
                }
            }
            if ready!(self.poll_fill(cx)).map_err(Http1Error::Io)? == 0 {
                return Poll::Ready(Err(Http1Error::Incomplete));
            }
        }
    }

    /// The next piece of the body; none after its end.
    ///
    /// # Errors
    /// An [`Http1Error`], after which the connection is of no use.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Http1Error>>> {
        loop {
            // A server may answer while it still reads.
            self.push(cx);
            let taken = self.framing.take(&mut self.held);
            if self.held.is_empty() {
                // What it is a part of may go.
                self.held = Bytes::new();
            }
            match taken {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if self.framing.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(Http1Error::Body(error)))),
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) if self.framing.end_with_connection() => return Poll::Ready(None),
                Ok(0) => return Poll::Ready(Some(Err(Http1Error::Incomplete))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(Http1Error::Io(error)))),
            }
        }
    }

    /// Whether the body is over.
    pub(crate) fn is_answered(&self) -> bool {
        self.framing.is_over()
    }

    /// How much of the body is still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        self.framing.left()
    }

    /// Whether it can take another request.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keep && self.framing.is_over() && self.held.is_empty() && self.is_sent()
    }

    fn is_sent(&self) -> bool {
        self.unsent.is_empty() && self.body.is_empty() && !self.flushing
    }

    /// Whether to look for a head in what is held: at first, and where that failed, not again at each byte.
    fn is_worth_reading(&self) -> bool {
        let (held, searched) = (&self.held[..], self.searched);
        if held.len() <= searched {
            return false;
        }
        let ends = |from: usize| {
            let new = held.get(from..).unwrap_or_default();
            new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
        };
        searched == 0 || held.len() >= MAX_BUFFER || held.len() >= 2 * searched || ends(searched.saturating_sub(3))
    }

    /// Writes what is still unwritten. What goes wrong is told by the answer, if one comes, or by its absence.
    fn push(&mut self, cx: &mut Context<'_>) {
        while !self.unsent.is_empty() || !self.body.is_empty() {
            if self.unsent.is_empty() {
                self.unsent = std::mem::take(&mut self.body);
            }
            match Pin::new(&mut self.io).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(written)) if written > 0 => self.unsent.advance(written),
                Poll::Ready(_) => {
                    (self.unsent, self.body, self.flushing) = (Bytes::new(), Bytes::new(), false);
                    self.keep = false;
                    return;
                }
                Poll::Pending => return,
            }
        }
        if self.flushing {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    self.flushing = false;
                    self.keep &= flushed.is_ok();
                }
                Poll::Pending => {}
            }
        }
    }

    /// Reads once. Zero is the end of the connection.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = &mut *self.room.0.borrow_mut();
        let mut buffer = ReadBuf::new(&mut room.incoming);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        let read = buffer.filled();
        if self.held.is_empty() {
            self.held = Bytes::copy_from_slice(read);
        } else {
            let mut all = BytesMut::from(std::mem::take(&mut self.held));
            all.extend_from_slice(read);
            self.held = all.freeze();
        }
        Poll::Ready(Ok(read.len()))
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").field("framing", &self.framing).field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// The bytes of a body that is whole.
fn whole(mut body: http_body_util::Full<Bytes>) -> Bytes {
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}
