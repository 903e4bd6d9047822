//! What came back of one request, read as far as anybody wants it.
//!
//! The body is read to its end in any case, because a connection is free only then; it is kept
//! only where something looks into it, and at most [`MAX_BODY`] of it.

use super::query::{Found, Queries};
use super::sse::{Events, has_content};
use crate::measure::{
    Exchange, Failure, FailureKind, Hop, MetricId, Proto, RecorderHandle, SiteId, Timings, TlsVersion,
};
use crate::semconv;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::cell::RefCell;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

/// The largest body that is kept for captures and checks, in bytes.
pub(crate) const MAX_BODY: usize = 8 << 20;

/// What marks an answer that turns a request away.
const SHED: HeaderName = HeaderName::from_static(semconv::SHED);

/// What an error of a service or body can become.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status; 0 without an answer.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: Text,
    /// Why there is no (whole) answer.
    pub(crate) failure: Option<FailureKind>,
    pub(crate) timings: Timings,
    pub(crate) proto: Option<Proto>,
    pub(crate) tls: Option<TlsVersion>,
    /// For how long the guard held the request back; for hops see there.
    pub(crate) held: Duration,
    /// The redirects before it.
    pub(crate) hops: Vec<Hop>,
    /// Whether it went once more on a fresh connection.
    pub(crate) stale: bool,
    /// When it was whole, or failed.
    pub(crate) ended: Instant,
}

/// The body, as far as it is kept.
#[derive(Debug)]
pub(crate) enum Text {
    /// Nobody wants it, or it did not come whole.
    Absent,
    /// All of it.
    Whole(Bytes),
    /// More than [`MAX_BODY`].
    TooLarge,
}

/// What of an answer is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Whether anything looks into the text itself.
    pub(crate) text: bool,
    pub(crate) queries: &'a Queries,
    /// Where a stream's figures are counted; none where the answer is no stream.
    pub(crate) stream: Option<StreamMetrics>,
    pub(crate) recorder: &'a RecorderHandle,
    pub(crate) site: SiteId,
}

/// The built-in trends of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamMetrics {
    /// `llm_ttft`
    pub(crate) first: MetricId,
    /// `llm_token_gap`
    pub(crate) gap: MetricId,
}

/// Keeps a body up to a bound; without a copy where it comes in one piece.
#[derive(Debug, Default)]
struct Kept {
    only: Bytes,
    pieces: Vec<u8>,
    too_large: bool,
}

/// Reads a stream's events as they come.
struct Reading<'a> {
    wanted: Wanted<'a>,
    metrics: StreamMetrics,
    events: Events,
    /// When the request was sent.
    sent: Instant,
    /// When the last event came.
    last: Option<Instant>,
    /// When the last bytes came.
    arrived: Instant,
}

/// Sends a request, reads its answer, and leaves what the queries find in `found`.
pub(crate) async fn ask<S, B>(
    service: &RefCell<S>,
    request: Request<Full<Bytes>>,
    wanted: Wanted<'_>,
    found: &mut Vec<Option<Found>>,
) -> Answer
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    wanted.queries.clear(found);
    let ready = std::future::poll_fn(|context| service.borrow_mut().poll_ready(context)).await;
    let called = Instant::now();
    let response = match ready {
        Ok(()) => {
            let calling = service.borrow_mut().call(request);
            calling.await
        }
        Err(error) => Err(error),
    };
    match response {
        Ok(response) => read(response, called, wanted, found).await,
        Err(error) => Answer::failed(error.into(), called),
    }
}

async fn read<B>(response: Response<B>, called: Instant, wanted: Wanted<'_>, found: &mut Vec<Option<Found>>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut parts, body) = response.into_parts();
    let exchange = parts.extensions.remove::<Exchange>();
    let timed = exchange.is_some();
    let exchange = exchange.unwrap_or_default();
    let head = exchange.head_at.unwrap_or_else(Instant::now);
    let mut timings = exchange.timings;
    if !timed {
        timings.waiting = head.saturating_duration_since(called);
    }
    let sent = if timed { head.checked_sub(timings.sending + timings.waiting).unwrap_or(called) } else { called };
    let mut stream = wanted.stream.filter(|_| !is_json(&parts.headers)).map(|metrics| Reading {
        wanted,
        metrics,
        events: Events::default(),
        sent,
        last: None,
        arrived: head,
    });
    let keep = wanted.text || (stream.is_none() && !wanted.queries.is_empty());
    let mut kept = Kept::default();
    let mut scratch = Vec::new();
    let mut body = pin!(body);
    let mut failed = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Ok(data) = frame.into_data() else { continue };
                if let Some(stream) = &mut stream {
                    stream.take(&data, found, &mut scratch);
                }
                if keep {
                    kept.push(data);
                }
            }
            Err(error) => {
                failed = Some(failure(error.into()).kind);
                break;
            }
        }
    }
    let ended = Instant::now();
    timings.receiving = ended.saturating_duration_since(head);
    let text = if keep && failed.is_none() { kept.finish() } else { Text::Absent };
    match &mut stream {
        Some(stream) if failed.is_none() => stream.finish(found, &mut scratch),
        Some(_) => {}
        None => {
            if let (Text::Whole(text), false) = (&text, wanted.queries.is_empty()) {
                wanted.queries.read(text, found);
            }
        }
    }
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text,
        failure: failed,
        timings,
        proto: Some(if timed { exchange.proto } else { proto(parts.version) }),
        tls: exchange.tls,
        held: exchange.held,
        hops: exchange.hops,
        stale: exchange.stale,
        ended,
    }
}

