//! `scenarios:`: each executor with exactly its own keys, as k6 has them.

use super::proper_name;
use crate::plan::document::{ArrivalVus, Arrivals, Executor, Scenario, Stage};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, Section};
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// More VUs than one machine holds.
const MOST_VUS: u32 = 1_000_000;
/// What iteration executors may take at most, unless the plan says otherwise.
const MAX_DURATION: Duration = Duration::from_secs(600);
/// How long running iterations get at an end, unless the plan says otherwise.
const GRACE: Duration = Duration::from_secs(30);

/// Which executor; its parameters come later.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Shared,
    PerVu,
    ConstantVus,
    RampingVus,
    ConstantRate,
    RampingRate,
    External,
}

const NAMES: [(&str, Name); 7] = [
    ("shared-iterations", Name::Shared),
    ("per-vu-iterations", Name::PerVu),
    ("constant-vus", Name::ConstantVus),
    ("ramping-vus", Name::RampingVus),
    ("constant-arrival-rate", Name::ConstantRate),
    ("ramping-arrival-rate", Name::RampingRate),
    ("externally-controlled", Name::External),
];

/// Keys that only some executors have, for the message where another is given one.
const OWNERS: [(&str, &[&str]); 15] = [
    ("vus", &["shared-iterations", "per-vu-iterations", "constant-vus", "externally-controlled"]),
    ("iterations", &["shared-iterations", "per-vu-iterations"]),
    ("maxDuration", &["shared-iterations", "per-vu-iterations"]),
    ("duration", &["constant-vus", "constant-arrival-rate", "externally-controlled"]),
    ("startVUs", &["ramping-vus"]),
    ("stages", &["ramping-vus", "ramping-arrival-rate"]),
    ("gracefulRampDown", &["ramping-vus"]),
    ("rate", &["constant-arrival-rate"]),
    ("startRate", &["ramping-arrival-rate"]),
    ("timeUnit", &["constant-arrival-rate", "ramping-arrival-rate"]),
    ("preAllocatedVUs", &["constant-arrival-rate", "ramping-arrival-rate"]),
    ("maxVUs", &["constant-arrival-rate", "ramping-arrival-rate", "externally-controlled"]),
    ("arrivals", &["constant-arrival-rate", "ramping-arrival-rate"]),
    ("gracefulStop", &["all but externally-controlled"]),
    ("startTime", &["all but externally-controlled"]),
];

pub(super) fn scenarios(reader: &mut Reader<'_>, node: &Node) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (name, node) in reader.entries(node, "scenarios") {
        proper_name(reader, name, "of a scenario");
        let mut section = reader.section(node, "scenario");
        let which = section.require(reader, "executor").and_then(|node| reader.choice(node, "executor", &NAMES));
        let external = which.is_some_and(|which| which.value == Name::External);
        let start_time = if external { None } else { section.duration(reader, "startTime") };
        let graceful_stop = if external { None } else { section.duration(reader, "gracefulStop") };
        let env = section.get("env").map(|node| reader.pairs(node, "env")).unwrap_or_default();
        let tags = section.get("tags").map(|node| reader.pairs(node, "tags")).unwrap_or_default();
        let exec = section.some_text(reader, "exec");
        let Some(which) = which else {
            // Without its executor nobody can say which of the other keys are right.
            ignore_others(&mut section);
            section.close(reader);
            continue;
        };
        let executor = executor(reader, &mut section, which.value);
        let word = NAMES.iter().find(|(_, name)| *name == which.value).map_or("", |(word, _)| word);
        section.close_with(reader, |key| {
            let (_, owners) = OWNERS.iter().find(|(owned, _)| *owned == key)?;
            Some(format!("`{key}` is no parameter of {word}, but of {}", owners.join(", ")))
        });
        scenarios.push(Scenario {
            name: name.clone(),
            span: node.span,
            executor,
            start_time: start_time.map(|it| it.value).unwrap_or_default(),
            graceful_stop: graceful_stop.map_or(GRACE, |it| it.value),
            env,
            tags,
            exec,
        });
    }
    scenarios
}

fn executor(reader: &mut Reader<'_>, section: &mut Section<'_>, name: Name) -> Executor {
    match name {
        Name::Shared => {
            let (vus, iterations) = (vus(reader, section), iterations(reader, section));
            if iterations.value < u64::from(vus.value) {
                reader
                    .error(iterations.span.max(section.span), "there are fewer iterations than VUs to share them")
                    .hint(format!("give at least {} iterations, or fewer VUs", vus.value));
            }
            Executor::SharedIterations { vus, iterations, max_duration: max_duration(reader, section) }
        }
        Name::PerVu => Executor::PerVuIterations {
            vus: vus(reader, section),
            iterations: iterations(reader, section),
            max_duration: max_duration(reader, section),
        },
        Name::ConstantVus => Executor::ConstantVus { vus: vus(reader, section), duration: duration(reader, section) },
        Name::RampingVus => ramping_vus(reader, section),
        Name::ConstantRate => {
            let rate = section
                .require(reader, "rate")
                .and_then(|node| reader.number(node, "rate", "a number above 0", |n| n > 0.0));
            Executor::ConstantArrivalRate {
                rate: rate.unwrap_or(Spanned::nowhere(1.0)),
                time_unit: time_unit(reader, section),
                duration: duration(reader, section),
                vus: arrival_vus(reader, section),
                arrivals: arrivals(reader, section),
            }
        }
        Name::RampingRate => {
            let start = section.read(reader, "startRate", |reader, node, key| {
                reader.number(node, key, "a number of at least 0", |n| n >= 0.0)
            });
            Executor::RampingArrivalRate {
                start_rate: start.unwrap_or(Spanned::nowhere(0.0)),
                time_unit: time_unit(reader, section),
                stages: stages(reader, section, false),
                vus: arrival_vus(reader, section),
                arrivals: arrivals(reader, section),
            }
        }
        Name::External => {
            // None at all may be the beginning: they come when somebody scales it.
            let vus = section.read(reader, "vus", |reader, node, key| reader.integer32(node, key, 0..=MOST_VUS));
            let vus = vus.unwrap_or(Spanned::nowhere(1));
            let max_vus =
                section.read(reader, "maxVUs", |reader, node, key| reader.integer32(node, key, vus.value..=MOST_VUS));
            let duration = section.duration(reader, "duration").map(|it| it.value);
            Executor::ExternallyControlled { vus, max_vus: max_vus.unwrap_or(vus), duration }
        }
    }
}

