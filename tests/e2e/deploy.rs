//! deploy/: the plans there are those of config/, dashboards ask for metrics that exist, and what kubectl renders holds
//! no secret. `make e2e` renders all of it with the real tools.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::control::get;
use crate::support::{Pacecar, PlanFile, api, root};

fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_plans_of_deploy_are_those_of_config_without_a_default_password() {
    for name in ["canary.yaml", "tenant-workflow.yaml", "prompts.json"] {
        let ready = read(&root().join("config").join(name));
        let expected = ready.replace("AUTH_PASSWORD:-secret", "AUTH_PASSWORD:-").replace("=secret", "=…");
        assert_eq!(read(&deploy("chart/plans").join(name)), expected, "deploy/chart/plans/{name}");
    }
    for name in ["canary.yaml", "tenant-workflow.yaml"] {
        Pacecar::new(["check"]).arg(deploy("chart/plans").join(name)).end().expect_code(0);
    }
}

#[test]
fn the_folders_render_with_kustomize_and_hold_no_secret() {
    let Some(mut kustomize) = kustomize() else {
        #[allow(clippy::print_stderr, reason = "a skipped test says so")]
        let () = eprintln!("skipped: neither kubectl nor kustomize is here; `make e2e` builds one");
        return;
    };
    for folder in ["base", "staging", "load-job", "standalone"] {
        let output = kustomize.arg(deploy(folder)).output().unwrap();
        kustomize = self::kustomize().unwrap();
        let rendered = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!rendered.contains("kind: Secret"), "{folder}");
        for image in rendered.lines().filter_map(|line| line.trim().strip_prefix("image: ")) {
            assert!(image.contains("pacecar"), "{folder}: {image}");
        }
        assert!(rendered.contains("terminationGracePeriodSeconds:"), "{folder}");
    }
}

fn kustomize() -> Option<Command> {
    let there = |program: &str| Command::new(program).arg("version").arg("--client").output().is_ok();
    if there("kubectl") {
        let mut command = Command::new("kubectl");
        command.arg("kustomize");
        return Some(command);
    }
    there("kustomize").then(|| {
        let mut command = Command::new("kustomize");
        command.arg("build");
        command
    })
}

/// All that /metrics can have: a custom metric more is the plan's own.
const WATCHED: &str = "
name: dashboards
base_url: ${API_URL}
tenants: { count: 2, users: 2, email: 'test-{{ tenant }}-{{ user }}@example.com', password: secret }
workflow:
  - { name: login, request: POST /auth/v1/token?grant_type=password, expect: { status: 200 },
      json: { email: '{{ user.email }}', password: '{{ user.password }}' } }
scenarios: { steady: { executor: constant-arrival-rate, rate: 10, preAllocatedVUs: 4 } }
slo: [{ name: availability, good: http_req_failed, objective: 99.9 }]
correlate:
  pool: { http: { url: /api/llm/stats, every: 200ms, max: $.pool.max, used: $.pool.used, pending: $.pool.pending } }
";

#[test]
fn every_query_of_the_dashboards_names_a_metric_that_exists() {
    let api = api::own(&[]);
    let plan = PlanFile::new(WATCHED);
    let canary = Pacecar::new(["canary", "-v", "--address", "127.0.0.1:0"])
        .arg(plan.path().as_os_str())
        .set("API_URL", &api.url)
        .start();
    let address = canary.address("control");
    let wanted = metrics_of_dashboards();
    let begun = Instant::now();
    loop {
        let there = names(&get(address, "/metrics").1);
        let missing: Vec<_> = wanted.difference(&there).collect();
        if missing.is_empty() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "/metrics has none of {missing:?}, only {there:?}");
        thread::sleep(Duration::from_millis(200));
    }
    canary.signal(Signal::TERM);
    canary.end().expect_code(0);
}

/// What stands before `{` or a blank in a text of Prometheus.
fn names(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(ToOwned::to_owned).collect()
}

/// The words that begin with `pacecar_` in the queries of all dashboards.
fn metrics_of_dashboards() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for board in boards() {
        for expression in
            board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap())
        {
            let text = expression["expr"].as_str().unwrap_or_default();
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            names.extend(words.filter(|word| word.starts_with("pacecar_")).map(ToOwned::to_owned));
        }
    }
    assert!(names.len() > 15, "{names:?}");
    names
}

fn boards() -> Vec<Value> {
    let folder = fs::read_dir(deploy("grafana/dashboards")).unwrap();
    let boards: Vec<Value> = folder.map(|entry| serde_json::from_str(&read(&entry.unwrap().path())).unwrap()).collect();
    assert_eq!(boards.len(), 4);
    boards
}

#[test]
fn the_dashboard_on_influxdb_reads_what_is_written_there() {
    let metrics = read(&root().join("docs/metrics.md"));
    let board = boards().into_iter().find(|board| board["uid"] == "pacecar-k6-influxdb").unwrap();
    let text = board.to_string();
    let measurements: BTreeSet<_> =
        text.split("FROM \\\"").skip(1).filter_map(|rest| rest.split("\\\"").next()).collect();
    assert!(measurements.len() >= 8, "{measurements:?}");
    for name in measurements {
        assert!(metrics.contains(&format!("`{name}`")), "{name} stands in no table of docs/metrics.md");
    }
}
