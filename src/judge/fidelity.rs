//! Whether the generator kept its schedule, so whether the figures may be believed.
//!
//! A run is invalid where the generator, not the target, set the figures. A slow target, too few
//! VUs, the guard, a signal or an abort are no fault of the generator: what they prevent is
//! counted as dropped or censored, or was never due.

use crate::measure::{MetricId, Selector, Totals};
use std::time::Duration;

/// The most that the 99th percentile of lag may be.
pub const MOST_LAG: Duration = Duration::from_millis(50);
/// The least share of what was due that must have started, of what had a free VU.
pub const LEAST_STARTED: f64 = 0.95;

/// What is known of the generator when a run is over.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FidelityInput {
    /// Iterations that were due while the run lived: in an open model by its schedule, up to where it ended or was
    /// stopped and without what a pause took away; in a closed model those that started.
    pub scheduled: u64,
    /// Iterations that started.
    pub started: u64,
    /// Iterations that did not start: they were due and found no free VU, or VUs had them left when their time was over.
    pub dropped: u64,
    /// Of those, the ones that VUs had left: they were never due, so they are not among `scheduled`.
    pub never_due: u64,
    /// Iterations that ran to their end.
    pub completed: u64,
    /// Iterations that stand in the response times at a lower bound: dropped, or cut off.
    pub censored: u64,
    /// Requests that went once more on a fresh connection.
    pub stale_connections: u64,
    /// How often two VUs held one user at once: a note, no fault.
    pub users_shared: u64,
    /// From due to start, over all iterations that started.
    pub lag: Lag,
    /// CPU time of this process.
    pub cpu_seconds: f64,
    /// The most memory it had.
    pub max_rss_bytes: u64,
    /// For how long its control group was denied the CPU.
    pub throttled: Duration,
}

/// A distribution of lag, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// The median.
    pub med: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// Whether the figures may be believed, and on what that rests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fidelity {
    /// Whether the generator kept its schedule.
    pub valid: bool,
    /// Why not, each with what to do about it. Empty while `valid`.
    pub reasons: Vec<String>,
    /// What should be known and makes nothing invalid.
    pub notes: Vec<String>,
    /// The share of what was due that started; 1 where nothing was due.
    pub achieved_ratio: f64,
    /// What it was judged on.
    pub input: FidelityInput,
}

// === impl FidelityInput ===

impl FidelityInput {
    /// All that the totals know. `scheduled` is what started or was dropped, until the caller knows better; the
    /// process' own figures are the caller's.
    #[must_use]
    pub fn of(totals: &Totals, end: Duration) -> Self {
        let counts = totals.iterations(None);
        let lag = totals.trend(MetricId::ITERATION_LAG, &Selector::default(), end);
        let figure = |q| lag.quantile(q).unwrap_or_default().value;
        Self {
            scheduled: counts.started + counts.dropped - counts.never_due,
            started: counts.started,
            dropped: counts.dropped,
            never_due: counts.never_due,
            completed: counts.completed,
            censored: counts.dropped - counts.never_due + counts.cut_off,
            stale_connections: totals.stale_connections(),
            users_shared: totals.users_shared(),
            lag: Lag { med: figure(0.5), p99: figure(0.99), max: figure(1.0) },
            ..Self::default()
        }
    }
}

// === impl Fidelity ===

impl Fidelity {
    /// Judges.
    #[must_use]
    pub fn judge(input: FidelityInput) -> Self {
        let mut reasons = Vec::new();
        let most = MOST_LAG.as_secs_f64() * 1e3;
        if input.lag.p99 > most {
            let lag = input.lag.p99;
            reasons.push(format!(
                "iterations started late: lag p(99) {lag:.1} ms, above {most:.0} ms; {}",
                remedy(&input)
            ));
        }
        // What found no free VU is the plan's or the target's doing.
        let startable = input.scheduled.saturating_sub(input.dropped.saturating_sub(input.never_due));
        let share = ratio(input.started, startable);
        if share < LEAST_STARTED {
            let started = input.started;
            reasons.push(format!(
                "only {:.1} % of the iterations that were due and had a free VU were started ({started} of {startable}); {}",
                share * 100.0,
                remedy(&input)
            ));
        }
        let mut notes = Vec::new();
        if input.users_shared > 0 {
            let times = if input.users_shared == 1 { "once" } else { "times" };
            let count = if input.users_shared == 1 { String::new() } else { format!("{} ", input.users_shared) };
            notes.push(format!(
                "a user was held by two VUs at once, {count}{times}: give the plan more tenants or users"
            ));
        }
        if input.throttled > Duration::ZERO && reasons.is_empty() {
            notes.push(format!("{}; the schedule was kept nevertheless", throttled(&input)));
        }
        Self { valid: reasons.is_empty(), reasons, notes, achieved_ratio: ratio(input.started, input.scheduled), input }
    }
}

fn remedy(input: &FidelityInput) -> String {
    if input.throttled > Duration::ZERO {
        format!("{}: raise or remove its CPU limit", throttled(input))
    } else {
        "give the generator more CPU, or split the load over several".to_owned()
    }
}

fn throttled(input: &FidelityInput) -> String {
    format!("CPU throttling held the generator back for {:.1} s", input.throttled.as_secs_f64())
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> FidelityInput {
        FidelityInput { scheduled: 1000, started: 1000, completed: 1000, ..FidelityInput::default() }
    }

    #[test]
    fn a_kept_schedule_is_valid_and_needs_no_reason() {
        let fidelity = Fidelity::judge(FidelityInput { lag: Lag { p99: 50.0, ..Lag::default() }, ..kept() });
        assert!(fidelity.valid && fidelity.reasons.is_empty() && fidelity.notes.is_empty());
        assert_eq!(fidelity.achieved_ratio, 1.0);
        assert!(Fidelity::judge(FidelityInput::default()).valid, "nothing was due");
    }

    #[test]
    fn lag_above_the_bound_is_the_generators_fault() {
        let fidelity = Fidelity::judge(FidelityInput { lag: Lag { p99: 50.1, ..Lag::default() }, ..kept() });
        assert!(!fidelity.valid);
        assert!(fidelity.reasons[0].contains("lag p(99)"), "{:?}", fidelity.reasons);
    }

    #[test]
    fn too_few_vus_are_not() {
        let fidelity = Fidelity::judge(FidelityInput { started: 100, dropped: 900, ..kept() });
        assert!(fidelity.valid);
        assert_eq!(fidelity.achieved_ratio, 0.1);
    }

    #[test]
    fn what_had_a_free_vu_and_did_not_start_is() {
        let some_dropped = |started| Fidelity::judge(FidelityInput { started, dropped: 500, ..kept() }).valid;
        assert!(some_dropped(475));
        assert!(!some_dropped(474));
    }

    #[test]
    fn throttling_is_named_where_it_is_the_reason_and_else_a_note() {
        let throttled = FidelityInput { throttled: Duration::from_millis(1500), ..kept() };
        let late = Fidelity::judge(FidelityInput { lag: Lag { p99: 80.0, ..Lag::default() }, ..throttled });
        assert!(late.reasons[0].contains("CPU throttling") && late.reasons[0].contains("1.5 s"), "{:?}", late.reasons);
        let kept = Fidelity::judge(throttled);
        assert!(kept.valid && kept.notes.len() == 1);
    }

    #[test]
    fn shared_users_are_a_note() {
        let fidelity = Fidelity::judge(FidelityInput { users_shared: 3, ..kept() });
        assert!(fidelity.valid && fidelity.notes[0].contains("3 times"), "{:?}", fidelity.notes);
    }
}
