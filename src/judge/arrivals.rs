//! Whether the arrivals were what the plan asked for, as the generator really started them.
//!
//! Lag says how late each one was; this says what they were like together: a constant rate that comes in bursts, or a
//! Poisson process on the grid of a clock, loads a target differently at the same rate. Even arrivals are judged by how far
//! the gaps between neighbours are from the wanted ones, Poisson arrivals by the Anderson–Darling test on gaps that were
//! rescaled by the rate, so that ramps are tested too.
//!
//! It is a finding, and seldom a verdict: a target does not feel what is off by a millisecond, and a fit test refuses very
//! many samples for less. Only where most gaps are far off **and** starts were moved by tens of milliseconds did the generator
//! surely distort what it sent.

use super::fidelity::MOST_LAG;
use crate::measure::Start;
use crate::stats::exponential::from_erlang;
use crate::stats::{ExponentialFit, Spacing, exponential, quantile, spacing_around};
use std::borrow::Cow;
use std::time::Duration;

/// The arrivals of one scenario, and what they should have been.
#[derive(Clone, Copy)]
pub struct ArrivalsInput<'a> {
    /// The scenario.
    pub scenario: &'a str,
    /// How they were to be spaced.
    pub wanted: Wanted,
    /// Some of those that started, in the order of the schedule.
    pub starts: &'a [Start],
    /// How many arrivals the schedule has up to a time, from the run's start.
    pub expected: &'a dyn Fn(Duration) -> f64,
    /// The share of what was due that was dropped. Gaps are short where arrivals are dropped, so of many nothing
    /// can be said.
    pub dropped: f64,
}

/// How arrivals are to be spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Evenly.
    Constant,
    /// As a Poisson process.
    Poisson,
}

/// What the arrivals of one scenario were like.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Arrivals {
    /// The scenario.
    pub scenario: String,
    /// How they were to be spaced.
    pub wanted: Wanted,
    /// How they were.
    pub found: Found,
    /// Whether the generator surely distorted them, so that the figures are not those of the load that was asked for.
    pub distorted: bool,
}

/// How arrivals were spaced.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Evenly was wanted: how far the gaps were from what they should have been.
    Even {
        /// 95 % of the gaps were off by no more.
        #[serde(rename = "within_ms", with = "crate::measure::plain::ms")]
        within: Duration,
        /// How many were off by more than a quarter, and by more than a clock.
        spacing: Spacing,
    },
    /// A Poisson process was wanted: the fit.
    Exponential(ExponentialFit),
    /// There was too little to say, and why.
    Unknown(Cow<'static, str>),
}

/// With fewer gaps nothing is said.
const LEAST: usize = 50;
/// What gaps may be off by, whatever their length: what a machine with other work does to any timer.
const CLOCK: Duration = Duration::from_millis(2);
/// And by which share of themselves.
const TOLERANCE: f64 = 0.25;
/// A Poisson process seldomer than this is called none: in one run of a thousand.
const SIGNIFICANCE: f64 = 0.001;
/// The most that may have been dropped.
const MOST_DROPPED: f64 = 0.01;
/// Surely distorted: most gaps are off, or the fit is worse than chance ever makes it, …
const MOST_UNEVEN: f64 = 0.5;
const NO_FIT: f64 = 10.0;
/// … and one start in twenty was moved by more than half of what lag may be.
const MOVED: Duration = Duration::from_millis(MOST_LAG.as_millis() as u64 / 2);

const TOO_FEW: Found = Found::Unknown(Cow::Borrowed("too few arrivals"));

/// Judges the arrivals of one scenario.
#[must_use]
pub fn arrivals(input: &ArrivalsInput<'_>) -> Arrivals {
    let found = if input.dropped > MOST_DROPPED {
        Found::Unknown(Cow::Borrowed("iterations were dropped"))
    } else {
        match input.wanted {
            Wanted::Constant => even(input.starts),
            Wanted::Poisson => poisson(input),
        }
    };
    let far_off = match &found {
        Found::Even { spacing, .. } => spacing.interval.low > MOST_UNEVEN,
        Found::Exponential(fit) => fit.statistic > NO_FIT,
        Found::Unknown(_) => false,
    };
    let distorted = far_off && moved(input.starts) > MOVED;
    Arrivals { scenario: input.scenario.to_owned(), wanted: input.wanted, found, distorted }
}

// === impl Arrivals ===

impl Arrivals {
    /// Whether they were what was wanted; none where nobody can say.
    #[must_use]
    pub fn kept(&self) -> Option<bool> {
        match &self.found {
            Found::Even { spacing, .. } => Some(spacing.passes()),
            Found::Exponential(fit) => Some(fit.p_value() >= SIGNIFICANCE),
            Found::Unknown(_) => None,
        }
    }

