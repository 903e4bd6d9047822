//! The due times of an open model, one after the other.
//!
//! The value is resumable: a clone goes on where the original stood, and
//! [`ArrivalSchedule::skip_before`] goes on at a number. Each part of a split schedule walks
//! the same integral (and, of a Poisson process, draws the same steps) and keeps its own
//! numbers: the union of the parts is the whole, to the nanosecond.

use super::intensity::Intensity;
use super::stripes::Stripes;
use std::time::Duration;

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its number in the whole schedule, from 0.
    pub number: u64,
    /// When it is due, from the scenario's start.
    pub offset: Duration,
}

/// How arrivals are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spacing {
    /// Evenly, the first at once: k6's constant rate. None is due at the end itself.
    FromStart,
    /// Evenly, the first when the integral reaches 1: k6's ramping rate. One may be due at the end itself.
    FromFirst,
    /// As a Poisson process, from this seed.
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

/// The due times of one part of an open model, in order.
#[derive(Clone, Debug)]
pub struct ArrivalSchedule {
    intensity: Intensity,
    spacing: Spacing,
    part: Stripes,
    /// How many of this part were yielded.
    taken: u64,
    /// The piece of the intensity to look in.
    piece: usize,
    walk: Walk,
}

/// Where a Poisson process stands.
#[derive(Clone, Debug)]
struct Walk {
    rng: fastrand::Rng,
    /// The number of the next arrival to be drawn.
    next: u64,
    /// The integral at the last one that was drawn.
    area: f64,
}

impl ArrivalSchedule {
    /// The part `part` of the arrivals of `intensity`.
    #[must_use]
    pub fn new(intensity: Intensity, spacing: Spacing, part: Stripes) -> Self {
        let seed = match spacing {
            Spacing::Poisson { seed } => seed,
            Spacing::FromStart | Spacing::FromFirst => 0,
        };
        let walk = Walk { rng: fastrand::Rng::with_seed(seed), next: 0, area: 0.0 };
        Self { intensity, spacing, part, taken: 0, piece: 0, walk }
    }

    /// Goes on with the first arrival of this part whose number is `number` or above.
    pub fn skip_before(&mut self, number: u64) {
        self.taken = self.taken.max(self.part.count(number));
    }

    /// The integral at which `number` is due.
    fn area_of(&mut self, number: u64) -> f64 {
        match self.spacing {
            Spacing::FromStart => number as f64,
            Spacing::FromFirst => (number + 1) as f64,
            Spacing::Poisson { .. } => {
                while self.walk.next <= number {
                    self.walk.area -= (1.0 - self.walk.rng.f64()).ln();
                    self.walk.next += 1;
                }
                self.walk.area
            }
        }
    }
}

