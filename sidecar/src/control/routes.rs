//! What is served, and how each request is judged before it is answered.

use super::access::{Denied, Names, Token, authorize};
use super::metrics::Format;
use super::status::{StatusDocument, Wish};
use super::{Served, json, metrics, page};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pacecar::load::ControlError;
use pacecar::run::Stage;
use serde_json::{Value, json as object};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The largest body that is read, in bytes: k6's PATCH has two hundred.
pub(super) const MOST_BODY: usize = 16 << 10;
/// The longest that one request may take, its body included.
pub(super) const MOST_TIME: Duration = Duration::from_secs(10);
/// How long a change may take to be seen before it is answered with what is seen: k6 waits for ever.
const SETTLE: Duration = Duration::from_millis(500);

/// What needs no token: probes and scrapers have none.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The description of all of it.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// At which of our addresses a request came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct CameTo(pub(super) IpAddr);

/// Who may ask.
#[derive(Clone)]
struct Gate {
    names: Arc<Names>,
    token: Option<Token>,
}

/// Why a change was not made, as k6 says it.
struct Refused {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

/// All that `--address` serves.
pub(super) fn control(served: Served, names: Names, token: Option<Token>) -> Router {
    let gate = Gate { names: Arc::new(names), token };
    health()
        .route("/", get(page::page))
        .route("/live.json", get(live))
        .route("/openapi.json", get(openapi))
        .route("/v1/status", get(status).patch(patch))
        .route("/v1/metrics", get(all_metrics))
        .route("/v1/metrics/{id}", get(one_metric))
        .route("/v1/groups", get(groups))
        .route("/v1/groups/{id}", get(group))
        .route("/v1/setup", get(setup))
        .with_state(served)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(gate, admit))
        .layer(from_fn(bounded))
}

/// All that `--metrics-address` serves, to whoever asks.
pub(super) fn public(served: Served) -> Router {
    health()
        .with_state(served)
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn(bounded))
}

fn health() -> Router<Served> {
    Router::new().route("/healthz", get(healthy)).route("/readyz", get(healthy)).route("/metrics", get(scrape))
}

// === impl Refused ===

impl Refused {
    fn new(title: &'static str, error: ControlError) -> Self {
        let status = match error {
            ControlError::AlreadyPaused | ControlError::NotPaused | ControlError::NotExternallyControlled => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, title, detail: error.to_string() }
    }
}

// === before ===

async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let came_to = request.extensions().get::<CameTo>().map_or(IpAddr::from([127, 0, 0, 1]), |came| came.0);
    let path = request.uri().path();
    let admitted = gate
        .names
        .admit(request.uri(), request.headers(), came_to)
        .and_then(|()| if OPEN.contains(&path) { Ok(()) } else { authorize(gate.token.as_ref(), request.headers()) });
    match admitted {
        Ok(()) => next.run(request).await,
        Err(Denied::Foreign) => json::error(StatusCode::FORBIDDEN, "Forbidden", "a foreign Host or Origin"),
        Err(Denied::Unauthorized) => {
            // The page holds no figure: it asks for the token, and then for the figures with it.
            let mut answer = if path == "/" {
                (StatusCode::UNAUTHORIZED, page::page().await).into_response()
            } else {
                json::error(
                    StatusCode::UNAUTHORIZED,
                    "Unauthorized",
                    "send Authorization: Bearer TOKEN, with PACECAR_TOKEN's value",
                )
            };
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
    }
}

/// Bounds the time of a request, and tells browsers to keep to themselves what they see.
async fn bounded(request: Request, next: Next) -> Response {
    let mut answer = match tokio::time::timeout(MOST_TIME, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => json::error(StatusCode::REQUEST_TIMEOUT, "Timeout", "the request took too long"),
    };
    let headers = answer.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

// === answers ===

/// pacecar is well while it answers: what the target does is no reason to restart the pod beside it.
async fn healthy() -> &'static str {
    "ok\n"
}

