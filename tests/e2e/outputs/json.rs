//! `json=FILE`, held against k6 1.1.0 itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::Command;

use serde_json::Value;

use super::{Line, fate, lines, points, read};
use crate::support::json::{count, number};
use crate::support::plan::{one_step, three_steps};
use crate::support::{Mode, Pacecar, PlanFile, Server, root};

/// Metrics that k6 does not have.
const OWN: [&str; 6] = [
    "http_req_response_time",
    "iteration_response_time",
    "iteration_lag",
    "connection_reset",
    "connection_refused",
    "timeout",
];

const SCRIPT: &str = r"
import http from 'k6/http';
import { check, group } from 'k6';
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
const env = __ENV;
const latency = new Trend('latency', true), cost = new Trend('cost'), fine = new Rate('fine');
const things = new Counter('things'), level = new Gauge('level');
export const options = {
  scenarios: { main: { executor: 'shared-iterations', vus: 1, iterations: 1, tags: { own: 'x' } } },
  thresholds: { http_req_duration: ['p(95)<60000', 'max<60000'], 'http_req_duration{group:::good}': ['avg<60000'], http_req_failed: ['rate<2'],
    cost: ['avg<1'], checks: ['rate>0'] },
};
export function setup() { group('before', () => { http.get(`${env.API_URL}/before`); }); }
export function teardown() { group('after', () => { http.get(`${env.API_URL}/after`); }); }
export default function () {
  group('good', () => { const answer = http.get(`${env.API_URL}/good`); check(answer, { 'good status': (r) => r.status === 200 }); });
  latency.add(1.5); cost.add(0.002); fine.add(true); things.add(3); level.add(4);
  group('moved', () => { http.get(`${env.MOVED}/moved`); });
  group('missing', () => { const answer = http.get(`${env.MISSING}/missing`); check(answer, { 'missing status': (r) => r.status === 200 }); });
  group('reset', () => { http.post(`${env.RESET}/reset`, 'x'); });
  group('refused', () => { http.get(`${env.REFUSED}/refused`); });
  group('slow', () => { http.get(`${env.SLOW}/slow`, { timeout: '2s' }); });
}
";

const PLAN: &str = r#"
name: as-k6
base_url: ${API_URL}
http: { timeout: 2s }
setup: [{ name: before, request: GET /before }]
teardown: [{ name: after, request: GET /after }]
workflow:
  - name: good
    request: GET /good
    expect: { status: 200 }
    metrics:
      latency: { trend: duration }
      cost: { trend: "{{ 0.002 }}" }
      fine: { rate: $.ok }
      things: { counter: "{{ 3 }}" }
      level: { gauge: "{{ 4 }}" }
  - { name: moved, request: "GET ${MOVED}/moved" }
  - { name: missing, request: "GET ${MISSING}/missing", expect: { status: 200 } }
  - { name: reset, request: "POST ${RESET}/reset", body: x }
  - { name: refused, request: "GET ${REFUSED}/refused" }
  - { name: slow, request: "GET ${SLOW}/slow" }
scenarios:
  main: { executor: shared-iterations, vus: 1, iterations: 1, tags: { own: x } }
thresholds:
  http_req_duration: ["p(95)<60000", "max<60000"]
  "http_req_duration{group:::good}": ["avg<60000"]
  http_req_failed: ["rate<2"]
  cost: ["avg<1"]
  checks: ["rate>0"]
"#;

/// What of a point must be the same: its tags, and its value where that does not depend on time or bytes.
type Alike = BTreeMap<(String, BTreeMap<String, String>, Option<String>), usize>;

fn alike(text: &str) -> Alike {
    let mut counted = Alike::new();
    for mut point in points(text) {
        if OWN.contains(&point.metric.as_str()) {
            continue;
        }
        point.tags.remove("step");
        // k6 says beside it whether it was reading, writing or dialling.
        if let Some(error) = point.tags.get_mut("error") {
            *error = error.split(": ").last().unwrap_or_default().to_owned();
        }
        // As the plan writes them, not as they came to be asked.
        for name in ["url", "name"] {
            point.tags.entry(name.to_owned()).and_modify(String::clear);
        }
        let once = ["vus", "vus_max"].contains(&point.metric.as_str());
        let measured = ["http_req_", "data_", "iteration_duration", "group_duration", "latency"];
        let measured =
            measured.iter().any(|start| point.metric.starts_with(start)) && point.metric != "http_req_failed";
        let value = (!measured).then(|| point.value.to_string());
        let seen = counted.entry((point.metric, point.tags, value)).or_insert(0);
        *seen = if once { 1 } else { *seen + 1 };
    }
    counted
}

