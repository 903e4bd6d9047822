//! What an experiment is about: the plan's section `tune`, as plain data.

use super::setting::Setting;
use super::trial::Measured;
use crate::measure::threshold::Operator;
use std::fmt;
use std::time::Duration;

/// What is tried, what must hold, and how much it may take.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The knobs and the values to try, in the order of the plan. The settings are their grid.
    pub knobs: Vec<Knob>,
    /// Today's values, one for each knob: the baseline. None where the plan gives none.
    pub original: Option<Setting>,
    /// Settings that are not tried, and why.
    pub infeasible: Vec<Infeasible>,
    /// What is to be made small.
    pub objective: Objective,
    /// What must hold.
    pub constraints: Vec<Constraint>,
    /// Not measured, at the beginning of each trial.
    pub warmup: Duration,
    /// How long a trial is measured.
    pub duration: Duration,
    /// What the recommended value must also hold; none where the plan asks for nothing.
    pub hold: Option<Hold>,
    /// How much the experiment may take.
    pub budget: Budget,
    /// Where the order of the trials and their arrivals come from: the same seed and the same figures, the same orders.
    pub seed: u64,
}

/// A knob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Its name: an environment variable, or what the plan's templates call it.
    pub name: String,
    /// The values to try, as the plan writes them.
    pub values: Vec<String>,
}

/// A setting that is not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infeasible {
    /// Which.
    pub setting: Setting,
    /// Why, as a clause: `2 × 64 × (1 + 0.25) + 10 = 170 connections, of which the database has 100`.
    pub reason: String,
}

/// The figure that is to be made small: a time, above zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objective {
    /// The metric or submetric, as the plan writes it.
    pub metric: String,
    /// `p(95)`
    pub stat: String,
}

/// What must hold of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The metric, as the plan writes it.
    pub name: String,
    /// How it must stand to `bound`.
    pub operator: Operator,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

/// More load that the recommended value must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// How many times the load.
    pub factor: f64,
    /// For how long.
    pub duration: Duration,
}

/// How much the experiment may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The most trials, the first and the last included.
    pub trials: u32,
    /// The most time.
    pub time: Duration,
}

// === impl Constraint ===

impl Constraint {
    /// Whether it holds or not without a bound: `==0`, `!=3`, and `<=0` of what is never negative. Such a one is judged by
    /// counting: one trial that breaks it is one too many.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        let zero = self.bound == 0.0 && self.operator == Operator::LessOrEqual;
        zero || matches!(self.operator, Operator::Equal | Operator::NotEqual)
    }

    /// Whether it holds in one trial; none where nobody measured it.
    #[must_use]
    pub fn kept(&self, measured: &Measured) -> Option<bool> {
        let value = measured.constraint(&self.name)?.value?;
        Some(self.operator.holds(value, self.bound))
    }
}

impl fmt::Display for Constraint {
    /// `pool_utilization<0.8`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.operator {
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
        };
        write!(f, "{}{sign}{}", self.name, self.bound)
    }
}

// === impl Terms ===

impl Terms {
    /// Every setting of the grid in the order of the plan, the last knob turning fastest; infeasible ones too.
    #[must_use]
    pub fn grid(&self) -> Vec<Setting> {
        if self.knobs.is_empty() {
            return Vec::new();
        }
        let mut grid: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
        for knob in &self.knobs {
            let mut wider = Vec::with_capacity(grid.len() * knob.values.len());
            for begun in &grid {
                for value in &knob.values {
                    let mut setting = begun.clone();
                    setting.push((&knob.name, value));
                    wider.push(setting);
                }
            }
            grid = wider;
        }
        grid.into_iter().map(|pairs| pairs.into_iter().collect()).collect()
    }

    /// Why a setting is not tried; none where it is.
    #[must_use]
    pub fn why_not(&self, setting: &Setting) -> Option<&str> {
        self.infeasible.iter().find(|known| known.setting == *setting).map(|known| known.reason.as_str())
    }
}
