//! `tune:`: an experiment over knobs.

mod apply;
mod knobs;

use super::later::{above_zero, at_least_zero, figure};
use crate::plan::document::{
    CapacityDocument, ConstraintDocument, Executor, HoldDocument, KnobDocument, Scenario, Text, TrialDocument,
    TuneBudgetDocument, TuneDocument,
};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, suggestion};
use crate::plan::span::Spanned;
use crate::plan::units;
use std::time::Duration;

/// The shortest that a scenario may last, and so a trial.
const SHORTEST: Duration = Duration::from_secs(1);
/// What must hold where the plan does not say.
const CONSTRAINTS: [(&str, &str); 3] =
    [("pool_utilization", "<0.8"), ("http_req_failed", "==0"), ("connection_reset", "==0")];

pub(super) fn tune(reader: &mut Reader<'_>, node: &Node) -> TuneDocument {
    let mut section = reader.section(node, "tune");
    let knobs = section.require(reader, "knobs").map(|node| knobs::knobs(reader, node)).unwrap_or_default();
    let original = section.get("original").map(|node| knobs::original(reader, node, &knobs)).unwrap_or_default();
    let apply = section.require(reader, "apply").and_then(|node| apply::apply(reader, node));
    let scenario = section.some_text(reader, "scenario");
    let allow_closed = section.boolean(reader, "allow_closed").is_some_and(|flag| flag.value);
    let trial = trial(reader, section.get("trial"));
    let objective = match section.get("objective") {
        Some(node) => {
            let mut section = reader.section(node, "tune.objective");
            let figure = figure(reader, &mut section);
            section.close(reader);
            figure
        }
        None => super::later::default_figure(),
    };
    let constraints = match section.get("constraints") {
        Some(node) => constraints(reader, node),
        None => CONSTRAINTS
            .map(|(metric, expression)| ConstraintDocument {
                metric: Spanned::nowhere(metric.to_owned()),
                expression: Spanned::nowhere(expression.to_owned()),
            })
            .to_vec(),
    };
    let hold = hold(reader, section.get("hold"));
    let mut pool_knob = knobs.iter().find(|knob| names_the_pool(&knob.name)).map(|knob| knob.name.clone());
    let capacity = section.get("capacity").map(|node| capacity(reader, node, &knobs, &mut pool_knob));
    let budget = budget(reader, section.get("budget"));
    section.close(reader);
    TuneDocument {
        span: node.span,
        knobs,
        original,
        apply,
        scenario,
        allow_closed,
        trial,
        objective,
        constraints,
        hold,
        capacity,
        pool_knob,
        budget,
    }
}

/// Finds the scenario of a trial, which keeps its own pace: a target that slows down must not lower its own load.
pub(super) fn choose_scenario(reader: &mut Reader<'_>, tune: &mut TuneDocument, scenarios: &[Scenario]) {
    let chosen = match (&tune.scenario, scenarios) {
        (Some(name), _) => {
            let found = scenarios.iter().find(|scenario| scenario.name.value == name.value);
            if found.is_none() {
                let known: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.value.as_str()).collect();
                let shown = reader.show_text(name);
                let hint = if known.is_empty() {
                    "scenarios: { paced: { executor: constant-arrival-rate, rate: 20, preAllocatedVUs: 20 } }"
                        .to_owned()
                } else {
                    suggestion(name, &known, "scenarios are")
                };
                reader.error(name.span, format!("`tune.scenario` names no scenario: {shown}")).hint(hint);
            }
            found
        }
        (None, [only]) => Some(only),
        (None, []) => {
            reader
                .error(tune.span, "tune needs a scenario, and the plan has none")
                .hint("scenarios: { paced: { executor: constant-arrival-rate, rate: 20, preAllocatedVUs: 20 } }");
            None
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|scenario| scenario.name.value.as_str()).collect();
            reader
                .error(tune.span, "tune needs `scenario`: the plan has several")
                .hint(format!("it has: {}", names.join(", ")));
            None
        }
    };
    if let Some(scenario) = chosen {
        let span = tune.scenario.as_ref().map_or(tune.span, |name| name.span);
        let open =
            matches!(scenario.executor, Executor::ConstantArrivalRate { .. } | Executor::RampingArrivalRate { .. });
        if !open && !tune.allow_closed {
            let shown = reader.show_text(&scenario.name);
            reader
                .error(
                    span,
                    format!("the scenario {shown} of a trial is no arrival rate: a slow pool would lower its own load"),
                )
                .hint("give it `constant-arrival-rate`, or set `allow_closed: true`");
        }
        tune.scenario = Some(Spanned::new(scenario.name.value.clone(), span));
    } else {
        tune.scenario = None;
    }
}

