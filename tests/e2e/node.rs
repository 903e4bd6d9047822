//! Why, of a real Node service: express, `pg`'s Pool and OpenTelemetry's own SDK, in examples/node-api.
//!
//! Skipped where Node is not installed, or the service's packages are not: `make test` installs both.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::json::{at, number, text};
use crate::support::{Ended, Pacecar, PlanFile, api, guardian, postgres};

/// A Node service with knobs and a database of its own; it ends with this.
struct Node {
    url: String,
    child: Child,
}

// === impl Node ===

impl Node {
    /// Starts one; none where it cannot be had here.
    #[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn start(exporter: &str, knobs: &[(&str, &str)]) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/node-api");
        let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
        if !node.is_ok_and(|status| status.success()) || !folder.join("node_modules").is_dir() {
            println!("skipped: no Node, or no packages in examples/node-api (scripts/ensure.sh node; npm ci)");
            return None;
        }
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .env("DATABASE_URL", postgres::shared().another())
            .env("SEED_PASSWORD", "secret")
            .env("PORT", "0")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", exporter)
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "500")
            .env("OTEL_METRIC_EXPORT_TIMEOUT", "500")
            .env("PG_POOL_CONNECTION_TIMEOUT_MS", "0")
            .envs(knobs.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("node starts");
        guardian::ends_with_us(child.id(), "TERM");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (found, address) = mpsc::channel();
        // Reads on to the end: a full pipe would stop the service.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on ") {
                    let _ = found.send(url.to_owned());
                }
            }
        });
        let url = address.recv_timeout(Duration::from_secs(60)).expect("the service says where it listens");
        Some(Self { url, child })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

const PROFILE: &str = "{ name: profile, request: GET /api/user/profile, auth: { bearer: \"{{ token }}\" } }";
const CHAT: &str =
    "{ name: agent, request: POST /api/llm/chat, auth: { bearer: \"{{ token }}\" }, json: { prompt: why } }";

/// Runs a step over and over against a service with these knobs; none where there is no Node.
fn explained(step: &str, load: &str, knobs: &[(&str, &str)]) -> Option<(Ended, Value, Value)> {
    let listen = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").to_string();
    let node = Node::start(&format!("http://{listen}"), knobs)?;
    let plan = PlanFile::new(format!(
        r#"
name: node
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
  main: {{ vus: 8, {load} }}
thresholds: {{ http_req_failed: ["rate==0"] }}
correlate:
  traces: {{ listen: "${{LISTEN}}", linger: 10s }}
  pool: {{ otel: true }}
"#
    ));
    let run = Pacecar::run(&plan.path()).set("API_URL", &node.url).set("LISTEN", &listen);
    let ended = run.limit(Duration::from_secs(90)).end().expect_code(0);
    let summary = ended.summary();
    let (joined, expected) = (
        number(&summary, &["pacecar", "attribution", "joined"]),
        number(&summary, &["pacecar", "attribution", "expected"]),
    );
    assert!(joined >= 0.95 * expected, "{joined} of {expected}\n{ended}");
    let stats = api::stats(&node.url);
    Some((ended, summary, stats))
}

fn band<'a>(summary: &'a Value, step: &str, name: &str) -> &'a Value {
    let bands = at(summary, &["pacecar", "attribution", "bands"]).as_array().expect("a list");
    let found = bands.iter().find(|band| text(band, &["step"]) == step && text(band, &["band"]) == name);
    found.unwrap_or_else(|| panic!("no {name} of {step} in {bands:#?}"))
}

/// The largest part of a band.
fn largest(band: &Value) -> String {
    let parts = at(band, &["parts_ms"]).as_object().expect("an object");
    let values: Vec<(&String, f64)> = parts.iter().map(|(name, value)| (name, value.as_f64().expect("ms"))).collect();
    let (sum, total) = (values.iter().map(|(_, value)| value).sum::<f64>(), number(band, &["total_ms"]));
    assert!((sum - total).abs() <= 0.02 * total, "{sum} of {total}");
    values.iter().max_by(|(_, one), (_, other)| one.total_cmp(other)).expect("eight").0.clone()
}

