//! Whether the generator kept its schedule, so whether the figures may be believed.
//!
//! A run is invalid where the generator, not the target, set the figures. A slow target, too few
//! VUs, the guard, a signal or an abort are no fault of the generator: what they prevent is
//! counted as dropped or censored, or was never due.

use super::arrivals::Arrivals;
use super::remedy::Remedy;
use super::stationarity::StationarityReport;
use crate::measure::{MetricId, Selector, Totals};
use std::time::Duration;

/// The most that the 99th percentile of lag may be.
pub const MOST_LAG: Duration = Duration::from_millis(50);
/// The least share of what was due that must have started, of what had a free VU.
pub const LEAST_STARTED: f64 = 0.95;
/// The most of its time that the generator may have been kept from running, where that is [`LEAST_STARVED`] at all.
pub const MOST_STARVED: f64 = 0.05;
/// In a short run a single hiccup is a large share of it.
pub const LEAST_STARVED: Duration = Duration::from_secs(1);
/// A generator that uses more of the cores that it can use has none left.
pub const BUSY: f64 = 0.9;

/// What is known of the generator when a run is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
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
    /// Of those dropped, the ones for which VUs would have been free had the generator been in time.
    pub missed: u64,
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
    #[serde(rename = "throttled_ms", with = "crate::measure::plain::ms")]
    pub throttled: Duration,
    /// What it was and had while the load lasted.
    pub generator: Generator,
}

/// The generator while the load lasted.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Generator {
    /// How long that was.
    #[serde(rename = "lasted_ms", with = "crate::measure::plain::ms")]
    pub lasted: Duration,
    /// CPU time of this process in that time.
    #[serde(rename = "cpu_ms", with = "crate::measure::plain::ms")]
    pub cpu: Duration,
    /// How many cores it could use: no more than it has workers.
    pub cores: f64,
    /// How long a worker was ready to run and did not, on average over the workers.
    #[serde(rename = "starved_ms", with = "crate::measure::plain::ms")]
    pub starved: Duration,
    /// Whether it had a rate to keep: an open model.
    pub open: bool,
}

/// A distribution of lag, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Lag {
    /// The median.
    pub med: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// Whether the figures may be believed, and on what that rests.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
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
    /// What the arrivals of each open model were like.
    pub arrivals: Vec<Arrivals>,
    /// Whether the run was stationary; none where too little was seen.
    pub stationarity: Option<StationarityReport>,
}

// === impl FidelityInput ===

impl FidelityInput {
    /// All that the totals know; the process' own figures are the caller's.
    #[must_use]
    pub fn of(totals: &Totals, end: Duration) -> Self {
        let counts = totals.iterations(None);
        let lag = totals.trend(MetricId::ITERATION_LAG, &Selector::default(), end);
        let figure = |q| lag.quantile(q).unwrap_or_default().value;
        Self {
            scheduled: counts.scheduled,
            started: counts.started,
            dropped: counts.dropped,
            never_due: counts.never_due,
            missed: counts.missed,
            completed: counts.completed,
            censored: counts.dropped - counts.never_due + counts.cut_off,
            stale_connections: totals.stale_connections(),
            users_shared: totals.users_shared(),
            lag: Lag { med: figure(0.5), p99: figure(0.99), max: figure(1.0) },
            ..Self::default()
        }
    }

    /// What was due and had a free VU, or would have had one in time. What had none is the plan's or the target's doing.
    const fn startable(&self) -> u64 {
        let for_want_of_vus = self.dropped.saturating_sub(self.never_due).saturating_sub(self.missed);
        self.scheduled.saturating_sub(for_want_of_vus)
    }

    /// Iterations that started and were cut off at the end.
    #[must_use]
    pub const fn cut_off(&self) -> u64 {
        self.started.saturating_sub(self.completed)
    }
}

// === impl Generator ===

impl Generator {
    /// The share of the cores it could use that it used.
    #[must_use]
    pub fn busy(&self) -> f64 {
        let could = self.lasted.as_secs_f64() * self.cores;
        if could > 0.0 { self.cpu.as_secs_f64() / could } else { 0.0 }
    }

    /// The share of its time in which it was kept from running.
    #[must_use]
    pub fn starved_share(&self) -> f64 {
        let lasted = self.lasted.as_secs_f64();
        if lasted > 0.0 { self.starved.as_secs_f64() / lasted } else { 0.0 }
    }
}

// === impl Fidelity ===

impl Fidelity {
    /// Judges by what a run of any kind has.
    #[must_use]
    pub fn judge(input: FidelityInput) -> Self {
        Self::judge_all(input, Vec::new(), None)
    }

