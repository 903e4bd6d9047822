//! Any tower service in the place of the connection.

use super::*;
use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::response::Redirect;
use axum::routing::{get as route, post};

fn router() -> Router {
    Router::new()
        .route("/hello", route(|| async { "hello" }))
        .route("/echo", post(|body: String| async move { body }))
        .route("/from", route(|| async { Redirect::to("/hello") }))
        .route(
            "/trace",
            route(|request: AxumRequest| async move { request.headers()["traceparent"].to_str().unwrap().to_owned() }),
        )
        .route("/slow", route(std::future::pending::<()>))
}

fn vu(change: impl FnOnce(&mut ClientConfig)) -> impl Asks {
    let mut config = ClientConfig::default();
    change(&mut config);
    Shared::new(config).worker().vu_over(router())
}

#[tokio::test]
async fn a_router_is_a_target_as_any() {
    let mut vu = vu(|_| {});
    let answer = vu.answer(get("http://in.process/hello")).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert!(answer.exchange.head_at.is_some() && answer.exchange.timings.waiting > Duration::ZERO);
    assert_eq!(vu.answer(request("POST", "http://in.process/echo", "body")).await.body, "body");
    assert!(vu.answer(get("http://in.process/trace")).await.body.starts_with(b"00-0123456789abcdef"));
    let answer = vu.answer(get("http://in.process/from")).await;
    assert_eq!((&answer.body[..], answer.exchange.hops[0].status), (&b"hello"[..], 303));
    assert_eq!(vu.answer(get("http://in.process/none")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_does_not_answer_runs_out_of_time() {
    let failure = vu(|config| config.timeout = Duration::from_secs(2)).fail(get("http://in.process/slow")).await;
    assert_failed(&failure, FailureKind::Timeout);
    assert!(failure.exchange.timings.duration() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_service_that_fails_is_one_that_hangs_up() {
    let target = tower::service_fn(|_: Request| async {
        Err::<http::Response<Full<Bytes>>, _>(std::io::Error::other("out of order"))
    });
    let mut vu = Shared::new(ClientConfig::default()).worker().vu_over(target);
    let failure = vu.fail(get("http://in.process/")).await;
    assert_failed(&failure, FailureKind::Reset);
    assert_eq!(failure.source.unwrap().to_string(), "out of order");
}
