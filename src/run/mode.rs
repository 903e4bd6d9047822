//! What a run is for: what lasts until it is stopped is judged otherwise than what ends by itself.

use super::compile::Compiled;
use super::completed::Findings;
use crate::load::{Allow, StopReason};
use crate::plan::{Plan, Scenario};
use crate::report::{Exit, Verdict};

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One finite run: the verdict is its exit code.
    #[default]
    Run,
    /// Always on: no scenario ends, and being stopped is how it ends well.
    Canary,
}

// === impl Mode ===

impl Mode {
    /// What of the load's rules is different.
    pub(super) const fn allows(self) -> Allow {
        match self {
            Self::Run => Allow { endless: false, for_ever: false },
            Self::Canary => Allow::canary(),
        }
    }

    /// Fills in what the plan leaves open.
    pub(super) fn complete(self, plan: &mut Plan) {
        if let Some(cleanup) = &mut plan.cleanup {
            cleanup.decide_when(self == Self::Canary);
        }
        if self == Self::Canary && plan.scenarios.is_empty() {
            plan.scenarios = vec![Scenario::one_a_second()];
        }
    }
}

// === impl Compiled ===

impl Compiled {
    /// What of the verdict, and of who stopped it, decides the exit code. A canary that is stopped from outside has done
    /// what it is for: what it found is in its summary, its metrics and its alerts, and whoever restarts pods by exit
    /// codes must not take a bad week of the target for a crash.
    pub(super) fn decide(&self, verdict: Verdict, findings: &mut Findings) {
        let stopped = match self.stop.reason() {
            Some(StopReason::Signal) => Some(Exit::Signal),
            Some(StopReason::Control) => Some(Exit::Stopped),
            _ => None,
        };
        match (self.mode, stopped) {
            (Mode::Canary, Some(Exit::Signal)) => {}
            (Mode::Canary, Some(stopped)) => findings.exit(stopped),
            (_, stopped) => {
                findings.exit(verdict.exit());
                stopped.into_iter().for_each(|exit| findings.exit(exit));
            }
        }
    }
}
