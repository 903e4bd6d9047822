//! Recognises synthetic requests: the outermost of the layers.
//!
//! For a synthetic request it puts [`Synthetic`] into the extensions, marks the span, and answers `Server-Timing`. For
//! a real one it notes when the request arrived, and does nothing else.
//!
//! # Who counts as synthetic
//!
//! Anybody can send the markers. Without a secret, who sends them counts as synthetic, and gains nothing by it: he is
//! the first to be turned away and is limited. What he can do is have his own rows taken for test data; so where the
//! ledger or a root decides by the run id what is deleted, give both sides a secret (`auth`): then only who proves
//! that he knows it counts as synthetic, and everybody else's request is a real one.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use pacecar::middleware::{Synthetic, SyntheticLayer};
//! use std::convert::Infallible;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! async fn handle(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     let who = match request.extensions().get::<Synthetic>() {
//!         Some(synthetic) => format!("{} of tenant {}", synthetic.step, synthetic.tenant),
//!         None => "a customer".to_owned(),
//!     };
//!     Ok(Response::new(who))
//! }
//!
//! let mut service = ServiceBuilder::new().layer(SyntheticLayer::new()).service_fn(handle);
//! let request = Request::get("/")
//!     .header("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01")
//!     .header("baggage", "pacecar.run=0123456789abcdef,pacecar.tenant=7,pacecar.step=login")
//!     .body(String::new())
//!     .unwrap();
//! let answer = service.ready().await.unwrap().call(request).await.unwrap();
//! assert_eq!(answer.body(), "login of tenant 7");
//! assert!(answer.headers().contains_key("server-timing"));
//!
//! let answer = service.ready().await.unwrap().call(Request::new(String::new())).await.unwrap();
//! assert_eq!(answer.body(), "a customer");
//! # }
//! ```

use super::clock;
use super::recognise::{self, Synthetic};
use super::scope::{self, Times};
#[cfg(feature = "auth")]
use crate::semconv::Secret;
use crate::semconv::{self, RunId};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use std::fmt::{self, Write as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

const SERVER_TIMING: HeaderName = HeaderName::from_static(semconv::SERVER_TIMING);
#[cfg(feature = "auth")]
const PROOF: HeaderName = HeaderName::from_static(semconv::PROOF);

/// Recognises synthetic requests. See the [module](self).
#[derive(Clone, Default)]
pub struct SyntheticLayer {
    rules: Option<Arc<Rules>>,
}

/// The service of [`SyntheticLayer`].
#[derive(Clone)]
pub struct SyntheticService<S> {
    inner: S,
    rules: Option<Arc<Rules>>,
}

/// Who counts as synthetic.
#[derive(Clone, Default)]
struct Rules {
    #[cfg(feature = "auth")]
    secret: Option<Secret>,
    known: Option<Arc<dyn Fn(RunId) -> bool + Send + Sync>>,
}

pin_project! {
    /// The response future of [`SyntheticService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        arrived: Instant,
        // Boxed: a real request carries one word for it.
        synthetic: Option<Box<Marked>>,
    }
}

/// What a synthetic request has with it.
#[derive(Debug)]
struct Marked {
    span: Span,
    times: Arc<Times>,
}

// === impl SyntheticLayer ===

impl SyntheticLayer {
    /// Whoever sends the markers counts as synthetic. See [the module](self) for what that means.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only requests with a proof that their sender knows `secret` count as synthetic; the generator sends one where it
    /// finds the same secret in `PACECAR_SECRET`. The proof is taken off the request, so that no handler passes it on.
    #[cfg(feature = "auth")]
    #[must_use]
    pub fn secret(self, secret: Secret) -> Self {
        self.with(|rules| rules.secret = Some(secret))
    }

    /// Only requests of runs that `known` knows count as synthetic.
    #[must_use]
    pub fn known(self, known: impl Fn(RunId) -> bool + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.known = Some(Arc::new(known)))
    }

    fn with(self, change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = self.rules.map(Arc::unwrap_or_clone).unwrap_or_default();
        change(&mut rules);
        Self { rules: Some(Arc::new(rules)) }
    }
}

