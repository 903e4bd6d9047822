//! The connections of one VU: the innermost service of the stack.
//!
//! A request takes the idle connection that was used last, or makes one. A request that an
//! idle connection hands back *unsent*, because the server had closed it, goes once more on a
//! fresh one; whatever was sent is never sent again. The fast path boxes and spawns nothing:
//! the connection is driven by the future that waits for the answer.

mod body;
mod dial;
mod host;
mod http1;
mod http2;
mod io;
mod resolve;
mod tls;

pub use body::ConnectionBody;
pub(super) use io::Marks;

use super::progress::Progress;
use super::{Request, classify};
use crate::measure::{Failure, FailureKind, Proto, TlsVersion, Traffic};
use crate::plan::HttpVersion;
use body::Lease;
use dial::{Fresh, dial};
use host::{Host, Hosts};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Extensions, Method, Uri, Version};
use http_body::Body as _;
use http1::{Http1, MAX_BUFFER, Sender};
use http2::Http2;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use pin_project_lite::pin_project;
use resolve::Resolver;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tower::Service;

/// What one worker's connections have in common.
pub(super) struct Network {
    version: HttpVersion,
    keep_alive: bool,
    insecure: bool,
    resolver: Resolver,
    /// Of the whole process: the roots are read once.
    tls: Arc<OnceCell<TlsConnector>>,
}

/// Sends requests over connections. `M` hands a request to hyper (see [`connections`]).
pub(crate) struct Connections<M> {
    network: Rc<Network>,
    hosts: Rc<Hosts>,
    traffic: Traffic,
    progress: Progress,
    send: M,
}

/// What hyper answers.
type Answer = Result<http::Response<Incoming>, TrySendError<Request>>;