impl Iterator for ArrivalSchedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let number = self.part.nth(self.taken)?;
        // A walk that has left the intensity would draw on for ever; the walk of another part ends here too.
        if self.walk.area > self.intensity.total() + 1.0 {
            return None;
        }
        let area = self.area_of(number);
        let offset = self.intensity.reaches(area, &mut self.piece)?;
        let end_is_out = !matches!(self.spacing, Spacing::FromFirst);
        if end_is_out && self.intensity.end().is_some_and(|end| offset >= end) {
            return None;
        }
        self.taken += 1;
        Some(Due { number, offset })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn even(intensity: Intensity, spacing: Spacing) -> Vec<Due> {
        ArrivalSchedule::new(intensity, spacing, Stripes::whole()).collect()
    }

    fn millis(dues: &[Due]) -> Vec<u128> {
        dues.iter().map(|due| due.offset.as_millis()).collect()
    }

    fn stages(list: &[(u64, f64)]) -> Vec<(Duration, f64)> {
        list.iter().map(|(ms, target)| (Duration::from_millis(*ms), *target)).collect()
    }

    #[test]
    fn a_constant_rate_fires_at_once_and_not_at_its_end() {
        let dues = even(Intensity::constant(4.0, SECOND, Some(SECOND)), Spacing::FromStart);
        assert_eq!(millis(&dues), [0, 250, 500, 750]);
        assert_eq!(dues.iter().map(|due| due.number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_constant_rate_does_not_drift() {
        let mut endless =
            ArrivalSchedule::new(Intensity::constant(3.0, SECOND, None), Spacing::FromStart, Stripes::whole());
        endless.skip_before(3_000_000_000);
        assert_eq!(endless.next(), Some(Due { number: 3_000_000_000, offset: SECOND * 1_000_000_000 }));
    }

    // The figures of k6's TestRampingArrivalRateCal.
    #[test]
    fn ramps_are_integrated_as_in_k6() {
        let intensity = Intensity::ramping(0.0, SECOND, &stages(&[(5000, 1.0), (5000, 1.0), (5000, 0.0)]));
        assert_eq!(
            millis(&even(intensity, Spacing::FromFirst)),
            [3162, 4472, 5500, 6500, 7500, 8500, 9500, 10527, 11837, 15000]
        );
        let jump = Intensity::ramping(2.0, SECOND, &stages(&[(5000, 2.0), (0, 4.0), (1000, 4.0)]));
        let dues = even(jump, Spacing::FromFirst);
        assert_eq!((dues.len(), dues[9].offset, dues[10].offset.as_millis()), (14, SECOND * 5, 5250));
    }

    #[test]
    fn fractions_carry_over_stages_and_pauses() {
        // 0.8 of an arrival is left over at 1 s, nothing comes together until 3 s, then 0.2 at 2/s.
        let intensity =
            Intensity::ramping(0.8, SECOND, &stages(&[(1000, 0.8), (0, 0.0), (2000, 0.0), (0, 2.0), (1000, 2.0)]));
        assert_eq!(millis(&even(intensity, Spacing::FromFirst)), [3100, 3600]);
    }

    #[test]
    fn a_poisson_process_has_exponential_gaps_and_the_right_count() {
        let dues = even(Intensity::constant(1000.0, SECOND, Some(SECOND * 100)), Spacing::Poisson { seed: 7 });
        let n = dues.len() as f64;
        assert!((n - 100_000.0).abs() < 4.0 * 100_000.0_f64.sqrt(), "{n}");
        let gaps: Vec<f64> =
            dues.windows(2).map(|pair| (pair[1].offset - pair[0].offset).as_secs_f64() * 1000.0).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        let above = gaps.iter().filter(|gap| **gap > 2.0).count() as f64 / gaps.len() as f64;
        assert!((above - (-2.0_f64).exp()).abs() < 0.005, "{above}");
        assert_ne!(
            millis(&dues[..50]),
            millis(&even(Intensity::constant(1000.0, SECOND, Some(SECOND)), Spacing::Poisson { seed: 8 })[..50])
        );
    }

    #[test]
    fn a_poisson_process_follows_its_ramp() {
        let intensity = Intensity::ramping(0.0, SECOND, &stages(&[(100_000, 1000.0)]));
        let dues = even(intensity, Spacing::Poisson { seed: 3 });
        let half = dues.iter().filter(|due| due.offset < SECOND * 50).count() as f64;
        assert!((half / dues.len() as f64 - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_ramp_that_is_held_goes_on_at_its_last_rate() {
        let held = Intensity::ramping_held(0.0, SECOND, &stages(&[(2000, 2.0), (0, 4.0)]));
        assert_eq!((held.end(), held.rate_at(SECOND * 86_400).round()), (None, 4.0));
        let dues = ArrivalSchedule::new(held.clone(), Spacing::FromFirst, Stripes::whole());
        assert_eq!(millis(&dues.take(5).collect::<Vec<_>>()), [1414, 2000, 2250, 2500, 2750]);
        let mut late = ArrivalSchedule::new(held, Spacing::FromFirst, Stripes::whole());
        late.skip_before(4 * 86_400 * 30 + 1);
        assert_eq!(late.next().unwrap().offset, SECOND * (86_400 * 30 + 2));
    }

    #[test]
    fn rates_are_told_at_any_time() {
        let intensity = Intensity::ramping(0.0, SECOND, &stages(&[(1000, 10.0), (0, 50.0), (1000, 50.0)]));
        assert_eq!(intensity.rate_at(Duration::from_millis(500)).round(), 5.0);
        assert_eq!(intensity.rate_at(Duration::from_millis(1500)).round(), 50.0);
        assert_eq!((intensity.rate_at(SECOND * 3), intensity.peak_rate().round()), (0.0, 50.0));
        assert_eq!(Intensity::ramping(5.0, SECOND, &[]).total(), 0.0);
    }

    fn any_stages() -> impl Strategy<Value = Vec<(Duration, f64)>> {
        let stage = (prop_oneof![Just(0_u64), 1_u64..5_000], 0_u32..200);
        prop::collection::vec(stage.prop_map(|(ms, target)| (Duration::from_millis(ms), f64::from(target))), 1..6)
    }

    fn any_spacing() -> impl Strategy<Value = Spacing> {
        prop_oneof![
            Just(Spacing::FromStart),
            Just(Spacing::FromFirst),
            any::<u64>().prop_map(|seed| Spacing::Poisson { seed })
        ]
    }

    proptest! {
        #[test]
        fn the_count_is_the_integral(start in 0_u32..200, stages in any_stages()) {
            let intensity = Intensity::ramping(f64::from(start), SECOND, &stages);
            let dues = even(intensity.clone(), Spacing::FromFirst);
            prop_assert!((dues.len() as f64 - (intensity.total() + 1e-6).floor()).abs() < 0.5);
            // At the time of each, the integral (by the trapezoid rule over the stages) is its number.
            for due in dues.iter().step_by(17) {
                let (mut at, mut from, mut area) = (0.0, f64::from(start), 0.0);
                for (length, to) in &stages {
                    let length = length.as_secs_f64();
                    let part = (due.offset.as_secs_f64() - at).clamp(0.0, length);
                    if length > 0.0 {
                        area += part * (from + from + (to - from) * part / length) / 2.0;
                    }
                    at += length;
                    from = *to;
                }
                prop_assert!((area - (due.number + 1) as f64).abs() < 1e-4, "{area} {due:?}");
                prop_assert!((area - intensity.area_by(due.offset)).abs() < 1e-4, "{area} {due:?}");
            }
        }

        #[test]
        fn it_is_monotone_and_resumable(start in 0_u32..200, stages in any_stages(), spacing in any_spacing(), at in 0_usize..300) {
            let intensity = Intensity::ramping(f64::from(start), SECOND, &stages);
            let all = even(intensity.clone(), spacing);
            prop_assert!(all.windows(2).all(|pair| pair[0].offset <= pair[1].offset && pair[0].number < pair[1].number));
            let at = at.min(all.len());
            let mut first = ArrivalSchedule::new(intensity.clone(), spacing, Stripes::whole());
            let head: Vec<Due> = first.by_ref().take(at).collect();
            let resumed: Vec<Due> = head.into_iter().chain(first.clone()).collect();
            prop_assert_eq!(&resumed, &all);
            let mut skipped = ArrivalSchedule::new(intensity, spacing, Stripes::whole());
            skipped.skip_before(at as u64);
            prop_assert_eq!(skipped.collect::<Vec<_>>(), &all[at..]);
        }

        #[test]
        fn its_parts_are_the_whole(start in 0_u32..100, stages in any_stages(), spacing in any_spacing(), machines in 1_u64..4, workers in 1_usize..4) {
            let intensity = Intensity::ramping(f64::from(start), SECOND, &stages);
            let mut parts = Vec::new();
            for machine in 0..machines {
                let segment = super::super::Segment::part(machine, machines).unwrap();
                for worker in 0..workers {
                    parts.extend(ArrivalSchedule::new(intensity.clone(), spacing, segment.stripes().split(worker, workers)));
                }
            }
            parts.sort_by_key(|due| due.number);
            prop_assert_eq!(parts, even(intensity, spacing));
        }
    }
}
