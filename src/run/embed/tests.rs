//! Whole runs against a router of this process, on the runtime that `#[tokio::test]` gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::report::{Exit, Verdict};
use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri as AxumUri};
use axum::response::{IntoResponse, Redirect};
use axum::routing::{delete, get, post};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

const SCENARIO: &str = "scenarios: { main: { executor: shared-iterations, vus: 3, iterations: 30, maxDuration: 60s } }";

fn plan(steps: &str, rest: &str) -> String {
    format!("workflow: [ {steps} ]\n{SCENARIO}\n{rest}\n")
}

#[tokio::test]
async fn a_workflow_goes_through_a_router_on_the_runtime_of_the_test() {
    let threads: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let router = Router::new().route("/login", post(|| async { r#"{"token":"t-1"}"# })).route(
        "/profile",
        get(move |headers: HeaderMap, uri: AxumUri| async move {
            seen.lock().unwrap().insert(format!("{:?}", std::thread::current().id()));
            // The runtime's own work goes on meanwhile: a timer, a task.
            tokio::time::sleep(Duration::from_millis(1)).await;
            tokio::spawn(async {}).await.unwrap();
            let ok = headers["authorization"] == "Bearer t-1" && headers["host"] == "api.test:81";
            assert_eq!(uri.to_string(), "/profile?q=1", "as a server hands it over");
            if ok { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        }),
    );
    let steps = "{ name: login, request: POST /login, capture: { token: $.token } },
        { name: profile, request: GET /profile?q=1, auth: { bearer: '{{ token }}' }, expect: { status: 200 } }";
    let plan =
        plan(steps, "base_url: http://api.test:81\nthresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] }");
    let result = Run::from_plan(plan).target(router).execute().await.unwrap();
    assert_eq!(result.figure("http_reqs", "count"), Some(60.0), "{result}");
    assert_eq!(result.figure("iterations", "count"), Some(30.0));
    assert_eq!(result.figure("http_req_failed", "value"), Some(0.0));
    assert!(result.figure("http_req_duration", "p(95)").unwrap() >= 0.0);
    assert!(result.report.thresholds.iter().all(|threshold| !threshold.failed()));
    // A starved machine may make it invalid; it never makes it fail.
    assert_ne!(result.verdict, Verdict::Fail, "{result}");
    let here: ThreadId = std::thread::current().id();
    assert_eq!(*threads.lock().unwrap(), BTreeSet::from([format!("{here:?}")]));
    assert_eq!(result.summary()["metrics"]["http_reqs"]["count"], 60.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_as_a_task_on_any_runtime() {
    let run =
        Run::from_plan(plan("{ name: a, request: GET / }", "")).target(Router::new().route("/", get(|| async {})));
    let result = tokio::spawn(run.execute()).await.unwrap().unwrap();
    assert_eq!(result.figure("http_reqs", "count"), Some(30.0));
}

#[tokio::test]
async fn a_threshold_that_fails_is_a_verdict() {
    let rest = "thresholds: { http_req_failed: ['rate==0'] }";
    let result = Run::from_plan(plan("{ name: a, request: GET /none }", rest)).target(Router::new()).execute().await;
    let result = result.unwrap();
    assert!(result.report.thresholds[0].failed());
    // Unless the machine was starved meanwhile.
    assert!(matches!(result.verdict, Verdict::Fail | Verdict::Invalid), "{result}");
    assert_eq!(result.figure("http_req_failed", "passes"), Some(30.0));
    assert!(result.to_string().contains("http_req_failed"));
}

#[tokio::test]
async fn what_has_no_verdict_is_an_error() {
    let execute = async |plan: &str| Run::from_plan(plan).target(Router::new()).execute().await;
    let error = execute("workflow: [ { name: a, request: GET /, wrong: 1 } ]").await.unwrap_err();
    assert!(matches!(&error, RunError::Plan(_)) && error.to_string().contains("plan:1:40: "), "{error}");
    let broken = plan("{ name: a, request: GET / }", "setup: [ { name: s, request: GET /none } ]");
    let error = execute(&broken).await.unwrap_err();
    let RunError::Unfinished { exit: Exit::SetupFailed, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().contains("status 404"), "{error}");
    let refused = execute(&plan("{ name: a, request: GET / }", "environment: production")).await.unwrap_err();
    assert!(matches!(refused, RunError::Unfinished { exit: Exit::Refused, .. }), "{refused}");
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let run = Run::from_plan(plan("{ name: a, request: GET / }", "")).target(Router::new());
    let mut run = std::pin::pin!(run.execute());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = run.as_mut().poll(&mut context) else { panic!("it went on") };
    assert!(matches!(error, RunError::NoRuntime { .. }));
}

/// Redirects, absolute URLs, setup, teardown and undo: all of it stays in the process, where no such host is.
#[tokio::test]
async fn no_request_leaves_the_process() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = |count: &Arc<AtomicU64>| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let router = Router::new()
        .route("/from", get(|| async { Redirect::temporary("http://elsewhere.invalid/to") }))
        .route("/to", get(move |State(count): State<Arc<AtomicU64>>| async move { counted(&count) }))
        .route("/chats", post(|| async { r#"{"id":7}"# }))
        .route("/chats/{id}", delete(move |State(count): State<Arc<AtomicU64>>| async move { counted(&count) }))
        .with_state(Arc::clone(&count));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.yaml");
    let steps = "{ name: a, request: GET http://other.invalid/from, expect: { status: 200 } },
        { name: b, request: POST /chats, capture: { id: $.id }, undo: 'DELETE /chats/{{ id }}' }";
    let rest = "base_url: https://api.invalid
setup: [ { name: s, request: GET /to, expect: { status: 200 } } ]
teardown: [ { name: t, request: GET /to, expect: { status: 200 } } ]
correlate: { traces: { listen: '127.0.0.1:9', grpc: '127.0.0.1:10' } }
summary: summary.json";
    std::fs::write(&file, plan(steps, rest)).unwrap();
    let source = Source::from_file(&file).unwrap();
    let result = Run::from_plan(source).target(router).execute().await.unwrap();
    assert_eq!(result.figure("checks", "value"), Some(1.0), "{result}");
    // 30 redirected, 30 undone, setup, teardown.
    assert_eq!(count.load(Ordering::SeqCst), 62, "{result}");
    assert!(result.notes.iter().any(|note| note.contains("`correlate` is left out")), "{:?}", result.notes);
    assert!(!folder.path().join("summary.json").exists());
}

#[tokio::test]
async fn a_handler_that_panics_is_a_connection_that_breaks() {
    async fn broken() -> impl IntoResponse {
        let parts = futures_of(vec![Ok("part"), Err(())]);
        AxumBody::new(parts)
    }
    let router = Router::new()
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("on purpose")
                }
            }),
        )
        .route("/broken", get(broken));
    let steps = "{ name: a, request: GET /panic }, { name: b, request: GET /broken, expect: { body: part } }";
    let result = Run::from_plan(plan(steps, "")).target(router).execute().await.unwrap();
    assert_eq!(result.figure("connection_reset", "count"), Some(60.0), "{result}");
}

/// A body that says what is given, and panics where that is an error.
fn futures_of(parts: Vec<Result<&'static str, ()>>) -> impl Body<Data = Bytes, Error = std::io::Error> {
    let mut parts = parts.into_iter();
    http_body_util::StreamBody::new(PanickingStream(Box::new(move || {
        parts.next().map(|part| Bytes::from(part.unwrap_or_else(|()| panic!("on purpose"))))
    })))
}

struct PanickingStream(Box<dyn FnMut() -> Option<Bytes> + Send>);

impl futures_core::Stream for PanickingStream {
    type Item = Result<http_body::Frame<Bytes>, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready((self.0)().map(|part| Ok(http_body::Frame::data(part))))
    }
}

#[tokio::test]
async fn who_gives_up_ends_the_work() {
    struct Ended(Arc<AtomicU64>);
    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let ended = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&ended);
    let router = Router::new().route(
        "/",
        get(move || async move {
            let _ended = Ended(counter);
            std::future::pending::<()>().await;
        }),
    );
    let yaml = "http: { timeout: 50ms }
workflow: [ { name: a, request: GET / } ]
scenarios: { main: { executor: per-vu-iterations, vus: 2, iterations: 2 } }";
    let result = Run::from_plan(yaml).target(router).execute().await.unwrap();
    assert_eq!(result.figure("timeout", "count"), Some(4.0));
    // What was aborted is dropped when the runtime gets to it.
    while ended.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn variables_and_data_files_are_as_in_the_program() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("prompts.json"), r#"[{"prompt":"hi"}]"#).unwrap();
    let file = folder.path().join("plan.yaml");
    let steps = "{ name: '${STEP}', request: POST /, body: '{{ data.prompts.prompt }}', expect: { body: '${SAYS}' } }";
    std::fs::write(&file, plan(steps, "data: { prompts: prompts.json }")).unwrap();
    let router = Router::new().route("/", post(|body: String| async move { format!("you said {body}") }));
    let run = Run::from_plan(Source::from_file(&file).unwrap()).variable("STEP", "ask").variable("SAYS", "said hi");
    let result = run.target(router).execute().await.unwrap();
    assert_eq!(result.figure("checks", "value"), Some(1.0), "{result}");
    assert_eq!(result.report.groups[0].name, "ask");
    assert!(matches!(Source::from_file("no/such/plan.yaml"), Err(RunError::Plan(_))));
}
