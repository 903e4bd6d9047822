//! The planned VUs of `ramping-vus` over time, seen from each VU.
//!
//! k6 walks through the steps of the whole and stops the VU that joined last. The same plan,
//! told by VU: when VU 7 is to iterate, and until when an iteration of its may still run. So
//! a VU needs nobody to steer it, and a part of the plan is simply some of its VUs.

use std::time::Duration;

/// A linear change to `target` VUs over `duration`; 0 jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VuStage {
    /// How long.
    pub duration: Duration,
    /// Where it ends.
    pub target: u32,
}

/// The planned number of VUs over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VuRamp {
    /// VUs at the start.
    pub start: u32,
    /// What follows.
    pub stages: Vec<VuStage>,
    /// How long a VU that is ramped down may finish its iteration.
    pub graceful_ramp_down: Duration,
    /// How long iterations may run on after the last stage.
    pub graceful_stop: Duration,
    /// Whether the last stage's target is held until the run is stopped.
    pub held: bool,
}

/// A time in which a VU iterates, as offsets from the scenario's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VuSpan {
    /// From when it starts iterations.
    pub on: Duration,
    /// From when it starts none.
    pub off: Duration,
    /// When an iteration that began in it is cut off. Past the next span's `on` where the VU
    /// is wanted again before its time to finish is over.
    pub cut: Duration,
}

/// Longer than any run: the longest that a plan can say.
const FOR_EVER: Duration = crate::plan::units::LONGEST;

