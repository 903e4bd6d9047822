//! How many requests a second the open scenarios of a plan ask for.
//!
//! Arrival rates are straight lines between a few instants, and so is their sum: it is highest at
//! one of them, seen from the left or from the right. A closed scenario asks for no rate; it is
//! paced when it runs.

use crate::plan::{Executor, Plan, Rate, Scenario, Stage};
use std::time::Duration;

/// A rate over time: (seconds from the start of the run, requests a second); between them it is
/// linear, outside them 0. Two points of one instant are a jump.
type Line = Vec<(f64, f64)>;

/// Events a second.
pub(super) fn per_second(rate: Rate) -> f64 {
    rate.count / rate.per.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// The highest sum of the arrival rates, each times the steps of its workflow, in requests a second.
pub(super) fn highest(plan: &Plan) -> f64 {
    let lines: Vec<Line> = plan
        .scenarios
        .iter()
        .filter_map(|scenario| {
            let steps = steps(plan, scenario);
            let line = arrivals(scenario)?;
            Some(line.into_iter().map(|(at, rate)| (at, rate * steps)).collect())
        })
        .collect();
    let instants = lines.iter().flatten().map(|(at, _)| *at);
    instants
        .flat_map(|at| {
            [Side::Before, Side::After].map(|side| lines.iter().map(|line| value(line, at, side)).sum::<f64>())
        })
        .fold(0.0, f64::max)
}

// === helpers ===

#[derive(Clone, Copy)]
enum Side {
    Before,
    After,
}

/// The value of a line just before or just after an instant.
fn value(line: &Line, at: f64, side: Side) -> f64 {
    let piece = line.windows(2).find(|pair| match side {
        Side::Before => pair[0].0 < at && at <= pair[1].0,
        Side::After => pair[0].0 <= at && at < pair[1].0,
    });
    piece.map_or(0.0, |pair| {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        // An endless piece is level; a difference of infinities would be no number.
        if to.is_infinite() { low } else { low + (high - low) * (at - from) / (to - from) }
    })
}

/// The steps of one iteration: those of the workflow it runs, or the mean of what it draws from.
#[allow(clippy::cast_precision_loss, reason = "nobody writes 2^53 steps")]
fn steps(plan: &Plan, scenario: &Scenario) -> f64 {
    let named = |name: &str| plan.workflows.iter().find(|workflow| workflow.name.value == name);
    if let Some(workflow) = scenario.exec.as_ref().and_then(|exec| named(exec)) {
        return workflow.steps.len() as f64;
    }
    let weight: f64 = plan.workflows.iter().map(|workflow| workflow.weight.value).sum();
    let steps: f64 = plan.workflows.iter().map(|workflow| workflow.weight.value * workflow.steps.len() as f64).sum();
    if weight > 0.0 { steps / weight } else { 0.0 }
}

/// Iterations a second over time; none for a closed scenario.
fn arrivals(scenario: &Scenario) -> Option<Line> {
    let start = scenario.start_time.as_secs_f64();
    match &scenario.executor {
        Executor::ConstantArrivalRate { rate, time_unit, duration, .. } => {
            let rate = per_unit(rate.value, *time_unit);
            let end = duration.map_or(f64::INFINITY, |duration| start + duration.as_secs_f64());
            Some(vec![(start, rate), (end, rate)])
        }
        Executor::RampingArrivalRate { start_rate, time_unit, stages, .. } => {
            let mut line = vec![(start, per_unit(start_rate.value, *time_unit))];
            let mut at = start;
            for Stage { duration, target } in stages {
                at += duration.as_secs_f64();
                line.push((at, per_unit(target.value, *time_unit)));
            }
            Some(line)
        }
        Executor::SharedIterations { .. }
        | Executor::PerVuIterations { .. }
        | Executor::ConstantVus { .. }
        | Executor::RampingVus { .. }
        | Executor::ExternallyControlled { .. } => None,
    }
}

fn per_unit(rate: f64, time_unit: Duration) -> f64 {
    rate / time_unit.as_secs_f64().max(f64::MIN_POSITIVE)
}
