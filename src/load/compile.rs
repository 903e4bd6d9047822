//! From the plan's scenarios to a [`LoadPlan`]: k6's checks, and bounds on what is absurd.

use super::plan::{ArrivalRate, LoadPlan, Model, ScenarioPlan};
use super::schedule::{Intensity, Segment, Spacing, VuRamp, VuStage};
use crate::measure::ScenarioId;
use crate::plan::{ArrivalVus, Arrivals, Diagnostics, Executor, Scenario, Span, Spanned, Stage};
use std::time::Duration;

/// The most VUs of a run.
pub const MAX_VUS: u32 = 1_000_000;
/// The highest arrival rate, iterations a second.
pub const MAX_RATE: f64 = 1e6;
/// The shortest that a scenario may last, as in k6.
pub const MIN_DURATION: Duration = Duration::from_secs(1);
/// The longest of any one duration: clocks hold a sum of a few of them.
pub const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What a command allows beyond what k6 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Scenarios without a `duration`: a canary's.
    pub endless: bool,
    /// No scenario ends by itself, whatever its `duration` says, and ramps hold their last stage: a canary's.
    pub for_ever: bool,
}

// === impl Allow ===

impl Allow {
    /// What a canary plays: until it is stopped.
    #[must_use]
    pub const fn canary() -> Self {
        Self { endless: true, for_ever: true }
    }
}

/// Checks scenarios and makes them ready to run. `ids` names them, in the same order, in what is measured.
/// None where `diagnostics` got an error.
#[must_use]
pub fn compile(
    scenarios: &[Scenario],
    ids: &[ScenarioId],
    segment: &Segment,
    allow: Allow,
    diagnostics: &mut Diagnostics,
) -> Option<LoadPlan> {
    debug_assert_eq!(scenarios.len(), ids.len(), "one id for each scenario");
    let mut check = Check { diagnostics, allow, sound: true, name: String::new() };
    let mut plans = Vec::with_capacity(scenarios.len());
    for (scenario, id) in scenarios.iter().zip(ids) {
        check.name.clone_from(&scenario.name.value);
        check.bounded(scenario.span, "startTime", scenario.start_time);
        check.bounded(scenario.span, "gracefulStop", scenario.graceful_stop);
        if let Some(model) = check.model(scenario) {
            plans.push(ScenarioPlan {
                id: *id,
                start_time: scenario.start_time,
                // As in k6, what this one runs is cut off at its end.
                graceful_stop: match model {
                    Model::ExternallyControlled { .. } => Duration::ZERO,
                    _ => scenario.graceful_stop,
                },
                model,
                part: segment.stripes().clone(),
                adds_vus: 0,
            });
        }
    }
    let vus: u64 = plans.iter().map(|plan| u64::from(plan.model.max_vus())).sum();
    if check.sound && vus > u64::from(MAX_VUS) {
        let span = scenarios.last().map_or(Span::NONE, |scenario| scenario.span);
        check.error(span, format!("the scenarios ask for {vus} VUs together; the most is {MAX_VUS}"));
    }
    if !check.sound {
        return None;
    }
    let mut plan = LoadPlan { scenarios: plans, segment: segment.clone() };
    plan.settle_pool();
    Some(plan)
}

struct Check<'a> {
    diagnostics: &'a mut Diagnostics,
    allow: Allow,
    sound: bool,
    name: String,
}

