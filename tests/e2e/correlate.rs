//! Why: the sample API exports its spans to the run that drives it.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::api::{self, Own};
use crate::support::json::{at, count, number, text};
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

/// One step over and over; the token is setup's, so that nothing but the step makes load.
fn plan(step: &str, vus: u32, iterations: u32) -> PlanFile {
    PlanFile::new(format!(
        r#"
name: why
environment: dev
base_url: ${{API_URL}}
setup:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: {{ email: test-1-1@example.com, password: secret }}
    expect: {{ status: 200 }}
    capture: {{ token: $.access_token }}
workflow:
  - {step}
scenarios:
  main: {{ executor: shared-iterations, vus: {vus}, iterations: {iterations} }}
thresholds: {{ http_req_failed: ["rate==0"] }}
correlate:
  traces: {{ listen: "${{LISTEN}}", linger: 10s }}
"#
    ))
}

const PROFILE: &str = "{ name: profile, request: GET /api/user/profile, auth: { bearer: \"{{ token }}\" } }";
const CHAT: &str =
    "{ name: agent, request: POST /api/llm/chat, auth: { bearer: \"{{ token }}\" }, json: { prompt: why } }";

/// An address that nobody has.
fn free() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").to_string()
}

/// Runs a plan against an API of its own, which exports to the run.
fn explained(plan: &PlanFile, knobs: &[(&str, &str)]) -> (Ended, Value, Own) {
    let listen = free();
    let exporter = format!("http://{listen}");
    let mut environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", exporter.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "200")];
    environment.extend_from_slice(knobs);
    let api = api::own(&environment);
    let run = Pacecar::run(&plan.path()).set("API_URL", &api.url).set("LISTEN", &listen);
    let ended = run.limit(Duration::from_secs(60)).end().expect_code(0);
    let summary = ended.summary();
    (ended, summary, api)
}

/// A band of a step.
fn band<'a>(summary: &'a Value, step: &str, name: &str) -> &'a Value {
    let bands = at(summary, &["pacecar", "attribution", "bands"]).as_array().expect("a list");
    let found = bands.iter().find(|band| text(band, &["step"]) == step && text(band, &["band"]) == name);
    found.unwrap_or_else(|| panic!("no {name} of {step} in {bands:#?}"))
}

fn part(band: &Value, name: &str) -> f64 {
    number(band, &["parts_ms", name])
}

/// The largest part of a band, after what holds for all of them.
fn largest(band: &Value) -> String {
    let parts = at(band, &["parts_ms"]).as_object().expect("an object");
    assert_eq!(parts.len(), 8, "{parts:?}");
    let values: Vec<(&String, f64)> = parts.iter().map(|(name, value)| (name, value.as_f64().expect("ms"))).collect();
    assert!(values.iter().all(|(_, value)| *value >= 0.0), "{parts:?}");
    let (sum, total) = (values.iter().map(|(_, value)| value).sum::<f64>(), number(band, &["total_ms"]));
    assert!((sum - total).abs() <= 0.02 * total, "{sum} of {total}");
    values.iter().max_by(|(_, one), (_, other)| one.total_cmp(other)).expect("eight").0.clone()
}

fn joined(summary: &Value, requests: u64) {
    let (joined, expected) = (
        count(summary, &["pacecar", "attribution", "joined"]),
        count(summary, &["pacecar", "attribution", "expected"]),
    );
    // Setup's login is a request too.
    assert_eq!(expected, requests + 1);
    assert!(joined as f64 >= 0.95 * expected as f64, "{joined} of {expected}");
}

#[test]
fn a_pool_too_small_is_named_with_what_the_api_itself_measures() {
    let knobs = [("PG_POOL_MAX", "2"), ("PG_QUERY_MS", "50"), ("PG_POOL_CONNECTION_TIMEOUT_MS", "0")];
    let (ended, summary, api) = explained(&plan(PROFILE, 8, 96), &knobs);
    joined(&summary, 96);
    let p95 = band(&summary, "profile", "p95");
    assert_eq!(largest(p95), "pool_wait", "{p95:#}");
    assert!(ended.stdout.contains("CORRELATION") && ended.stdout.contains("waiting for a pool connection"), "{ended}");
    // Eight who share two of 50 ms wait about 150 ms each, so the middle is what the API measures on average.
    let stats = api.stats();
    let measured = number(&stats, &["pool", "waitedMs"]) / number(&stats, &["pool", "waits"]);
    let told = part(band(&summary, "profile", "p50"), "pool_wait");
    assert!((told - measured).abs() <= 0.15 * measured, "told {told}, measured {measured}");
    assert_eq!(count(&summary, &["pacecar", "receiver", "foreign"]), 0);
    assert!(count(&summary, &["pacecar", "receiver", "spans"]) >= 3 * 97);
}