pin_project! {
    /// One request on its connection.
    pub(crate) struct Exchanging<M, F> {
        // None where the URL is not one that can be asked.
        host: Option<Rc<Host>>,
        network: Rc<Network>,
        traffic: Traffic,
        progress: Progress,
        send: M,
        // The request's, which become the answer's: what a map costs is paid once.
        extensions: Extensions,
        started: Instant,
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F> {
        // To be sent on a fresh connection.
        Dial { request: Option<Request> },
        Dialing { request: Option<Request>, dial: Pin<Box<dyn Future<Output = Result<Fresh, Failure>>>> },
        Http1 { connection: Option<Box<Http1>>, reused: bool, #[pin] answer: F },
        Http2 { connection: Rc<Http2>, reused: bool, answer: Pin<Box<dyn Future<Output = Answer>>> },
    }
}

/// The connections of one VU. Its bytes are counted in `traffic`.
///
/// hyper's future has no name, so the stack is generic over the function that makes it:
/// that saves a box per request.
pub(super) fn connections(
    network: Rc<Network>,
    traffic: Traffic,
    progress: Progress,
) -> impl Service<Request, Response = http::Response<ConnectionBody>, Error = Failure, Future: 'static> + Clone + 'static
{
    let send = |sender: &mut Sender, request: Request| sender.try_send_request(request);
    Connections { network, hosts: Rc::default(), traffic, progress, send }
}

// === impl Network ===

impl Network {
    pub(super) fn new(config: &super::ClientConfig, tls: Arc<OnceCell<TlsConnector>>) -> Self {
        Self {
            version: config.version,
            keep_alive: config.keep_alive,
            insecure: config.insecure_skip_verify,
            resolver: Resolver::default(),
            tls,
        }
    }

    /// The process' connector, made on first use and off this thread: it reads files.
    async fn tls(&self) -> Result<TlsConnector, Box<dyn Error + Send + Sync>> {
        let (version, insecure) = (self.version, self.insecure);
        let make = || async move { tokio::task::spawn_blocking(move || tls::connector(version, insecure)).await };
        let made = self.tls.get_or_try_init(|| async { Ok::<_, Box<dyn Error + Send + Sync>>(make().await??) });
        made.await.cloned()
    }
}

// === impl Connections ===

impl<M: Clone> Clone for Connections<M> {
    fn clone(&self) -> Self {
        Self {
            network: Rc::clone(&self.network),
            hosts: Rc::clone(&self.hosts),
            traffic: self.traffic.clone(),
            progress: self.progress.clone(),
            send: self.send.clone(),
        }
    }
}

impl<M, F> Service<Request> for Connections<M>
where
    M: Fn(&mut Sender, Request) -> F + Clone,
    F: Future<Output = Answer>,
{
    type Response = http::Response<ConnectionBody>;
    type Error = Failure;
    type Future = Exchanging<M, F>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let started = Instant::now();
        self.progress.blocked(started);
        let host = self.hosts.find(request.uri());
        let extensions = std::mem::take(request.extensions_mut());
        if let Some(host) = &host {
            prepare(&mut request, host, self.network.keep_alive);
        }
        let stage = match &host {
            Some(host) => self.begin(host, request, started),
            None => Stage::Dial { request: None },
        };
        Exchanging {
            host,
            network: Rc::clone(&self.network),
            traffic: self.traffic.clone(),
            progress: self.progress.clone(),
            send: self.send.clone(),
            extensions,
            started,
            stage,
        }
    }
}

impl<M, F> Connections<M>
where
    M: Fn(&mut Sender, Request) -> F,
{
    /// Hands the request to an idle connection where there is one.
    fn begin(&self, host: &Rc<Host>, request: Request, now: Instant) -> Stage<F> {
        if let Some(mut connection) = host.take() {
            connection.marks.begin_bounded();
            let answer = (self.send)(&mut connection.sender, request);
            self.progress.sent(now, Some(Rc::clone(&connection.marks)));
            return Stage::Http1 { connection: Some(connection), reused: true, answer };
        }
        match host.http2() {
            Some(connection) => hand_over(connection, host, request, true, &self.progress),
            None => Stage::Dial { request: Some(request) },
        }
    }
}

/// Makes the request what goes over the wire, but for what differs between the versions of HTTP.
fn prepare(request: &mut Request, host: &Host, keep_alive: bool) {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let path = if path.as_str().starts_with('/') {
        path
    } else {
        // `http://host?query`
        PathAndQuery::try_from(format!("/{}", path.as_str())).unwrap_or_else(|_| PathAndQuery::from_static("/"))
    };
    *request.uri_mut() = Uri::from(path);
    // As Go: some servers refuse a POST that does not say how long it is.
    let empty = request.body().is_end_stream();
    if empty && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        request.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from_static("0"));
    }
    let headers = request.headers_mut();
    headers.entry(HOST).or_insert_with(|| host.header.clone());
    if let Some(authorization) = &host.authorization {
        headers.entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
    }
    if !keep_alive {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Hands a request to an HTTP/2 connection.
fn hand_over<F>(
    connection: Rc<Http2>,
    host: &Host,
    mut request: Request,
    reused: bool,
    progress: &Progress,
) -> Stage<F> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(host.scheme.clone());
    // A `host` of the plan's own is the authority, as in Go.
    let given = request.headers_mut().remove(HOST);
    let given = given.filter(|given| *given != host.header);
    let given = given.and_then(|given| given.as_bytes().try_into().ok());
    parts.authority = Some(given.unwrap_or_else(|| host.bare.clone()));
    parts.path_and_query = std::mem::take(request.uri_mut()).into_parts().path_and_query;
    // Of parts that are all there a URI can always be made.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    connection.marks.begin();
    let mut sender = connection.sender.clone();
    let answer = sender.try_send_request(request);
    progress.sent(Instant::now(), Some(Rc::clone(&connection.marks)));
    Stage::Http2 { connection, reused, answer: Box::pin(answer) }
}

// === impl Exchanging ===