impl<S> Layer<S> for SyntheticLayer {
    type Service = SyntheticService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SyntheticService { inner, rules: self.rules.clone() }
    }
}

impl fmt::Debug for SyntheticLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyntheticLayer").field("rules", &self.rules).finish()
    }
}

// === impl SyntheticService ===

impl<S, B, R> Service<Request<B>> for SyntheticService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let arrived = clock::now();
        let found = match &self.rules {
            None => recognise::read(request.headers()).map(|(_, synthetic)| synthetic),
            Some(rules) => rules.judge(request.headers_mut()),
        };
        let Some(synthetic) = found else {
            let inner = scope::within(arrived, None, || self.inner.call(request));
            return ResponseFuture { inner, arrived, synthetic: None };
        };
        let marked = Box::new(Marked { span: mark(&synthetic), times: Arc::default() });
        request.extensions_mut().insert(synthetic);
        let inner = marked.span.in_scope(|| scope::within(arrived, Some(&marked.times), || self.inner.call(request)));
        ResponseFuture { inner, arrived, synthetic: Some(marked) }
    }
}

impl<S: fmt::Debug> fmt::Debug for SyntheticService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyntheticService").field("inner", &self.inner).field("rules", &self.rules).finish()
    }
}

// === impl Rules ===

impl Rules {
    /// The synthetic request that these headers are of. A proof is taken off, whatever it proves.
    fn judge(&self, headers: &mut HeaderMap) -> Option<Synthetic> {
        #[cfg(feature = "auth")]
        let found = match &self.secret {
            None => recognise::read(headers),
            Some(secret) => {
                // An answer to none of them, were there two.
                let proof = headers.remove(PROOF)?;
                let now = std::time::SystemTime::now();
                recognise::read(headers).filter(|(trace, _)| secret.proves(proof.as_bytes(), trace, now))
            }
        };
        #[cfg(not(feature = "auth"))]
        let found = recognise::read(headers);
        let (_, synthetic) = found?;
        self.known.as_ref().is_none_or(|known| known(synthetic.run)).then_some(synthetic)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rules = f.debug_struct("Rules");
        #[cfg(feature = "auth")]
        rules.field("secret", &self.secret.is_some());
        rules.field("known", &self.known.is_some()).finish()
    }
}

// === impl ResponseFuture ===

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(marked) = this.synthetic else {
            return scope::within(*this.arrived, None, || this.inner.poll(cx));
        };
        let _entered = marked.span.enter();
        let mut response = ready!(scope::within(*this.arrived, Some(&marked.times), || this.inner.poll(cx)))?;
        let total = clock::now().saturating_duration_since(*this.arrived);
        let mut text = format!("total;dur={:.3}", total.as_secs_f64() * 1e3);
        for (name, time) in marked.times.told() {
            // Writing into a `String` does not fail.
            let _ = write!(text, ", {name};dur={:.3}", time.as_secs_f64() * 1e3);
        }
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().append(SERVER_TIMING, value);
        }
        Poll::Ready(Ok(response))
    }
}

// === helpers ===

/// Marks the span of the request, where it has the fields for it; else opens one below it that has.
fn mark(synthetic: &Synthetic) -> Span {
    let span = Span::current();
    if !span.has_field(semconv::SYNTHETIC_TYPE) {
        return tracing::info_span!(
            "pacecar.synthetic",
            "user_agent.synthetic.type" = semconv::SYNTHETIC_TEST,
            "pacecar.run" = %synthetic.run,
            "pacecar.tenant" = synthetic.tenant,
            "pacecar.scenario" = synthetic.scenario,
            "pacecar.step" = synthetic.step,
            "http.server.request.time_in_queue" = tracing::field::Empty,
        );
    }
    // A field that the span does not have is passed over.
    span.record(semconv::SYNTHETIC_TYPE, semconv::SYNTHETIC_TEST);
    span.record("pacecar.run", tracing::field::display(synthetic.run));
    span.record("pacecar.tenant", synthetic.tenant.as_str());
    span.record("pacecar.scenario", synthetic.scenario.as_str());
    span.record("pacecar.step", synthetic.step.as_str());
    span
}