/// The Metric lines by name; each stands once and before the first point of its metric.
#[track_caller]
fn announced(text: &str) -> BTreeMap<String, Value> {
    let (mut seen, mut announced) = (BTreeSet::new(), BTreeMap::new());
    for line in lines(text) {
        match line {
            Line::Metric(value) => {
                let name = value["metric"].as_str().unwrap().to_owned();
                assert!(
                    !seen.contains(&name) && announced.insert(name, value).is_none(),
                    "a Metric line too late or twice"
                );
            }
            Line::Point(point) => {
                assert!(announced.contains_key(&point.metric), "a point before its metric: {point:?}");
                seen.insert(point.metric);
            }
        }
    }
    announced.retain(|name, _| !OWN.contains(&name.as_str()));
    announced
}

#[test]
fn it_is_what_k6_writes_for_the_same_workflow() {
    let good = Server::start(Mode::Api);
    let moved = Server::start(Mode::RedirectTo(format!("{}/arrived", good.url())));
    let (missing, reset) = (Server::start(Mode::Status(404)), Server::start(Mode::ResetOnAccept));
    let slow = Server::start(Mode::Never);
    let targets = [
        ("API_URL", good.url()),
        ("MOVED", moved.url()),
        ("MISSING", missing.url()),
        ("RESET", reset.url()),
        ("REFUSED", Server::closed()),
        ("SLOW", slow.url()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (theirs, ours) = (folder.path().join("k6.json"), folder.path().join("pacecar.json"));

    let script = folder.path().join("script.js");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut k6 = Command::new(root().join("target/tools/venv/bin/k6"));
    k6.args(["run", "-q", "--no-usage-report", "--tag", "team=blue", "-a", "127.0.0.1:0"]);
    k6.args(["--out", &format!("json={}", theirs.display())]).envs(targets.clone()).arg(&script);
    let k6 =
        k6.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let k6 = k6.spawn().expect("k6 runs: scripts/ensure.sh k6");

    let plan = PlanFile::new(PLAN);
    let mut run = Pacecar::run(&plan.path()).args(["--tag", "team=blue", "-o", &format!("json={}", ours.display())]);
    for (name, url) in &targets {
        run = run.set(name, url);
    }
    let ended = run.end().expect_ran();
    let k6 = k6.wait_with_output().unwrap();
    assert!(k6.status.success(), "{}", String::from_utf8_lossy(&k6.stderr));

    let (theirs, ours) = (read(&theirs), read(&ours));
    let (k6s, pacecars) = (alike(&theirs), alike(&ours));
    let missing: Vec<_> = k6s.iter().filter(|(key, seen)| pacecars.get(key) != Some(seen)).collect();
    let beyond: Vec<_> = pacecars.iter().filter(|(key, seen)| k6s.get(key) != Some(seen)).collect();
    assert!(missing.is_empty() && beyond.is_empty(), "only k6: {missing:#?}\nonly pacecar: {beyond:#?}");
    assert_eq!(announced(&ours), announced(&theirs));
    // Key for key in k6's order, too.
    let heads = |text: &str, lead: &str| {
        let head = |line: &str| line.split("\"time\":").next().unwrap_or_default().to_owned();
        text.lines().filter(|line| line.starts_with(lead)).map(head).collect::<BTreeSet<_>>()
    };
    assert!(heads(&ours, "{\"metric\"").is_superset(&heads(&theirs, "{\"metric\"")));
    for point in points(&ours) {
        humantime_like(&point.time);
    }
    let (written, lost) = fate(&ended, "json");
    assert_eq!((written, lost), (points(&ours).len() as u64, 0));
}

/// RFC 3339 in UTC, to the nanosecond at most.
#[track_caller]
fn humantime_like(time: &str) {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let fraction = shape.strip_prefix("0000-00-00T00:00:00").and_then(|rest| rest.strip_suffix('Z'));
    let fine =
        fraction.is_some_and(|rest| rest.is_empty() || (rest.starts_with('.') && (2..=10).contains(&rest.len())));
    assert!(fine, "{time}");
}

#[test]
fn points_add_up_to_the_summary_in_every_file_that_was_asked_for() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("a.json"), folder.path().join("b.json.gz"));
    let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url());
    let run = run.arg(format!("--out=json={}", plain.display())).arg(format!("--out=json={}", packed.display()));
    let ended = run.args(["-o", "json"]).env("AUTH_PASSWORD", "secret").end().expect_ran();
    let text = read(&plain);
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&packed).unwrap()).read_to_string(&mut unpacked).unwrap();
    assert_eq!(text, unpacked);
    // On standard output the points stand before the summary.
    for line in text.lines() {
        assert!(ended.stdout.contains(line), "{line}\n{ended}");
    }
    let all = points(&text);
    assert_eq!(fate(&ended, "json"), (3 * all.len() as u64, 0));

    let summary = ended.summary();
    let of =
        |metric: &str| all.iter().filter(|point| point.metric == metric).map(|point| point.value).collect::<Vec<_>>();
    for metric in ["http_reqs", "iterations", "data_sent", "data_received"] {
        assert_eq!(of(metric).iter().sum::<f64>(), number(&summary, &["metrics", metric, "count"]), "{metric}");
    }
    for metric in ["http_req_duration", "http_req_response_time", "iteration_lag", "cost_per_request", "group_duration"]
    {
        let (values, most) = (of(metric), number(&summary, &["metrics", metric, "max"]));
        assert_eq!(values.iter().copied().fold(0.0, f64::max), most, "{metric}");
    }
    let passes = of("checks").iter().filter(|value| **value == 1.0).count() as u64;
    assert_eq!(passes, count(&summary, &["metrics", "checks", "passes"]));
    // URLs are the plan's, without the query.
    let urls: BTreeSet<_> = all.iter().filter_map(|point| point.tags.get("url")).collect();
    assert!(
        urls.iter().map(|url| url.as_str()).eq(["/api/llm/chat", "/api/user/profile", "/auth/v1/token"]),
        "{urls:?}"
    );
}

