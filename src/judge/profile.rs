//! The load as the plan has it: when it is held, when it rises, when it falls.
//!
//! A judge whose parts of the run are not written out finds them here, before the run: the plan says exactly
//! what figures could only guess afterwards.

use crate::measure::Part;
use crate::plan::{Executor, Scenario, Stage};
use std::time::Duration;

/// The load over time, relative to each scenario's greatest, in straight pieces without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pieces: Vec<Piece>,
    /// Whether every scenario starts iterations at a rate, whatever the target does.
    open: bool,
}

/// A straight piece; it may begin elsewhere than the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    from: Duration,
    to: Duration,
    first: f64,
    last: f64,
}

/// Further than any run lasts: a scenario without an end.
const ENDLESS: Duration = crate::plan::units::LONGEST;
/// Differences of load below this are rounding.
const NOTHING: f64 = 1e-9;

// === impl Profile ===

impl Profile {
    /// The load of these scenarios together. None where one is controlled from outside, so that the plan does not say.
    #[must_use]
    pub fn of(scenarios: &[Scenario]) -> Option<Self> {
        let each: Vec<Vec<Piece>> = scenarios.iter().map(pieces).collect::<Option<_>>()?;
        let mut cuts: Vec<Duration> = each.iter().flatten().flat_map(|piece| [piece.from, piece.to]).collect();
        cuts.push(Duration::ZERO);
        cuts.sort_unstable();
        cuts.dedup();
        let between = |pair: &[Duration]| {
            let (from, to) = (pair[0], pair[1]);
            let over = each.iter().flatten().filter(|piece| piece.from <= from && to <= piece.to);
            let (first, last) = over.fold((0.0, 0.0), |(a, b), piece| (a + piece.at(from), b + piece.at(to)));
            Piece { from, to, first, last }
        };
        let rate = |scenario: &Scenario| {
            matches!(scenario.executor, Executor::ConstantArrivalRate { .. } | Executor::RampingArrivalRate { .. })
        };
        let open = !scenarios.is_empty() && scenarios.iter().all(rate);
        Some(Self { pieces: cuts.windows(2).map(between).collect(), open })
    }

    /// Whether every scenario is an open model.
    #[must_use]
    pub const fn open(&self) -> bool {
        self.open
    }

    /// When the last scenario stops starting iterations, as far as the plan says.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.pieces.last().map_or(Duration::ZERO, |piece| piece.to)
    }

    /// When the load first rises from a level that it was held at. None where it never does.
    #[must_use]
    pub fn first_rise(&self) -> Option<Duration> {
        let held = self.pieces.iter().position(Piece::is_held)?;
        self.rise_from(held + 1)
    }

    /// When the load rises most steeply past the start: what stands for the first rise where no level is held
    /// before it. None where it never rises.
    #[must_use]
    pub fn steepest_rise(&self) -> Option<Duration> {
        let mut before = 0.0;
        let mut steepest: Option<(f64, Duration)> = None;
        for piece in &self.pieces {
            let jump = if piece.first > before + NOTHING { f64::INFINITY } else { 0.0 };
            let slope = (piece.last - piece.first) / (piece.to - piece.from).as_secs_f64();
            let rise = slope.max(jump);
            if rise > NOTHING && !piece.from.is_zero() && steepest.is_none_or(|(most, _)| rise > most) {
                steepest = Some((rise, piece.from));
            }
            before = piece.last;
        }
        steepest.map(|(_, at)| at)
    }

    /// When the load begins to fall from its highest level past `from`. None where it never does.
    #[must_use]
    pub fn fall_from_highest(&self, from: Duration) -> Option<Duration> {
        let past = || self.pieces.iter().enumerate().filter(|(_, piece)| piece.to > from);
        let highest = past().map(|(_, piece)| piece.first.max(piece.last)).fold(0.0, f64::max);
        let (top, piece) = past().find(|(_, piece)| piece.first.max(piece.last) >= highest - NOTHING)?;
        if piece.last < piece.first - NOTHING {
            return Some(piece.from);
        }
        let mut before = piece.last;
        for piece in self.pieces.get(top + 1..)? {
            if piece.first < before - NOTHING || piece.last < piece.first - NOTHING {
                return Some(piece.from);
            }
            before = piece.last;
        }
        None
    }

    /// When the load rises again after `from`. None where it does not.
    #[must_use]
    pub fn next_rise(&self, from: Duration) -> Option<Duration> {
        self.rise_from(self.pieces.iter().position(|piece| piece.from > from)?)
    }

    /// The longest time for which the load is held.
    #[must_use]
    pub fn longest_hold(&self) -> Option<Part> {
        let mut holds: Vec<(Part, f64)> = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.is_held()) {
            match holds.last_mut() {
                Some((hold, level)) if hold.end == piece.from && (*level - piece.first).abs() <= NOTHING => {
                    hold.end = piece.to;
                }
                _ => holds.push((piece.from..piece.to, piece.first)),
            }
        }
        // Of several the first.
        holds.into_iter().map(|(hold, _)| hold).rev().max_by_key(|hold| hold.end - hold.start)
    }

    fn rise_from(&self, index: usize) -> Option<Duration> {
        let mut before = self.pieces.get(index.checked_sub(1)?)?.last;
        for piece in self.pieces.get(index..)? {
            if piece.first > before + NOTHING || piece.last > piece.first + NOTHING {
                return Some(piece.from);
            }
            before = piece.last;
        }
        None
    }
}

