//! What an experiment comes to.

use super::setting::Setting;
use crate::stats::Interval;
use std::fmt;

/// What an experiment comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What it says.
    pub verdict: Verdict,
    /// The setting to take; none unless [`Verdict::Recommended`].
    pub recommendation: Option<Setting>,
    /// What that saves; none where there is no difference beyond noise, and without an original.
    pub improvement: Option<Improvement>,
    /// How far two identical settings differ by chance in as many trials as the least that are ranked, as a share, with
    /// 95 % confidence. None where too few trials were made to know.
    pub noise_floor: Option<f64>,
    /// How many more trials would settle it; 0 where it is settled.
    pub further_trials: u32,
    /// Why, a sentence each: what is out, what was not tried, what nobody could tell apart.
    pub reasons: Vec<String>,
}

/// What an experiment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Take this value.
    Recommended,
    /// More trials are needed to say.
    Inconclusive,
    /// No value passes.
    NonePasses,
}

/// How much smaller the objective is.
#[derive(Clone, Debug, PartialEq)]
pub struct Improvement {
    /// Than with this setting: today's.
    pub over: Setting,
    /// The part of today's figure that is saved; negative where it is more.
    pub share: f64,
    /// Where that lies, with 95 % confidence.
    pub interval: Interval,
}

// === impl Verdict ===

impl Verdict {
    /// Its name in the result.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recommended => "recommended",
            Self::Inconclusive => "inconclusive",
            Self::NonePasses => "none",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