#[test]
fn what_never_finished_stands_at_a_bound_that_hides_nothing() {
    let server = Server::start(Mode::Never);
    let plan = PlanFile::new(
        "\
name: stuck
base_url: ${API_URL}
workflow: [{ name: stuck, request: GET / }]
scenarios: { main: { executor: constant-arrival-rate, rate: 20, duration: 1s, preAllocatedVUs: 2, gracefulStop: 0s } }
",
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let ended =
        Pacecar::run(&plan.path()).set("API_URL", server.url()).arg("-o").arg(format!("json={}", file.display())).end();
    let all = points(&read(&file));
    let of = |metric: &str| all.iter().filter(|point| point.metric == metric).count() as u64;
    let fidelity = &ended.summary()["pacecar"]["fidelity"];
    let due = count(fidelity, &["scheduled"]);
    assert_eq!(of("dropped_iterations"), count(fidelity, &["dropped"]), "{ended}");
    assert_eq!((of("iteration_response_time"), of("http_req_response_time")), (due, due), "{ended}");
    for point in all.iter().filter(|point| point.metric.ends_with("response_time")) {
        assert_eq!(point.tags["censored"], "true");
    }
    assert_eq!(fate(&ended, "json"), (all.len() as u64, 0));
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_run_before_the_first_request() {
    let server = Server::start(Mode::Api);
    let run = || Pacecar::run(&one_step().path()).set("API_URL", server.url());
    let ended = run().args(["-o", "json=/no-such-folder/out.json"]).end().expect_code(104);
    assert!(ended.stderr.contains("/no-such-folder/out.json"), "{ended}");
    let ended = run().args(["-o", "jsn=x", "-o", "json=s3://bucket/x"]).end().expect_code(104);
    assert!(ended.stderr.contains("`jsn`") && ended.stderr.contains("not yet"), "{ended}");
    server.expect_untouched();
}

#[test]
fn the_plan_can_name_outputs_and_a_refused_run_leaves_the_file_of_the_run_before() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let text = read(&one_step().path()) + &format!("outputs: [ \"json={}\" ]\n", file.display());
    Pacecar::new(["run", "-"]).stdin(text.clone()).set("API_URL", server.url()).end().expect_ran();
    let before = read(&file);
    assert_eq!(points(&before).iter().filter(|point| point.metric == "iterations").count(), 3);
    let refused = text + "environment: production\n";
    Pacecar::new(["run", "-"]).stdin(refused).set("API_URL", server.url()).end().expect_code(121);
    assert_eq!(read(&file), before);
}
