//! Whether a setting keeps a constraint, judged on the bound of the interval over its trials.
//!
//! A mean below the bound says little where trials differ: what must hold is what the figure is at most. What is exact
//! (`==0`) is counted instead: one event is one too many.

use super::noise::LEAST_TRIALS;
use super::terms::Constraint;
use super::trial::Measured;
use super::words::{counted, figure};
use crate::measure::threshold::Operator;
use crate::stats::{Differences, rule_of_three, wilson};

/// How a setting stands to a constraint.
#[derive(Clone, Debug, PartialEq)]
pub enum Keeping {
    /// It holds, on the bound.
    Holds,
    /// It does not; why, as a clause.
    Broken(String),
    /// More trials would tell.
    Open {
        /// What is known, as a clause.
        reason: String,
        /// How many trials would tell, those made included, if they go on to differ as these did.
        trials: usize,
    },
    /// Nobody measures it, so no trial will tell.
    Unmeasured,
}

/// The one-sided confidence with which a constraint holds, or is broken.
const BOUND: f64 = 0.95;
/// The one that says so before five trials were made.
const EARLY: f64 = 0.99;
/// The fewest trials that say so.
const LEAST_EARLY: usize = 3;

// === impl Keeping ===

impl Keeping {
    /// How the trials of a setting stand to a constraint.
    #[must_use]
    pub fn of(constraint: &Constraint, trials: &[&Measured]) -> Self {
        let values: Vec<f64> = readings(constraint, trials).map(|(value, _)| value).collect();
        if values.is_empty() && !trials.is_empty() {
            return Self::Unmeasured;
        }
        if constraint.is_exact() {
            return Self::counted(constraint, &values);
        }
        let Some(found) = Differences::of(values.iter().copied()) else { return Self::open(LEAST_TRIALS) };
        let side = Side::of(constraint, &found, shares(constraint, trials));
        if found.n < LEAST_TRIALS {
            let broken = found.n >= LEAST_EARLY && !side.may_hold(EARLY);
            return if broken { Self::Broken(side.told(EARLY, false)) } else { Self::open(LEAST_TRIALS) };
        }
        if side.holds(BOUND) {
            return Self::Holds;
        }
        if !side.may_hold(BOUND) {
            return Self::Broken(side.told(BOUND, false));
        }
        let trials = found.blocks_for((found.mean - constraint.bound).abs(), BOUND).max(found.n + 1);
        Self::Open { reason: side.told(BOUND, true), trials }
    }

    /// An exact one: a single trial that breaks it breaks it.
    fn counted(constraint: &Constraint, values: &[f64]) -> Self {
        let breaking: Vec<f64> =
            values.iter().copied().filter(|value| !constraint.operator.holds(*value, constraint.bound)).collect();
        if let Some(first) = breaking.first() {
            let (of, worst) = (values.len(), breaking.iter().copied().fold(*first, f64::max));
            let trials = counted(of as u64, "trial");
            return Self::Broken(format!("broken in {} of {trials}, up to {}", breaking.len(), figure(worst)));
        }
        if values.len() < LEAST_TRIALS { Self::open(LEAST_TRIALS) } else { Self::Holds }
    }

    fn open(trials: usize) -> Self {
        Self::Open { reason: "fewer than five trials".to_owned(), trials }
    }
}

/// A constraint that bounds from one side, and what is known of the figure.
struct Side<'a> {
    constraint: &'a Constraint,
    found: &'a Differences,
    /// The events and of how many, where the figure is a share: with none seen, trials do not differ at all, and yet
    /// the share may be above zero.
    events: Option<(u64, u64)>,
}

impl<'a> Side<'a> {
    fn of(constraint: &'a Constraint, found: &'a Differences, events: Option<(u64, u64)>) -> Self {
        Self { constraint, found, events }
    }

    /// Whether the figure must be below the bound, not above.
    fn below(&self) -> bool {
        matches!(self.constraint.operator, Operator::Less | Operator::LessOrEqual)
    }

    /// Whether the far end of the interval still holds.
    fn holds(&self, confidence: f64) -> bool {
        let (low, high) = self.ends(confidence);
        self.constraint.operator.holds(if self.below() { high } else { low }, self.constraint.bound)
    }

    /// Whether the near end of the interval holds.
    fn may_hold(&self, confidence: f64) -> bool {
        let (low, high) = self.ends(confidence);
        self.constraint.operator.holds(if self.below() { low } else { high }, self.constraint.bound)
    }

    fn ends(&self, confidence: f64) -> (f64, f64) {
        let (mut low, mut high) = (self.found.lower(confidence), self.found.upper(confidence));
        if let Some((hits, of)) = self.events {
            let share = wilson(hits, of, 2.0 * confidence - 1.0);
            low = low.min(share.low).max(0.0);
            high = high.max(if hits == 0 { rule_of_three(of) } else { share.high }).min(1.0);
        }
        (low, high)
    }