impl<M, F> Future for Exchanging<M, F>
where
    M: Fn(&mut Sender, Request) -> F,
    F: Future<Output = Answer>,
{
    type Output = Result<http::Response<ConnectionBody>, Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(host) = this.host else {
            return Poll::Ready(Err(this.progress.fail(FailureKind::InvalidRequest)));
        };
        loop {
            let (error, reused, read) = match this.stage.as_mut().project() {
                StageProjection::Dial { request } => {
                    let request = request.take();
                    let dial =
                        dial(Rc::clone(this.network), Rc::clone(host), this.traffic.clone(), this.progress.clone());
                    this.stage.set(Stage::Dialing { request, dial: Box::pin(dial) });
                    continue;
                }
                StageProjection::Dialing { request, dial } => {
                    let fresh = ready!(dial.as_mut().poll(cx))?;
                    // Only a future that is polled after its end has none.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let stage = match fresh {
                        Fresh::Http1(mut connection) => {
                            connection.marks.begin_bounded();
                            let answer = (this.send)(&mut connection.sender, request);
                            this.progress.sent(Instant::now(), Some(Rc::clone(&connection.marks)));
                            Stage::Http1 { connection: Some(connection), reused: false, answer }
                        }
                        Fresh::Http2(connection) => {
                            if this.network.keep_alive {
                                host.set_http2(Some(Rc::clone(&connection)));
                            }
                            hand_over(connection, host, request, false, this.progress)
                        }
                    };
                    this.stage.set(stage);
                    continue;
                }
                StageProjection::Http1 { connection, reused, answer } => {
                    let Some(driven) = connection else { return Poll::Pending };
                    driven.drive(cx);
                    // All that wakes the answer is the connection, which was just driven: no second waker.
                    let polled = answer.poll(&mut Context::from_waker(Waker::noop()));
                    match polled {
                        Poll::Pending if driven.is_over() => {
                            return Poll::Ready(Err(this.progress.fail(FailureKind::Reset)));
                        }
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(response)) => {
                            driven.marks.headed();
                            let tls = driven.tls;
                            let home = this.network.keep_alive.then(|| Rc::clone(host));
                            let lease = match connection.take() {
                                Some(connection) => Lease::Http1(connection, home),
                                None => Lease::None,
                            };
                            let extensions = std::mem::take(this.extensions);
                            return Poll::Ready(Ok(answered(response, lease, tls, extensions, this.progress)));
                        }
                        Poll::Ready(Err(error)) => {
                            let read = driven.marks.read();
                            *connection = None;
                            (error, *reused, read)
                        }
                    }
                }
                StageProjection::Http2 { connection, reused, answer } => match ready!(answer.as_mut().poll(cx)) {
                    Ok(response) => {
                        let lease = Lease::Http2(Rc::clone(connection));
                        let extensions = std::mem::take(this.extensions);
                        let tls = connection.tls;
                        return Poll::Ready(Ok(answered(response, lease, tls, extensions, this.progress)));
                    }
                    Err(error) => {
                        if connection.sender.is_closed() {
                            host.set_http2(None);
                        }
                        (error, *reused, 0)
                    }
                },
            };
            let mut error = error;
            match error.take_message().filter(|_| reused) {
                Some(request) => {
                    this.progress.stale(*this.started);
                    host.set_http2(None);
                    this.stage.set(Stage::Dial { request: Some(restored(request, host)) });
                }
                None => {
                    let error = error.into_error();
                    let kind = classify::exchanging(&error, read >= MAX_BUFFER);
                    let failure = this.progress.fail(kind);
                    return Poll::Ready(Err(Failure { source: Some(error.into()), ..failure }));
                }
            }
        }
    }
}

/// The answer with all that is known of its exchange.
fn answered(
    response: http::Response<Incoming>,
    lease: Lease,
    tls: Option<TlsVersion>,
    extensions: Extensions,
    progress: &Progress,
) -> http::Response<ConnectionBody> {
    let proto = match response.version() {
        Version::HTTP_09 | Version::HTTP_10 => Proto::Http10,
        Version::HTTP_2 | Version::HTTP_3 => Proto::Http2,
        _ => Proto::Http11,
    };
    let (mut parts, incoming) = response.into_parts();
    parts.extensions = extensions;
    parts.extensions.insert(progress.answered(proto, tls));
    http::Response::from_parts(parts, ConnectionBody::new(incoming, lease))
}

/// A request that came back from HTTP/2, as it was before it was handed over.
fn restored(mut request: Request, host: &Host) -> Request {
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(authority) = parts.authority
        && let Ok(value) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, value);
    }
    request.headers_mut().entry(HOST).or_insert_with(|| host.header.clone());
    *request.uri_mut() = Uri::from(parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")));
    request
}
