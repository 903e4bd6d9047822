//! A service of this process in the place of the connections.
//!
//! VUs live on threads of the run, the target on its caller's runtime. Each request is a task there, and what it
//! answers comes back through a bounded channel. The task ends with the body, or when the VU gives up, as a server's
//! does when its client hangs up.

use crate::client::{self, Request, WorkerClient};
use crate::load::{MakeVu, WorkerContext};
use crate::measure::{Traffic, VuId};
use crate::workflow::{self, Program};
use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Response, Uri, Version};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tower::{Service, ServiceExt};

/// Any error of a target.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// How many parts of a body may wait for a VU.
const AHEAD: usize = 8;

/// A target of this process. Clones are the same one.
#[derive(Clone)]
pub(crate) struct InProcess(Arc<dyn Serve>);

/// A target, whatever its type.
trait Serve: Send + Sync {
    fn serve(&self, request: Request) -> Answering;
}

/// A service and the runtime that it runs on.
struct Served<S> {
    /// Cloned for each request; a lock, because it need not be `Sync`.
    service: Mutex<S>,
    runtime: Handle,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Answering {
    head: oneshot::Receiver<Result<Response<()>, BoxError>>,
    rest: Option<Rest>,
}

/// The body of its answer, as it comes.
#[derive(Debug)]
pub(crate) struct Rest {
    /// None is the end; a channel that closes without it is a body that broke off.
    frames: mpsc::Receiver<Option<Result<Frame<Bytes>, BoxError>>>,
    ended: bool,
    _task: Ends,
}

/// Ends a task when it is dropped.
#[derive(Debug)]
struct Ends(AbortHandle);

/// The target's task ended without an answer: it panicked, or its runtime is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the target ended without an answer")]
struct Gone;

/// What makes the VUs of one worker that drive a target of this process.
pub(crate) fn vus_over(
    client: &client::Shared,
    program: &Arc<Program>,
    target: &InProcess,
    context: WorkerContext,
) -> impl MakeVu + use<> {
    let (client, target): (WorkerClient, _) = (client.worker(), target.clone());
    let worker = workflow::Worker::new(Arc::clone(program), context.recorder, context.index);
    tower::service_fn(move |id: VuId| {
        let traffic = Traffic::default();
        let vu = worker.vu(id, client.vu_over(target.clone()), traffic);
        std::future::ready(Ok::<_, std::convert::Infallible>(vu))
    })
}

// === impl InProcess ===

impl InProcess {
    /// Calls `service` on `runtime`.
    pub(super) fn new<S, B>(service: S, runtime: Handle) -> Self
    where
        S: Service<http::Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Arc::new(Served { service: Mutex::new(service), runtime }))
    }
}

impl Service<Request> for InProcess {
    type Response = Response<Rest>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        self.0.serve(request)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

// === impl Served ===

impl<S, B> Serve for Served<S>
where
    S: Service<Request, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn serve(&self, request: Request) -> Answering {
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = as_received(request);
        let (head, answered) = oneshot::channel();
        let (parts, frames) = mpsc::channel(AHEAD);
        let task = self.runtime.spawn(async move {
            let answer = match service.oneshot(request).await {
                Ok(answer) => answer,
                Err(error) => {
                    // Who asked may have gone.
                    let _ = head.send(Err(error.into()));
                    return;
                }
            };
            let (answered, body) = answer.into_parts();
            if head.send(Ok(Response::from_parts(answered, ()))).is_err() {
                return;
            }
            let mut body = pin!(body);
            loop {
                let part = body.frame().await.map(|frame| frame.map_err(Into::into));
                let last = part.is_none();
                if parts.send(part).await.is_err() || last {
                    return;
                }
            }
        });
        Answering { head: answered, rest: Some(Rest { frames, ended: false, _task: Ends(task.abort_handle()) }) }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Answering ===

impl Future for Answering {
    type Output = Result<Response<Rest>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.head).poll(cx)).unwrap_or_else(|_| Err(Gone.into()));
        // Only a future that is polled after its end has none.
        let rest = self.rest.take().ok_or(Gone)?;
        Poll::Ready(answered.map(|head| head.map(|()| rest)))
    }
}

// === impl Rest ===

impl Body for Rest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let part = ready!(self.frames.poll_recv(cx)).unwrap_or_else(|| Some(Err(Gone.into())));
        self.ended = !matches!(part, Some(Ok(_)));
        Poll::Ready(part)
    }
}

// === helpers ===

/// A request as a server hands it to a service: the path in the URI, the host in its header.
fn as_received(mut request: Request) -> Request {
    let uri = request.uri();
    let host = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned());
    let path = uri.path_and_query().cloned().map(Uri::from);
    if let Some(host) = host.and_then(|host| HeaderValue::try_from(host).ok()) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    if let Some(path) = path {
        *request.uri_mut() = path;
    }
    *request.version_mut() = Version::HTTP_11;
    request
}
