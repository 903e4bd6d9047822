//! The totals of a run as plain data: what a result file holds, and totals again.
//!
//! Everything stands under its name (scenario, step, metric), never under an index, so that what one version wrote a
//! later one reads, and results of several workers add up whatever the order in which each found its steps. What a
//! worker of a newer version adds is ignored; what it leaves out is nothing that was counted.

mod restore;
mod save;
#[cfg(test)]
mod tests;

pub use restore::{Restored, SavedError};

use super::cells::{Range, Share};
use super::dues::Dues;
use super::failures::FailureGroup;
use super::histogram::Histogram;
use super::layout::Contains;
use super::plain;
use super::timeline::Timeline;
use crate::plan::MetricKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What all workers counted, as plain data.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedTotals {
    /// Tags of the whole run.
    tags: Vec<(String, String)>,
    /// The plan's own metrics.
    metrics: Vec<SavedMetric>,
    scenarios: Vec<SavedScenario>,
    /// Cuts that something asked for and that no other part has.
    cuts: Vec<SavedCut>,
    /// Cuts over time.
    timelines: Vec<SavedTimeline>,
    vus: Range,
    vus_max: Range,
    /// Gauges that the target told.
    target: BTreeMap<String, Range>,
    /// Waits for a connection of the target's pool, in ms.
    #[serde(skip_serializing_if = "is_empty")]
    pool_wait: Histogram,
    /// What failed, with traces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailureGroup>,
    stale_connections: u64,
    users_shared: u64,
    /// For how long workers were ready to run and did not.
    #[serde(rename = "starved_ms", with = "plain::ms")]
    starved: Duration,
    /// For how long pauses held the load up.
    #[serde(rename = "paused_ms", with = "plain::ms")]
    paused: Duration,
}

/// A metric of the plan's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedMetric {
    name: String,
    kind: MetricKind,
    contains: Contains,
}

/// A scenario; setup and teardown are two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedScenario {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    /// Iterations that ran to their end.
    completed: u64,
    /// Of an open model: what its schedule had.
    scheduled: u64,
    /// Asked for, and never due.
    never_due: u64,
    /// Of those dropped, the ones that a generator in time would have started.
    missed: u64,
    /// When the iterations were due that were cut off.
    cut_off: Dues,
    /// When those were due that did not start.
    dropped: Dues,
    data_sent: u64,
    data_received: u64,
    trends: BTreeMap<String, Histogram>,
    steps: Vec<SavedStep>,
}

/// A step of a scenario.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedStep {
    step: String,
    method: String,
    url: String,
    /// How often an iteration passes through it.
    share: f64,
    /// Requests whose answer was one that the step expects.
    expected: SavedRequests,
    /// The others.
    unexpected: SavedRequests,
    /// Requests without a whole answer, by why.
    failures: BTreeMap<String, u64>,
    cut_off: Dues,
    #[serde(skip_serializing_if = "is_empty")]
    group_duration: Histogram,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom: BTreeMap<String, SavedCell>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<SavedCheck>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedRequests {
    count: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trends: BTreeMap<String, Histogram>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedCheck {
    name: String,
    #[serde(flatten)]
    share: Share,
}

/// A cut through a metric: over all of the run, or over a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedCut {
    metric: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    /// From and to in ms; none is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    during: Option<(f64, Option<f64>)>,
    /// None where the other parts have its figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cell: Option<SavedCell>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedTimeline {
    metric: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    timeline: Timeline,
}

/// Figures by the metric's kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedCell {
    Trend {
        histogram: Histogram,
        #[serde(default)]
        cut_off: Option<Dues>,
        /// By scenario, in the order of the file.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Dues>,
    },
    Rate(Share),
    Counter(f64),
    Gauge(Range),
}

fn is_empty(histogram: &Histogram) -> bool {
    histogram.count() == 0
}
