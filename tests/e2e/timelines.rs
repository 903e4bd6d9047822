//! The pool and its neighbours over the time of the load, as the sample API tells of them.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::support::api::{self, Own};
use crate::support::json::{at, number};
use crate::support::redis::Redis;
use crate::support::{Ended, Pacecar, PlanFile};

/// Eight who ask for their profile for some seconds, watched through `sources`.
fn plan(sources: &str, thresholds: &str) -> PlanFile {
    PlanFile::new(format!(
        r#"
name: watched
environment: dev
base_url: ${{API_URL}}
setup:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: {{ email: test-1-1@example.com, password: secret }}
    expect: {{ status: 200 }}
    capture: {{ token: $.access_token }}
workflow:
  - {{ name: profile, request: GET /api/user/profile, auth: {{ bearer: "{{{{ token }}}}" }} }}
scenarios:
  main: {{ executor: constant-vus, vus: 8, duration: 4s }}
thresholds: {{ {thresholds} }}
correlate:
{sources}
"#
    ))
}

const HTTP: &str = "  pool: { http: { url: /api/llm/stats, every: 200ms, max: $.pool.max, used: $.pool.used, \
                    pending: $.pool.pending } }\n";

/// A pool of two whose queries take 50 ms: six of eight wait.
fn crowded() -> Own {
    api::own(&[("PG_POOL_MAX", "2"), ("PG_QUERY_MS", "50"), ("PG_POOL_CONNECTION_TIMEOUT_MS", "0")])
}

fn run(plan: &PlanFile, api: &Own, code: i32) -> (Ended, Value) {
    let run = Pacecar::run(&plan.path()).set("API_URL", &api.url).set("DATABASE_URL", &api.database_url);
    let run = run.limit(Duration::from_secs(60));
    let ended = run.end().expect_code(code);
    let summary = ended.summary();
    (ended, summary)
}

#[test]
fn a_pool_that_is_full_is_seen_through_its_json_and_fails_its_threshold() {
    let api = crowded();
    let thresholds = r#"pool_utilization: ["value<0.8"], pool_pending: ["value>1"], pool_used: ["value<=2"]"#;
    let (ended, summary) = run(&plan(HTTP, thresholds), &api, 99);
    let pool = at(&summary, &["pacecar", "pool"]);
    assert_eq!((number(pool, &["max"]), number(pool, &["used_peak"])), (2.0, 2.0), "{pool:#}");
    assert!(number(pool, &["utilization"]) > 0.8 && number(pool, &["pending_peak"]) >= 4.0, "{pool:#}");
    assert!(pool.get("resolution_ms").is_none() && pool.get("used_is_lower_bound").is_none(), "{pool:#}");
    assert!(ended.stdout.contains("in use at most"), "{ended}");
    // The gauge is the mean over the load, as the section has it.
    let gauge = number(&summary, &["metrics", "pool_utilization", "value"]);
    assert!((gauge - number(pool, &["utilization"])).abs() < 0.01, "{gauge} {pool:#}");
}

