//! The connections of one VU: the innermost service of the stack.
//!
//! A request takes the idle connection that was used last, or makes one. A request that an
//! idle connection hands back *unsent*, because the server had closed it, goes once more on a
//! fresh one; whatever was sent is never sent again. The fast path boxes and spawns nothing:
//! HTTP/1.1 is spoken here, by the future that waits for the answer; HTTP/2 is hyper's.

mod body;
mod dial;
mod host;
mod http1;
mod http2;
mod io;
mod resolve;
mod tls;

pub use body::ConnectionBody;
pub(super) use http1::Http1Error;
pub(super) use io::Marks;

use super::progress::Progress;
use super::{Request, classify};
use crate::measure::{Failure, FailureKind, Proto, TlsVersion, Traffic};
use crate::plan::HttpVersion;
use dial::{Fresh, dial};
use host::{Host, Hosts};
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Extensions, Method, Uri, Version};
use http_body::Body as _;
use http1::{Http1, Room};
use http2::Http2;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use resolve::Resolver;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
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
    room: Room,
    /// Of the whole process: the roots are read once.
    tls: Arc<OnceCell<TlsConnector>>,
}

/// The connections of one VU. Its bytes are counted in `traffic`.
#[derive(Clone)]
pub(crate) struct Connections {
    network: Rc<Network>,
    hosts: Rc<Hosts>,
    traffic: Traffic,
    progress: Progress,
}

/// What hyper answers over HTTP/2.
type Answer = Result<http::Response<Incoming>, TrySendError<Request>>;

/// One request on its connection.
pub(crate) struct Exchanging {
    // None where the URL is not one that can be asked.
    host: Option<Rc<Host>>,
    network: Rc<Network>,
    traffic: Traffic,
    progress: Progress,
    // The request's, which become the answer's: what a map costs is paid once.
    extensions: Extensions,
    started: Instant,
    stage: Stage,
}

/// A request is boxed where it waits for a connection: the futures above are moved with each request,
/// most of which find one.
enum Stage {
    /// To be sent on a fresh connection.
    Dial(Option<Box<Request>>),
    Dialing(Option<Box<Request>>, Pin<Box<dyn Future<Output = Result<Fresh, Failure>>>>),
    Http1(Option<Box<Http1>>),
    Http2(Rc<Http2>, bool, Pin<Box<dyn Future<Output = Answer>>>),
}

/// The connections of one VU. Its bytes are counted in `traffic`.
pub(super) fn connections(network: Rc<Network>, traffic: Traffic, progress: Progress) -> Connections {
    Connections { network, hosts: Rc::default(), traffic, progress }
}

// === impl Network ===

impl Network {
    pub(super) fn new(config: &super::ClientConfig, tls: Arc<OnceCell<TlsConnector>>) -> Self {
        Self {
            version: config.version,
            keep_alive: config.keep_alive,
            insecure: config.insecure_skip_verify,
            resolver: Resolver::default(),
            room: Room::default(),
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

impl Service<Request> for Connections {
    type Response = http::Response<ConnectionBody>;
    type Error = Failure;
    type Future = Exchanging;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let started = Instant::now();
        self.progress.blocked(started);
        let host = self.hosts.find(request.uri());
        let extensions = std::mem::take(request.extensions_mut());
        let stage = match &host {
            Some(host) => self.begin(host, request, started),
            None => Stage::Dial(None),
        };
        Exchanging {
            host,
            network: Rc::clone(&self.network),
            traffic: self.traffic.clone(),
            progress: self.progress.clone(),
            extensions,
            started,
            stage,
        }
    }
}

impl Connections {
    /// Sends the request over an idle connection where there is one.
    fn begin(&self, host: &Rc<Host>, request: Request, now: Instant) -> Stage {
        if let Some(mut connection) = host.take() {
            if !connection.is_closed() && connection.send(&request, host, self.network.keep_alive) {
                self.progress.sent(now, Some(Rc::clone(&connection.marks)));
                self.progress.keep(request);
                return Stage::Http1(Some(connection));
            }
            self.progress.stale(now);
            return Stage::Dial(Some(Box::new(request)));
        }
        match host.http2() {
            Some(connection) => hand_over(connection, host, request, true, self.network.keep_alive, &self.progress),
            None => Stage::Dial(Some(Box::new(request))),
        }
    }
}

/// Hands a request to an HTTP/2 connection.
fn hand_over(
    connection: Rc<Http2>,
    host: &Host,
    mut request: Request,
    reused: bool,
    keep_alive: bool,
    progress: &Progress,
) -> Stage {
    progress.keep_copy(&request);
    // As Go: some servers refuse a POST that does not say how long it is.
    let empty = request.body().is_end_stream();
    if empty && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        request.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from_static("0"));
    }
    if let Some(authorization) = &host.authorization {
        request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| authorization.clone());
    }
    if !keep_alive {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(host.scheme.clone());
    // A `host` of the plan's own is the authority, as in Go.
    let given = request.headers_mut().remove(HOST);
    let given = given.filter(|given| *given != host.header);
    let given = given.and_then(|given| given.as_bytes().try_into().ok());
    parts.authority = Some(given.unwrap_or_else(|| host.bare.clone()));
    parts.path_and_query = Some(path(std::mem::take(request.uri_mut())));
    // Of parts that are all there a URI can always be made.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    connection.marks.begin();
    let mut sender = connection.sender.clone();
    let answer = sender.try_send_request(request);
    progress.sent(Instant::now(), Some(Rc::clone(&connection.marks)));
    Stage::Http2(connection, reused, Box::pin(answer))
}

