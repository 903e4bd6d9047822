//! A ceiling on synthetic requests, for each tenant its own.
//!
//! What is above it gets 429 with `Retry-After` and the marker `pacecar-shed`. Real requests are never limited here. It
//! stands below [`SyntheticLayer`](super::SyntheticLayer), which says what is synthetic.
//!
//! How many tenants are kept apart is bounded: tenants beyond it share one ceiling, so that nobody gains room, or costs
//! memory, by inventing names.
//!
//! # Example
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use pacecar::middleware::{LimitLayer, SyntheticLayer};
//! use std::convert::Infallible;
//! use std::num::NonZeroU32;
//! use tower::{Service, ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut service = ServiceBuilder::new()
//!     .layer(SyntheticLayer::new())
//!     .layer(LimitLayer::per_minute(NonZeroU32::MIN))
//!     .service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
//! let of = |tenant: u32| {
//!     Request::get("/")
//!         .header("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01")
//!         .header("baggage", format!("pacecar.run=0123456789abcdef,pacecar.tenant={tenant}"))
//!         .body(String::new())
//!         .unwrap()
//! };
//! let mut status = async |request| service.ready().await.unwrap().call(request).await.unwrap().status();
//! assert_eq!(status(of(1)).await, StatusCode::OK);
//! assert_eq!(status(of(1)).await, StatusCode::TOO_MANY_REQUESTS);
//! assert_eq!(status(of(2)).await, StatusCode::OK, "another tenant");
//! assert_eq!(status(Request::new(String::new())).await, StatusCode::OK, "a customer");
//! # }
//! ```

use super::recognise::Synthetic;
use super::shed::ResponseFuture;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{Request, Response, StatusCode};
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// How many tenants are kept apart, unless it is said.
const TENANTS: usize = 1024;

/// Limits synthetic requests by tenant. See the [module](self).
#[derive(Clone)]
pub struct LimitLayer {
    quota: Quota,
    tenants: Arc<Tenants<DefaultClock>>,
}

/// The service of [`LimitLayer`].
#[derive(Clone)]
pub struct LimitService<S> {
    inner: S,
    tenants: Arc<Tenants<DefaultClock>>,
}

/// The tenants and what each has used.
struct Tenants<C: Clock> {
    quota: Quota,
    clock: C,
    /// How many are kept apart.
    most: usize,
    kept: Mutex<Kept<C>>,
}

struct Kept<C: Clock> {
    tenants: HashMap<String, Tenant<C>>,
    /// All that found no room.
    others: Limiter<C>,
    /// When it was last looked for who makes room.
    swept: Option<C::Instant>,
}

struct Tenant<C: Clock> {
    limiter: Limiter<C>,
    seen: C::Instant,
}

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

// === impl LimitLayer ===

impl LimitLayer {
    /// At most so many requests of a tenant in a second, and so many at once.
    #[must_use]
    pub fn per_second(requests: NonZeroU32) -> Self {
        Self::of(Quota::per_second(requests))
    }

    /// At most so many requests of a tenant in a minute, and so many at once.
    #[must_use]
    pub fn per_minute(requests: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(requests))
    }

    /// How many of a tenant may come at once; without it as many as come in a second or minute.
    #[must_use]
    pub fn burst(self, requests: NonZeroU32) -> Self {
        let quota = self.quota.allow_burst(requests);
        Self { quota, tenants: Arc::new(Tenants::new(quota, DefaultClock::default(), self.tenants.most)) }
    }

    /// How many tenants are kept apart (1,024 unless it is said); those beyond share one ceiling.
    #[must_use]
    pub fn tenants(self, most: usize) -> Self {
        Self { tenants: Arc::new(Tenants::new(self.quota, DefaultClock::default(), most)), ..self }
    }

    fn of(quota: Quota) -> Self {
        Self { quota, tenants: Arc::new(Tenants::new(quota, DefaultClock::default(), TENANTS)) }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, tenants: Arc::clone(&self.tenants) }
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("quota", &self.quota).finish_non_exhaustive()
    }
}

