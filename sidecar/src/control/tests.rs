//! The routes as a client sees them, on a real socket, over a run that is not driven.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::access::Token;
use super::{Address, Served, Server, routes};
use pacecar::plan::Variables;
use pacecar::run::{self, Settings, Source};
use pacecar::semconv::RunId;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const PLAN: &str = "\
name: steered
base_url: http://127.0.0.1:1
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: externally-controlled, vus: 2, maxVUs: 5, duration: 0 } }
";

struct Stage {
    _server: Server,
    control: SocketAddr,
    metrics: SocketAddr,
}

fn stage(token: Option<&str>) -> Stage {
    let source = Source { name: "plan".into(), bytes: PLAN.into(), directory: ".".into() };
    let settings = Settings::new(RunId::new(7), Variables::default());
    let (compiled, diagnostics) = run::compile(&source, settings);
    let compiled = compiled.unwrap_or_else(|| panic!("{diagnostics}"));
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let served = Served { handle: compiled.handle(), stopped: Arc::new(Notify::new()) };
    let token = token.and_then(|token| Token::read(token).unwrap());
    let bind = || address.bind().unwrap();
    let server = Server::start(Some((bind(), address.clone())), Some(bind()), token, served).unwrap();
    Stage { control: server.address().unwrap(), metrics: server.metrics_address().unwrap(), _server: server }
}

