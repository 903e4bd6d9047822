//! The load of one trial: the scenario of the plan, held for as long as the trial lasts, at so many times its rate.

use crate::plan::{Diagnostics, Executor, Plan, Scenario, Span, Spanned};
use std::time::Duration;

/// The load of one trial.
#[derive(Clone, Debug)]
pub struct TrialLoad {
    /// Not measured, at the beginning.
    pub(in crate::run) warmup: Duration,
    /// How long the load is after that.
    pub(in crate::run) duration: Duration,
    /// How many times the plan's load.
    pub(in crate::run) factor: f64,
    /// Where arrivals and dice come from.
    pub(in crate::run) seed: u64,
}

/// How long iterations get that still run at the end: what hangs tells nothing more, and the next trial waits.
const GRACE: Duration = Duration::from_secs(5);

// === impl TrialLoad ===

impl TrialLoad {
    /// Leaves of the plan what a trial is: one scenario, and nothing that judges or is written.
    pub(in crate::run) fn apply(&self, plan: &mut Plan, diagnostics: &mut Diagnostics) {
        let Some(tune) = &plan.later.tune else {
            diagnostics.error(Span::NONE, "the plan has no section `tune`").hint("docs/tuning.md shows one");
            return;
        };
        if let Some(name) = &tune.scenario {
            plan.scenarios.retain(|scenario| scenario.name.value == name.value);
        }
        for scenario in &mut plan.scenarios {
            scenario.start_time = Duration::ZERO;
            scenario.graceful_stop = scenario.graceful_stop.min(GRACE);
            scenario.executor = self.hold(scenario);
        }
        plan.thresholds.clear();
        plan.outputs.clear();
        plan.summary = None;
        plan.report = None;
        plan.later.judge = None;
    }

    /// The scenario at its highest, for all of the trial.
    fn hold(&self, scenario: &Scenario) -> Executor {
        let duration = Some(self.warmup + self.duration);
        let (factor, times) = (self.factor, |vus: Spanned<u32>| Spanned::new(times(vus.value, self.factor), vus.span));
        let open = |rate: Spanned<f64>, time_unit, mut vus: crate::plan::ArrivalVus, arrivals| {
            (vus.pre_allocated, vus.max) = (times(vus.pre_allocated), times(vus.max));
            let rate = Spanned::new(rate.value * factor, rate.span);
            Executor::ConstantArrivalRate { rate, time_unit, duration, vus, arrivals }
        };
        match scenario.executor.clone() {
            Executor::ConstantArrivalRate { rate, time_unit, vus, arrivals, .. } => {
                open(rate, time_unit, vus, arrivals)
            }
            Executor::RampingArrivalRate { start_rate, time_unit, stages, vus, arrivals } => {
                let targets = stages.iter().map(|stage| stage.target);
                let highest =
                    targets.fold(start_rate, |high, target| if target.value > high.value { target } else { high });
                open(highest, time_unit, vus, arrivals)
            }
            Executor::RampingVus { start_vus, stages, .. } => {
                let highest = stages.iter().map(|stage| stage.target.value as u32).fold(start_vus.value, u32::max);
                Executor::ConstantVus { vus: times(Spanned::new(highest, start_vus.span)), duration }
            }
            Executor::SharedIterations { vus, .. }
            | Executor::PerVuIterations { vus, .. }
            | Executor::ConstantVus { vus, .. }
            | Executor::ExternallyControlled { vus, .. } => Executor::ConstantVus { vus: times(vus), duration },
        }
    }
}

/// So many VUs, at least one where there was one.
fn times(vus: u32, factor: f64) -> u32 {
    let more = (f64::from(vus) * factor).ceil();
    if more >= f64::from(u32::MAX) { u32::MAX } else { more as u32 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::plan::{Variables, read};

    fn held(executor: &str, factor: f64) -> Executor {
        let text = format!(
            "workflow: [{{ request: GET / }}]\nscenarios: {{ a: {{ {executor}, gracefulStop: 1m, startTime: 3s }}, b: {{ executor: constant-vus, duration: 1s }} }}\n\
             thresholds: {{ http_reqs: [\"count>1\"] }}\nsummary: x\n\
             tune: {{ knobs: {{ A: [1] }}, apply: {{ process: {{ command: [a] }} }}, scenario: a, allow_closed: true }}"
        );
        let (plan, mut diagnostics) = read("p.yaml", text.as_bytes(), &Variables::default());
        let mut plan = plan.unwrap();
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        let load = TrialLoad { warmup: Duration::from_secs(1), duration: Duration::from_secs(2), factor, seed: 1 };
        load.apply(&mut plan, &mut diagnostics);
        assert!(plan.thresholds.is_empty() && plan.summary.is_none());
        let [scenario] = plan.scenarios.as_slice() else { panic!("{:?}", plan.scenarios) };
        assert_eq!((scenario.start_time, scenario.graceful_stop), (Duration::ZERO, GRACE));
        scenario.executor.clone()
    }

    #[test]
    fn a_rate_is_held_for_all_of_the_trial_times_the_factor() {
        let constant = "executor: constant-arrival-rate, rate: 10, duration: 9m, preAllocatedVUs: 3, maxVUs: 5";
        let ramping = "executor: ramping-arrival-rate, startRate: 1, preAllocatedVUs: 3, maxVUs: 5, \
                       stages: [{ duration: 1m, target: 10 }, { duration: 1m, target: 0 }]";
        for executor in [constant, ramping] {
            let Executor::ConstantArrivalRate { rate, duration, vus, .. } = held(executor, 1.5) else { panic!() };
            assert_eq!((rate.value, duration), (15.0, Some(Duration::from_secs(3))));
            assert_eq!((vus.pre_allocated.value, vus.max.value), (5, 8));
        }
    }

    #[test]
    fn of_a_closed_scenario_the_vus_are_held() {
        for (executor, most) in [
            ("executor: constant-vus, vus: 4, duration: 9m", 4),
            (
                "executor: ramping-vus, startVUs: 1, stages: [{ duration: 1m, target: 7 }, { duration: 1m, target: 0 }]",
                7,
            ),
            ("executor: shared-iterations, vus: 4, iterations: 90", 4),
        ] {
            let Executor::ConstantVus { vus, duration } = held(executor, 2.0) else { panic!("{executor}") };
            assert_eq!((vus.value, duration), (2 * most, Some(Duration::from_secs(3))), "{executor}");
        }
    }
}
