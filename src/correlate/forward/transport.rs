//! One connection to the collector, one request at a time, and what its answers mean.

use super::FORWARDED_BY;
use super::collector::{Collector, CollectorError, Protocol};
use super::tls;
use crate::correlate::otlp::{Fields, Signal, Value};
use crate::correlate::tasks::Tasks;
use crate::semconv::{self, RunId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use std::io::{self, Write};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Bytes of an answer. There is nothing to say that is longer.
const ANSWER: usize = 64 << 10;
/// The head of gRPC's frame.
const FRAME: usize = 5;

/// Sends requests to a collector.
pub(super) struct Transport {
    collector: Collector,
    tls: Option<TlsConnector>,
    /// On every request, ready.
    headers: HeaderMap,
    connection: Option<Connection>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The collector has it, less so many spans that it refused.
    Acknowledged {
        /// `partial_success.rejected_spans`
        rejected: u64,
    },
    /// Not now: it is busy, slow or gone.
    Later {
        /// When it wants to be asked again, if it says so.
        after: Option<Duration>,
        /// For the log.
        why: Trouble,
    },
    /// It will never take this.
    Refused(Trouble),
}

/// What went wrong.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is gRPC's code {0}")]
    Grpc(u16),
    #[error("the answer is none of gRPC's")]
    Nonsense,
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
}

#[derive(Debug)]
enum Connection {
    Http1 { sender: http1::SendRequest<Full<Bytes>>, _task: JoinSet<()> },
    Http2 { sender: http2::SendRequest<Full<Bytes>>, _tasks: Tasks, _task: JoinSet<()> },
}

// === impl Transport ===

