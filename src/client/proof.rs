//! Proves that the sender knows the shared secret: the header `pacecar-proof`.
//!
//! It goes to the plan's own target (scheme, host and port of `base_url`) and nowhere else. Above the redirect, as the
//! trace is: a hop to the same origin carries it on, one that leaves loses it. A proof serves for all requests of a
//! trace, so an iteration pays for one.

use super::Request;
use super::redirect::same_origin;
use crate::measure::RequestContext;
use crate::semconv::{self, Secret, TraceId};
use bytes::Bytes;
use http::Uri;
use http::header::{HeaderName, HeaderValue};
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tower::Service;

/// The header.
pub(super) const PROOF: HeaderName = HeaderName::from_static(semconv::PROOF);
/// How long a proof is used again: a fraction of how long it is good for.
const FRESH: Duration = Duration::from_secs(10);

/// Who proves what to whom.
#[derive(Clone, Debug)]
pub struct Proving {
    /// The shared secret.
    pub secret: Secret,
    /// Where proofs go: an absolute URI; its path says nothing.
    pub home: Uri,
}

/// Writes `pacecar-proof`, where there is a secret.
#[derive(Clone, Debug)]
pub(crate) struct Proof<S> {
    inner: S,
    prover: Option<Rc<Prover>>,
}

#[derive(Debug)]
struct Prover {
    proving: Proving,
    last: RefCell<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    trace: TraceId,
    at: SystemTime,
    value: HeaderValue,
}

// === impl Proof ===

impl<S> Proof<S> {
    /// Wraps `inner`.
    pub(crate) fn new(inner: S, proving: Option<Proving>) -> Self {
        let prover = proving.map(|proving| Rc::new(Prover { proving, last: RefCell::default() }));
        Self { inner, prover }
    }
}

impl<S: Service<Request>> Service<Request> for Proof<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(prover) = &self.prover
            && let Some(context) = request.extensions().get::<RequestContext>()
            && same_origin(request.uri(), &prover.proving.home)
            && let Some(value) = prover.prove(&context.trace)
        {
            request.headers_mut().insert(PROOF, value);
        }
        self.inner.call(request)
    }
}

// === impl Prover ===

impl Prover {
    fn prove(&self, trace: &TraceId) -> Option<HeaderValue> {
        let now = SystemTime::now();
        let mut last = self.last.borrow_mut();
        // A clock that was set back makes a new one, too.
        let fresh = |made: &&Made| made.trace == *trace && now.duration_since(made.at).is_ok_and(|age| age < FRESH);
        if let Some(made) = last.as_ref().filter(fresh) {
            return Some(made.value.clone());
        }
        let proof = self.proving.secret.prove(trace, now);
        // Hex digits and dashes are always a header's value.
        let mut value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&proof)).ok()?;
        value.set_sensitive(true);
        *last = Some(Made { trace: *trace, at: now, value: value.clone() });
        Some(value)
    }
}