impl VuRamp {
    /// The length of all stages, held or not.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.stages.iter().map(|stage| stage.duration).sum()
    }

    /// The most VUs at any time.
    #[must_use]
    pub fn peak(&self) -> u32 {
        self.stages.iter().map(|stage| stage.target).fold(self.start, u32::max)
    }

    /// The times in which VU `index` (from 0) iterates, in order.
    #[must_use]
    pub fn spans(&self, index: u32) -> Vec<VuSpan> {
        let (end, last) =
            if self.held { (FOR_EVER, FOR_EVER) } else { (self.duration(), self.duration() + self.graceful_stop) };
        let mut spans: Vec<VuSpan> = Vec::new();
        let mut on = (index < self.start).then_some(Duration::ZERO);
        let (mut from, mut till) = (self.start, Duration::ZERO);
        for stage in &self.stages {
            till += stage.duration;
            let to = stage.target;
            // k6's arithmetic: so many VUs before the stage's end, truncated to the nanosecond.
            let before_end = |vus: u32, of: u32| {
                let nanos = stage.duration.as_nanos() * u128::from(vus) / u128::from(of);
                till - Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            };
            if (from..to).contains(&index) {
                on = Some(before_end(to - index - 1, to - from));
            } else if (to..from).contains(&index) {
                let off = before_end(index - to, from - to);
                if let Some(on) = on.take().filter(|on| *on < off) {
                    spans.push(VuSpan { on, off, cut: (off + self.graceful_ramp_down).min(last) });
                }
            }
            from = to;
        }
        if let Some(on) = on.filter(|on| *on < end) {
            spans.push(VuSpan { on, off: end, cut: last });
        }
        for at in (1..spans.len()).rev() {
            if spans[at].on <= spans[at - 1].cut {
                spans[at - 1].cut = spans[at].cut;
            }
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::load::schedule::{Segment, Stripes};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn ramp(start: u32, stages: &[(u64, u32)]) -> VuRamp {
        let stages =
            stages.iter().map(|(s, target)| VuStage { duration: Duration::from_secs(*s), target: *target }).collect();
        let grace = Duration::from_secs(30);
        VuRamp { start, stages, graceful_ramp_down: grace, graceful_stop: grace, held: false }
    }

    /// k6's execution steps: (second, VUs) wherever the number changes.
    fn steps(ramp: &VuRamp, part: &Stripes, until: impl Fn(&VuSpan) -> Duration) -> Vec<(f64, i64)> {
        let mut changes = BTreeMap::from([(Duration::ZERO, 0_i64)]);
        for k in 0..part.count(u64::from(ramp.peak())) {
            // Spans that run into each other are one.
            let mut spans: Vec<(Duration, Duration)> = Vec::new();
            for span in ramp.spans(u32::try_from(part.nth(k).unwrap()).unwrap()) {
                match spans.last_mut() {
                    Some(last) if span.on <= last.1 => last.1 = until(&span),
                    _ => spans.push((span.on, until(&span))),
                }
            }
            for (on, off) in spans {
                *changes.entry(on).or_default() += 1;
                *changes.entry(off).or_default() -= 1;
            }
        }
        let mut vus = 0;
        let mut steps = Vec::new();
        for (at, change) in changes {
            vus += change;
            if change != 0 || at.is_zero() {
                steps.push((at.as_secs_f64(), vus));
            }
        }
        steps
    }

    // TestRampingVUsConfigExecutionPlanExample of k6.
    #[test]
    fn the_plan_is_k6s() {
        let mut ramp = ramp(4, &[(2, 6), (5, 1), (4, 5), (4, 1), (3, 4), (2, 4), (0, 1), (3, 1)]);
        let raw = steps(&ramp, &Stripes::whole(), |span| span.off);
        let vus = [4, 5, 6, 5, 4, 3, 2, 1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3, 4];
        let mut expected: Vec<(f64, i64)> = (0_i32..).map(f64::from).zip(vus).collect();
        expected.extend([(20.0, 1), (23.0, 0)]);
        assert_eq!(raw, expected);
        let graceful = |ramp: &VuRamp| steps(ramp, &Stripes::whole(), |span| span.cut);
        let up = [(0.0, 4), (1.0, 5), (2.0, 6)];
        assert_eq!(graceful(&ramp)[..3], up);
        assert_eq!(graceful(&ramp)[3..], [(33.0, 5), (42.0, 4), (50.0, 1), (53.0, 0)]);
        ramp.graceful_stop = Duration::from_secs(80);
        assert_eq!(graceful(&ramp)[3..], [(33.0, 5), (42.0, 4), (50.0, 1), (103.0, 0)]);
        ramp.graceful_stop = Duration::from_secs(3);
        assert_eq!(graceful(&ramp)[3..], [(26.0, 0)]);
        ramp.graceful_stop = Duration::ZERO;
        assert_eq!(graceful(&ramp)[3..], [(23.0, 0)]);
        ramp.graceful_ramp_down = Duration::ZERO;
        assert_eq!(graceful(&ramp), expected);
    }

    // TestRampingVUsGetRawExecutionStepsCornerCases of k6 (with the drop to 0 at the end).
    #[test]
    fn corner_cases_are_k6s() {
        let part = |segment, sequence| Segment::parse(Some(segment), Some(sequence)).unwrap().stripes().clone();
        let raw = |ramp: &VuRamp, part: &Stripes| steps(ramp, part, |span| span.off);
        let whole = Stripes::whole();
        assert_eq!(raw(&ramp(2, &[(0, 5), (2, 3)]), &whole), [(0.0, 5), (1.0, 4), (2.0, 3 - 3)]);
        assert_eq!(raw(&ramp(3, &[(2, 5)]), &whole), [(0.0, 3), (1.0, 4), (2.0, 0)]);
        let waves = ramp(0, &[(2, 2), (2, 0), (2, 2), (2, 0)]);
        assert_eq!(raw(&waves, &part("0:1/2", "0,1/2,1")), [(0.0, 0), (1.0, 1), (4.0, 0), (5.0, 1), (8.0, 0)]);
        assert_eq!(raw(&waves, &part("1/2:1", "0,1/2,1")), [(0.0, 0), (2.0, 1), (3.0, 0), (6.0, 1), (7.0, 0)]);
        assert_eq!(raw(&waves, &part("2/3:1", "0,1/3,2/3,1")), [(0.0, 0)]);
        let strange = ramp(0, &[(20, 20), (30, 30)]);
        let times = [0.0, 1.0, 5.0, 8.0, 11.0, 15.0, 18.0, 23.0, 35.0, 44.0];
        let mut expected: Vec<(f64, i64)> = times.into_iter().zip(0..).collect();
        expected.push((50.0, 0));
        assert_eq!(raw(&strange, &part("0:0.3", "0,0.3,0.6,0.9,1")), expected);
    }

    proptest! {
        #[test]
        fn spans_are_in_order_and_within_the_plan(
            start in 0_u32..20,
            stages in prop::collection::vec((0_u64..60, 0_u32..20), 1..8),
            down in 0_u64..40,
            stop in 0_u64..40,
        ) {
            let mut ramp = ramp(start, &stages);
            ramp.graceful_ramp_down = Duration::from_secs(down);
            ramp.graceful_stop = Duration::from_secs(stop);
            for index in 0..ramp.peak() {
                let spans = ramp.spans(index);
                for span in &spans {
                    prop_assert!(span.on < span.off && span.off <= span.cut && span.off <= ramp.duration());
                    prop_assert!(span.cut <= ramp.duration() + ramp.graceful_stop);
                }
                prop_assert!(spans.windows(2).all(|pair| pair[0].off <= pair[1].on));
            }
            prop_assert!(ramp.spans(ramp.peak()).is_empty());
        }
    }
}