#[test]
fn any_endpoints_figures_are_kept_and_a_dead_source_is_told_once() {
    let api = api::own(&[]);
    let sources = "  endpoints:
    - { name: llm, url: /api/llm/stats, every: 200ms, values: { failures: $.togetherAI.failures, max: $.pool.max } }
    - { name: gone, url: \"http://user:hidden@127.0.0.1:1/x\", every: 200ms, values: { a: $.a } }
  redis: { url: \"redis://:hidden@127.0.0.1:1/0\", every: 200ms }\n";
    let (ended, summary) = run(&plan(sources, ""), &api, 0);
    let kept = at(&summary, &["pacecar", "timelines"]);
    assert_eq!(number(kept, &["llm", "failures", "max"]), 0.0, "{kept:#}");
    assert_eq!(number(kept, &["llm", "max", "mean"]), 40.0, "{kept:#}");
    assert!(kept.get("gone").is_none() && kept.get("redis").is_none(), "{kept:#}");
    assert!(summary["pacecar"].get("pool").is_none(), "nobody saw it");
    assert_eq!(ended.stdout.matches("cannot be read").count(), 2, "{ended}");
    assert!(!format!("{ended}").contains("hidden"), "{ended}");
}

#[test]
fn the_database_alone_sees_what_is_in_use_and_not_who_waits() {
    let api = crowded();
    let sources = "  postgres: { url: \"${DATABASE_URL}\", every: 200ms }\n  pool: { max: 2 }\n";
    let (ended, summary) = run(&plan(sources, ""), &api, 0);
    let pool = at(&summary, &["pacecar", "pool"]);
    assert_eq!(pool["used_is_lower_bound"], true, "{pool:#}");
    assert!((1.0..=2.0).contains(&number(pool, &["used_peak"])), "{pool:#}");
    assert!(number(pool, &["utilization"]) > 0.5 && pool.get("pending_peak").is_none(), "{pool:#}");
    let seen = at(&summary, &["pacecar", "timelines", "postgres"]);
    assert!(number(seen, &["commits_per_second", "max"]) > 0.0, "{seen:#}");
    // The sample API's queries sleep.
    assert!(seen.get("waiting Timeout:PgSleep").is_some(), "{seen:#}");
    assert!(ended.stdout.contains("at least 2 of 2 in use at most"), "{ended}");
}

#[test]
fn redis_tells_its_latency_hit_rate_and_memory() {
    let (api, redis) = (api::own(&[]), Redis::start(&["--requirepass", "hidden"]));
    let url = redis.url(0).replace("redis://", "redis://:hidden@");
    let (ended, summary) = run(&plan(&format!("  redis: {{ url: \"{url}\", every: 200ms }}\n"), ""), &api, 0);
    let seen = at(&summary, &["pacecar", "timelines", "redis"]);
    assert!(number(seen, &["ping_ms", "min"]) > 0.0 && number(seen, &["memory_bytes", "min"]) > 1e5, "{seen:#}");
    assert!(seen.get("hit_rate").is_none(), "nobody asked it for anything: {seen:#}");
    assert!(!format!("{ended}").contains("hidden"), "{ended}");
}

#[test]
fn waits_come_from_the_spans_and_the_sentence_tells_of_the_pool() {
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let exporter = format!("http://{listen}");
    let api = api::own(&[
        ("PG_POOL_MAX", "2"),
        ("PG_QUERY_MS", "50"),
        ("PG_POOL_CONNECTION_TIMEOUT_MS", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &exporter),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ]);
    let sources = format!("{HTTP}  traces: {{ listen: \"{listen}\" }}\n");
    let (ended, summary) = run(&plan(&sources, r#"pool_wait: ["med>20"]"#), &api, 0);
    let stats = api.stats();
    let measured = number(&stats, &["pool", "waitedMs"]) / number(&stats, &["pool", "waits"]);
    let told = number(&summary, &["pacecar", "pool", "wait_ms", "avg"]);
    assert!((told - measured).abs() <= 0.15 * measured, "told {told}, measured {measured}");
    assert!(number(&summary, &["metrics", "pool_wait", "avg"]) > 20.0);
    assert!(ended.stdout.contains("waiting for a pool connection; the pool was at 100 % with "), "{ended}");
    assert!(number(&summary, &["pacecar", "runtime", "pacecar", "cpu_cores"]) > 0.0);
}

#[test]
fn a_run_that_fails_in_a_spike_names_what_moved_with_it() {
    let api = crowded();
    let plain = plan(HTTP, r#"http_req_duration: ["p(95)<120"]"#);
    let source = std::fs::read_to_string(plain.path()).expect("the plan");
    let scenarios = "  calm: { executor: constant-vus, vus: 1, duration: 12s }
  spike: { executor: constant-vus, vus: 10, duration: 5s, startTime: 3s }";
    let spike = source.replace("  main: { executor: constant-vus, vus: 8, duration: 4s }", scenarios);
    let (ended, summary) = run(&PlanFile::new(spike), &api, 99);
    let moved = at(&summary, &["pacecar", "moved"]);
    assert_eq!(moved["with"], "http_req_duration", "{moved:#}");
    let figures = at(moved, &["figures"]).as_array().expect("a list");
    let pending = figures.iter().find(|figure| figure["name"] == "pool pending");
    let pending = pending.unwrap_or_else(|| panic!("{moved:#}\n{ended}"));
    assert!(number(pending, &["bad"]) > number(pending, &["good"]) + 1.0, "{moved:#}");
    assert!(ended.stdout.contains("what moved with http_req_duration:"), "{ended}");
}
