//! What the layers cost a request: a real one with each of them and with all, and a synthetic one.
//!
//! The handler answers at once. What is measured is the difference to the handler alone.

#![allow(missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::Full;
use pacecar::middleware::{InFlightLayer, LimitLayer, SyntheticLayer, YieldLayer};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::util::ServiceFn;
use tower::{Service, ServiceBuilder};

const PARENT: &str = "00-0123456789abcdef0000000000000007-00000000000000aa-01";

type Handler = fn(Request<Full<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>>;

fn handler() -> ServiceFn<Handler> {
    tower::service_fn(|_| ready(Ok(Response::new(Full::default()))))
}

/// As a browser's request through a gateway: with a trace, and baggage of somebody else's.
fn real() -> Request<Full<Bytes>> {
    let request = Request::get("/api/user/profile")
        .header("host", "api.example.com")
        .header("user-agent", "Mozilla/5.0")
        .header("accept", "*/*")
        .header("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0")
        .header("traceparent", PARENT);
    request.body(Full::default()).unwrap()
}

fn with_baggage() -> Request<Full<Bytes>> {
    let mut request = real();
    request.headers_mut().insert("baggage", "userId=alice,serverNode=DF%2028,isProduction=false".parse().unwrap());
    request
}

fn synthetic() -> Request<Full<Bytes>> {
    let mut request = real();
    let baggage = "pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=7,pacecar.step=profile";
    request.headers_mut().insert("baggage", baggage.parse().unwrap());
    request
}

/// Calls once, as a server does: with a clone.
fn call<S, B>(service: &S, request: Request<Full<Bytes>>) -> Response<B>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    let _ = service.poll_ready(&mut context);
    let mut asked = pin!(service.call(request));
    loop {
        if let Poll::Ready(Ok(answer)) = asked.as_mut().poll(&mut context) {
            return answer;
        }
    }
}

fn measure<S, B>(criterion: &mut Criterion, name: &str, service: &S, request: fn() -> Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible> + Clone,
{
    criterion.bench_function(name, |bencher| {
        bencher.iter_batched(request, |request| black_box(call(service, request)), BatchSize::SmallInput);
    });
}

fn layers(criterion: &mut Criterion) {
    measure(criterion, "middleware/none", &handler(), real);
    let service = ServiceBuilder::new().layer(SyntheticLayer::new()).service(handler());
    measure(criterion, "middleware/real/synthetic-layer", &service, real);
    let in_flight = InFlightLayer::new();
    let counted = in_flight.in_flight();
    let service = ServiceBuilder::new().layer(in_flight.clone()).service(handler());
    measure(criterion, "middleware/real/in-flight-layer", &service, real);
    let all = ServiceBuilder::new()
        .layer(SyntheticLayer::new())
        .layer(YieldLayer::new(counted.above(1_000)).or(counted.slower_than(Duration::from_secs(1))))
        .layer(LimitLayer::per_second(NonZeroU32::MAX))
        .layer(in_flight)
        .service(handler());
    measure(criterion, "middleware/real/all", &all, real);
    measure(criterion, "middleware/real/all-with-baggage", &all, with_baggage);
    measure(criterion, "middleware/synthetic/all", &all, synthetic);
}

criterion_group!(benches, layers);
criterion_main!(benches);