async fn scrape(State(served): State<Served>, headers: HeaderMap) -> Response {
    let (snapshot, status) = (served.handle.snapshot().await, served.handle.status().await);
    let format = Format::asked(&headers);
    ([(CONTENT_TYPE, format.content_type())], metrics::text(&snapshot, &status, &served.handle.slos(), format))
        .into_response()
}

async fn live(State(served): State<Served>) -> Response {
    json::answer(StatusCode::OK, &json::live(&served).await)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json; charset=utf-8")], OPENAPI).into_response()
}

async fn status(State(served): State<Served>) -> Response {
    json::answer(StatusCode::OK, &StatusDocument::new(served.handle.status().await, served.handle.held_by()))
}

/// Pause, resume, scale, stop. As in k6, what stops does nothing else.
async fn patch(
    State(served): State<Served>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return json::error(rejection.status(), "Couldn't read request", rejection.body_text()),
    };
    let wish = match Wish::read(&body) {
        Ok(wish) => wish,
        Err(error) => return json::error(StatusCode::BAD_REQUEST, "Invalid data", error),
    };
    if let Err(Refused { status, title, detail }) = obey(&served, wish).await {
        return json::error(status, title, detail);
    }
    status(State(served)).await
}

async fn obey(served: &Served, wish: Wish) -> Result<(), Refused> {
    let handle = &served.handle;
    if wish.stopped == Some(true) {
        handle.stop();
        served.stopped.notify_one();
        return Ok(());
    }
    let (vus, max) = (count("vus", wish.vus)?, count("vus-max", wish.vus_max)?);
    if let Some(pause) = wish.paused {
        let done = if pause { handle.pause() } else { handle.resume() };
        done.map_err(|error| Refused::new("Pause error", error))?;
        if pause {
            settle(served, |vus| vus == 0).await;
        }
    }
    if vus.is_some() || max.is_some() {
        let scale = handle.scale(vus, max).map_err(|error| {
            let none = error == ControlError::NotExternallyControlled;
            Refused::new(if none { "Execution config error" } else { "Config update error" }, error)
        })?;
        settle(served, |vus| vus == u64::from(scale.vus)).await;
    }
    Ok(())
}

fn count(name: &str, wanted: Option<i64>) -> Result<Option<u32>, Refused> {
    wanted.map(u32::try_from).transpose().map_err(|_| Refused {
        status: StatusCode::BAD_REQUEST,
        title: "Config update error",
        detail: format!("invalid configuration supplied: {name} can be no such number of VUs"),
    })
}

/// Gives workers a moment to do what was asked, so that the answer shows it.
async fn settle(served: &Served, seen: impl Fn(u64) -> bool) {
    let until = Instant::now() + SETTLE;
    while served.handle.stage() == Stage::Load && !seen(served.handle.vus()) && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all_metrics(State(served): State<Served>) -> Response {
    json::answer(StatusCode::OK, &json::metrics(&*served.handle.snapshot().await))
}

async fn one_metric(State(served): State<Served>, Path(id): Path<String>) -> Response {
    found(json::metric(&*served.handle.snapshot().await, &id), "No metric with that ID was found")
}

async fn groups(State(served): State<Served>) -> Response {
    json::answer(StatusCode::OK, &object!({ "data": json::groups(&*served.handle.snapshot().await) }))
}

async fn group(State(served): State<Served>, Path(id): Path<String>) -> Response {
    let groups = json::groups(&*served.handle.snapshot().await);
    let group = groups.into_iter().find(|group| group["id"] == *id);
    found(group.map(|group| object!({ "data": group })), "No group with that ID was found")
}

/// What setup captured may be a token: it stays inside.
async fn setup() -> Response {
    json::answer(StatusCode::OK, &object!({ "data": { "type": "setupData", "id": "default", "attributes": {} } }))
}

fn found(document: Option<Value>, missing: &str) -> Response {
    match document {
        Some(document) => json::answer(StatusCode::OK, &document),
        None => json::error(StatusCode::NOT_FOUND, "Not Found", missing),
    }
}

async fn not_found() -> Response {
    json::error(StatusCode::NOT_FOUND, "Not Found", "/openapi.json says what is served")
}

async fn not_allowed() -> Response {
    json::error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", "/openapi.json says what is served")
}
