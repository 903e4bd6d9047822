//! The pool and its neighbours over the time of the load, as the sample API tells of them.

use std::time::Duration;

use serde_json::Value;

use crate::support::api::{self, Own};
use crate::support::json::{at, number};
use crate::support::{Ended, Pacecar, PlanFile};

/// Eight who ask for their profile for some seconds, watched through `sources`.
fn plan(sources: &str, thresholds: &str) -> PlanFile {
    PlanFile::new(&format!(
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
    let run = Pacecar::run(&plan.path()).set("API_URL", &api.url).limit(Duration::from_secs(60));
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