// === impl Answer ===

impl Answer {
    fn failed(error: BoxError, called: Instant) -> Self {
        let ended = Instant::now();
        let timed = error.is::<Failure>();
        let failure = failure(error);
        let exchange = failure.exchange;
        let mut timings = exchange.timings;
        if !timed {
            timings.waiting = ended.saturating_duration_since(called);
        }
        Self {
            status: 0,
            headers: HeaderMap::new(),
            text: Text::Absent,
            failure: Some(failure.kind),
            timings,
            proto: None,
            tls: exchange.tls,
            held: exchange.held,
            hops: exchange.hops,
            stale: exchange.stale,
            ended,
        }
    }

    /// Whether the target says that it turned the request away to spare real ones.
    pub(crate) fn is_shed(&self) -> bool {
        matches!(self.status, 429 | 503) && self.headers.contains_key(SHED)
    }

    /// For how long the guard held it and its hops back.
    pub(crate) fn held(&self) -> Duration {
        self.hops.iter().fold(self.held, |held, hop| held + hop.held)
    }

    /// The body as text, where all of it is there.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match &self.text {
            Text::Whole(bytes) => Some(bytes),
            Text::Absent | Text::TooLarge => None,
        }
    }
}

// === impl Kept ===

impl Kept {
    fn push(&mut self, data: Bytes) {
        if self.too_large || data.is_empty() {
            return;
        }
        if self.only.len() + self.pieces.len() + data.len() > MAX_BODY {
            *self = Self { too_large: true, ..Self::default() };
        } else if self.only.is_empty() && self.pieces.is_empty() {
            self.only = data;
        } else {
            let only = std::mem::take(&mut self.only);
            self.pieces.extend_from_slice(&only);
            self.pieces.extend_from_slice(&data);
        }
    }

    fn finish(self) -> Text {
        match self {
            Self { too_large: true, .. } => Text::TooLarge,
            Self { only, pieces, .. } if pieces.is_empty() => Text::Whole(only),
            Self { pieces, .. } => Text::Whole(Bytes::from(pieces)),
        }
    }
}

// === impl Reading ===

impl Reading<'_> {
    fn take(&mut self, data: &[u8], found: &mut [Option<Found>], scratch: &mut Vec<Option<Found>>) {
        self.arrived = Instant::now();
        let mut events = std::mem::take(&mut self.events);
        events.push(data, |event| self.event(event, found, scratch));
        self.events = events;
    }

    fn finish(&mut self, found: &mut [Option<Found>], scratch: &mut Vec<Option<Found>>) {
        let mut events = std::mem::take(&mut self.events);
        events.finish(|event| self.event(event, found, scratch));
    }

    fn event(&mut self, event: &[u8], found: &mut [Option<Found>], scratch: &mut Vec<Option<Found>>) {
        if !has_content(event) {
            return;
        }
        let (metric, since) = match self.last {
            None => (self.metrics.first, self.sent),
            Some(last) => (self.metrics.gap, last),
        };
        let took = milliseconds(self.arrived.saturating_duration_since(since));
        self.wanted.recorder.custom(self.wanted.site, metric, took);
        self.last = Some(self.arrived);
        look(self.wanted.queries, event, found, scratch);
    }
}

/// A duration in milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Of several events that have a value the last counts.
fn look(queries: &Queries, event: &[u8], found: &mut [Option<Found>], scratch: &mut Vec<Option<Found>>) {
    if queries.is_empty() {
        return;
    }
    queries.read(event, scratch);
    for (kept, new) in found.iter_mut().zip(scratch) {
        if new.is_some() {
            *kept = new.take();
        }
    }
}

/// The failure that a service handed up; an error of another kind is one of the protocol.
fn failure(error: BoxError) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => *failure,
        Err(source) => Failure { source: Some(source), ..Failure::new(FailureKind::Protocol) },
    }
}

/// Whether an answer to a streaming request is plain JSON after all: most APIs report errors so.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

const fn proto(version: http::Version) -> Proto {
    match version {
        http::Version::HTTP_2 => Proto::Http2,
        http::Version::HTTP_10 => Proto::Http10,
        _ => Proto::Http11,
    }
}
