//! `influxdb=URL/DB` against a real InfluxDB 1.x, and what k6 itself writes there.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{fate, points, read};
use crate::support::influxdb::InfluxDb;
use crate::support::plan::three_steps;
use crate::support::{Mode, Pacecar, PlanFile, Server, root};

/// A measurement's tags, and its fields with their types.
#[derive(Debug, PartialEq)]
struct Shape {
    tags: Vec<String>,
    fields: Vec<(String, String)>,
}

/// The measurements of a database.
fn shapes(influxdb: &InfluxDb, database: &str) -> BTreeMap<String, Shape> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut shapes = BTreeMap::new();
    for row in influxdb.rows(database, "SHOW MEASUREMENTS") {
        let name = text(&row["name"]);
        if name.starts_with("vus") {
            // Sampled once a second: a short run may have none.
            continue;
        }
        let of = |what: &str| influxdb.rows(database, &format!("SHOW {what} KEYS FROM \"{name}\""));
        let tags = of("TAG").iter().map(|row| text(&row["tagKey"])).filter(|tag| tag != "step").collect();
        let fields = of("FIELD").iter().map(|row| (text(&row["fieldKey"]), text(&row["fieldType"]))).collect();
        shapes.insert(name, Shape { tags, fields });
    }
    shapes
}

#[test]
fn points_stand_there_as_k6s_and_each_of_them_once() {
    let (influxdb, server) = (InfluxDb::start(), Server::start(Mode::Api));
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.js");
    let text = "
import http from 'k6/http';
import { check, group } from 'k6';
import { Trend } from 'k6/metrics';
const cost = new Trend('cost_per_request');
export const options = { scenarios: { main: { executor: 'shared-iterations', vus: 1, iterations: 2 } } };
export default function () {
  group('agent', () => { check(http.post(`${__ENV.API_URL}/api/llm/chat`, '{}'), { 'agent status': (r) => r.status === 200 }); });
  group('bad', () => { http.get(`${__ENV.BAD}/`); });
  cost.add(0.002);
}
";
    std::fs::write(&script, text).unwrap();
    let bad = Server::start(Mode::Status(500));
    let mut k6 = Command::new(root().join("target/tools/venv/bin/k6"));
    k6.args(["run", "-q", "--no-usage-report", "--tag", "team=a b,c", "-a", "127.0.0.1:0", "--out"]);
    k6.arg(format!("influxdb={}/theirs", influxdb.url())).envs([("API_URL", server.url()), ("BAD", bad.url())]);
    let k6 = k6.arg(&script).stdin(Stdio::null()).output().expect("k6 runs: scripts/ensure.sh k6");
    assert!(k6.status.success(), "{}", String::from_utf8_lossy(&k6.stderr));

    let plan = PlanFile::new(
        r#"
name: as-k6
base_url: ${API_URL}
workflow:
  - name: agent
    request: POST /api/llm/chat
    json: {}
    expect: { status: 200 }
    metrics: { cost_per_request: { trend: $.cost } }
  - { name: bad, request: "GET ${BAD}/" }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 2 } }
"#,
    );
    let file = folder.path().join("out.json");
    let run =
        Pacecar::run(&plan.path()).set("API_URL", server.url()).set("BAD", bad.url()).args(["--tag", "team=a b,c"]);
    let run = run.arg("-o").arg(format!("json={}", file.display()));
    let ended = run.arg("-o").arg(format!("influxdb={}/ours", influxdb.url())).end().expect_ran();

    let (theirs, mut ours) = (shapes(&influxdb, "theirs"), shapes(&influxdb, "ours"));
    ours.retain(|name, _| theirs.contains_key(name));
    assert_eq!(ours, theirs);

    // Each point stands there once, with its value, its tags and its instant.
    let all = points(&read(&file));
    assert_eq!(fate(&ended, "influxdb"), (all.len() as u64, 0));
    assert_eq!(fate(&ended, "json"), (all.len() as u64, 0));
    let counted: u64 =
        influxdb.rows("ours", "SELECT COUNT(value) FROM /.*/").iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, all.len() as u64, "points share an instant");
    for point in all.iter().filter(|point| point.metric == "http_req_duration") {
        let group = &point.tags["group"];
        let rows = influxdb.rows("ours", &format!("SELECT * FROM http_req_duration WHERE \"group\" = '{group}'"));
        let row = rows.iter().find(|row| row["value"].as_f64() == Some(point.value));
        let row = row.unwrap_or_else(|| panic!("{point:?} in {rows:?}"));
        for (name, value) in &point.tags {
            assert_eq!(row[name], Value::from(value.clone()), "{point:?}");
        }
    }
}

#[test]
fn a_password_opens_the_database_and_stands_nowhere() {
    const MARK: &str = "mark7f3c19";
    // `dXNlcjptYXJrN2YzYzE5` is user:mark7f3c19.
    let (server, influxdb) = (Server::start(Mode::Api), Server::start(Mode::Status(401)));
    let with_user = influxdb.url().replace("http://", &format!("http://user:{MARK}@"));
    let run = || Pacecar::run(&three_steps().path()).set("API_URL", server.url()).arg("-vv");
    let ended = run().arg("-o").arg(format!("influxdb={with_user}/db")).end().expect_ran();
    assert_eq!(influxdb.at("/write")[0].header("authorization"), "Basic dXNlcjptYXJrN2YzYzE5");
    assert!(!ended.everything().contains(MARK), "{ended}");
    let (written, lost) = fate(&ended, "influxdb");
    assert!(written == 0 && lost > 0 && ended.stderr.contains("401"), "{ended}");

    let token = run().env("K6_INFLUXDB_TOKEN", MARK).env("K6_INFLUXDB_ORGANIZATION", "org");
    let ended = token.arg("-o").arg(format!("influxdb={}/bucket", influxdb.url())).end().expect_ran();
    let request = &influxdb.at("/api/v2/write")[0];
    assert_eq!(request.header("authorization"), format!("Token {MARK}"));
    assert_eq!(request.target, "/api/v2/write?org=org&bucket=bucket&precision=ns");
    assert!(!ended.everything().contains(MARK), "{ended}");
}