    /// Judges.
    #[must_use]
    pub fn judge_all(input: FidelityInput, arrivals: Vec<Arrivals>, stationarity: Option<StationarityReport>) -> Self {
        let (remedy, generator) = (Remedy::of(&input), &input.generator);
        let mut reasons = Vec::new();
        let most = MOST_LAG.as_secs_f64() * 1e3;
        if input.lag.p99 > most {
            let lag = input.lag.p99;
            reasons.push(format!("needed {lag:.0} ms to start (lag p(99), {most:.0} ms at most); {remedy}"));
        }
        let (started, startable) = (input.started, input.startable());
        let share = ratio(started, startable);
        if share < LEAST_STARTED {
            let share = share * 100.0;
            reasons.push(format!(
                "started only {share:.1} % of what was due while VUs were free ({started} of {startable}); {remedy}"
            ));
        }
        let starved = generator.starved.as_secs_f64();
        let long = generator.starved >= LEAST_STARVED && generator.starved_share() > MOST_STARVED;
        // Where arrivals were late that is the same said twice.
        if long && reasons.is_empty() {
            let lasted = generator.lasted.as_secs_f64();
            reasons.push(format!(
                "stood still for {starved:.1} of {lasted:.1} s while answers waited to be read, so they look slow; {remedy}"
            ));
        }
        for distorted in arrivals.iter().filter(|arrivals| arrivals.distorted) {
            reasons.push(format!(
                "arrivals of {} came in bursts: {}; {remedy}",
                distorted.scenario,
                distorted.sentence()
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
        if reasons.is_empty() {
            if input.throttled > Duration::ZERO {
                let throttled = input.throttled.as_secs_f64();
                notes.push(format!(
                    "CPU throttling held the generator back for {throttled:.1} s; the schedule was kept nevertheless"
                ));
            }
            if generator.starved >= MOST_LAG * 2 {
                notes.push(format!("the generator stood still for {starved:.1} s; too short to set the figures"));
            }
            if generator.busy() > BUSY {
                notes.push(format!("the generator had no CPU to spare: its own queue is in the figures; {remedy}"));
            }
        }
        Self {
            valid: reasons.is_empty(),
            reasons,
            notes,
            achieved_ratio: ratio(input.started, input.scheduled),
            input,
            arrivals,
            stationarity,
        }
    }
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

    fn late(p99: f64) -> FidelityInput {
        FidelityInput { lag: Lag { p99, ..Lag::default() }, ..kept() }
    }

    #[test]
    fn a_kept_schedule_is_valid_and_needs_no_reason() {
        let fidelity = Fidelity::judge(late(50.0));
        assert!(fidelity.valid && fidelity.reasons.is_empty() && fidelity.notes.is_empty());
        assert_eq!(fidelity.achieved_ratio, 1.0);
        assert!(Fidelity::judge(FidelityInput::default()).valid, "nothing was due");
    }

    #[test]
    fn lag_above_the_bound_is_the_generators_fault() {
        let fidelity = Fidelity::judge(late(50.1));
        assert!(!fidelity.valid);
        assert!(fidelity.reasons[0].starts_with("needed 50 ms to start (lag p(99)"), "{:?}", fidelity.reasons);
    }

    #[test]
    fn too_few_vus_are_not() {
        let fidelity = Fidelity::judge(FidelityInput { started: 100, dropped: 900, ..kept() });
        assert!(fidelity.valid);
        assert_eq!(fidelity.achieved_ratio, 0.1);
    }

    #[test]
    fn what_vus_had_left_was_never_due() {
        let closed = FidelityInput { scheduled: 100, started: 100, dropped: 900, never_due: 900, ..kept() };
        let fidelity = Fidelity::judge(closed);
        assert!(fidelity.valid);
        assert_eq!(fidelity.achieved_ratio, 1.0);
    }

    #[test]
    fn what_had_a_free_vu_and_did_not_start_is() {
        // 400 of 1,000 found no VU, and some of the others none only because the generator slept.
        let missed = |missed| {
            Fidelity::judge(FidelityInput { started: 600 - missed, dropped: 400 + missed, missed, ..kept() }).valid
        };
        assert!(missed(30));
        assert!(!missed(31));
        // What the schedule had and nobody ever heard of again.
        let lost = |started| Fidelity::judge(FidelityInput { started, dropped: 500, ..kept() }).valid;
        assert!(lost(475));
        assert!(!lost(474));
    }

    #[test]
    fn a_closed_model_that_stood_still_is_invalid_and_one_that_hiccuped_is_not() {
        let starved = |ms, lasted| {
            let generator = Generator {
                lasted: Duration::from_secs(lasted),
                starved: Duration::from_millis(ms),
                cores: 2.0,
                ..Generator::default()
            };
            Fidelity::judge(FidelityInput { generator, ..kept() })
        };
        let long = starved(2000, 10);
        assert!(!long.valid && long.reasons[0].contains("stood still for 2.0 of 10.0 s"), "{:?}", long.reasons);
        assert!(starved(900, 3).valid, "a short run");
        let hiccup = starved(2000, 60);
        assert!(hiccup.valid && hiccup.notes.len() == 1, "{:?}", hiccup.notes);
        assert!(starved(0, 10).notes.is_empty());
    }

    #[test]
    fn throttling_is_named_where_it_is_the_reason_and_else_a_note() {
        let throttled = FidelityInput { throttled: Duration::from_millis(1500), ..kept() };
        let invalid = Fidelity::judge(FidelityInput { throttled: throttled.throttled, ..late(80.0) });
        let reason = &invalid.reasons[0];
        assert!(reason.contains("CPU throttling") && reason.contains("1.5 s"), "{reason}");
        let kept = Fidelity::judge(throttled);
        assert!(kept.valid && kept.notes.len() == 1);
    }

    #[test]
    fn a_generator_without_cpu_to_spare_says_so() {
        let generator = |cpu| Generator {
            lasted: Duration::from_secs(10),
            cpu: Duration::from_secs_f64(cpu),
            cores: 2.0,
            ..Generator::default()
        };
        let full = Fidelity::judge(FidelityInput { generator: generator(19.0), ..kept() });
        assert!(full.valid && full.notes[0].contains("no CPU to spare"), "{:?}", full.notes);
        assert!(full.notes[0].contains("1.9 of 2 cores"), "{:?}", full.notes);
        assert!(Fidelity::judge(FidelityInput { generator: generator(10.0), ..kept() }).notes.is_empty());
    }

    #[test]
    fn shared_users_are_a_note() {
        let fidelity = Fidelity::judge(FidelityInput { users_shared: 3, ..kept() });
        assert!(fidelity.valid && fidelity.notes[0].contains("3 times"), "{:?}", fidelity.notes);
    }
}