fn trial(reader: &mut Reader<'_>, node: Option<&Node>) -> TrialDocument {
    let (mut warmup, mut duration) = (None, None);
    if let Some(node) = node {
        let mut section = reader.section(node, "tune.trial");
        warmup = section.duration(reader, "warmup");
        duration = section.read(reader, "duration", Reader::positive_duration);
        section.close(reader);
        if let (Some(warmup), Some(duration)) = (warmup, duration)
            && warmup.value + duration.value < SHORTEST
        {
            reader.error(duration.span, "a trial must last at least 1s, its warm-up included").hint("duration: 30s");
        }
    }
    TrialDocument {
        warmup: warmup.unwrap_or(Spanned::nowhere(Duration::from_secs(5))),
        duration: duration.unwrap_or(Spanned::nowhere(Duration::from_secs(30))),
    }
}

/// What must hold, by metric: one expression, or a list of them.
fn constraints(reader: &mut Reader<'_>, node: &Node) -> Vec<ConstraintDocument> {
    let mut constraints = Vec::new();
    for (metric, value) in reader.entries(node, "constraints") {
        let expressions = match &value.kind {
            Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        for expression in expressions.iter().filter_map(|item| reader.filled_text(item, "constraints")) {
            constraints.push(ConstraintDocument { metric: metric.clone(), expression });
        }
    }
    constraints
}

fn hold(reader: &mut Reader<'_>, node: Option<&Node>) -> HoldDocument {
    let (mut factor, mut duration) = (None, None);
    if let Some(node) = node {
        let mut section = reader.section(node, "tune.hold");
        factor = section.read(reader, "factor", above_zero);
        duration = section.read(reader, "duration", Reader::positive_duration);
        section.close(reader);
        if let Some(duration) = duration.filter(|duration| duration.value < SHORTEST) {
            reader.error(duration.span, "a hold must last at least 1s").hint("duration: 60s");
        }
    }
    HoldDocument {
        factor: factor.unwrap_or(Spanned::nowhere(2.0)),
        duration: duration.unwrap_or(Spanned::nowhere(Duration::from_secs(60))),
    }
}

fn capacity(
    reader: &mut Reader<'_>,
    node: &Node,
    knobs: &[KnobDocument],
    pool_knob: &mut Option<Text>,
) -> CapacityDocument {
    let mut section = reader.section(node, "tune.capacity");
    let whole =
        |low| move |reader: &mut Reader<'_>, node: &Node, key: &'static str| reader.integer(node, key, low..=u64::MAX);
    let replicas = section.read(reader, "replicas", whole(1));
    let surge = section.read(reader, "surge", at_least_zero);
    let reserve = section.read(reader, "reserve", whole(0));
    let target = section.read(reader, "target", |reader, node, key| {
        reader.quantity(node, key, "a rate", "requests a second of all replicas: `500/s`", units::rate)
    });
    let named = section.some_text(reader, "knob");
    let span = section.span;
    section.close(reader);
    if let Some(name) = named {
        let names: Vec<&str> = knobs.iter().map(|knob| knob.name.value.as_str()).collect();
        if names.contains(&name.value.as_str()) {
            *pool_knob = Some(name);
        } else {
            let shown = reader.show_text(&name);
            let hint = suggestion(&name, &names, "knobs are");
            reader.error(name.span, format!("`capacity.knob` names no knob: {shown}")).hint(hint);
        }
    } else if pool_knob.is_none() && !knobs.is_empty() {
        reader
            .diagnostics
            .warning(span, "no knob's name says that it is the size of the pool: capacity is not checked")
            .hint("name it: capacity: { knob: NAME }");
    }
    CapacityDocument {
        span,
        replicas: replicas.unwrap_or(Spanned::nowhere(2)),
        surge: surge.unwrap_or(Spanned::nowhere(0.25)),
        reserve: reserve.unwrap_or(Spanned::nowhere(10)),
        target,
    }
}

/// Whether a knob's name says that it is the most connections of one replica.
fn names_the_pool(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let connections = name.contains("POOL") || name.contains("CONNECTIONS");
    let timing = ["THREAD", "MIN", "IDLE", "TIMEOUT"].iter().any(|word| name.contains(word));
    connections && !timing && ["MAX", "SIZE", "CONNECTIONS"].iter().any(|word| name.contains(word))
}

fn budget(reader: &mut Reader<'_>, node: Option<&Node>) -> TuneBudgetDocument {
    let (mut trials, mut time) = (None, None);
    if let Some(node) = node {
        let mut section = reader.section(node, "tune.budget");
        trials = section.read(reader, "trials", |reader, node, key| reader.integer(node, key, 1..=100_000));
        time = section.read(reader, "time", Reader::positive_duration);
        section.close(reader);
    }
    TuneBudgetDocument {
        trials: trials.unwrap_or(Spanned::nowhere(60)),
        time: time.unwrap_or(Spanned::nowhere(Duration::from_secs(3600))),
    }
}
