//! What flags change about a plan, applied before anything is compiled.

use crate::plan::{Diagnostics, Executor, Plan, Scenario, Span, Spanned, Stage, ThresholdDocument, When};
use std::time::Duration;

/// What flags change about a plan. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `-u`: VUs; alone: as many shared iterations.
    pub vus: Option<u32>,
    /// `-d`: how long; with `iterations` the most time it may take.
    pub duration: Option<Duration>,
    /// `-i`: shared iterations.
    pub iterations: Option<u64>,
    /// `-s`: stages of ramping VUs; empty: none.
    pub stages: Vec<Stage>,
    /// `--scenario`: only these; empty: all.
    pub scenarios: Vec<String>,
    /// `--threshold`: beside the plan's.
    pub thresholds: Vec<ThresholdDocument>,
    /// `--out`: beside the plan's.
    pub outputs: Vec<String>,
    /// `--no-thresholds`: none is judged, those of `thresholds` neither.
    pub no_thresholds: bool,
    /// `--no-cleanup`: nothing is deleted, and no database is needed.
    pub no_cleanup: bool,
}

/// The scenario's name where flags or nothing at all declare it, as in k6.
const DEFAULT_SCENARIO: &str = "default";
/// k6's grace for iterations that still run at the end.
const GRACE: Duration = Duration::from_secs(30);
/// k6's bound of the executors that count iterations.
const MAX_DURATION: Duration = Duration::from_secs(600);

// === impl Overrides ===

impl Overrides {
    /// Applies the flags to a plan. What contradicts itself is an error without a place.
    pub fn apply(&self, plan: &mut Plan, diagnostics: &mut Diagnostics) {
        if let Some(executor) = self.executor(diagnostics) {
            plan.scenarios = vec![default_scenario(executor)];
        } else if plan.scenarios.is_empty() {
            let once = Executor::SharedIterations {
                vus: Spanned::nowhere(1),
                iterations: Spanned::nowhere(1),
                max_duration: MAX_DURATION,
            };
            plan.scenarios = vec![default_scenario(once)];
        }
        self.select(plan, diagnostics);
        plan.outputs.extend(self.outputs.iter().cloned().map(Spanned::nowhere));
        if self.no_thresholds {
            plan.thresholds.clear();
        } else {
            plan.thresholds.extend(self.thresholds.iter().cloned());
        }
        if self.no_cleanup {
            // With a ledger the lease and the records are written all the same.
            plan.cleanup = plan.cleanup.take().filter(super::lease::has_ledger);
            if let Some(cleanup) = &mut plan.cleanup {
                cleanup.when.value = When::Never;
            }
        }
    }

    /// Whether flags take the place of the plan's scenarios.
    #[must_use]
    pub const fn replaces_scenarios(&self) -> bool {
        self.vus.is_some() || self.duration.is_some() || self.iterations.is_some() || !self.stages.is_empty()
    }

    /// The executor that k6's shortcuts stand for; none where none was given.
    fn executor(&self, diagnostics: &mut Diagnostics) -> Option<Executor> {
        if self.vus == Some(0) {
            diagnostics.error(Span::NONE, "--vus: must be at least 1");
        }
        if self.iterations == Some(0) {
            diagnostics.error(Span::NONE, "--iterations: must be at least 1");
        }
        if self.duration == Some(Duration::ZERO) {
            diagnostics.error(Span::NONE, "--duration: must be more than 0");
        }
        let vus = Spanned::nowhere(self.vus.unwrap_or(1));
        if !self.stages.is_empty() {
            if self.duration.is_some() || self.iterations.is_some() {
                let given = if self.duration.is_some() { "--duration" } else { "--iterations" };
                diagnostics
                    .error(Span::NONE, format!("--stage and {given} exclude each other"))
                    .hint("stages have durations of their own; leave one of the two out");
            }
            return Some(Executor::RampingVus {
                start_vus: vus,
                stages: self.stages.clone(),
                graceful_ramp_down: GRACE,
            });
        }
        match (self.iterations, self.duration, self.vus) {
            (Some(iterations), max_duration, _) => Some(Executor::SharedIterations {
                vus,
                iterations: Spanned::nowhere(iterations),
                max_duration: max_duration.unwrap_or(MAX_DURATION),
            }),
            (None, Some(duration), _) => Some(Executor::ConstantVus { vus, duration: Some(duration) }),
            (None, None, Some(iterations)) => Some(Executor::SharedIterations {
                vus,
                iterations: Spanned::nowhere(u64::from(iterations)),
                max_duration: MAX_DURATION,
            }),
            (None, None, None) => None,
        }
    }

    /// Leaves only the scenarios that were named.
    fn select(&self, plan: &mut Plan, diagnostics: &mut Diagnostics) {
        for name in &self.scenarios {
            if !plan.scenarios.iter().any(|scenario| scenario.name.value == *name) {
                let known: Vec<_> = plan.scenarios.iter().map(|scenario| scenario.name.value.as_str()).collect();
                diagnostics
                    .error(Span::NONE, format!("--scenario {name}: the plan has none of that name"))
                    .hint(format!("it has: {}", known.join(", ")));
            }
        }
        if !self.scenarios.is_empty() {
            plan.scenarios.retain(|scenario| self.scenarios.contains(&scenario.name.value));
        }
    }
}

fn default_scenario(executor: Executor) -> Scenario {
    Scenario {
        name: Spanned::nowhere(DEFAULT_SCENARIO.to_owned()),
        span: Span::NONE,
        executor,
        start_time: Duration::ZERO,
        graceful_stop: GRACE,
        env: Vec::new(),
        tags: Vec::new(),
        exec: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn executor(overrides: &Overrides) -> (Option<Executor>, bool) {
        let mut diagnostics = Diagnostics::new("plan");
        let executor = overrides.executor(&mut diagnostics);
        (executor, diagnostics.has_errors())
    }

    #[test]
    fn vus_alone_are_shared_iterations() {
        let (found, refused) = executor(&Overrides { vus: Some(7), ..Overrides::default() });
        let Some(Executor::SharedIterations { vus, iterations, .. }) = found else { panic!("{found:?}") };
        assert_eq!((vus.value, iterations.value, refused), (7, 7, false));
    }

    #[test]
    fn a_duration_with_iterations_is_the_maximum() {
        let duration = Some(Duration::from_secs(3));
        let (found, _) = executor(&Overrides { iterations: Some(9), duration, ..Overrides::default() });
        let Some(Executor::SharedIterations { iterations, max_duration, .. }) = found else { panic!("{found:?}") };
        assert_eq!((iterations.value, max_duration), (9, Duration::from_secs(3)));
    }

    #[test]
    fn a_duration_makes_vus_iterate() {
        let duration = Some(Duration::from_secs(3));
        let (found, _) = executor(&Overrides { vus: Some(2), duration, ..Overrides::default() });
        let Some(Executor::ConstantVus { vus, duration: Some(duration) }) = found else { panic!("{found:?}") };
        assert_eq!((vus.value, duration), (2, Duration::from_secs(3)));
    }

    #[test]
    fn stages_exclude_duration_and_iterations() {
        let stages = vec![Stage { duration: Duration::from_secs(1), target: Spanned::nowhere(5.0) }];
        let (found, refused) = executor(&Overrides { stages: stages.clone(), ..Overrides::default() });
        assert!(matches!(found, Some(Executor::RampingVus { .. })) && !refused);
        let both = Overrides { stages, iterations: Some(1), ..Overrides::default() };
        assert!(executor(&both).1);
    }

    #[test]
    fn nothing_given_changes_nothing() {
        assert!(executor(&Overrides::default()).0.is_none());
    }
}