    /// `constant, 95 % of the gaps within 0.12 ms`
    #[must_use]
    pub fn sentence(&self) -> String {
        let wanted = self.wanted.as_str();
        match &self.found {
            Found::Even { within, spacing } => {
                let within = within.as_secs_f64() * 1e3;
                let off = if spacing.passes() { "" } else { ": not evenly spaced" };
                format!("{wanted}{off}, 95 % of the gaps within {within:.2} ms of what was due")
            }
            Found::Exponential(fit) => {
                let p = fit.p_value();
                let p = if p < SIGNIFICANCE { "p<0.001".to_owned() } else { format!("p={p:.3}") };
                let off = if fit.p_value() < SIGNIFICANCE { ": not what started" } else { "" };
                format!("{wanted}{off}, exponential fit {p}")
            }
            Found::Unknown(why) => format!("{wanted}, not tested: {why}"),
        }
    }
}

impl Wanted {
    /// As the plan writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

fn even(starts: &[Start]) -> Found {
    let pairs = || starts.windows(2).filter(|pair| pair[0].stretch() == pair[1].stretch());
    let off = |pair: &[Start]| (seconds(&pair[0].at, &pair[1].at) - seconds(&pair[0].due, &pair[1].due)).abs();
    let mut errors: Vec<f64> = pairs().map(off).collect();
    if errors.len() < LEAST {
        return TOO_FEW;
    }
    // A gap is right where it is off by no more than a clock; past that, by its share of what was due.
    let gap = |pair: &[Start]| {
        let due = seconds(&pair[0].due, &pair[1].due);
        let right = off(pair) <= CLOCK.as_secs_f64() || due <= 0.0;
        if right { 1.0 } else { seconds(&pair[0].at, &pair[1].at).max(0.0) / due }
    };
    let gaps: Vec<f64> = pairs().map(gap).collect();
    let Some(spacing) = spacing_around(&gaps, 1.0, TOLERANCE) else { return TOO_FEW };
    errors.sort_unstable_by(f64::total_cmp);
    let within = quantile(&errors, 0.95).unwrap_or(0.0);
    Found::Even { within: Duration::try_from_secs_f64(within).unwrap_or_default(), spacing }
}

fn poisson(input: &ArrivalsInput<'_>) -> Found {
    let starts = input.starts;
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return TOO_FEW };
    // Gaps finer than a clock are not tested one by one but several together, and none over the end of a stretch.
    let mean = seconds(&first.due, &last.due) / (last.number - first.number).max(1) as f64;
    let steps = (CLOCK.as_secs_f64() / mean.max(1e-9)).ceil().clamp(1.0, 1e9) as u64;
    let mut gaps = Vec::with_capacity(starts.len());
    let mut from = first;
    for start in starts {
        if start.stretch() != from.stretch() {
            from = start;
        } else if start.number - from.number >= steps {
            let gap = (input.expected)(start.at) - (input.expected)(from.at);
            gaps.push(from_erlang(gap, u32::try_from(start.number - from.number).unwrap_or(u32::MAX)));
            from = start;
        }
    }
    if gaps.len() < LEAST {
        return TOO_FEW;
    }
    exponential(&mut gaps).map_or(TOO_FEW, Found::Exponential)
}

/// How late at least one start in twenty was.
fn moved(starts: &[Start]) -> Duration {
    let mut late: Vec<Duration> = starts.iter().map(|start| start.at.saturating_sub(start.due)).collect();
    late.sort_unstable();
    late.get(late.len() * 19 / 20).copied().unwrap_or_default()
}

