//! How stores are spoken to: hyper over rustls with ring, a connection for each request.
//!
//! A store is asked a few times at the end of a run, so nothing is pooled. No second HTTP client, no second TLS.

use http::header::HOST;
use http::{HeaderValue, Uri};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Makes what speaks to stores.
#[derive(Debug)]
pub(super) struct Connector;

#[derive(Debug)]
struct Service;

/// A stream, in clear text or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl HttpConnector for Connector {
    fn connect(&self, _options: &object_store::ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service))
    }
}

impl HttpService for Service {
    fn call<'this, 'future>(
        &'this self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        Box::pin(ask(request))
    }
}

async fn ask(mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let uri = request.uri().clone();
    let stream = dial(&uri).await.map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
    let broke = |error: hyper::Error| HttpError::new(HttpErrorKind::Interrupted, error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    // It ends with the answer's body, or with the runtime.
    tokio::spawn(connection);
    let origin: Uri = uri.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap_or_default();
    *request.uri_mut() = origin;
    if let Some(authority) = uri.authority()
        && !request.headers().contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    let answer = sender.send_request(request).await.map_err(broke)?;
    let (head, body) = answer.into_parts();
    let body = HttpResponseBody::new(body.map_err(broke));
    // The connection lives as long as its task, which reads until the body is whole.
    drop(sender);
    Ok(http::Response::from_parts(head, body))
}

async fn dial(uri: &Uri) -> io::Result<Box<dyn Stream>> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, why.to_owned());
    let host = uri.host().ok_or_else(|| invalid("a store without a host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    if !secure {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host).map_err(|_| invalid("a store whose host is no name"))?;
    Ok(Box::new(connector()?.connect(name, stream).await?))
}

/// The system's authorities; `SSL_CERT_FILE` names others.
fn connector() -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
