//! `prometheus-rw=URL` against a real Prometheus, and what k6 itself sends there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{fate, points, read};
use crate::support::json::number;
use crate::support::prometheus::Prometheus;
use crate::support::{Mode, Pacecar, PlanFile, Server, root};

const PLAN: &str = r#"
name: as-k6
base_url: ${API_URL}
workflow:
  - name: agent
    request: POST /api/llm/chat
    json: {}
    expect: { status: 200 }
    metrics: { cost_per_request: { trend: $.cost }, cache_hits: { rate: $.cached } }
  - { name: bad, request: "GET ${BAD}/" }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 12 } }
"#;

const SCRIPT: &str = "
import http from 'k6/http';
import { check, group } from 'k6';
import { Rate, Trend } from 'k6/metrics';
const cost = new Trend('cost_per_request'), hits = new Rate('cache_hits');
export const options = { scenarios: { main: { executor: 'shared-iterations', vus: 1, iterations: 12 } } };
export default function () {
  group('agent', () => { check(http.post(`${__ENV.API_URL}/api/llm/chat`, '{}'), { 'agent status': (r) => r.status === 200 }); });
  group('bad', () => { http.get(`${__ENV.BAD}/`); });
  cost.add(0.002); hits.add(true);
}
";

/// The names of series with the sets of their labels' names.
fn shape(prometheus: &Prometheus, run: &str) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let mut shape: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    // VUs are sampled once a second: a short run may have none.
    for series in prometheus.series(&format!("{{testid=\"{run}\",__name__!~\"k6_vus.*\"}}")) {
        let labels = series.as_object().unwrap();
        let names = labels.keys().filter(|name| *name != "step").cloned().collect();
        shape.entry(labels["__name__"].as_str().unwrap().to_owned()).or_default().insert(names);
    }
    shape
}

#[test]
fn series_are_k6s_and_prometheus_reads_the_figures_of_the_summary_off_them() {
    let (prometheus, server, bad) = (Prometheus::start(), Server::start(Mode::Api), Server::start(Mode::Status(500)));
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.js");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut k6 = Command::new(root().join("target/tools/venv/bin/k6"));
    k6.args(["run", "-q", "--no-usage-report", "--tag", "testid=theirs", "-a", "127.0.0.1:0"]);
    k6.args(["-o", "experimental-prometheus-rw"]).env("K6_PROMETHEUS_RW_TREND_AS_NATIVE_HISTOGRAM", "true");
    k6.env("K6_PROMETHEUS_RW_SERVER_URL", format!("{}/api/v1/write", prometheus.url()));
    k6.envs([("API_URL", server.url()), ("BAD", bad.url())]).arg(&script);
    let k6 = k6.stdin(Stdio::null()).output().expect("k6 runs: scripts/ensure.sh k6");
    assert!(k6.status.success(), "{}", String::from_utf8_lossy(&k6.stderr));

    let file = folder.path().join("out.json");
    let plan = PlanFile::new(PLAN);
    let run = || Pacecar::run(&plan.path()).set("API_URL", server.url()).set("BAD", bad.url());
    let ours = run().args(["--tag", "testid=ours", "-o", &format!("json={}", file.display())]);
    let ended = ours.arg(format!("--out=prometheus-rw={}", prometheus.url())).end().expect_ran();

    let (theirs, mut ours) = (shape(&prometheus, "theirs"), shape(&prometheus, "ours"));
    ours.retain(|name, _| theirs.contains_key(name));
    assert_eq!(ours, theirs);

    let all = points(&read(&file));
    assert_eq!(fate(&ended, "prometheus-rw"), (all.len() as u64, 0));
    let summary = ended.summary();
    let metric = |name: &str, figure: &str| number(&summary, &["metrics", name, figure]);
    let figure = |query: &str| prometheus.figure(&query.replace("OURS", "testid=\"ours\""));
    assert_eq!(figure("sum(k6_http_reqs_total{OURS})"), 24.0);
    assert_eq!(figure("k6_http_reqs_total{OURS,status=\"500\"}"), 12.0);
    assert_eq!(figure("k6_http_req_failed_rate{OURS,group=\"::bad\"}"), 1.0);
    assert_eq!(figure("k6_iterations_total{OURS}"), 12.0);
    assert_eq!(figure("sum(k6_data_received_total{OURS})"), metric("data_received", "count"));
    assert_eq!(figure("k6_cache_hits_rate{OURS}"), 1.0);
    assert_eq!(figure("histogram_count(sum(k6_http_req_duration_seconds{OURS}))"), 24.0);
    let sum: f64 = all.iter().filter(|point| point.metric == "http_req_duration").map(|point| point.value).sum();
    let same = |query: &str, wanted: f64, within: f64| {
        let got = figure(query);
        assert!((got - wanted).abs() <= within * wanted, "{query}: {got} for {wanted}");
    };
    same("histogram_sum(sum(k6_http_req_duration_seconds{OURS}))", sum / 1e3, 1e-9);
    // A bucket is 0.54 % wide, and Prometheus takes a rank where k6 and we take the mean of two.
    let mut waited: Vec<f64> =
        all.iter().filter(|point| point.metric == "iteration_duration").map(|point| point.value / 1e3).collect();
    waited.sort_by(f64::total_cmp);
    let median = figure("histogram_quantile(0.5, k6_iteration_duration_seconds{OURS})");
    assert!(waited[5] * 0.994 <= median && median <= waited[6] * 1.006, "{median} in {waited:?}");
    same("histogram_sum(k6_cost_per_request{OURS})", 12.0 * 0.002, 1e-9);
    assert_eq!(figure("histogram_count(sum(k6_http_req_response_time_seconds{OURS}))"), 24.0);

    // Figures in place of histograms, as k6 has them by default; and at the end all series end.
    let stats = run().args(["--tag", "testid=stats", "-o", "experimental-prometheus-rw"]);
    let stats = stats.env("K6_PROMETHEUS_RW_SERVER_URL", format!("{}/api/v1/write", prometheus.url()));
    let stats =
        stats.env("K6_PROMETHEUS_RW_TREND_STATS", "p(99),min,sum").env("K6_PROMETHEUS_RW_STALE_MARKERS", "true");
    let ended = stats.end().expect_ran();
    assert_eq!(prometheus.query("{testid=\"stats\"}"), Vec::<(Value, f64)>::new(), "series that are stale");
    let (summary, of) = (ended.summary(), "{testid=\"stats\",group=\"::bad\"}");
    let least = prometheus.figure(&format!("last_over_time(k6_http_req_duration_min{of}[10m])"));
    assert!(least * 1e3 >= number(&summary, &["metrics", "http_req_duration", "min"]) * 0.999_999, "{least}\n{ended}");
    for end in ["p99", "sum"] {
        assert!(prometheus.figure(&format!("last_over_time(k6_http_req_duration_{end}{of}[10m])")) >= least);
    }
}
