//! The layers together, as an API has them: axum's router in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Service, ServiceBuilder, ServiceExt as _};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

const PARENT: &str = "00-0123456789abcdef0000000000000007-00000000000000aa-01";
const BAGGAGE: &str = "pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=7,pacecar.step=login";

fn synthetic() -> Request<Body> {
    Request::get("/").header("traceparent", PARENT).header("baggage", BAGGAGE).body(Body::empty()).unwrap()
}

fn real() -> Request<Body> {
    Request::get("/").header("traceparent", PARENT).header("baggage", "a=b").body(Body::empty()).unwrap()
}

/// Who the handler takes a request for.
async fn who(request: axum::extract::Request) -> String {
    request.extensions().get::<Synthetic>().map_or_else(|| "real".to_owned(), |it| format!("tenant {}", it.tenant))
}

async fn ask<S, B>(service: &S, request: Request<Body>) -> (StatusCode, HeaderMap, String)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn all_layers_go_around_a_router() {
    let high = Arc::new(AtomicBool::new(false));
    let pressure = Arc::clone(&high);
    let in_flight = InFlightLayer::new();
    let counted = in_flight.in_flight();
    let app = Router::new()
        .route("/", get(who))
        .layer(in_flight)
        .layer(YieldLayer::new(move || pressure.load(Ordering::Relaxed)).retry_after(Duration::from_millis(2_100)))
        .layer(SyntheticLayer::new());
    assert_eq!(ask(&app, synthetic()).await.2, "tenant 7");
    let (status, headers, body) = ask(&app, real()).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "real"));
    assert!(!headers.contains_key("server-timing"), "a customer is told nothing");
    high.store(true, Ordering::Relaxed);
    let (status, headers, body) = ask(&app, synthetic()).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, ""));
    assert_eq!(
        (&headers["retry-after"], &headers["pacecar-shed"]),
        (&"3".parse().unwrap(), &"pressure".parse().unwrap())
    );
    assert_eq!(ask(&app, real()).await.0, StatusCode::OK);
    high.store(false, Ordering::Relaxed);
    assert_eq!(ask(&app, synthetic()).await.0, StatusCode::OK);
    assert_eq!(counted.count(), 0);
}

#[tokio::test]
async fn what_is_in_flight_is_pressure_until_its_body_ends() {
    let in_flight = InFlightLayer::new();
    let counted = in_flight.in_flight();
    let app = ServiceBuilder::new()
        .layer(SyntheticLayer::new())
        .layer(YieldLayer::new(counted.above(1)))
        .layer(in_flight)
        .service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from("a body"))));
    let (first, second) = (app.clone().oneshot(real()).await.unwrap(), app.clone().oneshot(real()).await.unwrap());
    assert_eq!(counted.count(), 2);
    let (status, headers, _) = ask(&app, synthetic()).await;
    assert_eq!((status, &headers["pacecar-shed"]), (StatusCode::SERVICE_UNAVAILABLE, &"in-flight".parse().unwrap()));
    assert_eq!(ask(&app, real()).await.0, StatusCode::OK);
    drop(first);
    assert_eq!(ask(&app, synthetic()).await.0, StatusCode::OK);
    assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), "a body");
    assert_eq!(counted.count(), 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_not_in_flight_any_more() {
    let layer = InFlightLayer::new();
    let counted = layer.in_flight();
    let mut app = ServiceBuilder::new().layer(layer).service_fn(async |_: Request<Body>| {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let asked = app.ready().await.unwrap().call(real());
    assert_eq!(counted.count(), 1);
    drop(asked);
    assert_eq!(counted.count(), 0);
}

#[tokio::test]
async fn only_runs_that_are_known_count() {
    let known = Router::new().route("/", get(who)).layer(SyntheticLayer::new().known(|run| run.bits() == 1));
    assert_eq!(ask(&known, synthetic()).await.2, "real");
}

#[cfg(feature = "auth")]
#[tokio::test]
async fn with_a_secret_only_who_proves_it_counts() {
    use crate::semconv::{Secret, TraceContext};
    use std::time::SystemTime;

    let secret = Secret::new("correct horse battery staple").unwrap();
    let seen = Arc::new(Mutex::new(false));
    let told = Arc::clone(&seen);
    let handler = async move |request: axum::extract::Request| {
        *told.lock().unwrap() |= request.headers().contains_key("pacecar-proof");
        who(request).await
    };
    let app = Router::new().route("/", get(handler)).layer(SyntheticLayer::new().secret(secret.clone()));
    let trace = TraceContext::decode(PARENT).unwrap().trace;
    let now = SystemTime::now();
    let with = |proof: &[u8]| {
        let mut request = synthetic();
        request.headers_mut().insert("pacecar-proof", http::HeaderValue::from_bytes(proof).unwrap());
        request
    };
    let proof = secret.prove(&trace, now);
    assert_eq!(ask(&app, with(&proof)).await.2, "tenant 7");
    assert_eq!(ask(&app, synthetic()).await.2, "real", "no proof");
    assert_eq!(ask(&app, with(b"v1-0-0")).await.2, "real", "garbage");
    let old = secret.prove(&trace, now - Duration::from_secs(120));
    assert_eq!(ask(&app, with(&old)).await.2, "real", "long ago");
    let forged = Secret::new("another secret of theirs").unwrap().prove(&trace, now);
    assert_eq!(ask(&app, with(&forged)).await.2, "real", "another secret");
    let mut other = with(&proof);
    other.headers_mut().insert("traceparent", PARENT.replace("0007-", "0008-").parse().unwrap());
    assert_eq!(ask(&app, other).await.2, "real", "another trace");
    assert!(!*seen.lock().unwrap(), "no handler gets to pass a proof on");
}

// === spans ===

/// Remembers the fields of all spans, by their name.
#[derive(Clone, Default)]
struct Fields(Arc<Mutex<Vec<(String, String)>>>);

struct Remember<'a>(&'a Fields, &'static str);

impl Visit for Remember<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.0.lock().unwrap().push((format!("{}.{}", self.1, field.name()), format!("{value:?}")));
    }
}

impl<S> tracing_subscriber::Layer<S> for Fields
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        attributes.record(&mut Remember(self, attributes.metadata().name()));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        values.record(&mut Remember(self, context.metadata(id).unwrap().name()));
    }
}

