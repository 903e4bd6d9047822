//! The receiver's sockets, from bind to stop, and what bounds them together.

use super::stats::ReceiverStats;
use super::take::Taker;
use super::{grpc, http1};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time;

/// Connections at once over HTTP/1.1; further ones wait in the kernel.
const HTTP_CONNECTIONS: usize = 256;
/// Connections at once over gRPC: each may buffer a window of a megabyte.
const GRPC_CONNECTIONS: usize = 32;
/// Bytes of bodies that are on their way in, over all connections.
const BODY_BYTES: usize = 16 << 20;
/// What is under way may finish for so long once the receiver stops.
const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// Where to listen. Only what is named listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// `HOST:PORT` for OTLP over HTTP.
    pub listen: Option<String>,
    /// `HOST:PORT` for OTLP over gRPC.
    pub grpc: Option<String>,
}

/// Why it does not listen.
#[derive(Debug, Error)]
pub enum ReceiverError {
    /// The address is taken, is not this machine's, or is none: exit 106.
    #[error("cannot listen on {address} for OTLP")]
    Bind {
        /// As it was given.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Sockets that are bound, and answer nobody yet.
#[derive(Debug)]
pub struct Bound {
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
}

/// A receiver that is running. Dropped, it stops at once.
#[derive(Debug)]
pub struct Receiver {
    taker: Arc<Taker>,
    stop: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

/// What all connections share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) taker: Arc<Taker>,
    /// Room for bodies that are on their way in.
    pub(super) bodies: Arc<Semaphore>,
}

#[derive(Clone, Copy, Debug)]
enum Speaks {
    Http,
    Grpc,
}

// === impl Bound ===

impl Bound {
    /// Binds what `config` names.
    ///
    /// # Errors
    /// [`ReceiverError::Bind`], which is exit 106.
    pub async fn bind(config: &ReceiverConfig) -> Result<Self, ReceiverError> {
        Ok(Self { http: bind(config.listen.as_deref()).await?, grpc: bind(config.grpc.as_deref()).await? })
    }

    /// Where HTTP is taken: the port that the system chose where 0 was asked for.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.local_addr().ok()
    }

    /// Where gRPC is taken.
    #[must_use]
    pub fn grpc(&self) -> Option<SocketAddr> {
        self.grpc.as_ref()?.local_addr().ok()
    }

    /// Begins to answer, on the runtime where this is called.
    #[must_use]
    pub fn start(self, taker: Taker) -> Receiver {
        let taker = Arc::new(taker);
        let shared = Shared { taker: Arc::clone(&taker), bodies: Arc::new(Semaphore::new(BODY_BYTES)) };
        let (stop, stopped) = watch::channel(false);
        let mut listeners = JoinSet::new();
        if let Some(http) = self.http {
            listeners.spawn(listen(http, Speaks::Http, HTTP_CONNECTIONS, shared.clone(), stopped.clone()));
        }
        if let Some(grpc) = self.grpc {
            listeners.spawn(listen(grpc, Speaks::Grpc, GRPC_CONNECTIONS, shared, stopped));
        }
        Receiver { taker, stop, listeners }
    }
}

// === impl Receiver ===

impl Receiver {
    /// What came in so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.taker.stats()
    }

    /// Stops to listen, lets what is under way finish for half a second, and says what came in.
    pub async fn stop(mut self) -> ReceiverStats {
        self.stop.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        self.taker.stats()
    }
}

async fn bind(address: Option<&str>) -> Result<Option<TcpListener>, ReceiverError> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(ReceiverError::Bind { address: address.to_owned(), source }),
    }
}

/// Accepts until told to stop. Owns the connections' tasks: they end with it.
async fn listen(
    listener: TcpListener,
    speaks: Speaks,
    most: usize,
    shared: Shared,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let stop = stopped.clone();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, _)) => { connections.spawn(serve(stream, speaks, shared.clone(), stop.clone())); }
                // No file descriptors, or a peer that is gone: neither is better at once.
                Err(error) => {
                    tracing::debug!(%error, "a connection to the OTLP receiver was not accepted");
                    time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = told(&mut stopped) => break,
        }
    }
    drop(listener);
    // Past that the set is dropped, which ends the rest.
    let _ = time::timeout(LAST_REQUESTS, async { while connections.join_next().await.is_some() {} }).await;
}

async fn serve(stream: TcpStream, speaks: Speaks, shared: Shared, stop: watch::Receiver<bool>) {
    // Answers are one small write: waiting for more only makes the API's exporter wait.
    let _ = stream.set_nodelay(true);
    match speaks {
        Speaks::Http => http1::serve(stream, shared, stop).await,
        Speaks::Grpc => grpc::serve(stream, shared, stop).await,
    }
}

/// Waits until the receiver stops, or is gone.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
