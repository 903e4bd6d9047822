//! How many requests are in flight, how long they wait for their handler, and how long they take.
//!
//! It stands innermost, next to the handlers: then what it counts was admitted, and what it measures from the arrival
//! (at [`SyntheticLayer`](super::SyntheticLayer), or at [`Accepted`] where the server says) to here is the wait in the
//! queue: in the layers between, and where they make their caller wait before it may call. The wait is recorded in the
//! field `http.server.request.time_in_queue` (seconds) of the current `tracing` span, where that has such a field, and
//! in `Server-Timing` of synthetic requests. A request is in flight until its answer's body is at its end or dropped.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use pacecar::middleware::InFlightLayer;
//! use std::convert::Infallible;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let layer = InFlightLayer::new();
//! let in_flight = layer.in_flight();
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::new(&b"hello"[..]))));
//!
//! let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
//! assert_eq!(in_flight.count(), 1, "its body is still on its way");
//! answer.into_body().collect().await.unwrap();
//! assert_eq!(in_flight.count(), 0);
//! # }
//! ```

use super::clock;
use super::pressure::Pressure;
use super::recognise::Synthetic;
use super::scope;
use super::shed::SHED;
use crate::semconv;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

/// The moving mean moves by one part in so many with each answer.
const SLUGGISH: u64 = 16;
/// After so long without an answer the mean says nothing any more.
const STALE: Duration = Duration::from_secs(1);

/// Counts requests in flight and measures their wait. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct InFlightLayer {
    in_flight: InFlight,
}

/// The service of [`InFlightLayer`].
#[derive(Clone, Debug)]
pub struct InFlightService<S> {
    inner: S,
    in_flight: InFlight,
    /// Since when a caller waits for this clone to become ready.
    waiting: Option<Instant>,
}

/// What [`InFlightLayer`] counts. Clones read the same counters.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<Counters>);

/// When a request was accepted. A server that knows puts it into the request's extensions; else a request counts as
/// accepted when it reaches the first of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted(Instant);

#[derive(Debug)]
struct Counters {
    count: AtomicUsize,
    /// Moving mean of the time to an answer's head, in ns.
    latency: AtomicU64,
    /// When it last moved, in ns from `began`.
    moved: AtomicU64,
    began: Instant,
}

/// One request in flight; it is none any more when this is dropped.
#[derive(Debug)]
struct Guard(InFlight);

pin_project! {
    /// The response future of [`InFlightService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        guard: Option<Guard>,
        began: Instant,
        synthetic: bool,
    }
}

pin_project! {
    /// The body of an answer whose request is in flight until it ends.
    #[derive(Debug)]
    pub struct InFlightBody<B> {
        #[pin]
        inner: B,
        guard: Option<Guard>,
    }
}

// === impl InFlightLayer ===

impl InFlightLayer {
    /// Counts from 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it counts, to read and to decide by.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.clone()
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InFlightService { inner, in_flight: self.in_flight.clone(), waiting: None }
    }
}

// === impl InFlight ===

impl InFlight {
    /// Requests in flight.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The moving mean of the time to an answer's head; none while there was no answer for a second. What was shed
    /// does not count.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.latency_at(clock::now())
    }

    fn latency_at(&self, now: Instant) -> Option<Duration> {
        let counters = &*self.0;
        let moved = Duration::from_nanos(counters.moved.load(Ordering::Relaxed));
        let age = now.saturating_duration_since(counters.began).saturating_sub(moved);
        (age <= STALE && !moved.is_zero()).then(|| Duration::from_nanos(counters.latency.load(Ordering::Relaxed)))
    }

    /// Pressure while more than `limit` requests are in flight.
    #[must_use]
    pub fn above(&self, limit: usize) -> impl Pressure + use<> {
        Above { in_flight: self.clone(), limit }
    }

    /// Pressure while answers take longer than `limit`, in the moving mean.
    #[must_use]
    pub fn slower_than(&self, limit: Duration) -> impl Pressure + use<> {
        Slower { in_flight: self.clone(), limit }
    }

    fn begin(&self) -> Guard {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        Guard(self.clone())
    }

    /// An answer took so long. Two at the same instant may lose one of them: it is a mean.
    fn answered(&self, took: Duration, now: Instant) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let counters = &*self.0;
        let before = counters.latency.load(Ordering::Relaxed);
        let (took, fresh) = (nanos(took), self.latency_at(now).is_some());
        let mean = if fresh { before - before / SLUGGISH + took / SLUGGISH } else { took };
        counters.latency.store(mean, Ordering::Relaxed);
        counters.moved.store(nanos(now.saturating_duration_since(counters.began)).max(1), Ordering::Relaxed);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), latency: AtomicU64::new(0), moved: AtomicU64::new(0), began: clock::now() }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        self.0.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

// === the sources ===

struct Above {
    in_flight: InFlight,
    limit: usize,
}

struct Slower {
    in_flight: InFlight,
    limit: Duration,
}

impl Pressure for Above {
    fn reason(&self) -> Option<&'static str> {
        (self.in_flight.count() > self.limit).then_some("in-flight")
    }
}

impl Pressure for Slower {
    fn reason(&self) -> Option<&'static str> {
        self.in_flight.latency().is_some_and(|latency| latency > self.limit).then_some("latency")
    }
}

// === impl Accepted ===

impl Accepted {
    /// Accepted now.
    #[must_use]
    pub fn now() -> Self {
        Self(clock::now())
    }
}

impl From<Instant> for Accepted {
    fn from(at: Instant) -> Self {
        Self(at)
    }
}

// === impl InFlightService ===

impl<S, B, R> Service<Request<B>> for InFlightService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<InFlightBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() && self.waiting.is_none() {
            self.waiting = Some(clock::now());
        }
        ready
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let began = clock::now();
        let guard = Some(self.in_flight.begin());
        let accepted = request.extensions().get::<Accepted>().map(|accepted| accepted.0);
        // The earliest that is known.
        let since = [accepted, scope::arrived(), self.waiting.take()].into_iter().flatten().min();
        let wait = since.map_or(Duration::ZERO, |since| began.saturating_duration_since(since));
        let synthetic = request.extensions().get::<Synthetic>().is_some();
        Span::current().record(semconv::TIME_IN_QUEUE, wait.as_secs_f64());
        if synthetic {
            scope::queued(wait);
        }
        ResponseFuture { inner: self.inner.call(request), guard, began, synthetic }
    }
}

// === impl ResponseFuture ===

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<InFlightBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let mut guard = this.guard.take();
        // What a layer below has shed says nothing of how fast the API is.
        let shed = *this.synthetic && response.headers().contains_key(SHED);
        if let Some(guard) = guard.as_ref().filter(|_| !shed) {
            let now = clock::now();
            guard.0.answered(now.saturating_duration_since(*this.began), now);
        }
        Poll::Ready(Ok(response.map(|inner| InFlightBody { inner, guard: guard.take() })))
    }
}

// === impl InFlightBody ===

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *this.guard = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: Default> Default for InFlightBody<B> {
    /// An empty body, of no request in flight.
    fn default() -> Self {
        Self { inner: B::default(), guard: None }
    }
}
