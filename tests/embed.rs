//! A run inside a process opens no socket. Alone in its binary: what is counted is the whole process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test says no by panicking")]

use axum::Router;
use axum::routing::get;
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
