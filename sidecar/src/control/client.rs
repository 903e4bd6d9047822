//! Speaks to a running pacecar: what its own verbs need, one request a call.

use super::access::Token;
use super::status::{Status, StatusDocument, Wish};
use super::{Address, AddressError};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const MOST_ANSWER: usize = 1 << 20;

/// Why a running pacecar could not be asked.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("nobody answers at {address}: is a pacecar running there? --address HOST:PORT says where")]
    Unreachable { address: Address, source: std::io::Error },
    #[error("{address} did not answer within {PATIENCE:?}")]
    Silent { address: Address },
    #[error("what listens at {address} does not speak as pacecar does")]
    Strange { address: Address },
    #[error("{address} asks for the token: set PACECAR_TOKEN to the value that the run was started with")]
    Unauthorized { address: Address },
    #[error("{title}: {detail}")]
    Refused { title: String, detail: String },
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    title: String,
    detail: String,
}

/// A running pacecar.
pub(crate) struct Client {
    pub(crate) address: Address,
    pub(crate) token: Option<Token>,
}

// === impl Client ===

impl Client {
    pub(crate) async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, None).await
    }

    pub(crate) async fn change(&self, wish: Wish) -> Result<Status, ClientError> {
        self.ask(Method::PATCH, Some(wish)).await
    }

    async fn ask(&self, method: Method, wish: Option<Wish>) -> Result<Status, ClientError> {
        let silent = || ClientError::Silent { address: self.address.clone() };
        tokio::time::timeout(PATIENCE, self.exchange(method, wish)).await.map_err(|_| silent())?
    }

    async fn exchange(&self, method: Method, wish: Option<Wish>) -> Result<Status, ClientError> {
        let strange = || ClientError::Strange { address: self.address.clone() };
        let unreachable = |source| ClientError::Unreachable { address: self.address.clone(), source };
        let found = self.address.resolve().map_err(unreachable)?;
        let stream = TcpStream::connect(&*found).await.map_err(unreachable)?;
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(|_| strange())?;
        let mut request = Request::builder()
            .method(method)
            .uri("/v1/status")
            .header("host", self.address.to_string())
            .header("user-agent", concat!("pacecar/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            request = request.header("authorization", token.header());
        }
        let body = wish.map(|wish| wish.document().to_string()).unwrap_or_default();
        if wish.is_some() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|_| strange())?;
        let answer = async {
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_ANSWER).collect().await.ok()?;
            Some((status, body.to_bytes()))
        };
        // The connection is driven here, and ends with the answer.
        let answered = tokio::select! {
            answered = answer => answered,
            () = async { drop(connection.await); std::future::pending().await } => None,
        };
        let (status, body) = answered.ok_or_else(strange)?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Unauthorized { address: self.address.clone() });
        }
        if !status.is_success() {
            let errors: Errors = serde_json::from_slice(&body).map_err(|_| strange())?;
            let refusal = errors.errors.into_iter().next().ok_or_else(strange)?;
            return Err(ClientError::Refused { title: refusal.title, detail: refusal.detail });
        }
        let document: StatusDocument = serde_json::from_slice(&body).map_err(|_| strange())?;
        Ok(document.data.attributes)
    }
}
