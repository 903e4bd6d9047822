//! Judges: what the figures of a run say beyond thresholds. Plain data in, plain data out.

pub mod arrivals;
pub mod breaking_point;
pub mod confidence;
pub mod drift;
pub mod fidelity;
pub mod figure;
pub mod profile;
pub mod recovery;
mod remedy;
mod saved;
pub mod stationarity;

pub use arrivals::{Arrivals, ArrivalsInput, Wanted, arrivals};
pub use breaking_point::{BreakingPoint, BreakingPointReport, Pattern};
pub use confidence::{Confidence, IntervalReport, Intervals, confidence};
pub use drift::{Drift, DriftReport};
pub use fidelity::{Fidelity, FidelityInput, Generator};
pub use profile::Profile;
pub use recovery::{Recovery, RecoveryReport};
pub use saved::SavedJudges;
pub use stationarity::{Stationarity, StationarityReport};

use crate::measure::{LayoutBuilder, Totals};
use crate::plan::{Diagnostics, JudgeDocument, Scenario};
use std::time::Duration;

/// The judges of a plan, compiled.
#[derive(Clone, Debug, Default)]
pub struct Judges {
    recovery: Option<Recovery>,
    breaking_point: Option<BreakingPoint>,
    drift: Option<Drift>,
}

/// What the judges of a run came to; absent where the plan asks nothing.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JudgeReport {
    /// Whether, and how fast, the target recovered.
    pub recovery: Option<RecoveryReport>,
    /// The load at which it broke, and how.
    pub breaking_point: Option<BreakingPointReport>,
    /// Whether a figure crept up.
    pub drift: Option<DriftReport>,
}

/// What one judge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgeVerdict {
    /// What it asks for was shown.
    Pass,
    /// It was not, or nobody can say.
    Fail,
}

/// Compiles the judges of a plan, after all scenarios, sites and custom metrics were added to `layout`: each prepares
/// there the cuts that it reads over time. `scenarios` say when the load is held, rises and falls. Problems go to
/// `diagnostics`, each with its place.
///
/// What cannot be judged, because the run was too short or nothing answered, **fails**: a judge is asked because
/// somebody relies on the answer, and no answer is none to rely on. The sentence says what is missing.
pub fn compile(
    document: &JudgeDocument,
    scenarios: &[Scenario],
    layout: &mut LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Judges {
    let profile = Profile::of(scenarios);
    let profile = profile.as_ref();
    let recovery =
        document.recovery.as_ref().and_then(|document| Recovery::compile(document, profile, layout, diagnostics));
    let breaking_point = document
        .breaking_point
        .as_ref()
        .and_then(|document| BreakingPoint::compile(document, profile, layout, diagnostics));
    let drift = document.drift.as_ref().and_then(|document| Drift::compile(document, profile, layout, diagnostics));
    Judges { recovery, breaking_point, drift }
}

// === impl Judges ===

impl Judges {
    /// Judges a run whose load ended at `end`, from its start.
    #[must_use]
    pub fn judge(&self, totals: &Totals, end: Duration) -> JudgeReport {
        JudgeReport {
            recovery: self.recovery.as_ref().and_then(|judge| Some(judge.judge(&judge.figure().course(totals, end)?))),
            breaking_point: self
                .breaking_point
                .as_ref()
                .and_then(|judge| Some(judge.judge(&judge.figure().course(totals, end)?))),
            drift: self.drift.as_ref().and_then(|judge| Some(judge.judge(&judge.figure().course(totals, end)?))),
        }
    }
}

// === impl JudgeReport ===

impl JudgeReport {
    /// Whether the plan asked for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    /// Whether any of them failed: the run ends with 99.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.lines().any(|(_, verdict, _)| verdict == JudgeVerdict::Fail)
    }

    /// Takes out what there was too little to judge, and answers with what each says: for a run that was stopped
    /// from outside, or is not the one that the plan meant. Who cuts it short does not want a verdict on that.
    pub fn leave_out_unjudged(&mut self) -> Vec<String> {
        let recovery = self.recovery.take_if(|it| !it.judged).map(|it| it.sentence);
        let breaking_point = self.breaking_point.take_if(|it| !it.judged).map(|it| it.sentence);
        let drift = self.drift.take_if(|it| !it.judged).map(|it| it.sentence);
        [recovery, breaking_point, drift].into_iter().flatten().collect()
    }

    /// Each judge: its name as the plan writes it, its verdict, and what it says in one sentence.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, JudgeVerdict, &str)> {
        let recovery = self.recovery.as_ref().map(|it| ("recovery", it.verdict, it.sentence.as_str()));
        let breaking = self.breaking_point.as_ref().map(|it| ("breaking_point", it.verdict, it.sentence.as_str()));
        let drift = self.drift.as_ref().map(|it| ("drift", it.verdict, it.sentence.as_str()));
        [recovery, breaking, drift].into_iter().flatten()
    }
}

// === impl JudgeVerdict ===

impl JudgeVerdict {
    /// `pass` or `fail`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

#[cfg(test)]
mod tests;
