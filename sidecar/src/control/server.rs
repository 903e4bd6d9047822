//! Accepts connections, few at a time, and answers on a thread that yields to the load.
//!
//! A client that means harm can hold connections open, send slowly or send much. So heads have a
//! time and a size, requests a time, connections an age; and where there are too many of them the
//! oldest goes, so that the newcomer, an operator perhaps, is always heard.

use super::access::{Names, Token};
use super::routes::{self, CameTo};
use super::{Address, Served};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tower::ServiceExt as _;

/// Connections at a time at one address.
const MOST_CONNECTIONS: usize = 128;
/// The longest that the head of a request may take, and that a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// The largest head, in bytes, and the most headers.
const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// How old a connection may get, whatever it does.
const MOST_AGE: Duration = Duration::from_secs(300);
/// After an accept that failed: files may be scarce.
const RECOVER: Duration = Duration::from_millis(100);
/// How far this thread stands behind the load, as `nice` has it.
const NICENESS: i32 = 10;

/// The thread that serves. Dropping it ends the thread and closes everything.
#[derive(Debug)]
pub(crate) struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
    metrics_address: Option<SocketAddr>,
}

// === impl Server ===

impl Server {
    /// Serves what was bound: the control address with the name it was given by, and the one for metrics.
    ///
    /// # Errors
    /// Where the thread or its runtime cannot be made.
    pub(crate) fn start(
        control: Option<(TcpListener, Address)>,
        metrics: Option<TcpListener>,
        token: Option<Token>,
        served: Served,
    ) -> std::io::Result<Self> {
        let local = |listener: &TcpListener| listener.local_addr().ok();
        let address = control.as_ref().and_then(|(listener, _)| local(listener));
        let metrics_address = metrics.as_ref().and_then(local);
        let mut sites = Vec::new();
        if let Some((listener, given)) = control {
            sites.push((listener, routes::control(served.clone(), Names::new(&given), token)));
        }
        if let Some(listener) = metrics {
            sites.push((listener, routes::public(served)));
        }
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("pacecar-control".to_owned()).spawn(move || {
            yield_to_the_load();
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for (listener, router) in sites {
                    tasks.spawn(accept(listener, router));
                }
                // The sender is never used: it goes with its owner.
                let _ = stopped.await;
            });
            // Whoever is connected still is let go: there is nothing left to tell.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), address, metrics_address })
    }

    /// Where the control address really is.
    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the metrics really are.
    pub(crate) const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was printed already.
            let _ = thread.join();
        }
    }
}

/// Lowers the priority of this thread alone: on Linux each has its own.
fn yield_to_the_load() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the control address keeps its priority");
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "nobody can connect"),
    };
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection was not accepted");
                tokio::time::sleep(RECOVER).await;
                continue;
            }
        };
        if open.len() >= MOST_CONNECTIONS {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        // Each ends by its age, by making room, or with the runtime.
        open.push_back(tokio::spawn(tokio::time::timeout(MOST_AGE, connection(stream, router.clone()))).abort_handle());
        // Ten thousand that connect at once must not keep those who are connected from an answer.
        tokio::task::yield_now().await;
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let came_to = CameTo(stream.local_addr().map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip()));
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(came_to);
        request.map(axum::body::Body::new)
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
    if let Err(error) = served {
        tracing::debug!(error = %pacecar::run::chain(&error), "a connection to the control address ended");
    }
}