fn ramping_vus(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Executor {
    let start = section.read(reader, "startVUs", |reader, node, key| reader.integer32(node, key, 0..=MOST_VUS));
    let start_vus = start.unwrap_or(Spanned::nowhere(1));
    let stages = stages(reader, section, true);
    if start_vus.value == 0 && !stages.is_empty() && stages.iter().all(|stage| stage.target.value == 0.0) {
        reader
            .error(section.span, "there is never a VU: `startVUs` and every target are 0")
            .hint("give one stage a target above 0");
    }
    let ramp_down = section.duration(reader, "gracefulRampDown");
    Executor::RampingVus { start_vus, stages, graceful_ramp_down: ramp_down.map_or(GRACE, |it| it.value) }
}

/// At least one stage; targets are whole where they are VUs.
fn stages(reader: &mut Reader<'_>, section: &mut Section<'_>, whole: bool) -> Vec<Stage> {
    let Some(node) = section.require(reader, "stages") else { return Vec::new() };
    let items = reader.items(node, "stages");
    if items.is_empty() && matches!(node.kind, Kind::List(_)) {
        reader.error(node.span, "`stages` is empty").hint("write `stages: [ { duration: 2m, target: 10 } ]`");
    }
    let mut stages = Vec::new();
    for item in items {
        let mut section = reader.section(item, "scenario.stages");
        let duration = section.require(reader, "duration").and_then(|node| reader.duration(node, "duration"));
        let target = section.require(reader, "target").and_then(|node| {
            if whole {
                let target = reader.integer32(node, "target", 0..=MOST_VUS)?;
                Some(Spanned::new(f64::from(target.value), target.span))
            } else {
                reader.number(node, "target", "a number of at least 0", |n| n >= 0.0)
            }
        });
        section.close(reader);
        if let (Some(duration), Some(target)) = (duration, target) {
            stages.push(Stage { duration: duration.value, target });
        }
    }
    stages
}

fn vus(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Spanned<u32> {
    let vus = section.read(reader, "vus", |reader, node, key| reader.integer32(node, key, 1..=MOST_VUS));
    vus.unwrap_or(Spanned::nowhere(1))
}

fn iterations(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Spanned<u64> {
    let iterations = section.read(reader, "iterations", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
    iterations.unwrap_or(Spanned::nowhere(1))
}

fn max_duration(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Duration {
    section.read(reader, "maxDuration", Reader::positive_duration).map_or(MAX_DURATION, |it| it.value)
}

/// None where the plan does not say: a canary runs without end, a run refuses.
fn duration(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Duration> {
    section.read(reader, "duration", Reader::positive_duration).map(|it| it.value)
}

fn time_unit(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Duration {
    section.read(reader, "timeUnit", Reader::positive_duration).map_or(Duration::from_secs(1), |it| it.value)
}

fn arrivals(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Arrivals {
    let words = [("constant", Arrivals::Constant), ("poisson", Arrivals::Poisson)];
    let arrivals = section.read(reader, "arrivals", |reader, node, key| reader.choice(node, key, &words));
    arrivals.map(|it| it.value).unwrap_or_default()
}

/// `preAllocatedVUs`, which must be there, and `maxVUs`, which must not be less.
fn arrival_vus(reader: &mut Reader<'_>, section: &mut Section<'_>) -> ArrivalVus {
    let pre = section
        .require(reader, "preAllocatedVUs")
        .and_then(|node| reader.integer32(node, "preAllocatedVUs", 0..=MOST_VUS));
    let low = pre.map_or(1, |pre| pre.value.max(1));
    let max = section.read(reader, "maxVUs", |reader, node, key| reader.integer32(node, key, low..=MOST_VUS));
    let pre_allocated = pre.unwrap_or(Spanned::nowhere(1));
    if pre_allocated.value == 0 && max.is_none() {
        let span: Span = pre_allocated.span;
        reader.error(span, "nobody serves the arrivals: `preAllocatedVUs` is 0").hint("give at least 1, or `maxVUs`");
    }
    ArrivalVus { pre_allocated, max: max.unwrap_or(pre_allocated) }
}

/// Takes every key that some executor has, so that only unknown ones are named.
fn ignore_others(section: &mut Section<'_>) {
    for (key, _) in OWNERS {
        section.get(key);
    }
}