    /// The mean, and the end of the interval that decides: the far one where it may not hold, the near one where it
    /// cannot.
    fn told(&self, confidence: f64, far: bool) -> String {
        let (low, high) = self.ends(confidence);
        let end =
            if self.below() == far { format!("at most {}", figure(high)) } else { format!("at least {}", figure(low)) };
        format!("{} on average, {end}", figure(self.found.mean))
    }
}

/// The figures of a constraint, with what each is a share of.
fn readings<'a>(constraint: &'a Constraint, trials: &'a [&Measured]) -> impl Iterator<Item = (f64, Option<u64>)> + 'a {
    let read = |measured: &&'a Measured| {
        let found = measured.constraint(&constraint.name)?;
        Some((found.value?, found.of))
    };
    trials.iter().filter_map(read)
}

/// All events of a share, and of how many; none where the figure is none.
fn shares(constraint: &Constraint, trials: &[&Measured]) -> Option<(u64, u64)> {
    let mut events = (0, 0);
    for (value, of) in readings(constraint, trials) {
        let of = of?;
        events = (events.0 + (value * of as f64).round() as u64, events.1 + of);
    }
    Some(events)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::trial::ConstraintValue;
    use super::*;

    fn keeping(expression: (Operator, f64), values: &[Option<f64>], of: Option<u64>) -> Keeping {
        let constraint = Constraint { name: "m".into(), operator: expression.0, bound: expression.1 };
        let trial = |value: &Option<f64>| Measured {
            constraints: vec![ConstraintValue { name: "m".into(), value: *value, of }],
            ..Measured::default()
        };
        let trials: Vec<Measured> = values.iter().map(trial).collect();
        Keeping::of(&constraint, &trials.iter().collect::<Vec<_>>())
    }

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    const BELOW: (Operator, f64) = (Operator::Less, 0.8);

    #[test]
    fn a_mean_below_the_bound_is_not_enough() {
        let near = some(&[0.70, 0.85, 0.74, 0.88, 0.72]);
        let Keeping::Open { reason, trials } = keeping(BELOW, &near, None) else { panic!() };
        assert_eq!(reason, "0.778 on average, at most 0.856");
        assert!(trials > 5);
        assert_eq!(keeping(BELOW, &some(&[0.70, 0.72, 0.71, 0.69, 0.70]), None), Keeping::Holds);
        let Keeping::Broken(reason) = keeping(BELOW, &some(&[0.97, 0.99, 0.98, 0.96, 0.98]), None) else { panic!() };
        assert_eq!(reason, "0.976 on average, at least 0.965");
    }

    #[test]
    fn it_is_broken_early_only_where_that_is_plain() {
        assert!(matches!(keeping(BELOW, &some(&[1.0, 1.0, 1.0]), None), Keeping::Broken(_)));
        assert!(matches!(keeping(BELOW, &some(&[1.0, 1.0]), None), Keeping::Open { trials: 5, .. }));
        assert!(matches!(keeping(BELOW, &some(&[0.9, 0.7, 0.99]), None), Keeping::Open { .. }));
        assert!(matches!(keeping(BELOW, &some(&[0.1; 4]), None), Keeping::Open { trials: 5, .. }));
    }

    #[test]
    fn one_event_is_one_too_many_where_none_is_allowed() {
        let none = (Operator::Equal, 0.0);
        assert_eq!(keeping(none, &some(&[0.0; 5]), None), Keeping::Holds);
        let Keeping::Broken(reason) = keeping(none, &some(&[0.0, 0.002]), Some(500)) else { panic!() };
        assert_eq!(reason, "broken in 1 of 2 trials, up to 0.002");
    }

    #[test]
    fn a_share_of_which_nothing_was_seen_is_not_zero() {
        let below = (Operator::Less, 0.01);
        assert_eq!(keeping(below, &some(&[0.0; 5]), Some(1000)), Keeping::Holds);
        assert!(matches!(keeping(below, &some(&[0.0; 5]), Some(20)), Keeping::Open { .. }), "0 of 100 may be 3 %");
    }

    #[test]
    fn a_bound_from_below_is_judged_on_the_lower_end() {
        let above = (Operator::GreaterOrEqual, 0.99);
        assert_eq!(keeping(above, &some(&[1.0; 5]), None), Keeping::Holds);
        assert!(matches!(keeping(above, &some(&[0.99, 1.0, 1.0, 0.97, 1.0]), None), Keeping::Open { .. }));
        assert!(matches!(keeping(above, &some(&[0.5, 0.6, 0.4, 0.5, 0.5]), None), Keeping::Broken(_)));
    }

    #[test]
    fn what_nobody_measures_is_neither_kept_nor_broken() {
        assert_eq!(keeping(BELOW, &[None; 7], None), Keeping::Unmeasured);
        assert!(matches!(keeping(BELOW, &[], None), Keeping::Open { .. }));
    }
}
