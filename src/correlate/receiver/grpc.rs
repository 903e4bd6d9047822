//! OTLP over gRPC: the three unary `Export` methods, framed by hand over HTTP/2.
//!
//! A message is five bytes (packed or not, its length) and then itself. An answer is the same in reverse, and its
//! fate stands in trailers; a refusal is nothing but those.

use super::body::{self, Packing, Unread};
use super::listen::{Shared, told};
use super::stats::add;
use super::status::{Code, Status};
use super::take::Taken;
use crate::correlate::otlp::Signal;
use crate::correlate::tasks::Tasks;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time;

/// Calls at once on one connection.
const STREAMS: u32 = 32;
/// What a connection, and a call, may send ahead of being read.
const CONNECTION_WINDOW: u32 = 1 << 20;
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of a call's headers.
const HEADERS: u32 = 16 << 10;
/// A peer that is silent is asked whether it is there, and dropped where it does not answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// A frame's head: packed or not, and the length.
const FRAME: usize = 5;

/// What `grpc-message` leaves as it is.
const MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves a connection until its end.
pub(super) async fn serve(stream: TcpStream, shared: Shared, mut stop: watch::Receiver<bool>) {
    let tasks = Tasks::default();
    let service = service_fn(|request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut builder = http2::Builder::new(tasks.spawner());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
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
        tracing::debug!(%error, "a gRPC connection to the OTLP receiver broke");
    }
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Answer {
    let (head, mut body) = request.into_parts();
    let is_grpc = head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if head.method != Method::POST || !is_grpc {
        // No gRPC at all, so it would not understand gRPC's way of saying so.
        let mut answer = Response::new(Empty::new().boxed());
        *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return answer;
    }
    let calling = taken(&head, &mut body, shared);
    let taken = match deadline(&head.headers) {
        None => calling.await,
        Some(within) => time::timeout(within, calling)
            .await
            .unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, "the deadline has passed"))),
    };
    match taken {
        Ok(()) => accepted(),
        Err(status) => refused(&status),
    }
}

async fn taken(head: &http::request::Parts, body: &mut Incoming, shared: &Shared) -> Result<(), Status> {
    let reject = |code, message: &str| {
        add(&shared.taker.counters.rejected, 1);
        Status::new(code, message)
    };
    let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.method() == head.uri.path()) else {
        return Err(Status::new(Code::Unimplemented, "OTLP's three Export methods are served, and no other"));
    };
    if shared.taker.is_echo(&head.headers) {
        return Err(reject(Code::InvalidArgument, "pacecar forwarded this itself: it is its own collector"));
    }
    let Some(packing) = Packing::named(head.headers.get("grpc-encoding")) else {
        return Err(reject(Code::Unimplemented, "grpc-encoding: gzip or identity"));
    };
    let unread = |unread| match unread {
        Unread::TooLarge => reject(Code::ResourceExhausted, "more than 8 MiB in one message"),
        Unread::NotGzip => reject(Code::InvalidArgument, "not gzip"),
        Unread::TooSlow => reject(Code::DeadlineExceeded, "it came too slowly"),
        Unread::Broken | Unread::NoRoom => Status::new(Code::Unavailable, "there is no room now"),
    };
    let (mut frame, _room) = body::read(body, body::LARGEST + FRAME, &shared.bodies).await.map_err(unread)?;
    let message = match frame.first_chunk::<FRAME>() {
        Some([packed @ (0 | 1), length @ ..]) if u32::from_be_bytes(*length) as usize == frame.len() - FRAME => {
            let packing = if *packed == 1 { packing } else { Packing::Identity };
            if *packed == 1 && packing == Packing::Identity {
                return Err(reject(Code::InvalidArgument, "a packed message without grpc-encoding"));
            }
            frame.drain(..FRAME);
            body::unpack(frame, packing).map_err(unread)?
        }
        // Cut off, more than one, or no frame at all.
        _ => return Err(reject(Code::InvalidArgument, "not exactly one message")),
    };
    match shared.taker.take(signal, message) {
        Taken::Queued => Ok(()),
        Taken::Later => Err(Status::new(Code::Unavailable, "there is no room now")),
        // Counted where it was noticed.
        Taken::Garbage(malformed) => Err(Status::new(Code::InvalidArgument, malformed.to_string())),
    }
}

/// An empty `Export…ServiceResponse`, and `grpc-status: 0`.
fn accepted() -> Answer {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; FRAME])).with_trailers(std::future::ready(Some(Ok(trailers))));
    with_head(Response::new(body.boxed()))
}

/// Trailers only.
fn refused(status: &Status) -> Answer {
    let mut answer = with_head(Response::new(Empty::new().boxed()));
    let headers = answer.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(status.code as u64));
    let message = utf8_percent_encode(&status.message, MESSAGE).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    if let Ok(details) = HeaderValue::try_from(STANDARD_NO_PAD.encode(status.protobuf())) {
        headers.insert("grpc-status-details-bin", details);
    }
    answer
}

fn with_head(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    answer
}

/// `grpc-timeout`: up to eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