/// The fields that a synthetic request leaves on spans, where the server has a span of its own with these fields.
fn fields_of(request: impl FnOnce() -> tracing::Span) -> Vec<(String, String)> {
    let fields = Fields::default();
    let subscriber = tracing_subscriber::registry().with(fields.clone());
    tracing::subscriber::with_default(subscriber, || {
        let app = ServiceBuilder::new()
            .layer(SyntheticLayer::new())
            .layer(InFlightLayer::new())
            .service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let span = request();
        let _entered = span.enter();
        runtime.block_on(async {
            assert!(app.oneshot(synthetic()).await.unwrap().headers().contains_key("server-timing"));
        });
    });
    fields.0.lock().unwrap().clone()
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_server_span_is_marked_where_it_has_the_fields() {
    let fields = fields_of(|| {
        tracing::info_span!(
            "request",
            "user_agent.synthetic.type" = tracing::field::Empty,
            "pacecar.run" = tracing::field::Empty,
            "http.server.request.time_in_queue" = tracing::field::Empty,
        )
    });
    assert_eq!(value(&fields, "request.user_agent.synthetic.type"), Some("\"test\""));
    assert_eq!(value(&fields, "request.pacecar.run"), Some("0123456789abcdef"));
    assert!(value(&fields, "request.http.server.request.time_in_queue").is_some());
    assert!(!fields.iter().any(|(name, _)| name.starts_with("pacecar.synthetic.")), "{fields:?}");
}

#[test]
fn else_there_is_a_span_that_has_them() {
    let fields = fields_of(|| tracing::info_span!("request"));
    assert_eq!(value(&fields, "pacecar.synthetic.user_agent.synthetic.type"), Some("\"test\""));
    assert_eq!(value(&fields, "pacecar.synthetic.pacecar.tenant"), Some("\"7\""));
    assert!(value(&fields, "pacecar.synthetic.http.server.request.time_in_queue").is_some());
}

#[allow(dead_code, reason = "holds the bounds that an embedder relies on")]
fn every_layer_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<SyntheticLayer>();
    shared::<YieldLayer>();
    shared::<InFlightLayer>();
    #[cfg(feature = "limit")]
    shared::<LimitLayer>();
}
