//! What an experiment comes to.

use super::setting::Setting;
use crate::correlate::Band;
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
    /// None where too few trials were made to know.
    pub noise: Option<NoiseReport>,
    /// How many more trials would settle it, if they go on as these did; 0 where it is settled.
    pub further_trials: u32,
    /// Why, a sentence each: what is recommended, what is out, what was not tried, what cannot be told apart.
    pub reasons: Vec<String>,
    /// Every setting, smallest first.
    pub values: Vec<ValueReport>,
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

/// What noise hides, as shares of the objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NoiseReport {
    /// How far two identical settings differ by chance, with as many trials as were made of what was compared longest (at
    /// least five), at most with 95 % confidence. Nothing below it is ranked.
    pub relative: f64,
    /// The least difference that as many trials as were made find four times out of five.
    pub detectable: f64,
    /// What is worse by less than this counts as equal.
    pub margin: f64,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueReport {
    /// Which.
    pub setting: Setting,
    /// Whether the others are compared with it.
    pub baseline: bool,
    /// Believed trials at the plan's load.
    pub trials: usize,
    /// The objective: the geometric mean over the trials; none without one.
    pub objective: Option<f64>,
    /// Where that lies, over trials, with 95 % confidence; none of fewer than two.
    pub interval: Option<Interval>,
    /// Used of the pool's size, the mean over the trials; none where nobody saw it.
    pub utilization: Option<f64>,
    /// Requests that ended per second, the mean over the trials.
    pub throughput: f64,
    /// What the requests waited for, means over the trials, slowest step first; empty where nobody correlated.
    pub bands: Vec<Band>,
    /// How it stands.
    pub standing: Standing,
}

/// How a setting stands in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It is the one to take.
    Recommended,
    /// It passes and is no worse, by the margin, than the one to take or the best; but there is a smaller one.
    AsGood,
    /// It is worse than another; by this share of the other's figure, on average.
    Worse {
        /// How much.
        share: f64,
        /// Than which.
        than: Setting,
    },
    /// It may pass, or be as good: not enough is known. Why, as a clause.
    Undecided(String),
    /// It does not pass. Why, as a clause.
    Out(String),
    /// It was not tried. Why, as a clause.
    NotTried(String),
    /// It does not fit the database, and is what runs today: the others are compared with it.
    Reference(String),
}

// === impl Outcome ===

impl Outcome {
    /// The report of a setting.
    #[must_use]
    pub fn value(&self, setting: &Setting) -> Option<&ValueReport> {
        self.values.iter().find(|value| value.setting == *setting)
    }
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

// === impl Standing ===

impl Standing {
    /// Its name in the table.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Recommended => "recommended",
            Self::AsGood => "as good",
            Self::Worse { .. } => "worse",
            Self::Undecided(_) => "undecided",
            Self::Out(_) => "out",
            Self::NotTried(_) => "not tried",
            Self::Reference(_) => "does not fit",
        }
    }
}
