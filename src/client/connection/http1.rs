//! One HTTP/1.1 connection, driven in place: by whoever waits for its answer, not by a task.
//!
//! hyper's rules for that, learned the hard way: a connection future that has completed must
//! be dropped, or the next request on it hangs for ever; and an idle one that nobody polls
//! does not notice that the server has closed it, so a request is handed over first and the
//! connection polled then: a closed one hands it back unsent.

use super::io::{Marks, Timed};
use crate::measure::TlsVersion;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The largest head of an answer, and the largest piece of a body, in bytes. Browsers stop there too.
pub(crate) const MAX_BUFFER: usize = 256 * 1024;

/// One end of an HTTP/1.1 connection, through which requests are handed over.
pub(crate) type Sender = http1::SendRequest<Full<Bytes>>;

/// One HTTP/1.1 connection.
pub(crate) struct Http1 {
    pub(crate) sender: Sender,
    /// None once it has completed: nothing is sent any more.
    driver: Option<http1::Connection<TokioIo<Timed>, Full<Bytes>>>,
    pub(crate) marks: Rc<Marks>,
    pub(crate) tls: Option<TlsVersion>,
}

// === impl Http1 ===

impl Http1 {
    /// Speaks HTTP/1.1 over a connection that is up.
    ///
    /// # Errors
    /// hyper's, which has none for this at present.
    pub(crate) async fn new(io: Timed, marks: Rc<Marks>, tls: Option<TlsVersion>) -> hyper::Result<Box<Self>> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER);
        let (sender, driver) = builder.handshake(TokioIo::new(io)).await?;
        Ok(Box::new(Self { sender, driver: Some(driver), marks, tls }))
    }

    /// Moves bytes. What goes wrong reaches whoever waits for an answer or its body.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(result) = Pin::new(driver).poll(cx)
        {
            if let Err(error) = result {
                tracing::debug!(%error, "connection ended");
            }
            self.driver = None;
        }
    }

    /// Whether it has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.driver.is_none()
    }

    /// Whether it can take another request.
    pub(crate) fn is_reusable(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").field("over", &self.is_over()).field("tls", &self.tls).finish_non_exhaustive()
    }
}
