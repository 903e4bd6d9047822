//! One connection to a server that is pushed to, kept from one request to the next.
//!
//! What its answers mean is for whoever asks: OTLP, remote write and the line protocol each have their own view.

use super::collector::Protocol;
use crate::correlate::tasks::Tasks;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Bytes of an answer. There is nothing to say that is longer.
const ANSWER: usize = 64 << 10;

/// A connection, or the lack of one until it is needed.
pub(crate) struct Wire {
    protocol: Protocol,
    tls: Option<TlsConnector>,
    connection: Option<Connection>,
}

/// An answer: its head, the first bytes of its body, its trailers.
pub(crate) type Reply = (http::response::Parts, Bytes, Option<HeaderMap>);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    /// Nobody there, or no TLS with them.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// It was there and broke.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
}

enum Connection {
    Http1 { sender: http1::SendRequest<Full<Bytes>>, _task: JoinSet<()> },
    Http2 { sender: http2::SendRequest<Full<Bytes>>, _tasks: Tasks, _task: JoinSet<()> },
}

// === impl Wire ===

impl Wire {
    /// No connection yet. `tls` is for URLs that begin with `https`.
    pub(crate) const fn new(protocol: Protocol, tls: Option<TlsConnector>) -> Self {
        Self { protocol, tls, connection: None }
    }

    /// Sends a request to where `url` points, on the connection there is or on a new one.
    pub(crate) async fn exchange(&mut self, url: &Url, request: Request<Full<Bytes>>) -> Result<Reply, WireError> {
        // Put back only when it has proven that it can be used again; dropped half way it is gone, and with it an
        // answer that must not be taken for the next one's.
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => self.dial(url).await?,
        };
        let reply = connection.exchange(request).await.map_err(WireError::Broken)?;
        self.connection = Some(connection);
        Ok(reply)
    }

    async fn dial(&self, url: &Url) -> Result<Connection, WireError> {
        let port = url.port_or_known_default().unwrap_or(80);
        let tcp = match url.host() {
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        };
        let tcp = tcp.map_err(WireError::Connect)?;
        tcp.set_nodelay(true).map_err(WireError::Connect)?;
        let Some(tls) = self.tls.as_ref().filter(|_| url.scheme() == "https") else { return self.speak(tcp).await };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = rustls::pki_types::ServerName::try_from(host)
            .map_err(|error| WireError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        self.speak(tls.connect(name, tcp).await.map_err(WireError::Connect)?).await
    }

    async fn speak<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, io: T) -> Result<Connection, WireError> {
        let io = TokioIo::new(io);
        let mut task = JoinSet::new();
        match self.protocol {
            Protocol::Http => {
                let (sender, connection) =
                    http1::Builder::new().max_buf_size(ANSWER).handshake(io).await.map_err(WireError::Broken)?;
                task.spawn(async move { drop(connection.await) });
                Ok(Connection::Http1 { sender, _task: task })
            }
            Protocol::Grpc => {
                let tasks = Tasks::default();
                let (sender, connection) =
                    http2::Builder::new(tasks.spawner()).handshake(io).await.map_err(WireError::Broken)?;
                task.spawn(async move { drop(connection.await) });
                Ok(Connection::Http2 { sender, _tasks: tasks, _task: task })
            }
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("protocol", &self.protocol).finish_non_exhaustive()
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
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Reply> {
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

/// What stands in `host`: without the user part.
pub(crate) fn authority(url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    }
}

/// The user part of a URL as a header.
pub(crate) fn basic(url: &Url) -> Option<HeaderValue> {
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
