//! k6's documents for metrics, groups and errors, and the live page's figures.

use super::Served;
use axum::http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use pacecar::measure::Contains;
use pacecar::report::{Figures, GroupReport, MetricReport};
use pacecar::run::{Snapshot, Stage};
use serde_json::{Map, Value, json};

/// An answer that is JSON.
pub(super) fn answer(status: StatusCode, document: &impl serde::Serialize) -> Response {
    let text = serde_json::to_vec(document).unwrap_or_default();
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    (status, [(CONTENT_TYPE, kind)], text).into_response()
}

/// An error as k6's client reads it.
pub(super) fn error(status: StatusCode, title: &str, detail: impl std::fmt::Display) -> Response {
    let error = json!({ "status": status.as_u16().to_string(), "title": title, "detail": detail.to_string() });
    answer(status, &json!({ "errors": [error] }))
}

/// `/v1/metrics`.
pub(super) fn metrics(snapshot: &Snapshot) -> Value {
    json!({ "data": snapshot.metrics.iter().map(|metric| data(metric, snapshot)).collect::<Vec<_>>() })
}

/// `/v1/metrics/{id}`.
pub(super) fn metric(snapshot: &Snapshot, id: &str) -> Option<Value> {
    let metric = snapshot.metrics.iter().find(|metric| metric.name == id)?;
    Some(json!({ "data": data(metric, snapshot) }))
}

fn data(metric: &MetricReport, snapshot: &Snapshot) -> Value {
    let mut sample = Map::new();
    let kind = match &metric.figures {
        Figures::Trend(trend) => {
            for (name, figure) in &trend.stats {
                sample.insert(name.clone(), figure.value.into());
            }
            "trend"
        }
        Figures::Rate(share) => {
            sample.insert("rate".into(), share.rate().into());
            "rate"
        }
        Figures::Counter { count, rate } => {
            sample.insert("count".into(), (*count).into());
            sample.insert("rate".into(), (*rate).into());
            "counter"
        }
        Figures::Gauge { value, .. } => {
            sample.insert("value".into(), (*value).into());
            "gauge"
        }
    };
    let contains = match metric.contains {
        Contains::Time => "time",
        Contains::Data => "data",
        Contains::Default => "default",
    };
    let tainted = snapshot.tainted_metrics.contains(&metric.name).then_some(true);
    let attributes = json!({ "type": kind, "contains": contains, "tainted": tainted, "sample": sample });
    json!({ "type": "metrics", "id": metric.name, "attributes": attributes })
}

/// `/v1/groups`: the root and, below it, one group for each step. k6 names a group by a hash of its path; here it is
/// the path, which says more.
pub(super) fn groups(snapshot: &Snapshot) -> Vec<Value> {
    let path = |group: &GroupReport| format!("::{}", group.name);
    let relation = |id: &str| json!({ "type": "groups", "id": id });
    let below: Vec<_> = snapshot.groups.iter().map(|group| relation(&path(group))).collect();
    let root = json!({
        "type": "groups", "id": "",
        "attributes": { "path": "", "name": "", "checks": null },
        "relationships": { "groups": { "data": below }, "parent": { "data": null } },
    });
    let of = |group: &GroupReport| {
        let id = path(group);
        let checks: Vec<_> = group
            .checks
            .iter()
            .map(|check| {
                let path = format!("{id}::{}", check.name);
                json!({ "id": path, "path": path, "name": check.name, "passes": check.passes, "fails": check.fails })
            })
            .collect();
        json!({
            "type": "groups", "id": id,
            "attributes": { "path": id, "name": group.name, "checks": checks },
            "relationships": { "groups": { "data": [] }, "parent": { "data": relation("") } },
        })
    };
    std::iter::once(root).chain(snapshot.groups.iter().map(of)).collect()
}

/// `/live.json`: what the page shows, of now.
pub(super) async fn live(served: &Served) -> Value {
    let (snapshot, status) = (served.handle.snapshot().await, served.handle.status().await);
    let count = |name: &str| {
        let metric = snapshot.metrics.iter().find(|metric| metric.name == name);
        metric.map_or(0.0, |metric| match &metric.figures {
            Figures::Counter { count, .. } => *count,
            Figures::Rate(share) => share.rate(),
            _ => 0.0,
        })
    };
    let stage = match status.stage {
        Stage::Preparing => "preparing",
        Stage::PausedBeforeRun => "waiting to be resumed",
        Stage::Setup => "setup",
        Stage::Load if status.stopped => "stopping",
        Stage::Load if status.paused => "paused",
        Stage::Load => "running",
        Stage::Teardown => "tearing down",
        Stage::Ended => "ended",
    };
    json!({
        "plan": served.handle.plan(),
        "stage": stage,
        "paused": status.paused,
        "held_by": served.handle.held_by(),
        "running": status.running(),
        "ended": status.stage == Stage::Ended,
        "tainted": status.tainted,
        "elapsed_s": snapshot.elapsed.as_secs_f64(),
        "rate": snapshot.pulse.rate,
        "p95_ms": snapshot.pulse.p95_ms,
        "requests": count("http_reqs"),
        "failed": count("http_req_failed"),
        "iterations": count("iterations"),
        "dropped": count("dropped_iterations"),
        "vus": status.vus,
        "vus_max": status.vus_max,
    })
}
