//! An experiment over knobs.

use super::step::Step;
use super::values::{Flag, Integer, Number, Rate, Text, Texts, Time};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// An experiment over knobs.
#[derive(JsonSchema)]
#[schemars(rename = "tune", deny_unknown_fields)]
pub(super) struct Tune {
    /// The values to try, by knob.
    knobs: BTreeMap<String, Vec<Text>>,
    /// Today's value of each knob: the baseline, and what is restored.
    original: Option<BTreeMap<String, Text>>,
    /// How a value is set: exactly one way.
    apply: Apply,
    /// The scenario of a trial: an arrival rate. Default: the plan's only one.
    scenario: Option<Text>,
    /// Whether the scenario may be a closed model. Default false.
    allow_closed: Option<Flag>,
    /// How long a trial takes. Default 5s and 30s.
    trial: Option<Trial>,
    /// What is to be improved. Default p(95) of http_req_response_time.
    objective: Option<TuneObjective>,
    /// What must hold, by metric: `<0.8`. Default: a pool used below 80 %, no failed request, no reset.
    constraints: Option<BTreeMap<String, Texts>>,
    /// The recommended value must also hold more load. Default twice the load for 60s.
    hold: Option<Hold>,
    /// Whether all replicas together fit the database.
    capacity: Option<Capacity>,
    /// How much the experiment may take. Default 60 trials and 60m.
    budget: Option<TuneBudget>,
}

/// How a value is set: exactly one way.
#[derive(JsonSchema)]
#[schemars(rename = "tune.apply", deny_unknown_fields)]
struct Apply {
    /// A process that is started anew per trial, knobs as environment.
    process: Option<Command>,
    /// A command that sets the knobs, given as environment.
    exec: Option<Command>,
    /// A request.
    http: Option<Step>,
    /// A Deployment's environment.
    kubernetes: Option<Kubernetes>,
}

/// A command that is started, and when what it started is ready.
#[derive(JsonSchema)]
#[schemars(rename = "tune.apply.command", deny_unknown_fields)]
struct Command {
    /// The program and its arguments.
    command: Vec<Text>,
    /// The request that succeeds once it is ready. Of a process `GET /healthz` by default.
    ready: Option<String>,
    /// How soon it must be ready. Default 20s.
    within: Option<Time>,
}

/// A Deployment's environment.
#[derive(JsonSchema)]
#[schemars(rename = "tune.apply.kubernetes", deny_unknown_fields)]
struct Kubernetes {
    /// Its namespace.
    namespace: Text,
    /// Its name.
    deployment: Text,
    /// The container.
    container: Text,
    /// How soon the rollout must be through. Default 5m.
    within: Option<Time>,
}

/// How long a trial takes.
#[derive(JsonSchema)]
#[schemars(rename = "tune.trial", deny_unknown_fields)]
struct Trial {
    /// Not measured. Default 5s.
    warmup: Option<Time>,
    /// Measured. Default 30s.
    duration: Option<Time>,
}

/// What is to be improved.
#[derive(JsonSchema)]
#[schemars(rename = "tune.objective", deny_unknown_fields)]
struct TuneObjective {
    /// The metric.
    metric: Option<Text>,
    /// Its statistic: `p(95)`.
    stat: Option<Text>,
}

/// More load that the recommended value must hold.
#[derive(JsonSchema)]
#[schemars(rename = "tune.hold", deny_unknown_fields)]
struct Hold {
    /// How many times the load. Default 2.
    factor: Option<Number>,
    /// For how long. Default 60s.
    duration: Option<Time>,
}

/// Whether all replicas together fit the database.
#[derive(JsonSchema)]
#[schemars(rename = "tune.capacity", deny_unknown_fields)]
struct Capacity {
    /// How many replicas. Default 2.
    replicas: Option<Integer>,
    /// The share that is added while a deployment rolls. Default 0.25.
    surge: Option<Number>,
    /// Connections kept for others. Default 10.
    reserve: Option<Integer>,
    /// Requests that all replicas together are to bear, `500/s`: how many replicas would is then said.
    target: Option<Rate>,
    /// The knob that is the most connections of one replica. Default: the one whose name says so.
    knob: Option<Text>,
}

/// How much the experiment may take.
#[derive(JsonSchema)]
#[schemars(rename = "tune.budget", deny_unknown_fields)]
struct TuneBudget {
    /// The most trials. Default 60.
    trials: Option<Integer>,
    /// The most time. Default 60m.
    time: Option<Time>,
}
