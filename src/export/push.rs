//! Pushing bodies to a server over HTTP: one connection, a time for each request, and what its answer means.

use super::error::OutputError;
use crate::correlate::{Protocol, Trust, Wire, WireError, authority, basic, trusting};
use crate::semconv;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::Full;
use std::time::Duration;
use thiserror::Error;
use tokio::time;
use url::Url;

/// Pushes to one server.
#[derive(Debug)]
pub(super) struct Pusher {
    /// The output that pushes.
    name: &'static str,
    /// Without its user part.
    url: Url,
    wire: Wire,
    /// On every request. What is secret is marked so.
    headers: HeaderMap,
    timeout: Duration,
    /// Whether the last request failed: told when it changes, not each time.
    failing: bool,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The server has it.
    Taken,
    /// Not now: it is busy, slow or gone.
    NotNow,
    /// What it is for is not there.
    Missing,
    /// It will never take this.
    Never,
}

#[derive(Debug, Error)]
enum Trouble {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the request cannot be made")]
    Request(#[from] http::Error),
}

// === impl Pusher ===

impl Pusher {
    /// Pushes to `url`, whose user part becomes a header unless `headers` have one. Reads certificates.
    ///
    /// # Errors
    /// [`OutputError::Tls`]
    pub(super) fn new(
        name: &'static str,
        url: &Url,
        mut headers: HeaderMap,
        trust: &Trust,
        timeout: Duration,
    ) -> Result<Self, OutputError> {
        let tls = match url.scheme() {
            "https" => {
                let tls = trusting(trust, b"http/1.1");
                Some(tls.map_err(|problem| OutputError::Tls { output: name, problem })?)
            }
            _ => None,
        };
        if let (Some(basic), false) = (basic(url), headers.contains_key(AUTHORIZATION)) {
            headers.insert(AUTHORIZATION, basic);
        }
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(semconv::USER_AGENT));
        let mut url = url.clone();
        // They can only fail for URLs without a host, and this has one.
        let _ = url.set_username("").and_then(|()| url.set_password(None));
        Ok(Self { name, url, wire: Wire::new(Protocol::Http, tls), headers, timeout, failing: false })
    }

    /// The server, without what may be secret.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Whether the last push failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    /// Posts a body to `target`, a path with its query.
    pub(super) async fn post(&mut self, target: &str, body: Bytes) -> Pushed {
        let (pushed, trouble) = match self.exchange(target, body).await {
            Ok(status) if status.is_success() => (Pushed::Taken, None),
            Ok(status) => (Pushed::of(status), Some(Trouble::Status(status))),
            Err(trouble) => {
                (if matches!(trouble, Trouble::Request(_)) { Pushed::Never } else { Pushed::NotNow }, Some(trouble))
            }
        };
        self.note(trouble.as_ref());
        pushed
    }

    async fn exchange(&mut self, target: &str, body: Bytes) -> Result<StatusCode, Trouble> {
        let mut request = Request::builder().method(Method::POST).uri(target).header(HOST, authority(&self.url));
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
        }
        let request = request.body(Full::new(body))?;
        match time::timeout(self.timeout, self.wire.exchange(&self.url, request)).await {
            Ok(reply) => Ok(reply?.0.status),
            Err(_) => Err(Trouble::Timeout(self.timeout)),
        }
    }

    fn note(&mut self, trouble: Option<&Trouble>) {
        let (output, server) = (self.name, self.origin());
        match trouble {
            Some(why) if !self.failing => {
                let error: &dyn std::error::Error = why;
                tracing::warn!(output, server, error, "points are not taken");
            }
            None if self.failing => tracing::info!(output, server, "points are taken again"),
            _ => {}
        }
        self.failing = trouble.is_some();
    }
}

// === impl Pushed ===

impl Pushed {
    fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            404 => Self::Missing,
            408 | 425 | 429 | 500..=599 => Self::NotNow,
            _ => Self::Never,
        }
    }
}