/// One request with these headers beside `Host`; status, headers, body.
async fn ask(to: SocketAddr, line: &str, headers: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let host = if headers.starts_with("host:") { String::new() } else { format!("host: {to}\r\n") };
    let length = body.len();
    let request =
        format!("{line} HTTP/1.1\r\n{host}{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

async fn code(to: SocketAddr, line: &str, headers: &str) -> u16 {
    ask(to, line, headers, "").await.0
}

fn patch(attributes: &str) -> String {
    format!(r#"{{"data":{{"type":"status","id":"default","attributes":{attributes}}}}}"#)
}

#[tokio::test]
async fn what_is_described_is_served_and_nothing_else() {
    let stage = stage(None);
    let described: Value = serde_json::from_str(routes::OPENAPI).unwrap();
    let paths = described["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let path = path.replace("{id}", "http_reqs");
        for method in ["get", "post", "put", "patch", "delete"] {
            let status = code(stage.control, &format!("{} {path}", method.to_uppercase()), "").await;
            match methods.get(method) {
                Some(method) => {
                    let answers = method["responses"].as_object().unwrap();
                    assert!(answers.contains_key(&status.to_string()), "{method} {path}: {status}");
                    assert_ne!(status, 405, "{path}");
                }
                None => assert_eq!(status, 405, "{method} {path}"),
            }
        }
    }
    // The table of routes itself: what stands in it is described.
    let source = include_str!("routes.rs");
    let routes: Vec<_> = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(routes.len() > 10 && routes.iter().all(|route| paths.contains_key(*route)), "{routes:?}");
    assert_eq!(code(stage.control, "GET /v2/anything", "").await, 404);
    assert_eq!(code(stage.control, "GET /v1/status/../../etc/passwd", "").await, 404);
}

#[tokio::test]
async fn status_is_k6s_and_changes_as_k6s_does() {
    let stage = stage(None);
    let (status, head, body) = ask(stage.control, "GET /v1/status", "", "").await;
    assert_eq!(
        (status, body.as_str()),
        (
            200,
            r#"{"data":{"type":"status","id":"default","attributes":{"status":1,"paused":false,"vus":0,"vus-max":5,"stopped":false,"running":false,"tainted":false}}}"#
        )
    );
    assert!(
        head.contains("content-type: application/json; charset=utf-8") && head.contains("cache-control: no-store"),
        "{head}"
    );
    for (attributes, status, said) in [
        (r#"{"paused":true,"vus":null}"#, 200, r#""paused":true"#),
        (r#"{"paused":true}"#, 500, "test execution was already paused"),
        (r#"{"paused":false}"#, 200, r#""paused":false"#),
        (r#"{"paused":false}"#, 500, "test execution wasn't paused"),
        (r#"{"vus":9}"#, 400, "the number of active VUs (9) must be less than or equal to the number of maxVUs (5)"),
        (r#"{"vus-max":4}"#, 400, "cannot be lower than the starting number of max VUs (5)"),
        (r#"{"vus":-1}"#, 400, "invalid configuration"),
        (r#"{"vus":99999999999}"#, 400, "invalid configuration"),
        (r#"{"vus":"many"}"#, 400, "Invalid data"),
        (r#"{"vus":9,"vus-max":10}"#, 200, r#""status":1"#),
        (r#"{}"#, 200, r#""stopped":false"#),
        (r#"{"stopped":true,"paused":true}"#, 200, r#""paused":false,"vus":0,"vus-max":5,"stopped":true"#),
    ] {
        let (got, _, body) = ask(stage.control, "PATCH /v1/status", "", &patch(attributes)).await;
        assert_eq!(got, status, "{attributes}: {body}");
        assert!(body.contains(said), "{attributes}: {body}");
    }
    for nonsense in ["", "{", "[]", "null", r#"{"data":null}"#, r#"{"data":{"attributes":[]}}"#] {
        let (got, _, body) = ask(stage.control, "PATCH /v1/status", "", nonsense).await;
        let errors: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, &errors["errors"][0]["status"]), (400, &Value::from("400")), "{nonsense}");
    }
    assert_eq!(code(stage.control, "GET /v1/metrics/nope", "").await, 404);
}

#[tokio::test]
async fn foreign_pages_are_refused_before_the_token_is_asked_for() {
    for token in [None, Some("s3cret")] {
        let stage = stage(token);
        let bearer = "authorization: Bearer s3cret\r\n";
        for foreign in ["host: evil.example\r\n", "origin: http://evil.example\r\n", "origin: null\r\n"] {
            for line in ["GET /v1/status", "PATCH /v1/status", "GET /", "GET /metrics", "GET /healthz"] {
                assert_eq!(code(stage.control, line, &format!("{foreign}{bearer}")).await, 403, "{line} {foreign}");
            }
        }
        for ours in ["host: localhost:1\r\n", "host: 127.0.0.1\r\n", "origin: http://localhost:9\r\n"] {
            assert_eq!(code(stage.control, "GET /v1/status", &format!("{ours}{bearer}")).await, 200, "{ours}");
        }
    }
}

#[tokio::test]
async fn with_a_token_all_but_probes_and_scrapes_ask_for_it() {
    let stage = stage(Some("s3cret"));
    for line in [
        "GET /v1/status",
        "PATCH /v1/status",
        "GET /v1/metrics",
        "GET /",
        "GET /live.json",
        "GET /openapi.json",
        "GET /nope",
    ] {
        assert_eq!(code(stage.control, line, "").await, 401, "{line}");
        assert_eq!(code(stage.control, line, "authorization: Bearer wrong\r\n").await, 401, "{line}");
        assert_ne!(code(stage.control, line, "authorization: Bearer s3cret\r\n").await, 401, "{line}");
    }
    for line in ["GET /healthz", "GET /readyz", "GET /metrics"] {
        assert_eq!(code(stage.control, line, "").await, 200, "{line}");
    }
    let (_, head, page) = ask(stage.control, "GET /", "", "").await;
    assert!(head.contains("www-authenticate: bearer") && page.contains("PACECAR_TOKEN"), "{head}");
    assert!(!page.contains("steered"), "a page without the token tells of the run");
}

#[tokio::test]
async fn the_metrics_address_serves_three_paths_to_anybody() {
    let stage = stage(Some("s3cret"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(code(stage.metrics, &format!("GET {path}"), "host: pod-7.svc\r\n").await, 200, "{path}");
        assert_eq!(code(stage.metrics, &format!("POST {path}"), "").await, 405, "{path}");
    }
    for path in ["/", "/v1/status", "/v1/metrics", "/live.json", "/openapi.json"] {
        assert_eq!(
            code(stage.metrics, &format!("GET {path}"), "authorization: Bearer s3cret\r\n").await,
            404,
            "{path}"
        );
    }
    let (_, _, text) = ask(stage.metrics, "GET /metrics", "", "").await;
    assert!(text.contains("pacecar_vus_max 5") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_is_slow_is_not_waited_for() {
    let stage = stage(None);
    let large = patch(&format!(r#"{{"paused":null,"x":"{}"}}"#, "x".repeat(routes::MOST_BODY)));
    assert_eq!(ask(stage.control, "PATCH /v1/status", "", &large).await.0, 413);
    // Heads without an end, of one line and of many.
    for head in [format!("x: {}\r\n", "y".repeat(64 << 10)), "x: y\r\n".repeat(1000)] {
        let mut stream = TcpStream::connect(stage.control).await.unwrap();
        let text = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{head}\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        // Refused with 431, or reset because there was more than it wanted to read.
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(!String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"), "a head of {} bytes", head.len());
    }
}

#[tokio::test]
async fn who_holds_connections_open_locks_nobody_out() {
    let stage = stage(None);
    let mut held = Vec::new();
    for n in 0..400 {
        let mut stream = TcpStream::connect(stage.control).await.unwrap();
        // Half a head each; the oldest are closed while it goes on.
        let _ = stream.write_all(b"PATCH /v1/status HTTP/1.1\r\nhost: loc").await;
        held.push(stream);
        if n % 100 == 99 {
            assert_eq!(code(stage.control, "GET /v1/status", "").await, 200, "with {n} held");
        }
    }
}
