//! Synthetic traffic yields to real traffic: under pressure synthetic requests are turned away first.
//!
//! They get 503 with `Retry-After` and the marker `pacecar-shed`, by which the generator counts them as shed and not as
//! failed, and pauses. Real requests pass; nothing is asked for them. It stands below
//! [`SyntheticLayer`](super::SyntheticLayer), which says what is synthetic.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use pacecar::middleware::{InFlightLayer, SyntheticLayer, YieldLayer};
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let in_flight = InFlightLayer::new();
//! let pressure = in_flight.in_flight();
//! let mut service = ServiceBuilder::new()
//!     .layer(SyntheticLayer::new())
//!     .layer(
//!         YieldLayer::new(pressure.above(100))
//!             .or(pressure.slower_than(Duration::from_millis(250)))
//!             // Any closure: this API has decided that there is no room at all.
//!             .or(|| true),
//!     )
//!     .layer(in_flight)
//!     .service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
//! let synthetic = Request::get("/")
//!     .header("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01")
//!     .header("baggage", "pacecar.run=0123456789abcdef")
//!     .body(String::new())
//!     .unwrap();
//! let answer = service.ready().await.unwrap().call(synthetic).await.unwrap();
//! assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(answer.headers()["retry-after"], "1");
//! assert_eq!(answer.headers()["pacecar-shed"], "pressure");
//!
//! let answer = service.ready().await.unwrap().call(Request::new(String::new())).await.unwrap();
//! assert_eq!(answer.status(), StatusCode::OK);
//! # }
//! ```

use super::pressure::{Pressure, Sources};
use super::recognise::Synthetic;
use super::shed::ResponseFuture;
use http::{Request, Response, StatusCode};
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// After how long a sender may come again, unless it is said.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Turns synthetic requests away under pressure. See the [module](self).
#[derive(Clone, Debug)]
pub struct YieldLayer {
    sources: Sources,
    retry_after: Duration,
}

/// The service of [`YieldLayer`].
#[derive(Clone, Debug)]
pub struct YieldService<S> {
    inner: S,
    sources: Sources,
    retry_after: Duration,
}

// === impl YieldLayer ===

impl YieldLayer {
    /// Synthetic requests are turned away while this source says so, for 1 s each.
    #[must_use]
    pub fn new(pressure: impl Pressure) -> Self {
        Self { sources: Sources::default().with(pressure), retry_after: RETRY_AFTER }
    }

    /// Or while this one says so.
    #[must_use]
    pub fn or(self, pressure: impl Pressure) -> Self {
        Self { sources: self.sources.with(pressure), ..self }
    }

    /// What `Retry-After` says, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Self { retry_after, ..self }
    }
}

impl<S> Layer<S> for YieldLayer {
    type Service = YieldService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        YieldService { inner, sources: self.sources.clone(), retry_after: self.retry_after }
    }
}

// === impl YieldService ===

impl<S, B, R> Service<Request<B>> for YieldService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.extensions().get::<Synthetic>().is_some()
            && let Some(reason) = self.sources.reason()
        {
            return ResponseFuture::shed(StatusCode::SERVICE_UNAVAILABLE, reason, self.retry_after);
        }
        ResponseFuture::admitted(self.inner.call(request))
    }
}
