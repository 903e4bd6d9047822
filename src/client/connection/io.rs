//! The socket as HTTP sees it: bytes are counted where they cross the wire, and the two
//! instants that part `sending`, `waiting` and `receiving` are taken where they happen.

use crate::measure::{TlsVersion, Traffic};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// What the socket tells of the request in flight.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Whether bytes were written since the last flush.
    dirty: Cell<bool>,
    /// When the last of the request's bytes were flushed.
    flushed: Cell<Option<Instant>>,
    /// When the first byte of the answer came.
    first_read: Cell<Option<Instant>>,
    /// How many bytes of the answer came.
    read: Cell<usize>,
    /// Whether an HTTP/1.1 answer's head is still to come, so that what is read is counted against [`MAX_HEADS`].
    headless: Cell<bool>,
}

/// The most bytes before the head of an answer over HTTP/1.1 is whole, informational ones (`103`) before it
/// included: each of those is bounded, but not how many there are, nor the time they take.
const MAX_HEADS: usize = 4 * super::http1::MAX_BUFFER;

/// A TCP stream that counts what crosses the wire, that is, below TLS.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    traffic: Traffic,
}

/// A connection, in clear text or over TLS, that takes the marks: above TLS, where the
/// server's session tickets are not mistaken for its answer.
#[derive(Debug)]
pub(crate) struct Timed {
    transport: Transport,
    marks: std::rc::Rc<Marks>,
}

/// How the bytes travel.
#[derive(Debug)]
pub(crate) enum Transport {
    /// In clear text.
    Plain(Counted),
    /// Over TLS. Boxed: it is many times larger.
    Tls(Box<TlsStream<Counted>>),
}

// === impl Marks ===

impl Marks {
    /// A request is about to be handed over.
    pub(crate) fn begin(&self) {
        self.flushed.set(None);
        self.first_read.set(None);
        self.read.set(0);
        self.headless.set(false);
    }

    /// As [`Self::begin`]; and from here on too many bytes before the head are an error.
    pub(crate) fn begin_bounded(&self) {
        self.begin();
        self.headless.set(true);
    }

    /// The head is here.
    pub(crate) fn headed(&self) {
        self.headless.set(false);
    }

    /// When the last of the request's bytes were flushed.
    pub(crate) fn flushed(&self) -> Option<Instant> {
        self.flushed.get()
    }

    /// When the first byte of the answer came.
    pub(crate) fn first_read(&self) -> Option<Instant> {
        self.first_read.get()
    }
}

// === impl Counted ===

impl Counted {
    pub(crate) fn new(stream: TcpStream, traffic: Traffic) -> Self {
        Self { stream, traffic }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.traffic.add_received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.traffic.add_sent(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        self.traffic.add_sent(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

// === impl Timed ===

impl Timed {
    pub(crate) fn new(transport: Transport, marks: std::rc::Rc<Marks>) -> Self {
        Self { transport, marks }
    }

    /// Reads what is there, without arranging to be woken and without a system call where nothing came.
    ///
    /// # Errors
    /// The connection's; [`io::ErrorKind::WouldBlock`] where there is nothing.
    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.transport {
            Transport::Plain(stream) => stream.stream.try_read(into),
            Transport::Tls(stream) => {
                let mut buffer = ReadBuf::new(into);
                at_once(Pin::new(stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer))?;
                Ok(buffer.filled().len())
            }
        }
    }

    /// Writes what goes at once, without arranging to be woken.
    ///
    /// # Errors
    /// The connection's; [`io::ErrorKind::WouldBlock`] where nothing goes.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.marks.dirty.set(true);
        match &mut self.transport {
            Transport::Plain(stream) => {
                let written = stream.stream.try_write(bytes)?;
                stream.traffic.add_sent(written);
                Ok(written)
            }
            Transport::Tls(stream) => {
                at_once(Pin::new(stream).poll_write(&mut Context::from_waker(Waker::noop()), bytes))
            }
        }
    }
}

/// What is not ready would block.
fn at_once<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let read = buf.filled().len() - before;
        let marks = &self.marks;
        if read > 0 && marks.first_read.get().is_none() {
            marks.first_read.set(Some(Instant::now()));
        }
        marks.read.set(marks.read.get().saturating_add(read));
        if marks.headless.get() && marks.read.get() > MAX_HEADS {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "informational answers without an end",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.marks.dirty.set(true);
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.marks.dirty.set(true);
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        })?;
        let marks = &self.marks;
        if marks.dirty.replace(false) && marks.first_read.get().is_none() {
            marks.flushed.set(Some(Instant::now()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Transport ===

impl Transport {
    /// Which TLS; none in clear text.
    pub(crate) fn tls(&self) -> Option<TlsVersion> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => match stream.get_ref().1.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => Some(TlsVersion::V12),
                _ => Some(TlsVersion::V13),
            },
        }
    }

    /// Whether both sides agreed on HTTP/2.
    pub(crate) fn agreed_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}