impl Check<'_> {
    fn model(&mut self, scenario: &Scenario) -> Option<Model> {
        let span = scenario.span;
        match &scenario.executor {
            Executor::SharedIterations { .. } | Executor::PerVuIterations { .. } if self.allow.for_ever => {
                self.counted(span);
                None
            }
            Executor::SharedIterations { vus, iterations, max_duration } => {
                let ok = self.vus(*vus) & self.lasts(span, "maxDuration", *max_duration);
                if ok && iterations.value < u64::from(vus.value) {
                    let (iterations, at, vus) = (iterations.value, iterations.span, vus.value);
                    let text =
                        format!("the number of iterations ({iterations}) can't be less than the number of VUs ({vus})");
                    self.error(place(at, span), text);
                    return None;
                }
                ok.then_some(Model::SharedIterations {
                    vus: vus.value,
                    iterations: iterations.value,
                    max_duration: *max_duration,
                })
            }
            Executor::PerVuIterations { vus, iterations, max_duration } => {
                let mut ok = self.vus(*vus) & self.lasts(span, "maxDuration", *max_duration);
                if iterations.value == 0 {
                    ok = self.error(place(iterations.span, span), "the number of iterations must be more than 0");
                }
                ok.then_some(Model::PerVuIterations {
                    vus: vus.value,
                    iterations: iterations.value,
                    max_duration: *max_duration,
                })
            }
            Executor::ConstantVus { vus, duration } => {
                let ok = self.vus(*vus) & self.duration(span, *duration);
                let duration = self.obeyed(span, *duration);
                ok.then_some(Model::ConstantVus { vus: vus.value, duration })
            }
            Executor::RampingVus { start_vus, stages, graceful_ramp_down } => {
                self.ramp(scenario, *start_vus, stages, *graceful_ramp_down)
            }
            Executor::ConstantArrivalRate { rate, time_unit, duration, vus, arrivals } => {
                let mut ok = self.rate(span, "rate", *rate, *time_unit) & self.duration(span, *duration);
                if rate.value <= 0.0 {
                    ok = self.error(place(rate.span, span), "the iteration rate must be more than 0");
                }
                ok &= self.arrival_vus(span, *vus);
                let duration = self.obeyed(span, *duration);
                ok.then(|| {
                    Model::ArrivalRate(ArrivalRate {
                        intensity: Intensity::constant(rate.value, *time_unit, duration),
                        spacing: self.spacing(*arrivals, Spacing::FromStart),
                        pre_allocated: vus.pre_allocated.value,
                        max: vus.max.value,
                        to_the_end: true,
                    })
                })
            }
            Executor::RampingArrivalRate { start_rate, time_unit, stages, vus, arrivals } => {
                let mut ok = self.rate(span, "startRate", *start_rate, *time_unit) & self.stages(span, stages);
                for stage in stages {
                    ok &= self.rate(span, "the target of a stage", stage.target, *time_unit);
                }
                ok &= self.arrival_vus(span, *vus) & self.held(span, stages);
                ok.then(|| {
                    let stages: Vec<_> = stages.iter().map(|stage| (stage.duration, stage.target.value)).collect();
                    Model::ArrivalRate(ArrivalRate {
                        intensity: if self.allow.for_ever {
                            Intensity::ramping_held(start_rate.value, *time_unit, &stages)
                        } else {
                            Intensity::ramping(start_rate.value, *time_unit, &stages)
                        },
                        spacing: self.spacing(*arrivals, Spacing::FromFirst),
                        pre_allocated: vus.pre_allocated.value,
                        max: vus.max.value,
                        to_the_end: false,
                    })
                })
            }
            Executor::ExternallyControlled { vus, max_vus, duration } => self.external(span, *vus, *max_vus, *duration),
        }
    }

    fn ramp(&mut self, scenario: &Scenario, start: Spanned<u32>, stages: &[Stage], down: Duration) -> Option<Model> {
        let span = scenario.span;
        let mut ok = self.stages(span, stages) & self.bounded(span, "gracefulRampDown", down);
        ok &= self.at_most(place(start.span, span), "startVUs", f64::from(start.value));
        let mut whole = Vec::with_capacity(stages.len());
        for stage in stages {
            let (target, at) = (stage.target.value, place(stage.target.span, span));
            if target.fract() == 0.0 && (0.0..=f64::from(MAX_VUS)).contains(&target) {
                whole.push(VuStage { duration: stage.duration, target: target as u32 });
            } else if target.fract() != 0.0 && target.is_finite() {
                ok = self.error(at, format!("the target of a stage is a number of VUs, not {target}"));
            } else {
                ok &= self.at_most(at, "the target of a stage", target);
            }
        }
        let ramp = VuRamp {
            start: start.value,
            stages: whole,
            graceful_ramp_down: down,
            graceful_stop: scenario.graceful_stop,
            held: self.allow.for_ever,
        };
        ok &= self.held(span, stages);
        if ok && ramp.peak() == 0 {
            ok = self.error(span, "either startVUs or one of the stages' targets must be greater than 0");
        }
        ok.then_some(Model::RampingVus(ramp))
    }

    /// k6 wants the duration said; 0 is until stopped.
    fn external(
        &mut self,
        span: Span,
        vus: Spanned<u32>,
        max: Spanned<u32>,
        duration: Option<Duration>,
    ) -> Option<Model> {
        let mut ok = self.at_most(place(max.span, span), "maxVUs", f64::from(max.value));
        if max.value < vus.value {
            let (vus, max) = (vus.value, max.value);
            let text = format!("the number of active VUs ({vus}) must be less than or equal to maxVUs ({max})");
            ok = self.error(span, text);
        }
        let duration = match duration {
            None if !self.allow.endless => {
                ok = self.error(span, "the duration is unspecified; 0 means until it is stopped");
                None
            }
            duration => duration.filter(|duration| !duration.is_zero()),
        };
        if let Some(duration) = duration {
            ok &= self.bounded(span, "duration", duration);
        }
        let duration = self.obeyed(span, duration);
        ok.then_some(Model::ExternallyControlled { vus: vus.value, max_vus: max.value, duration })
    }

    fn stages(&mut self, span: Span, stages: &[Stage]) -> bool {
        if stages.is_empty() {
            return self.error(span, "at least one stage has to be specified");
        }
        let mut ok = true;
        for stage in stages {
            if stage.target.value < 0.0 {
                ok = self.error(place(stage.target.span, span), "the target of a stage can't be negative");
            }
        }
        let total = stages.iter().try_fold(Duration::ZERO, |sum, stage| sum.checked_add(stage.duration));
        self.bounded(span, "the duration of all stages", total.unwrap_or(Duration::MAX)) && ok
    }

    /// A canary has no end: its scenarios have none either, and that is told where the plan says otherwise.
    fn obeyed(&mut self, span: Span, duration: Option<Duration>) -> Option<Duration> {
        if !self.allow.for_ever {
            return duration;
        }
        if duration.is_some() {
            let name = &self.name;
            self.diagnostics
                .warning(span, format!("scenario {name}: its `duration` is not obeyed"))
                .hint("a canary lasts until it is stopped; `pacecar run` ends");
        }
        None
    }

    /// What counts its iterations comes to an end, and a canary must not.
    fn counted(&mut self, span: Span) {
        self.sound = false;
        let name = &self.name;
        self.diagnostics
            .error(span, format!("scenario {name}: iterations that are counted come to an end, and a canary has none"))
            .hint("constant-arrival-rate or constant-vus; `pacecar run` takes this one");
    }

    /// Whether there is something to hold after the last stage.
    fn held(&mut self, span: Span, stages: &[Stage]) -> bool {
        let nothing = stages.last().is_some_and(|last| last.target.value <= 0.0);
        if !self.allow.for_ever || !nothing {
            return true;
        }
        self.error(span, "a canary holds its last stage, and this one's target is 0: nothing would be sent")
    }

    fn vus(&mut self, vus: Spanned<u32>) -> bool {
        if vus.value == 0 {
            return self.error(vus.span, "the number of VUs must be more than 0");
        }
        self.at_most(vus.span, "vus", f64::from(vus.value))
    }

    fn arrival_vus(&mut self, span: Span, vus: ArrivalVus) -> bool {
        let at = place(vus.max.span, place(vus.pre_allocated.span, span));
        if vus.max.value < vus.pre_allocated.value {
            return self.error(at, "maxVUs can't be less than preAllocatedVUs");
        }
        if vus.max.value == 0 {
            return self.error(at, "preAllocatedVUs and maxVUs are 0: no iteration could start");
        }
        self.at_most(at, "maxVUs", f64::from(vus.max.value))
    }

    fn rate(&mut self, span: Span, what: &str, rate: Spanned<f64>, unit: Duration) -> bool {
        let at = place(rate.span, span);
        if unit.is_zero() {
            return self.error(span, "the timeUnit must be more than 0");
        }
        if !self.bounded(span, "timeUnit", unit) {
            return false;
        }
        if !rate.value.is_finite() || rate.value < 0.0 {
            return self.error(at, format!("{what} can't be {}", rate.value));
        }
        let per_second = rate.value / unit.as_secs_f64();
        if per_second > MAX_RATE {
            return self.error(at, format!("{what} is {per_second:.0} iterations a second; the most is {MAX_RATE:.0}"));
        }
        true
    }

    fn duration(&mut self, span: Span, duration: Option<Duration>) -> bool {
        match duration {
            Some(duration) => self.lasts(span, "duration", duration),
            None if self.allow.endless => true,
            None => self.error(span, "the duration is unspecified"),
        }
    }

    fn lasts(&mut self, span: Span, what: &str, duration: Duration) -> bool {
        if duration < MIN_DURATION {
            let text = format!("the {what} must be at least 1s, but is {}", humantime::format_duration(duration));
            return self.error(span, text);
        }
        self.bounded(span, what, duration)
    }

    fn bounded(&mut self, span: Span, what: &str, duration: Duration) -> bool {
        duration <= MAX_DURATION || self.error(span, format!("{what} is longer than ten years"))
    }

    fn at_most(&mut self, span: Span, what: &str, vus: f64) -> bool {
        vus <= f64::from(MAX_VUS) || self.error(span, format!("{what} asks for {vus} VUs; the most is {MAX_VUS}"))
    }

    /// The seed comes from the scenario's name: the same plan makes the same arrivals, on
    /// every machine that plays a part of it.
    fn spacing(&self, arrivals: Arrivals, even: Spacing) -> Spacing {
        match arrivals {
            Arrivals::Constant => even,
            Arrivals::Poisson => Spacing::Poisson { seed: fnv(self.name.as_bytes()) },
        }
    }

    /// Records an error of the scenario at hand; false, for the caller to pass on.
    fn error(&mut self, span: Span, message: impl std::fmt::Display) -> bool {
        self.sound = false;
        let name = &self.name;
        self.diagnostics.error(span, format!("scenario {name}: {message}"));
        false
    }
}