/// The path of a URL, which begins with a slash.
fn path(uri: Uri) -> PathAndQuery {
    let path = uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if path.as_str().starts_with('/') {
        return path;
    }
    // `http://host?query`
    PathAndQuery::try_from(format!("/{}", path.as_str())).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

// === impl Exchanging ===

impl Future for Exchanging {
    type Output = Result<http::Response<ConnectionBody>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(host) = &this.host else {
            return Poll::Ready(Err(this.progress.fail(FailureKind::InvalidRequest)));
        };
        loop {
            match &mut this.stage {
                Stage::Dial(request) => {
                    let request = request.take();
                    let dial =
                        dial(Rc::clone(&this.network), Rc::clone(host), this.traffic.clone(), this.progress.clone());
                    this.stage = Stage::Dialing(request, Box::pin(dial));
                }
                Stage::Dialing(request, dial) => {
                    let fresh = ready!(dial.as_mut().poll(cx))?;
                    // Only a future that is polled after its end has none.
                    let Some(request) = request.take() else { return Poll::Pending };
                    let keep_alive = this.network.keep_alive;
                    this.stage = match fresh {
                        Fresh::Http1(mut connection) => {
                            let now = Instant::now();
                            this.progress.sent(now, Some(Rc::clone(&connection.marks)));
                            if !connection.send(&request, host, keep_alive) {
                                return Poll::Ready(Err(this.progress.fail(FailureKind::Reset)));
                            }
                            this.progress.keep(*request);
                            Stage::Http1(Some(connection))
                        }
                        Fresh::Http2(connection) => {
                            if keep_alive {
                                host.set_http2(Some(Rc::clone(&connection)));
                            }
                            hand_over(connection, host, *request, false, keep_alive, &this.progress)
                        }
                    };
                }
                Stage::Http1(connection) => {
                    let Some(driven) = connection else { return Poll::Pending };
                    let polled = ready!(driven.poll_head(cx));
                    // Only a future that is polled after its end has none.
                    let Some(driven) = connection.take() else { return Poll::Pending };
                    return Poll::Ready(match polled {
                        Ok(head) => {
                            let known = Known { version: head.version, tls: driven.tls };
                            let home = this.network.keep_alive.then(|| Rc::clone(host));
                            let mut response = http::Response::new(ConnectionBody::http1(driven, home));
                            *response.status_mut() = head.status;
                            *response.version_mut() = head.version;
                            *response.headers_mut() = head.headers;
                            Ok(answered(response, known, &mut this.extensions, &this.progress))
                        }
                        Err(error) => {
                            let failure = this.progress.fail(classify::answering(&error));
                            Err(Failure { source: Some(error.into()), ..failure })
                        }
                    });
                }
                Stage::Http2(connection, reused, answer) => {
                    let mut error = match ready!(answer.as_mut().poll(cx)) {
                        Ok(response) => {
                            let known = Known { version: response.version(), tls: connection.tls };
                            let response =
                                response.map(|incoming| ConnectionBody::http2(incoming, Rc::clone(connection)));
                            return Poll::Ready(Ok(answered(response, known, &mut this.extensions, &this.progress)));
                        }
                        Err(error) => error,
                    };
                    if connection.sender.is_closed() {
                        host.set_http2(None);
                    }
                    let Some(request) = error.take_message().filter(|_| *reused) else {
                        let error = error.into_error();
                        let failure = this.progress.fail(classify::exchanging(&error));
                        return Poll::Ready(Err(Failure { source: Some(error.into()), ..failure }));
                    };
                    this.progress.stale(this.started);
                    host.set_http2(None);
                    this.stage = Stage::Dial(Some(Box::new(restored(request, host))));
                }
            }
        }
    }
}

/// What a connection knows of an answer.
struct Known {
    version: Version,
    tls: Option<TlsVersion>,
}

/// The answer with all that is known of its exchange.
fn answered(
    mut response: http::Response<ConnectionBody>,
    known: Known,
    extensions: &mut Extensions,
    progress: &Progress,
) -> http::Response<ConnectionBody> {
    let proto = match known.version {
        Version::HTTP_09 | Version::HTTP_10 => Proto::Http10,
        Version::HTTP_2 | Version::HTTP_3 => Proto::Http2,
        _ => Proto::Http11,
    };
    let own = response.extensions_mut();
    *own = std::mem::take(extensions);
    own.insert(progress.answered(proto, known.tls));
    response
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
