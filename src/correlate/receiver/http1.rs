//! OTLP over HTTP/1.1: `POST /v1/traces`, `/v1/metrics`, `/v1/logs`.

use super::body::{self, Packing, Unread};
use super::listen::{Shared, told};
use super::stats::add;
use super::status::{Code, RETRY_AFTER, Status};
use super::take::Taken;
use crate::correlate::otlp::Signal;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER as RETRY_AFTER_HEADER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// For a request's head, and for the rest between two requests: exporters send once a minute or far more often.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and what a connection buffers.
const BUFFER: usize = 64 << 10;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How a message is written, and so the answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// A refusal as HTTP has it.
#[derive(Debug)]
struct Refusal {
    http: StatusCode,
    status: Status,
    /// Whether it counts as a message refused.
    counts: bool,
}

/// Serves a connection until its end.
pub(super) async fn serve(stream: TcpStream, shared: Shared, mut stop: watch::Receiver<bool>) {
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(BUFFER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = told(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the OTLP receiver broke");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let format = head.headers.get(CONTENT_TYPE).and_then(Format::named);
    let taken = match taken(&head, format, &mut body, shared).await {
        Ok(()) => Ok(()),
        Err(refusal) => {
            if refusal.counts {
                add(&shared.taker.counters.rejected, 1);
            }
            body::drain(&head.headers, &mut body).await;
            Err(refusal)
        }
    };
    respond(taken, format.unwrap_or(Format::Protobuf))
}

async fn taken(
    head: &http::request::Parts,
    format: Option<Format>,
    body: &mut Incoming,
    shared: &Shared,
) -> Result<(), Refusal> {
    let no_message =
        |http, message: &str| Refusal { http, status: Status::new(Code::Unimplemented, message), counts: false };
    let path = head.uri.path();
    let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.path() == path) else {
        return Err(no_message(StatusCode::NOT_FOUND, "OTLP is taken at /v1/traces, /v1/metrics and /v1/logs"));
    };
    if head.method != Method::POST {
        return Err(no_message(StatusCode::METHOD_NOT_ALLOWED, "OTLP is sent with POST"));
    }
    if shared.taker.is_echo(&head.headers) {
        let status = Status::new(Code::InvalidArgument, "pacecar forwarded this itself: it is its own collector");
        return Err(Refusal { http: StatusCode::LOOP_DETECTED, status, counts: true });
    }
    let unsupported = |message: &str| Refusal {
        http: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        status: Status::new(Code::InvalidArgument, message),
        counts: true,
    };
    let format = format.ok_or_else(|| unsupported("content-type: application/x-protobuf or application/json"))?;
    let packing = Packing::named(head.headers.get(CONTENT_ENCODING))
        .ok_or_else(|| unsupported("content-encoding: gzip or identity"))?;
    let (sent, _room) = body::read(body, body::LARGEST, &shared.bodies).await.map_err(Refusal::from)?;
    let message = body::unpack(sent, packing)?;
    let taken = match format {
        Format::Protobuf => shared.taker.take(signal, message),
        Format::Json => shared.taker.take_json(signal, &message),
    };
    match taken {
        Taken::Queued => Ok(()),
        Taken::Later => Err(Refusal::later()),
        // Counted where it was noticed.
        Taken::Garbage(malformed) => Err(Refusal {
            http: StatusCode::BAD_REQUEST,
            status: Status::new(Code::InvalidArgument, malformed.to_string()),
            counts: false,
        }),
    }
}

fn respond(taken: Result<(), Refusal>, format: Format) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, if format == Format::Json { JSON } else { PROTOBUF });
    match taken {
        // An `Export…ServiceResponse` without anything to say is empty as protobuf.
        Ok(()) if format == Format::Protobuf => {}
        Ok(()) => *response.body_mut() = Bytes::from_static(b"{}").into(),
        Err(Refusal { http, status, .. }) => {
            if http == StatusCode::SERVICE_UNAVAILABLE {
                headers.insert(RETRY_AFTER_HEADER, HeaderValue::from(RETRY_AFTER));
            }
            if http == StatusCode::METHOD_NOT_ALLOWED {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            *response.status_mut() = http;
            let encoded = if format == Format::Json { status.json() } else { status.protobuf() };
            *response.body_mut() = Bytes::from(encoded).into();
        }
    }
    response
}

// === impl Format ===

impl Format {
    /// By the value of `content-type`, whatever its parameters.
    fn named(value: &HeaderValue) -> Option<Self> {
        let media_type = value.as_bytes().split(|byte| *byte == b';').next()?.trim_ascii().to_ascii_lowercase();
        match &media_type[..] {
            b"application/json" => Some(Self::Json),
            b"application/x-protobuf" | b"application/protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

// === impl Refusal ===

impl Refusal {
    fn later() -> Self {
        let status = Status::new(Code::Unavailable, "there is no room now");
        Self { http: StatusCode::SERVICE_UNAVAILABLE, status, counts: false }
    }
}

impl From<Unread> for Refusal {
    fn from(unread: Unread) -> Self {
        let refusal = |http, code, message: &str| Self { http, status: Status::new(code, message), counts: true };
        match unread {
            Unread::TooLarge => {
                refusal(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "more than 8 MiB in one message")
            }
            Unread::NotGzip => refusal(StatusCode::BAD_REQUEST, Code::InvalidArgument, "not gzip"),
            Unread::TooSlow => refusal(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "it came too slowly"),
            // Nobody hears it.
            Unread::Broken => Self { counts: false, ..Self::later() },
            Unread::NoRoom => Self::later(),
        }
    }
}