// === impl Tenants ===

impl<C: Clock + Clone> Tenants<C> {
    fn new(quota: Quota, clock: C, most: usize) -> Self {
        let others = RateLimiter::direct_with_clock(quota, clock.clone());
        let kept = Mutex::new(Kept { tenants: HashMap::new(), others, swept: None });
        Self { quota, clock, most, kept }
    }

    /// Takes a request of a tenant, or says after how long the next may come.
    fn take(&self, tenant: &str) -> Result<(), Duration> {
        let now = self.clock.now();
        let check = |limiter: &Limiter<C>| limiter.check().map_err(|until| until.wait_time_from(now));
        // Nobody panics while holding it; were it so, what is in there is whole all the same.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.tenants.get_mut(tenant) {
            known.seen = now;
            return check(&known.limiter);
        }
        if kept.tenants.len() >= self.most {
            self.make_room(&mut kept, now);
        }
        if kept.tenants.len() >= self.most {
            return check(&kept.others);
        }
        let limiter = RateLimiter::direct_with_clock(self.quota, self.clock.clone());
        let taken = check(&limiter);
        kept.tenants.insert(tenant.to_owned(), Tenant { limiter, seen: now });
        taken
    }

    /// Forgets who has used nothing for so long that he is as good as new. Seldom: it looks at all of them.
    fn make_room(&self, kept: &mut Kept<C>, now: C::Instant) {
        let whole = self.quota.burst_size_replenished_in();
        let since = |then: C::Instant| Duration::from(now.duration_since(then));
        if kept.swept.is_none_or(|swept| since(swept) >= whole) {
            kept.swept = Some(now);
            kept.tenants.retain(|_, tenant| since(tenant.seen) < whole);
        }
    }
}

// === impl LimitService ===

impl<S, B, R> Service<Request<B>> for LimitService<S>
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
        if let Some(synthetic) = request.extensions().get::<Synthetic>()
            && let Err(wait) = self.tenants.take(&synthetic.tenant)
        {
            return ResponseFuture::shed(StatusCode::TOO_MANY_REQUESTS, "limit", wait);
        }
        ResponseFuture::admitted(self.inner.call(request))
    }
}

impl<S: fmt::Debug> fmt::Debug for LimitService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn tenants(most: usize) -> (FakeRelativeClock, Tenants<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(2).unwrap());
        (clock.clone(), Tenants::new(quota, clock, most))
    }

    #[test]
    fn each_tenant_has_a_ceiling_of_its_own() {
        let (clock, tenants) = tenants(10);
        assert!(tenants.take("a").is_ok() && tenants.take("a").is_ok());
        assert_eq!(tenants.take("a"), Err(Duration::from_millis(500)));
        assert!(tenants.take("b").is_ok());
        clock.advance(Duration::from_millis(500));
        assert!(tenants.take("a").is_ok());
        assert!(tenants.take("a").is_err());
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let clock = FakeRelativeClock::default();
        let tenants = Tenants::new(Quota::per_second(NonZeroU32::MIN), clock.clone(), 10);
        for _ in 0..3 {
            assert!(tenants.take("a").is_ok());
            clock.advance(Duration::from_millis(1));
            assert!(tenants.take("a").is_err());
            clock.advance(Duration::from_millis(1_000));
        }
    }

    #[test]
    fn who_finds_no_room_shares() {
        let (clock, tenants) = tenants(2);
        assert!(tenants.take("a").is_ok() && tenants.take("b").is_ok());
        let taken = (0..1000).filter(|n| tenants.take(&format!("invented-{n}")).is_ok()).count();
        assert_eq!(taken, 2, "as much as one tenant");
        assert!(tenants.take("a").is_ok(), "who was there before keeps its own");
        assert_eq!(tenants.kept.lock().unwrap().tenants.len(), 2);
        // Who has used nothing for as long as it takes to have all of it again makes room.
        clock.advance(Duration::from_secs(1));
        assert!(tenants.take("c").is_ok());
        assert_eq!(tenants.kept.lock().unwrap().tenants.len(), 1);
    }
}
