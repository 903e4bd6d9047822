//! One address, asked again and again over one connection: HTTP/1.1, bounded in size.

use crate::correlate::forward::tls;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::semconv;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) method: Method,
    /// Absolute.
    pub(super) url: Url,
    /// Sent with each request; values are marked sensitive.
    pub(super) headers: HeaderMap,
}

/// Asks one target.
#[derive(Debug)]
pub(super) struct Fetch {
    target: Target,
    accept: &'static str,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Drives it; ends with it.
    _task: JoinSet<()>,
}

/// Why there is no answer. None repeats the address: it may hold a password.
#[derive(Debug, Error)]
pub(in crate::correlate::timeline) enum Trouble {
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("TLS cannot be set up")]
    Tls,
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
    #[error("the request cannot be made")]
    Request,
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("its answer is longer than {} MiB", MOST_BYTES >> 20)]
    TooLong,
    #[error("its answer broke off")]
    BrokeOff,
    #[error("its answer is no {0}")]
    Malformed(&'static str),
    #[error("its answer has none of the figures that the plan names")]
    Nothing,
}

/// The longest answer.
const MOST_BYTES: usize = 8 << 20;

// === impl Target ===

impl Target {
    /// A target with the plan's headers for it, names and values.
    pub(super) fn new(method: Method, url: Url, headers: &[(String, String)]) -> Self {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                value.set_sensitive(true);
                map.append(name, value);
            }
        }
        Self { method, url, headers: map }
    }
}

// === impl Fetch ===

impl Fetch {
    pub(super) const fn new(target: Target, accept: &'static str) -> Self {
        Self { target, accept, connection: None }
    }

    /// The body of a good answer, and the instant that it speaks for: the middle of the question.
    pub(super) async fn get(&mut self) -> Result<(Bytes, Instant), Trouble> {
        let begun = Instant::now();
        let reused = self.connection.take().filter(|connection| !connection.sender.is_closed());
        let body = match reused {
            // The other side may close an idle connection at any time: once more on a fresh one.
            Some(connection) => match self.exchange(connection).await {
                Err(Trouble::Broken(_)) => {
                    let connection = self.dial().await?;
                    self.exchange(connection).await?
                }
                answered => answered?,
            },
            None => {
                let connection = self.dial().await?;
                self.exchange(connection).await?
            }
        };
        Ok((body, begun + begun.elapsed() / 2))
    }

    async fn exchange(&mut self, mut connection: Connection) -> Result<Bytes, Trouble> {
        connection.sender.ready().await.map_err(Trouble::Broken)?;
        let answer = connection.sender.send_request(self.request()?).await.map_err(Trouble::Broken)?;
        let status = answer.status();
        let body = match Limited::new(answer.into_body(), MOST_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Err(Trouble::TooLong),
            Err(_) => return Err(Trouble::BrokeOff),
        };
        self.connection = Some(connection);
        if status.is_success() { Ok(body) } else { Err(Trouble::Status(status)) }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, Trouble> {
        let url = &self.target.url;
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let request = Request::builder().method(self.target.method.clone()).uri(path).header(HOST, authority);
        let mut request = request.body(Full::default()).map_err(|_| Trouble::Request)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(semconv::USER_AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        if let Some(basic) = basic(url) {
            headers.insert(AUTHORIZATION, basic);
        }
        headers.extend(self.target.headers.clone());
        Ok(request)
    }

    async fn dial(&self) -> Result<Connection, Trouble> {
        let url = &self.target.url;
        let port = url.port_or_known_default().unwrap_or(80);
        let tcp = match url.host() {
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        };
        let tcp = tcp.map_err(Trouble::Connect)?;
        let _ = tcp.set_nodelay(true);
        if url.scheme() != "https" {
            return speak(tcp).await;
        }
        let connector = tokio::task::spawn_blocking(|| tls::connector(None, b"http/1.1")).await;
        let connector: TlsConnector = connector.map_err(|_| Trouble::Tls)?.map_err(|_| Trouble::Tls)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = rustls::pki_types::ServerName::try_from(host).map_err(|_| Trouble::Tls)?;
        speak(connector.connect(name, tcp).await.map_err(Trouble::Connect)?).await
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: T) -> Result<Connection, Trouble> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(Trouble::Broken)?;
    let mut task = JoinSet::new();
    task.spawn(async move { drop(connection.await) });
    Ok(Connection { sender, _task: task })
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
