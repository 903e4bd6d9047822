//! One request of Kubernetes' API: JSON, over a connection of its own, bounded in size and time.

use super::config::{Cluster, Program, Token};
use super::tls;
use crate::semconv;
use crate::tune::apply::output::Secrets;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::io;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Host;

/// A cluster that is asked.
#[derive(Debug)]
pub(super) struct Api {
    cluster: Cluster,
    secrets: Secrets,
    /// What a program printed last, until it is refused.
    printed: Mutex<Option<String>>,
}

/// Why there is no answer, or which one it is. None repeats a token.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No connection.
    #[error("Kubernetes cannot be reached: {0}")]
    Connect(io::Error),
    /// TLS cannot be set up.
    #[error("TLS to Kubernetes cannot be set up: {0}")]
    Tls(rustls::Error),
    /// The connection broke.
    #[error("the connection to Kubernetes broke")]
    Broken,
    /// It took too long.
    #[error("Kubernetes did not answer within {}", humantime::format_duration(TIME))]
    Late,
    /// The program of the kubeconfig that prints credentials printed none.
    #[error("the kubeconfig's program {program} gave no credentials: {why}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        why: String,
    },
    /// The answer is no JSON, or too long.
    #[error("the answer of Kubernetes cannot be read")]
    Malformed,
    /// Who asks may not do that.
    #[error("Kubernetes refuses: {0}; a Role with get and patch on deployments.apps allows it")]
    Forbidden(String),
    /// Anything else that is no success.
    #[error("Kubernetes answers {status}: {message}")]
    Status {
        /// The status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
}

/// How long one request may take.
const TIME: Duration = Duration::from_secs(10);
/// How long a program may take to print credentials.
const PROGRAM: Duration = Duration::from_secs(30);
/// The longest answer.
const MOST_BYTES: usize = 8 << 20;

// === impl Api ===

impl Api {
    pub(super) fn new(cluster: Cluster, secrets: Secrets) -> Self {
        Self { cluster, secrets, printed: Mutex::default() }
    }

    /// Asks, and answers what came with a success. A body is a strategic merge patch.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let first = self.once(&method, path, body).await;
        let expired = matches!(&first, Err(ApiError::Status { status: StatusCode::UNAUTHORIZED, .. }));
        if expired && self.keep(None).is_some() {
            return self.once(&method, path, body).await;
        }
        first
    }

    async fn once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let token = self.token().await?;
        let request = self.request(method, path, body, token.as_deref())?;
        let (status, text) = timeout(TIME, self.exchange(request)).await.map_err(|_| ApiError::Late)??;
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.is_success() {
            return if answer.is_object() { Ok(answer) } else { Err(ApiError::Malformed) };
        }
        let message = answer["message"].as_str().map(str::to_owned);
        let message = message.unwrap_or_else(|| String::from_utf8_lossy(&text).chars().take(200).collect());
        let message = self.secrets.hide(&message);
        match status {
            StatusCode::FORBIDDEN => Err(ApiError::Forbidden(message)),
            status => Err(ApiError::Status { status, message }),
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let server = &self.cluster.server;
        let host = server.host_str().unwrap_or_default();
        let authority = server.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let path = format!("{}{path}", server.path().trim_end_matches('/'));
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder().method(method.clone()).uri(path).header(HOST, authority);
        let mut request = request.body(Full::new(bytes)).map_err(|_| ApiError::Malformed)?;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(semconv::USER_AGENT));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/strategic-merge-patch+json"));
        }
        if let Some(token) = token {
            let mut value =
                HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| ApiError::Malformed)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ApiError> {
        let server = &self.cluster.server;
        let port = server.port_or_known_default().unwrap_or(443);
        let tcp = match server.host() {
            Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
            Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
            Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
            None => Err(io::Error::from(io::ErrorKind::AddrNotAvailable)),
        };
        let tcp = tcp.map_err(ApiError::Connect)?;
        if server.scheme() != "https" {
            return speak(tcp, request).await;
        }
        let connector = tls::connector(&self.cluster).map_err(ApiError::Tls)?;
        let host = server.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let name = self.cluster.server_name.clone().unwrap_or_else(|| host.to_owned());
        let name = rustls::pki_types::ServerName::try_from(name)
            .map_err(|_| ApiError::Connect(io::Error::from(io::ErrorKind::InvalidInput)))?;
        speak(connector.connect(name, tcp).await.map_err(ApiError::Connect)?, request).await
    }

    async fn token(&self) -> Result<Option<String>, ApiError> {
        match &self.cluster.token {
            Token::None => Ok(None),
            Token::Given(token) => Ok(Some(token.clone())),
            // A few bytes in memory: the kubelet keeps them there.
            Token::File(path) => std::fs::read_to_string(path).map(Some).map_err(ApiError::Connect),
            Token::Program(program) => {
                if let Some(known) = self.printed.lock().ok().and_then(|printed| printed.clone()) {
                    return Ok(Some(known));
                }
                let token = program.run().await?;
                self.keep(Some(token.clone()));
                Ok(Some(token))
            }
        }
    }

    /// Keeps what a program printed; returns what was kept before.
    fn keep(&self, token: Option<String>) -> Option<String> {
        self.printed.lock().ok().and_then(|mut printed| std::mem::replace(&mut *printed, token))
    }
}

async fn speak<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    io: T,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), ApiError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|_| ApiError::Broken)?;
    // Drives the connection; ends with this.
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let answer = sender.send_request(request).await.map_err(|_| ApiError::Broken)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await.map_err(|_| ApiError::Malformed)?;
    Ok((status, body.to_bytes()))
}

// === impl Program ===

impl Program {
    /// Runs it, as client-go does, and reads the token that it prints.
    async fn run(&self) -> Result<String, ApiError> {
        let failed = |why: String| ApiError::Program { program: self.command.clone(), why };
        let info = json!({ "apiVersion": self.version, "kind": "ExecCredential", "spec": { "interactive": false } });
        let mut command = tokio::process::Command::new(&self.command);
        command.args(&self.arguments).envs(self.environment.iter().cloned());
        command.env("KUBERNETES_EXEC_INFO", info.to_string()).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(PROGRAM, command.output()).await;
        let output =
            output.map_err(|_| failed("it took too long".to_owned()))?.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        let credential: Value = serde_json::from_slice(&output.stdout).map_err(|_| failed("no JSON".to_owned()))?;
        let token = credential["status"]["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| failed("it prints no token".to_owned()))
    }
}

// === impl ApiError ===

impl ApiError {
    /// Whether asking again would be answered the same.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Forbidden(_) | Self::Tls(_) | Self::Program { .. } => true,
            Self::Status { status, .. } => status.as_u16() < 500 && status.as_u16() != 429,
            Self::Connect(_) | Self::Broken | Self::Late | Self::Malformed => false,
        }
    }
}