// === impl Piece ===

impl Piece {
    fn at(&self, at: Duration) -> f64 {
        let share = (at - self.from).as_secs_f64() / (self.to - self.from).as_secs_f64();
        self.first + (self.last - self.first) * share
    }

    fn is_held(&self) -> bool {
        self.first > NOTHING && (self.last - self.first).abs() <= NOTHING
    }
}

fn pieces(scenario: &Scenario) -> Option<Vec<Piece>> {
    let from = scenario.start_time;
    let held = |lasts: Duration| vec![Piece { from, to: from + lasts, first: 1.0, last: 1.0 }];
    let pieces = match &scenario.executor {
        Executor::SharedIterations { max_duration, .. } | Executor::PerVuIterations { max_duration, .. } => {
            held(*max_duration)
        }
        Executor::ConstantVus { duration, .. } | Executor::ConstantArrivalRate { duration, .. } => {
            held(duration.unwrap_or(ENDLESS))
        }
        Executor::RampingVus { start_vus, stages, .. } => ramp(from, f64::from(start_vus.value), stages),
        Executor::RampingArrivalRate { start_rate, stages, .. } => ramp(from, start_rate.value, stages),
        Executor::ExternallyControlled { .. } => return None,
    };
    Some(pieces.into_iter().filter(|piece| piece.to > piece.from).collect())
}

fn ramp(from: Duration, start: f64, stages: &[Stage]) -> Vec<Piece> {
    let highest = stages.iter().map(|stage| stage.target.value).fold(start, f64::max).max(f64::MIN_POSITIVE);
    let (mut at, mut level) = (from, start / highest);
    let piece = |stage: &Stage| {
        let piece = Piece { from: at, to: at + stage.duration, first: level, last: stage.target.value / highest };
        (at, level) = (piece.to, piece.last);
        piece
    };
    stages.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::{Variables, read};

    fn profile(scenarios: &str) -> Option<Profile> {
        let plan = format!("workflow: [{{ request: GET / }}]\nscenarios: {{ {scenarios} }}");
        let (plan, diagnostics) = read("p.yaml", plan.as_bytes(), &Variables::default());
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        Profile::of(&plan.unwrap().scenarios)
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const SPIKE: &str =
        "a: { executor: ramping-vus, stages: [ { duration: 30s, target: 10 }, { duration: 30s, target: 10 },
        { duration: 30s, target: 200 }, { duration: 1m30s, target: 200 }, { duration: 30s, target: 10 },
        { duration: 1m30s, target: 10 } ] }";

    #[test]
    fn the_guides_spike_rises_after_its_calm_and_falls_where_its_spike_ends() {
        let profile = profile(SPIKE).unwrap();
        assert_eq!(profile.first_rise(), Some(s(60)));
        assert_eq!(profile.fall_from_highest(s(60)), Some(s(180)));
        assert_eq!(profile.next_rise(s(180)), None);
        assert_eq!(profile.longest_hold(), Some(s(90)..s(180)));
        assert_eq!((profile.end(), profile.open()), (s(300), false));
    }

    #[test]
    fn a_jump_is_a_rise_and_a_fall() {
        let stages = "{ duration: 10s, target: 5 }, { duration: 0, target: 50 }, { duration: 10s, target: 50 },
            { duration: 0, target: 5 }, { duration: 20s, target: 5 }, { duration: 0, target: 50 }, { duration: 5s, target: 50 }";
        let profile = profile(&format!(
            "a: {{ executor: ramping-arrival-rate, startRate: 5, preAllocatedVUs: 1, stages: [ {stages} ] }}"
        ));
        let profile = profile.unwrap();
        assert_eq!(profile.first_rise(), Some(s(10)));
        assert_eq!(profile.fall_from_highest(s(10)), Some(s(20)));
        assert_eq!(profile.next_rise(s(20)), Some(s(40)));
        assert!(profile.open());
    }

    #[test]
    fn a_second_scenario_is_a_rise_over_the_first() {
        let two = "base: { executor: constant-vus, vus: 5, duration: 60s },
            spike: { executor: constant-vus, vus: 50, duration: 10s, startTime: 20s }";
        let profile = profile(two).unwrap();
        assert_eq!(profile.first_rise(), Some(s(20)));
        assert_eq!(profile.fall_from_highest(s(20)), Some(s(30)));
        assert_eq!(profile.longest_hold(), Some(s(30)..s(60)));
    }

    #[test]
    fn without_a_calm_the_steepest_rise_is_taken_and_what_never_rises_has_none() {
        let ramps = "a: { executor: ramping-vus, stages: [ { duration: 10s, target: 5 }, { duration: 1s, target: 50 }, { duration: 10s, target: 1 } ] }";
        let found = profile(ramps).unwrap();
        assert_eq!((found.first_rise(), found.steepest_rise()), (None, Some(s(10))));
        assert_eq!(found.fall_from_highest(s(10)), Some(s(11)));
        let flat = profile("a: { executor: constant-vus, vus: 5 , duration: 1m }").unwrap();
        assert_eq!((flat.first_rise(), flat.steepest_rise(), flat.fall_from_highest(s(0))), (None, None, None));
        assert_eq!(flat.longest_hold(), Some(s(0)..s(60)));
        assert_eq!(profile("a: { executor: externally-controlled, vus: 1, maxVUs: 10, duration: 1m }"), None);
    }
}