#[test]
fn a_pool_too_small_is_named_with_what_the_service_itself_measures() {
    let knobs = [("PG_POOL_MAX", "2"), ("PG_POOL_MIN", "2"), ("QUERY_DELAY_MS", "50")];
    let Some((ended, summary, stats)) = explained(PROFILE, "executor: shared-iterations, iterations: 120", &knobs)
    else {
        return;
    };
    let p95 = band(&summary, "profile", "p95");
    assert_eq!(largest(p95), "pool_wait", "{p95:#}\n{ended}");
    let mut waits: Vec<f64> =
        at(&stats, &["pool_wait_ms"]).as_array().expect("a list").iter().map(|ms| ms.as_f64().expect("ms")).collect();
    waits.sort_by(f64::total_cmp);
    let slowest = waits.get(waits.len() * 90 / 100..waits.len() * 99 / 100).expect("some");
    let measured = slowest.iter().sum::<f64>() / slowest.len() as f64;
    let told = number(p95, &["parts_ms", "pool_wait"]);
    assert!((told - measured).abs() <= 0.15 * measured, "told {told}, measured {measured}");
    let pool = at(&summary, &["pacecar", "pool"]);
    let all = waits.iter().sum::<f64>() / waits.len() as f64;
    let avg = number(pool, &["wait_ms", "avg"]);
    assert!((avg - all).abs() <= 0.15 * all, "told {avg}, measured {all}");
    // Seen through the service's own metrics.
    assert_eq!(number(pool, &["used_peak"]), 2.0, "{pool:#}");
    assert!(number(pool, &["pending_peak"]) >= 4.0, "{pool:#}");
    assert!(ended.stdout.contains("waiting for a pool connection"), "{ended}");
}

#[test]
fn a_pool_that_suffices_leaves_the_database() {
    let knobs = [("PG_POOL_MAX", "16"), ("PG_POOL_MIN", "16"), ("QUERY_DELAY_MS", "50")];
    let Some((ended, summary, _)) = explained(PROFILE, "executor: shared-iterations, iterations: 120", &knobs) else {
        return;
    };
    let p50 = band(&summary, "profile", "p50");
    assert_eq!(largest(p50), "db", "{p50:#}\n{ended}");
    assert!(number(p50, &["parts_ms", "pool_wait"]) < 0.1 * number(p50, &["parts_ms", "db"]), "{p50:#}");
}

#[test]
fn a_slow_model_is_upstream() {
    let knobs = [("LLM_LATENCY_MS", "300"), ("LLM_JITTER", "0"), ("LLM_CACHE_HIT_RATE", "0")];
    let Some((ended, summary, _)) = explained(CHAT, "executor: shared-iterations, iterations: 40", &knobs) else {
        return;
    };
    let p50 = band(&summary, "agent", "p50");
    assert_eq!(largest(p50), "upstream", "{p50:#}\n{ended}");
}

#[test]
fn a_blocked_event_loop_is_the_services_own_and_the_runtime_line_says_so() {
    let knobs = [("BLOCK_LOOP_MS", "200"), ("BLOCK_LOOP_EVERY_MS", "50")];
    let Some((ended, summary, _)) = explained(PROFILE, "executor: constant-vus, duration: 5s", &knobs) else { return };
    // The slowest waited for the loop before their handler; what the loop holds up later stands in pg's own spans.
    let own = ["p95", "p99"].map(|name| {
        let slow = band(&summary, "profile", name);
        (number(slow, &["parts_ms", "app"]) + number(slow, &["parts_ms", "server_queue"])) / number(slow, &["total_ms"])
    });
    assert!(own.iter().any(|share| *share > 0.1), "{own:?}\n{ended}");
    let blocked = number(&summary, &["pacecar", "runtime", "node", "eventloop_blocked_ms"]);
    assert!(blocked >= 150.0, "{blocked}\n{ended}");
    assert!(ended.stdout.contains("the event loop was blocked for up to"), "{ended}");
}
