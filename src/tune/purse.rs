//! What is left of the budget, in trials. Time is counted in trials too: as long as those took that were made.

use super::terms::Terms;
use super::trial::{Phase, Trial};
use std::time::Duration;

/// What is left of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purse {
    /// How many more trials at the plan's load there can be, the one at more load kept apart.
    pub trials: usize,
    /// Whether the one at more load can still be made.
    pub hold: bool,
    /// How long a trial takes, as far as that is known.
    pub per_trial: Duration,
    /// How long the one at more load takes; zero where there is none.
    pub per_hold: Duration,
}

// === impl Purse ===

impl Purse {
    /// What is left after these trials.
    #[must_use]
    pub fn after(terms: &Terms, trials: &[Trial]) -> Self {
        let spent: Duration = trials.iter().map(|trial| trial.took).sum();
        let left = terms.budget.time.saturating_sub(spent);
        let count = (terms.budget.trials as usize).saturating_sub(trials.len());
        let load = terms.warmup + terms.duration;
        // What applying a value takes is only known once it was done.
        let plain = trials.iter().filter(|trial| trial.order.phase != Phase::Hold);
        let (made, took) = plain.fold((0_u32, Duration::ZERO), |(n, sum), trial| (n + 1, sum + trial.took));
        let per_trial = if made == 0 { load } else { took / made };
        let per_hold =
            terms.hold.map_or(Duration::ZERO, |hold| per_trial.saturating_sub(load) + terms.warmup + hold.duration);
        let for_hold = usize::from(terms.hold.is_some());
        let in_time = |left: Duration| {
            if per_trial.is_zero() { usize::MAX } else { (left.as_nanos() / per_trial.as_nanos()) as usize }
        };
        Self {
            trials: count.saturating_sub(for_hold).min(in_time(left.saturating_sub(per_hold))),
            hold: terms.hold.is_some() && count >= 1 && left >= per_hold,
            per_trial,
            per_hold,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::terms::{Budget, Hold};
    use super::super::trial::{Failure, Order};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn terms(trials: u32, time: u32) -> Terms {
        Terms {
            warmup: 5 * SECOND,
            duration: 30 * SECOND,
            hold: Some(Hold { factor: 2.0, duration: 60 * SECOND }),
            budget: Budget { trials, time: time * SECOND },
            ..Terms::default()
        }
    }

    fn made(n: usize, took: u32) -> Vec<Trial> {
        let order = Order {
            setting: super::super::Setting::default(),
            phase: Phase::Screening,
            block: 1,
            seed: 1,
            factor: 1.0,
            warmup: 5 * SECOND,
            duration: 30 * SECOND,
        };
        vec![Trial { order, result: Err(Failure::NotApplied("x".into())), took: took * SECOND }; n]
    }

    #[test]
    fn one_trial_is_kept_for_the_load_that_must_hold() {
        let purse = Purse::after(&terms(60, 3600), &[]);
        assert_eq!((purse.trials, purse.hold), (59, true));
        assert_eq!((purse.per_trial, purse.per_hold), (35 * SECOND, 65 * SECOND));
        let purse = Purse::after(&terms(10, 3600), &made(9, 40));
        assert_eq!((purse.trials, purse.hold), (0, true));
        assert!(!Purse::after(&terms(10, 3600), &made(10, 40)).hold);
    }

    #[test]
    fn time_is_counted_as_long_as_trials_took() {
        // 5 s more than planned each: 3600 − 400 − (65 + 5) leave 78 of 40 s.
        let purse = Purse::after(&terms(1000, 3600), &made(10, 40));
        assert_eq!((purse.trials, purse.per_hold), (78, 70 * SECOND));
        let late = Purse::after(&terms(1000, 400), &made(10, 40));
        assert_eq!((late.trials, late.hold), (0, false));
    }
}
