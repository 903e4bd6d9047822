//! What VUs share: per process the configuration, TLS and the cap; per worker resolved names.

use super::cap::{Cap, Line};
use super::config::ClientConfig;
use super::connection::{Network, connections};
use super::in_process::{ForeignBody, InProcess};
use super::progress::Progress;
use super::{ClientBody, Request, stack};
use crate::measure::{Failure, Traffic};
use bytes::Bytes;
use http_body::Body;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tower::Service;

/// What all workers of a process share. Clones share it.
#[derive(Clone)]
pub struct Shared(Arc<Process>);

struct Process {
    config: ClientConfig,
    cap: Option<Arc<Cap>>,
    tls: Arc<OnceCell<TlsConnector>>,
}

/// One worker's client. Clones share it; it stays on its thread.
#[derive(Clone)]
pub struct WorkerClient(Rc<Worker>);

struct Worker {
    config: ClientConfig,
    line: Option<Line>,
    network: Rc<Network>,
}

// === impl Shared ===

impl Shared {
    /// Prepares what all workers share. The cap's first slot is now.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let cap = config.period.map(|period| Arc::new(Cap::new(period)));
        Self(Arc::new(Process { config, cap, tls: Arc::default() }))
    }

    /// The client of one worker: call it on the worker's thread.
    #[must_use]
    pub fn worker(&self) -> WorkerClient {
        let process = &*self.0;
        WorkerClient(Rc::new(Worker {
            config: process.config.clone(),
            line: process.cap.clone().map(Line::new),
            network: Rc::new(Network::new(&process.config, Arc::clone(&process.tls))),
        }))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("config", &self.0.config).finish_non_exhaustive()
    }
}

// === impl WorkerClient ===

impl WorkerClient {
    /// The client of one VU: its own connections, cookies and timer. Bytes are counted in `traffic`.
    ///
    /// One request at a time: the body of one is read or dropped before the next is called.
    /// HTTP/2 spawns on the thread, so it works inside a `LocalSet` or a local runtime only.
    pub fn vu(
        &self,
        traffic: Traffic,
    ) -> impl Service<Request, Response = http::Response<ClientBody>, Error = Failure, Future: 'static>
    + Clone
    + 'static
    + use<> {
        let progress = Progress::default();
        let inner = connections(Rc::clone(&self.0.network), traffic, progress.clone());
        stack(&self.0.config, self.0.line.clone(), progress, inner)
    }

    /// The same with `target` in the place of the connections: any tower service, in the same process.
    pub fn vu_over<S, B>(
        &self,
        target: S,
    ) -> impl Service<Request, Response = http::Response<ClientBody<ForeignBody<B>>>, Error = Failure, Future: 'static>
    + Clone
    + 'static
    + use<S, B>
    where
        S: Service<Request, Response = http::Response<B>> + Clone + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let progress = Progress::default();
        let inner = InProcess::new(target, progress.clone());
        stack(&self.0.config, self.0.line.clone(), progress, inner)
    }
}

impl fmt::Debug for WorkerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerClient").field("config", &self.0.config).finish_non_exhaustive()
    }
}
