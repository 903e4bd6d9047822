//! Requests to the collector, one at a time, and what its answers mean.

use super::FORWARDED_BY;
use super::collector::{Collector, CollectorError, Protocol};
use super::tls;
use super::wire::{Wire, WireError, authority, basic};
use crate::correlate::otlp::{Fields, Signal, Value};
use crate::semconv::{self, RunId};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, TE, USER_AGENT};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use std::io::Write;
use std::time::Duration;
use thiserror::Error;
use tokio::time;
use url::Url;

/// The head of gRPC's frame.
const FRAME: usize = 5;

/// Sends requests to a collector.
pub(super) struct Transport {
    collector: Collector,
    wire: Wire,
    /// On every request, ready.
    headers: HeaderMap,
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
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no answer in time")]
    Timeout,
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is gRPC's code {0}")]
    Grpc(u16),
    #[error("the answer is none of gRPC's")]
    Nonsense,
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
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
        Ok(Self { wire: Wire::new(collector.protocol, tls), collector, headers })
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
            Err(_) => Answer::Later { after: None, why: Trouble::Timeout },
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
        match self.wire.exchange(&url, request).await {
            Ok((head, body, trailers)) => match self.collector.protocol {
                Protocol::Http => http_answer(&head, &body),
                Protocol::Grpc => grpc_answer(&head, &body, trailers.as_ref()),
            },
            Err(error) => Answer::Later { after: None, why: error.into() },
        }
    }

    fn request(&self, signal: Signal, url: &Url, body: &Bytes) -> http::Result<Request<Full<Bytes>>> {
        let body = if self.collector.gzip { gzip(body) } else { body.clone() };
        let authority = authority(url);
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

fn gzip(body: &[u8]) -> Bytes {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing into memory does not fail.
    match packer.write_all(body).and_then(|()| packer.finish()) {
        Ok(packed) => packed.into(),
        Err(_) => Bytes::new(),
    }
}
