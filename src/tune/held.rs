//! Whether a setting held more load: no connection reset, no timeout, no refusal, and how sure that is.

use super::terms::Terms;
use super::trial::{Phase, Trial};
use super::words::{count, counted, figure, listed};
use crate::stats::rule_of_three;

/// Why a trial at more load shows that the setting does not hold it, as a clause; none where it does, or where the
/// generator could not make the load.
///
/// Constraints with a bound are of the plan's load: a pool may be fuller at twice of it. What must never happen must not
/// happen there either.
#[must_use]
pub(super) fn broken(terms: &Terms, trial: &Trial) -> Option<String> {
    let at = format!("at {} × the load", figure(trial.order.factor));
    let measured = match &trial.result {
        Ok(measured) => measured,
        Err(failure) => return Some(format!("{at}: {failure}")),
    };
    if !measured.is_valid() {
        return None;
    }
    if measured.requests == 0 {
        return Some(format!("{at}: no request ended"));
    }
    let incidents = measured.incidents;
    let kinds = [(incidents.resets, "reset"), (incidents.timeouts, "timeout"), (incidents.refusals, "refusal")];
    let mut found: Vec<String> = kinds.into_iter().filter(|(n, _)| *n > 0).map(|(n, kind)| counted(n, kind)).collect();
    let exact = terms.constraints.iter().filter(|constraint| constraint.is_exact());
    let lost = exact.filter(|constraint| constraint.kept(measured) == Some(false));
    if found.is_empty() {
        found.extend(lost.map(|constraint| format!("{constraint} does not hold")));
    }
    (!found.is_empty()).then(|| format!("{at}: {} in {}", listed(&found), counted(measured.requests, "request")))
}

/// What a trial at more load showed, where it held: `0 resets, timeouts and refusals in 36,000 requests at 2 × the load:
/// below 0.0083 % with 95 % confidence`.
#[must_use]
pub(super) fn sentence(trial: &Trial) -> Option<String> {
    let measured = trial.believed().filter(|_| trial.order.phase == Phase::Hold)?;
    Some(format!(
        "0 resets, timeouts and refusals in {} requests at {} × the load: below {} with 95 % confidence",
        count(measured.requests),
        figure(trial.order.factor),
        at_most(rule_of_three(measured.requests)),
    ))
}

/// A share in percent, rounded up: to two decimals, below that to one digit that counts.
fn at_most(share: f64) -> String {
    let percent = share * 100.0;
    let step = if percent >= 0.005 { 0.01 } else { 10_f64.powf(percent.max(1e-9).log10().floor()) };
    // What is a step but for the last bit is not rounded up by it.
    format!("{} %", figure((percent / step - 1e-9).ceil() * step))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::trial::{ConstraintValue, Failure, Incidents, Measured, Order};
    use super::super::{Constraint, Setting};
    use super::*;
    use crate::measure::threshold::Operator;
    use std::time::Duration;

    fn trial(result: Result<Measured, Failure>) -> Trial {
        let order = Order {
            setting: Setting::default(),
            phase: Phase::Hold,
            block: 9,
            seed: 1,
            factor: 2.0,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(60),
        };
        Trial { order, result, took: Duration::from_secs(60) }
    }

    fn terms() -> Terms {
        let constraint = |name: &str, operator, bound| Constraint { name: name.into(), operator, bound };
        let constraints =
            vec![constraint("http_req_failed", Operator::Equal, 0.0), constraint("pool", Operator::Less, 0.8)];
        Terms { constraints, ..Terms::default() }
    }

    fn measured(incidents: Incidents, failed: f64) -> Measured {
        let value = |name: &str, value| ConstraintValue { name: name.into(), value: Some(value), of: None };
        Measured {
            requests: 36_000,
            incidents,
            constraints: vec![value("http_req_failed", failed), value("pool", 0.99)],
            ..Measured::default()
        }
    }

    #[test]
    fn nothing_seen_is_a_bound_and_not_zero() {
        let held = trial(Ok(measured(Incidents::default(), 0.0)));
        assert_eq!(broken(&terms(), &held), None, "a bound is of the plan's load");
        assert_eq!(
            sentence(&held).unwrap(),
            "0 resets, timeouts and refusals in 36,000 requests at 2 × the load: below 0.01 % with 95 % confidence"
        );
        for (share, want) in [(0.01, "1 %"), (0.005, "0.5 %"), (0.000_012, "0.002 %"), (1.0, "100 %")] {
            assert_eq!(at_most(share), want);
        }
    }

    #[test]
    fn one_reset_is_one_too_many() {
        let reset = trial(Ok(measured(Incidents { resets: 1, timeouts: 12, ..Incidents::default() }, 0.01)));
        assert_eq!(broken(&terms(), &reset).unwrap(), "at 2 × the load: 1 reset and 12 timeouts in 36,000 requests");
        let failed = trial(Ok(measured(Incidents { failed: 3, ..Incidents::default() }, 0.01)));
        assert_eq!(
            broken(&terms(), &failed).unwrap(),
            "at 2 × the load: http_req_failed==0 does not hold in 36,000 requests"
        );
    }

    #[test]
    fn what_the_generator_could_not_do_says_nothing_of_the_setting() {
        let spoiled =
            Measured { invalid: vec!["lag".into()], ..measured(Incidents { resets: 1, ..Incidents::default() }, 0.0) };
        let spoiled = trial(Ok(spoiled));
        assert_eq!((broken(&terms(), &spoiled), sentence(&spoiled)), (None, None));
        assert!(broken(&terms(), &trial(Err(Failure::TargetLost("it exited".into())))).is_some());
        assert!(broken(&terms(), &trial(Ok(Measured::default()))).is_some(), "nothing ended");
    }
}
