//! Runs inside a process, as an embedder has them: from outside of the library.
//!
//! One of the tests counts the sockets of the whole process, so no test here opens any.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test says no by panicking")]

use axum::Router;
use axum::routing::get;
use pacecar::middleware::{SyntheticLayer, YieldLayer};
use pacecar::run::Run;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The sockets of this process, by their inode.
fn sockets() -> BTreeSet<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    // One that was closed meanwhile is none.
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.map(|link| link.display().to_string()).filter(|link| link.starts_with("socket:")).collect()
}

#[tokio::test]
async fn no_socket_is_opened() {
    let plan = "
base_url: http://127.0.0.1:9
workflow: [ { name: a, request: GET /, expect: { status: 200 } }, { name: b, request: GET http://127.0.0.1:10/ } ]
scenarios: { main: { executor: constant-vus, vus: 4, duration: 1s } }
correlate: { traces: { listen: '127.0.0.1:0', grpc: '127.0.0.1:4317' } }";
    let before = sockets();
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    let router = Router::new().route("/", get(async move || told.lock().unwrap().extend(sockets())));
    let result = Run::from_plan(plan).target(router).execute().await.unwrap();
    assert!(result.figure("http_reqs", "count").unwrap() >= 8.0, "{result}");
    assert_eq!(result.figure("http_req_failed", "value"), Some(0.0), "{result}");
    assert_eq!(*seen.lock().unwrap(), before, "while it ran");
}

#[tokio::test]
async fn what_is_shed_neither_fails_nor_counts_as_fast() {
    let shed = YieldLayer::new(|| true);
    let router = Router::new().route("/", get(async || "{}")).layer(shed).layer(SyntheticLayer::new());
    let plan = "
workflow: [ { name: a, request: GET /, expect: { status: 200 } }, { name: b, request: GET / } ]
scenarios: { main: { executor: shared-iterations, vus: 3, iterations: 30 } }
thresholds: { http_req_failed: ['rate==0'], checks: ['rate==1'], http_reqs_shed: ['count==30'] }";
    let result = Run::from_plan(plan).target(router).execute().await.unwrap();
    assert!(result.report.thresholds.iter().all(|threshold| !threshold.failed()), "{result}");
    assert_eq!(result.figure("http_reqs", "count"), Some(30.0), "an iteration ends with what is shed");
    assert_eq!(result.figure("iterations", "count"), Some(30.0));
    assert_eq!(result.figure("http_req_duration", "count"), Some(0.0));
    assert!(result.to_string().contains("http_reqs_shed"), "{result}");
}