/// A value's own place, or that of what it stands in.
fn place(own: Span, around: Span) -> Span {
    if own == Span::NONE { around } else { own }
}

/// FNV-1a: fixed for ever, unlike the standard library's hasher.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn scenario(executor: Executor) -> Scenario {
        Scenario {
            name: Spanned::nowhere("s".to_owned()),
            span: Span::new(3, 5),
            executor,
            start_time: Duration::ZERO,
            graceful_stop: SECOND * 30,
            env: Vec::new(),
            tags: Vec::new(),
            exec: None,
        }
    }

    fn constant(vus: u32, duration: Option<Duration>) -> Scenario {
        scenario(Executor::ConstantVus { vus: Spanned::nowhere(vus), duration })
    }

    fn arrivals(rate: f64, unit: Duration, pre: u32, max: u32) -> Scenario {
        scenario(Executor::ConstantArrivalRate {
            rate: Spanned::nowhere(rate),
            time_unit: unit,
            duration: Some(SECOND * 10),
            vus: ArrivalVus { pre_allocated: Spanned::nowhere(pre), max: Spanned::nowhere(max) },
            arrivals: Arrivals::Constant,
        })
    }

    fn ramping(start: u32, stages: &[(u64, f64)]) -> Scenario {
        let stages = stages
            .iter()
            .map(|(s, target)| Stage { duration: Duration::from_secs(*s), target: Spanned::nowhere(*target) })
            .collect();
        scenario(Executor::RampingVus { start_vus: Spanned::nowhere(start), stages, graceful_ramp_down: SECOND * 30 })
    }

    #[test]
    fn a_canary_never_ends_and_ramps_hold_their_last_stage() {
        let canary = |scenario| compiled(&[scenario], Allow::canary());
        let (plan, told) = canary(constant(3, None));
        assert!(plan.unwrap().duration().is_none() && told.is_empty(), "{told}");
        let (plan, told) = canary(constant(3, Some(SECOND)));
        assert!(plan.unwrap().duration().is_none() && told.contains("not obeyed"), "{told}");
        let (plan, _) = canary(ramping(1, &[(10, 4.0), (10, 2.0)]));
        let Model::RampingVus(ramp) = &plan.as_ref().unwrap().scenarios()[0].model else { panic!("a ramp") };
        assert_eq!((plan.as_ref().unwrap().duration(), ramp.spans(1).last().unwrap().off), (None, MAX_DURATION));
        assert!(ramp.spans(2).last().unwrap().off <= SECOND * 20);
        let (plan, told) = canary(ramping(1, &[(10, 4.0), (10, 0.0)]));
        assert!(plan.is_none() && told.contains("holds its last stage"), "{told}");
        let one = Executor::PerVuIterations {
            vus: Spanned::nowhere(1),
            iterations: Spanned::nowhere(1),
            max_duration: SECOND,
        };
        let (plan, told) = canary(scenario(one));
        assert!(plan.is_none() && told.contains("come to an end"), "{told}");
    }

    fn compiled(scenarios: &[Scenario], allow: Allow) -> (Option<LoadPlan>, String) {
        let ids: Vec<ScenarioId> = (0..).map(ScenarioId).take(scenarios.len()).collect();
        let mut diagnostics = Diagnostics::new("p");
        let plan = compile(scenarios, &ids, &Segment::whole(), allow, &mut diagnostics);
        assert_eq!(plan.is_none(), diagnostics.has_errors());
        (plan, diagnostics.to_string())
    }

    #[test]
    fn what_k6_refuses_is_refused() {
        let shared = |vus, iterations, max_duration| {
            scenario(Executor::SharedIterations {
                vus: Spanned::nowhere(vus),
                iterations: Spanned::nowhere(iterations),
                max_duration,
            })
        };
        for (scenario, message) in [
            (shared(3, 2, SECOND), "iterations (2) can't be less than the number of VUs (3)"),
            (shared(0, 2, SECOND), "VUs must be more than 0"),
            (shared(1, 2, SECOND / 2), "maxDuration must be at least 1s, but is 500ms"),
            (constant(0, Some(SECOND)), "VUs must be more than 0"),
            (constant(1, None), "duration is unspecified"),
            (constant(1_000_001, Some(SECOND)), "the most is 1000000"),
            (constant(1, Some(Duration::MAX)), "longer than ten years"),
            (arrivals(0.0, SECOND, 1, 1), "rate must be more than 0"),
            (arrivals(f64::NAN, SECOND, 1, 1), "rate can't be NaN"),
            (arrivals(1.0, Duration::ZERO, 1, 1), "timeUnit must be more than 0"),
            (arrivals(2000.0, SECOND / 1000, 1, 1), "the most is 1000000"),
            (arrivals(1.0, SECOND, 2, 1), "maxVUs can't be less than preAllocatedVUs"),
            (arrivals(1.0, SECOND, 0, 0), "no iteration could start"),
            (ramping(0, &[]), "at least one stage"),
            (ramping(0, &[(1, 0.0)]), "must be greater than 0"),
            (ramping(0, &[(1, 1.5)]), "number of VUs, not 1.5"),
            (ramping(0, &[(1, -1.0)]), "can't be negative"),
            (ramping(0, &[(1, 2e6)]), "the most is 1000000"),
            (ramping(0, &[(u64::MAX, 1.0), (u64::MAX, 1.0)]), "longer than ten years"),
        ] {
            let (plan, text) = compiled(&[scenario], Allow::default());
            assert!(plan.is_none() && text.starts_with("p:3:5:") || text.starts_with("pacecar: "), "{text}");
            assert!(text.contains(message), "{message}: {text}");
        }
        let controlled = |vus, max, duration| {
            let (vus, max_vus) = (Spanned::nowhere(vus), Spanned::nowhere(max));
            compiled(&[scenario(Executor::ExternallyControlled { vus, max_vus, duration })], Allow::default())
        };
        assert!(controlled(1, 1, None).1.contains("0 means until it is stopped"));
        assert!(controlled(2, 1, Some(SECOND)).1.contains("less than or equal to maxVUs (1)"));
        // Until it is stopped, and nobody there to begin with, are right.
        assert_eq!(controlled(0, 0, Some(Duration::ZERO)).0.map(|plan| plan.duration()), Some(None));
        let many = [constant(600_000, Some(SECOND)), constant(600_000, Some(SECOND))];
        assert!(compiled(&many, Allow::default()).1.contains("1200000 VUs together"));
    }

    #[test]
    fn only_a_canary_is_endless() {
        let (plan, _) = compiled(&[constant(1, None)], Allow { endless: true, ..Allow::default() });
        assert_eq!(plan.unwrap().duration(), None);
        let (plan, _) = compiled(&[constant(1, Some(SECOND * 10))], Allow { endless: true, ..Allow::default() });
        assert_eq!(plan.unwrap().duration(), Some(SECOND * 40));
    }

    #[test]
    fn vus_of_scenarios_that_follow_each_other_are_the_same() {
        let (first, mut second) = (constant(10, Some(SECOND * 10)), constant(15, Some(SECOND * 10)));
        let both = compiled(&[first.clone(), second.clone()], Allow::default()).0.unwrap();
        assert_eq!(both.planned_vus(), 25);
        second.start_time = SECOND * 40;
        let one_by_one = compiled(&[first.clone(), second.clone()], Allow::default()).0.unwrap();
        assert_eq!((one_by_one.planned_vus(), one_by_one.scenarios[1].adds_vus), (15, 5));
        second.start_time = SECOND * 39;
        assert_eq!(compiled(&[first, second], Allow::default()).0.unwrap().planned_vus(), 25);
        // A ramp down holds its VUs for the time to finish.
        let mut after = constant(4, Some(SECOND));
        after.start_time = SECOND * 19;
        let down = compiled(&[ramping(0, &[(10, 10.0), (10, 0.0)]), after], Allow::default()).0.unwrap();
        assert_eq!(down.planned_vus(), 14);
        let open = compiled(&[arrivals(1.0, SECOND, 3, 9)], Allow::default()).0.unwrap();
        assert_eq!((open.planned_vus(), open.max_vus()), (3, 9));
    }

    #[test]
    fn workers_have_all_vus_between_them() {
        let plan = compiled(
            &[constant(7, Some(SECOND)), arrivals(1.0, SECOND, 5, 5), arrivals(1.0, SECOND, 5, 50)],
            Allow::default(),
        )
        .0
        .unwrap();
        let counts = |index, vus| (0..3).map(|worker| plan.part(index, worker, 3).count(vus)).collect::<Vec<_>>();
        assert_eq!(counts(0, 7), [3, 2, 2]);
        assert_eq!(counts(1, 5), [0, 5, 0]);
        assert_eq!(counts(2, 50), [17, 17, 16]);
    }
}