/// From one time to another, in seconds; negative where the second is earlier.
fn seconds(from: &Duration, to: &Duration) -> f64 {
    to.as_secs_f64() - from.as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RATE: f64 = 200.0;

    fn started(dues: impl Iterator<Item = f64>, lag: impl Fn(f64) -> f64) -> Vec<Start> {
        let start = |(number, due): (usize, f64)| Start {
            number: number as u64,
            due: Duration::from_secs_f64(due),
            at: Duration::from_secs_f64(due + lag(due)),
        };
        dues.enumerate().map(start).collect()
    }

    fn constant(n: u32) -> impl Iterator<Item = f64> {
        (0..n).map(|i| f64::from(i) / RATE)
    }

    fn poisson_dues(n: u32, seed: u64) -> impl Iterator<Item = f64> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..n).scan(0.0, move |at, _| {
            *at -= (1.0 - random.f64()).ln() / RATE;
            Some(*at)
        })
    }

    fn judged(wanted: Wanted, starts: &[Start]) -> Arrivals {
        let expected = |at: Duration| at.as_secs_f64() * RATE;
        arrivals(&ArrivalsInput { scenario: "s", wanted, starts, expected: &expected, dropped: 0.0 })
    }

    /// A generator that has the CPU for `on` seconds of each `period`.
    fn throttled(period: f64, on: f64) -> impl Fn(f64) -> f64 {
        move |due| {
            let into = due % period;
            if into < on { 0.0 } else { period - into }
        }
    }

    #[test]
    fn what_started_in_time_is_what_was_wanted() {
        let even = judged(Wanted::Constant, &started(constant(1000), |_| 50e-6));
        assert_eq!((even.kept(), even.distorted), (Some(true), false));
        assert!(even.sentence().starts_with("constant, 95 % of the gaps within 0.00 ms"), "{}", even.sentence());
        for seed in 0..20 {
            let poisson = judged(Wanted::Poisson, &started(poisson_dues(1000, seed), |due| 1e-4 * (due * 1e4).fract()));
            assert_eq!((poisson.kept(), poisson.distorted), (Some(true), false), "{}", poisson.sentence());
        }
    }

    #[test]
    fn the_one_is_not_taken_for_the_other() {
        assert_eq!(judged(Wanted::Poisson, &started(constant(1000), |_| 0.0)).kept(), Some(false));
        let dues: Vec<f64> = poisson_dues(1000, 1).collect();
        let mut starts = started(constant(1000), |_| 0.0);
        for (start, due) in starts.iter_mut().zip(dues) {
            start.at = Duration::from_secs_f64(due);
        }
        let found = judged(Wanted::Constant, &starts);
        assert_eq!(found.kept(), Some(false));
        assert!(found.sentence().contains("not evenly spaced"), "{}", found.sentence());
    }

    #[test]
    fn bursts_of_a_throttled_generator_are_distorted_though_its_lag_keeps_the_bound() {
        for (wanted, dues) in
            [(Wanted::Constant, constant(2000).collect::<Vec<_>>()), (Wanted::Poisson, poisson_dues(2000, 3).collect())]
        {
            let starts = started(dues.into_iter(), throttled(0.05, 0.005));
            let found = judged(wanted, &starts);
            assert_eq!((found.kept(), found.distorted), (Some(false), true), "{}", found.sentence());
        }
    }

    #[test]
    fn what_a_busy_machine_does_is_no_verdict() {
        // In every tenth of a second 8 ms belong to somebody else.
        for (wanted, dues) in
            [(Wanted::Constant, constant(2000).collect::<Vec<_>>()), (Wanted::Poisson, poisson_dues(2000, 3).collect())]
        {
            let found = judged(wanted, &started(dues.into_iter(), throttled(0.1, 0.092)));
            assert!(!found.distorted, "{}", found.sentence());
        }
        // All were late by as much: the gaps are right.
        let late = judged(Wanted::Constant, &started(constant(1000), |_| 0.045));
        assert_eq!((late.kept(), late.distorted), (Some(true), false));
    }

    #[test]
    fn a_ramp_is_tested_by_its_own_rate() {
        // The rate rises from 0 to 200/s over 20 s: n(t) = 5 t².
        let expected = |at: Duration| 5.0 * at.as_secs_f64().powi(2);
        let mut random = fastrand::Rng::with_seed(9);
        let mut area = 0.0;
        let dues: Vec<f64> = (0..1500)
            .map(|_| {
                area -= (1.0 - random.f64()).ln();
                (area / 5.0_f64).sqrt()
            })
            .collect();
        let starts = started(dues.into_iter(), |_| 0.0);
        let input = ArrivalsInput {
            scenario: "s",
            wanted: Wanted::Poisson,
            starts: &starts,
            expected: &expected,
            dropped: 0.0,
        };
        assert_eq!(arrivals(&input).kept(), Some(true));
        let flat = |at: Duration| at.as_secs_f64() * 100.0;
        assert_eq!(arrivals(&ArrivalsInput { expected: &flat, ..input }).kept(), Some(false));
    }

    #[test]
    fn a_segment_is_tested_over_the_arrivals_that_others_start() {
        let all = started(poisson_dues(3000, 4), |_| 0.0);
        let mine: Vec<Start> = all.into_iter().filter(|start| start.number % 3 == 1).collect();
        assert_eq!(judged(Wanted::Poisson, &mine).kept(), Some(true));
        let even: Vec<Start> =
            started(constant(3000), |_| 0.0).into_iter().filter(|start| start.number % 3 == 1).collect();
        assert_eq!(judged(Wanted::Poisson, &even).kept(), Some(false));
        assert_eq!(judged(Wanted::Constant, &even).kept(), Some(true));
    }

    #[test]
    fn of_too_few_or_dropped_ones_nothing_is_said() {
        let starts = started(constant(40), |_| 0.0);
        assert_eq!(judged(Wanted::Constant, &starts).kept(), None);
        assert_eq!(judged(Wanted::Poisson, &[]).kept(), None);
        let expected = |at: Duration| at.as_secs_f64() * RATE;
        let many = started(constant(1000), |_| 0.0);
        let dropped =
            ArrivalsInput { scenario: "s", wanted: Wanted::Constant, starts: &many, expected: &expected, dropped: 0.5 };
        let found = arrivals(&dropped);
        assert_eq!(found.kept(), None);
        assert!(found.sentence().contains("dropped"), "{}", found.sentence());
    }
}
