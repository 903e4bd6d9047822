//! One HTTP/2 connection. It needs tasks of its own: pings, settings and windows are
//! answered while nobody waits.
//!
//! The tasks belong to the connection: they end when it is dropped. They are spawned on the
//! worker's thread, so HTTP/2 works inside a `LocalSet` or a local runtime only.

use super::http1::MAX_BUFFER;
use super::io::{Marks, Timed};
use crate::measure::TlsVersion;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::{Rc, Weak};
use tokio::task::JoinSet;

/// One HTTP/2 connection.
pub(crate) struct Http2 {
    pub(crate) sender: http2::SendRequest<Full<Bytes>>,
    pub(crate) marks: Rc<Marks>,
    pub(crate) tls: Option<TlsVersion>,
    /// Dropping them ends them.
    _tasks: Tasks,
}

type Tasks = Rc<RefCell<JoinSet<()>>>;

/// Spawns what hyper wants spawned. Weak, because hyper's tasks hold it and it would hold them.
#[derive(Clone)]
struct Local(Weak<RefCell<JoinSet<()>>>);

// === impl Http2 ===

impl Http2 {
    /// Speaks HTTP/2 over a connection that is up.
    ///
    /// # Errors
    /// hyper's, where the preface cannot be written.
    pub(crate) async fn new(io: Timed, marks: Rc<Marks>, tls: Option<TlsVersion>) -> hyper::Result<Self> {
        let tasks = Tasks::default();
        let executor = Local(Rc::downgrade(&tasks));
        let mut builder = http2::Builder::new(executor.clone());
        builder.max_header_list_size(u32::try_from(MAX_BUFFER).unwrap_or(u32::MAX));
        let (sender, connection) = builder.handshake(TokioIo::new(io)).await?;
        hyper::rt::Executor::execute(&executor, async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Self { sender, marks, tls, _tasks: tasks })
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("tls", &self.tls).finish_non_exhaustive()
    }
}

// === impl Local ===

impl<F> hyper::rt::Executor<F> for Local
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        // Without its owner the connection is gone, and its tasks with it.
        let Some(tasks) = self.0.upgrade() else { return };
        let Ok(mut tasks) = tasks.try_borrow_mut() else { return };
        // There is one task a request: those that have ended make room.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(async move {
            future.await;
        });
    }
}
