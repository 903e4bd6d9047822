//! The plan's JSON Schema, for editors.
//!
//! These types are never made: they describe on the way out what `read` takes on the way in, and
//! a test holds the two together, key by key. Their comments are the descriptions that an editor
//! shows. Each is named as its section is named in messages.
#![allow(dead_code, reason = "the types describe; nothing makes them")]

mod later;
mod sections;
mod slo;
mod step;
mod tune;
mod values;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use std::collections::BTreeMap;
use values::{Text, Texts};

/// The plan's JSON Schema (draft 2020-12).
#[must_use]
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Plan>().to_value()
}

/// A plan of pacecar: what is sent, how fast, what must hold, and what goes away afterwards.
#[derive(JsonSchema)]
#[schemars(rename = "plan", deny_unknown_fields)]
struct Plan {
    /// The plan's name: letters, digits, `_` and `-`. Default `plan`.
    name: Option<Text>,
    /// Where the target stands. The guard decides whether it may be tested.
    environment: Option<Text>,
    /// What the path of a step is appended to.
    base_url: Option<Text>,
    /// The synthetic tenants and their users; every one recognisable as test data.
    tenants: Option<sections::Tenants>,
    /// Files whose rows the iterations draw from, by name: `{{ data.NAME.column }}`.
    data: Option<BTreeMap<String, sections::Data>>,
    /// What holds for every request.
    http: Option<sections::Http>,
    /// Steps that run once, before the first scenario; all iterations see what they capture.
    setup: Option<Vec<step::Step>>,
    /// Steps that run once, at the end, after a failed setup too.
    teardown: Option<Vec<step::Step>>,
    /// The steps of one iteration, in order.
    workflow: Option<Vec<step::Step>>,
    /// Several workflows by name, in place of `workflow`.
    workflows: Option<BTreeMap<String, sections::Workflow>>,
    /// What starts iterations, by name: k6's executors with k6's parameters.
    scenarios: Option<BTreeMap<String, sections::Scenario>>,
    /// What must hold, by `metric` or `metric{tag:value}`: k6's grammar.
    thresholds: Option<BTreeMap<String, sections::Thresholds>>,
    /// Where samples go while the run lasts: what `--out` takes.
    outputs: Option<Texts>,
    /// Where the summary goes: as `--summary-export`.
    summary: Option<Text>,
    /// Where the HTML report goes: as `--report`.
    report: Option<Text>,
    /// Verdicts of the spike, stress and soak tests.
    judge: Option<later::Judge>,
    /// Where the other half of a request's story comes from: traces, Postgres, the pool.
    correlate: Option<later::Correlate>,
    /// What is test data, and how it is deleted.
    cleanup: Option<sections::Cleanup>,
    /// What refuses to start, and what makes a running pacecar yield.
    guard: Option<sections::Guard>,
    /// Service level objectives, judged over long windows.
    slo: Option<Vec<slo::Objective>>,
    /// An experiment over knobs.
    tune: Option<tune::Tune>,
}