#[test]
fn a_pool_that_suffices_leaves_the_database() {
    let knobs = [("PG_POOL_MIN", "16"), ("PG_POOL_MAX", "16"), ("PG_QUERY_MS", "50")];
    let (_, summary, _api) = explained(&plan(PROFILE, 8, 96), &knobs);
    joined(&summary, 96);
    let p50 = band(&summary, "profile", "p50");
    assert_eq!(largest(p50), "db", "{p50:#}");
    assert!(part(p50, "pool_wait") < 0.1 * part(p50, "db"), "{p50:#}");
}

#[test]
fn a_slow_model_is_upstream_also_where_it_streams() {
    let knobs = [("LLM_LATENCY_MS", "120"), ("LLM_JITTER", "0"), ("LLM_CACHE_HIT_RATE", "0")];
    let streaming = "{ name: agent, request: POST /api/llm/chat, auth: { bearer: \"{{ token }}\" }, \
                     json: { prompt: why, stream: true }, stream: sse }";
    for step in [CHAT, streaming] {
        let (_, summary, _api) = explained(&plan(step, 2, 10), &knobs);
        joined(&summary, 10);
        let p50 = band(&summary, "agent", "p50");
        assert_eq!(largest(p50), "upstream", "{p50:#}");
        assert!(part(p50, "upstream") > 100.0, "{p50:#}");
    }
}

#[test]
fn what_is_sampled_out_is_not_expected() {
    let source = std::fs::read_to_string(plan(PROFILE, 2, 60).path()).expect("the plan");
    let plan = PlanFile::new(source.replace("linger: 10s", "linger: 10s, sample: 0.3"));
    let (_, summary, _api) = explained(&plan, &[]);
    let (joined, expected) = (
        count(&summary, &["pacecar", "attribution", "joined"]),
        count(&summary, &["pacecar", "attribution", "expected"]),
    );
    // Of 60 with 0.3 fewer than 45 but for once in a million years.
    assert!(expected < 45 && joined as f64 >= 0.95 * expected as f64, "{joined} of {expected}");
}

#[test]
fn an_address_that_is_taken_is_106_before_anything_is_sent() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let listen = taken.local_addr().expect("an address").to_string();
    let ended = Pacecar::run(&plan(PROFILE, 1, 1).path())
        .set("API_URL", "http://127.0.0.1:1")
        .set("LISTEN", &listen)
        .end()
        .expect_code(106);
    assert!(ended.stderr.contains(&listen), "{ended}");
}

#[test]
fn sending_on_to_oneself_is_refused() {
    let source = std::fs::read_to_string(plan(PROFILE, 1, 1).path()).expect("the plan");
    for forward in ["http://localhost:4399", "http://127.0.0.1:4399/prefix"] {
        let plan = PlanFile::new(source.replace("linger: 10s", &format!("linger: 10s, forward: \"{forward}\"")));
        let ended = Pacecar::run(&plan.path())
            .set("API_URL", "http://127.0.0.1:1")
            .set("LISTEN", "127.0.0.1:4399")
            .end()
            .expect_code(104);
        assert!(ended.stderr.contains("correlate.traces.forward"), "{ended}");
    }
}

#[test]
fn without_spans_the_layers_server_timing_explains() {
    // The sample API exports nowhere here; its layers answer `Server-Timing`, with the wait of its pool in it.
    let api = api::own(&[("PG_POOL_MAX", "1"), ("PG_QUERY_MS", "20"), ("PG_POOL_CONNECTION_TIMEOUT_MS", "60000")]);
    let source = std::fs::read_to_string(plan(PROFILE, 4, 40).path()).expect("the plan");
    let plan = PlanFile::new(source.replace("linger: 10s", "linger: 1s"));
    let ended = Pacecar::run(&plan.path()).set("API_URL", &api.url).set("LISTEN", free()).end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(count(&summary, &["pacecar", "attribution", "joined"]), 41);
    // Four at one connection: each waits for the three before it, three times as long as its query takes.
    let parts = at(band(&summary, "profile", "p50"), &["parts_ms"]).clone();
    let (total, waited) = (number(band(&summary, "profile", "p50"), &["total_ms"]), number(&parts, &["pool_wait"]));
    assert!(waited > 0.5 * total, "{parts}");
}

#[test]
fn where_nothing_comes_the_run_says_so() {
    // An API that exports nowhere, and says nothing of itself in its answers either.
    let server = Server::start(Mode::Api);
    let source = std::fs::read_to_string(plan(PROFILE, 1, 3).path()).expect("the plan");
    let plan = PlanFile::new(source.replace("linger: 10s", "linger: 1s"));
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("LISTEN", free());
    let ended = run.end().expect_code(0);
    let summary = ended.summary();
    assert_eq!(count(&summary, &["pacecar", "attribution", "joined"]), 0);
    assert_eq!(count(&summary, &["pacecar", "attribution", "expected"]), 4);
    assert!(ended.stdout.contains("no span came"), "{ended}");
}