impl Transport {
    /// Reads certificates where the collector is behind TLS.
    pub(super) fn new(collector: Collector, run: RunId) -> Result<Self, CollectorError> {
        let endpoint = Signal::ALL.into_iter().find_map(|signal| collector.endpoint(signal));
        let secure = endpoint.is_some_and(|url| url.scheme() == "https");
        let protocol: &[u8] = if collector.protocol == Protocol::Grpc { b"h2" } else { b"http/1.1" };
        let tls = if secure { Some(tls::connector(collector.certificate.as_deref(), protocol)?) } else { None };
        let mut headers = HeaderMap::new();
        if let Some(basic) = endpoint.and_then(basic) {
            headers.insert(AUTHORIZATION, basic);
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(semconv::USER_AGENT));
        headers.extend(collector.headers.clone());
        // After what the user set, which must not hide these.
        if let Ok(run) = HeaderValue::try_from(run.to_string()) {
            headers.insert(FORWARDED_BY, run);
        }
        match collector.protocol {
            Protocol::Http => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                if collector.gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
            }
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if collector.gzip {
                    headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
                }
            }
        }
        Ok(Self { collector, tls, headers, connection: None })
    }

    /// Where it goes, without what is secret in the URL.
    pub(super) fn origin(&self) -> String {
        let endpoint = Signal::ALL.into_iter().find_map(|signal| self.collector.endpoint(signal));
        endpoint.map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Sends one encoded request within the collector's timeout.
    pub(super) async fn send(&mut self, signal: Signal, body: &Bytes) -> Answer {
        let within = self.collector.timeout;
        match time::timeout(within, self.exchange(signal, body)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Its answer may still come, and must not be taken for the next one's.
                self.connection = None;
                Answer::Later { after: None, why: Trouble::Timeout }
            }
        }
    }

    async fn exchange(&mut self, signal: Signal, body: &Bytes) -> Answer {
        let Some(url) = self.collector.endpoint(signal).cloned() else {
            return Answer::Refused(Trouble::Nonsense);
        };
        let request = match self.request(signal, &url, body) {
            Ok(request) => request,
            Err(error) => return Answer::Refused(Trouble::Request(error)),
        };
        let connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => match self.dial(&url).await {
                Ok(connection) => connection,
                Err(why) => return Answer::Later { after: None, why },
            },
        };
        // Put back only when it has proven that it can be used again.
        let mut connection = connection;
        let answer = match connection.exchange(request).await {
            Ok((head, body, trailers)) => match self.collector.protocol {
                Protocol::Http => http_answer(&head, &body),
                Protocol::Grpc => grpc_answer(&head, &body, trailers.as_ref()),
            },
            Err(error) => return Answer::Later { after: None, why: Trouble::Broken(error) },
        };
        self.connection = Some(connection);
        answer
    }

    fn request(&self, signal: Signal, url: &Url, body: &Bytes) -> http::Result<Request<Full<Bytes>>> {
        let body = if self.collector.gzip { gzip(body) } else { body.clone() };
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut request = Request::builder().method(Method::POST);
        let body = match self.collector.protocol {
            Protocol::Http => {
                let path = match url.query() {
                    Some(query) => format!("{}?{query}", url.path()),
                    None => url.path().to_owned(),
                };
                request = request.uri(path).header(HOST, authority);
                body
            }
            Protocol::Grpc => {
                let uri = Uri::builder().scheme(url.scheme()).authority(authority).path_and_query(signal.method());
                request = request
                    .uri(uri.build()?)
                    .header("grpc-timeout", format!("{}m", self.collector.timeout.as_millis()));
                let mut framed = Vec::with_capacity(FRAME + body.len());
                framed.push(u8::from(self.collector.gzip));
                framed.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
                framed.extend_from_slice(&body);
                framed.into()
            }
        };
        let mut request = request.body(Full::new(body))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    async fn dial(&self, url: &Url) -> Result<Connection, Trouble> {
        let port = url.port_or_known_default().unwrap_or(80);
        let tcp = match url.host() {
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        };
        let tcp = tcp.map_err(Trouble::Connect)?;
        tcp.set_nodelay(true).map_err(Trouble::Connect)?;
        let Some(tls) = &self.tls else { return self.speak(tcp).await };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = rustls::pki_types::ServerName::try_from(host)
            .map_err(|error| Trouble::Connect(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        self.speak(tls.connect(name, tcp).await.map_err(Trouble::Connect)?).await
    }

    async fn speak<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, io: T) -> Result<Connection, Trouble> {
        let io = TokioIo::new(io);
        let mut task = JoinSet::new();
        match self.collector.protocol {
            Protocol::Http => {
                let (sender, connection) =
                    http1::Builder::new().max_buf_size(ANSWER).handshake(io).await.map_err(Trouble::Broken)?;
                task.spawn(async move { drop(connection.await) });
                Ok(Connection::Http1 { sender, _task: task })
            }
            Protocol::Grpc => {
                let tasks = Tasks::default();
                let (sender, connection) =
                    http2::Builder::new(tasks.spawner()).handshake(io).await.map_err(Trouble::Broken)?;
                task.spawn(async move { drop(connection.await) });
                Ok(Connection::Http2 { sender, _tasks: tasks, _task: task })
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    fn is_open(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => !sender.is_closed(),
            Self::Http2 { sender, .. } => !sender.is_closed(),
        }
    }

    /// An answer's head, the first bytes of its body, and its trailers.
    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<(http::response::Parts, Bytes, Option<HeaderMap>)> {
        let response = match self {
            Self::Http1 { sender, .. } => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2 { sender, .. } => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let (body, trailers) = collect(body).await;
        Ok((head, body, trailers))
    }
}

/// Reads an answer's body. What is longer, or breaks off, is as if there were none: its head has said what counts.
async fn collect(body: Incoming) -> (Bytes, Option<HeaderMap>) {
    match Limited::new(body, ANSWER).collect().await {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes(), trailers)
        }
        Err(_) => (Bytes::new(), None),
    }
}

fn http_answer(head: &http::response::Parts, body: &[u8]) -> Answer {
    let status = head.status;
    if status.is_success() {
        return Answer::Acknowledged { rejected: rejected(body) };
    }
    match status.as_u16() {
        429 | 502 | 503 | 504 => {
            let after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Answer::Later { after: after.map(Duration::from_secs), why: Trouble::Status(status) }
        }
        _ => Answer::Refused(Trouble::Status(status)),
    }
}

fn grpc_answer(head: &http::response::Parts, body: &[u8], trailers: Option<&HeaderMap>) -> Answer {
    let code = trailers.and_then(|trailers| trailers.get("grpc-status")).or_else(|| head.headers.get("grpc-status"));
    let code = code.and_then(|value| value.to_str().ok()?.parse::<u16>().ok());
    match code {
        Some(0) => Answer::Acknowledged { rejected: rejected(body.get(FRAME..).unwrap_or_default()) },
        // Cancelled, too late, exhausted, aborted, out of range, unavailable, lost: OTLP's list of what may pass.
        Some(code @ (1 | 4 | 8 | 10 | 11 | 14 | 15)) => Answer::Later { after: None, why: Trouble::Grpc(code) },
        Some(code) => Answer::Refused(Trouble::Grpc(code)),
        None if head.status.is_success() => Answer::Refused(Trouble::Nonsense),
        None => http_answer(head, &[]),
    }
}

/// `partial_success.rejected_…` of an `Export…ServiceResponse`; 0 where the body is anything else.
fn rejected(body: &[u8]) -> u64 {
    let field = |message, number| Fields::of(message).flatten().find(|field| field.number == number);
    let Some(Value::Bytes(partial)) = field(body, 1).map(|field| field.value) else { return 0 };
    match field(partial, 1).map(|field| field.value) {
        Some(Value::Varint(rejected)) => u64::try_from(rejected.cast_signed()).unwrap_or(0),
        _ => 0,
    }
}

/// The user part of a URL as a header.
fn basic(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn gzip(body: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    match packer.write_all(body).and_then(|()| packer.finish()) {
        Ok(packed) => packed.into(),
        Err(_) => Bytes::new(),
    }
}
