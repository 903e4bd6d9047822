//! The circuit breaker of `pause_when`: when traffic pauses, when one iteration tries, when it goes on.
//!
//! A condition trips when it holds over a whole window. The pause lasts while it holds, and every now
//! and then one iteration is let through as a probe: where what came since no longer holds the
//! condition, the pause is over. Without a sample there is no pause, so it is over, too, where even
//! the probe brought none. Then windows begin anew, so that
//! what was before the pause does not trip it again.
//!
//! Pure: it is told the time and the figures once a second, and answers what to do.

use super::condition::Condition;
use super::window::{Slice, Window};
use crate::measure::{Probe, Reading};
use std::time::Duration;

/// How much of the shortest tripped window goes by between two probes.
const SHARE: u32 = 3;
/// The least and the most between two probes.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(10);
/// How long after its end was seen a probe's last figures are here: by the next look.
const HANDED_OVER: Duration = Duration::from_millis(500);
/// How long a probe may be under way before another may try.
const LONGEST: Duration = Duration::from_secs(120);

/// Watches conditions.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    watched: Vec<Watched>,
    trying: Trying,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// Traffic pauses, or stays paused, for this reason.
    Pause(String),
    /// It stays paused for this reason, and one iteration is let through.
    Try(String),
    /// Traffic goes on.
    Resume,
}

#[derive(Clone, Debug)]
struct Watched {
    condition: Condition,
    window: Window,
    /// When its window began to fill: it trips only when it is full.
    since: Duration,
    /// The figure for which traffic pauses.
    tripped: Option<f64>,
    /// What came since the probe was let through.
    tried: Option<Slice>,
}

/// How far the probe is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trying {
    #[default]
    Not,
    /// From then on the next may go.
    NotBefore(Duration),
    /// Since then one may go, or is under way.
    Since(Duration),
    /// It was over then.
    Over(Duration),
}

// === impl Breaker ===

impl Breaker {
    /// Watches these conditions, from 0 on.
    #[must_use]
    pub fn new(conditions: Vec<Condition>) -> Self {
        let watch = |condition: Condition| Watched {
            window: Window::new(condition.over),
            condition,
            since: Duration::ZERO,
            tripped: None,
            tried: None,
        };
        Self { watched: conditions.into_iter().map(watch).collect(), trying: Trying::Not }
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Looks at all series `at` a time since the load's start, once a second. `read` gives a series' whole so far, and
    /// of a gauge its latest value where the reading is another; `probe` is what became of the one that was let
    /// through; `alone`: nobody else holds the traffic, so that a probe can go.
    pub fn look(
        &mut self,
        at: Duration,
        mut read: impl FnMut(&Condition) -> Option<(Reading, Option<f64>)>,
        probe: Probe,
        alone: bool,
    ) -> Move {
        for watched in &mut self.watched {
            if let Some((reading, latest)) = read(&watched.condition) {
                let new = watched.window.look(at, reading, latest);
                if let Some(tried) = &mut watched.tried {
                    tried.add(&new);
                }
            }
        }
        let paused = self.is_tripped();
        for watched in &mut self.watched {
            watched.judge(at, alone);
        }
        if !self.is_tripped() {
            return if paused { self.resume(at) } else { Move::Stay };
        }
        if !paused {
            self.trying = self.next(at);
        }
        self.step(at, probe, alone)
    }

    /// The reason of now; none where traffic goes.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let tripped = self.watched.iter().filter_map(|watched| Some(watched.condition.reason(watched.tripped?)));
        let reasons: Vec<_> = tripped.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn is_tripped(&self) -> bool {
        self.watched.iter().any(|watched| watched.tripped.is_some())
    }

    /// Moves the probe on.
    fn step(&mut self, at: Duration, probe: Probe, alone: bool) -> Move {
        match (self.trying, probe) {
            (Trying::Since(_), Probe::Over) => self.trying = Trying::Over(at),
            // It was called back, because somebody else holds the traffic too.
            (Trying::Since(_), Probe::None) => self.trying = self.next(at),
            (Trying::Since(since), Probe::UnderWay(_)) if at.saturating_sub(since) > LONGEST => {
                self.trying = self.next(at);
            }
            (Trying::Over(over), _) if at.saturating_sub(over) >= HANDED_OVER => {
                for watched in &mut self.watched {
                    watched.judge_probe(at);
                }
                if !self.is_tripped() {
                    return self.resume(at);
                }
                self.trying = self.next(at);
            }
            _ => {}
        }
        let reason = self.reason().unwrap_or_default();
        match self.trying {
            Trying::NotBefore(then) if at >= then && alone => {
                self.trying = Trying::Since(at);
                for watched in &mut self.watched {
                    watched.tried = watched.window.nothing();
                }
                Move::Try(reason)
            }
            _ => Move::Pause(reason),
        }
    }

    fn next(&self, at: Duration) -> Trying {
        let tripped = self.watched.iter().filter(|watched| watched.tripped.is_some());
        let shortest = tripped.map(|watched| watched.condition.over).min().unwrap_or(MOST);
        Trying::NotBefore(at + (shortest / SHARE).clamp(LEAST, MOST))
    }

    fn resume(&mut self, at: Duration) -> Move {
        self.trying = Trying::Not;
        for watched in &mut self.watched {
            watched.window.clear();
            (watched.since, watched.tripped, watched.tried) = (at, None, None);
        }
        Move::Resume
    }
}

// === impl Watched ===

impl Watched {
    /// Judges the window. Where a probe `can_go`, what it brings is waited for.
    fn judge(&mut self, at: Duration, can_go: bool) {
        let figure = self.window.figure(at, self.condition.expression.aggregation);
        self.tripped = match (self.tripped, figure) {
            (Some(before), None) => can_go.then_some(before),
            (Some(_), Some(figure)) => self.condition.holds(figure).then_some(figure),
            (None, Some(figure)) => {
                let full = at.saturating_sub(self.since) >= self.condition.over;
                (full && self.condition.holds(figure)).then_some(figure)
            }
            (None, None) => None,
        };
    }

    /// Judges what came since the probe was let through; where that is nothing, the window says.
    fn judge_probe(&mut self, at: Duration) {
        let Condition { expression, over, .. } = &self.condition;
        let brought = self.tried.take().and_then(|tried| tried.figure(expression.aggregation, *over));
        let figure = brought.or_else(|| self.window.figure(at, expression.aggregation));
        if !figure.is_some_and(|figure| self.condition.holds(figure)) {
            self.tripped = None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::guard::compile_conditions;
    use crate::measure::{LayoutBuilder, MetricId, Range, Share};
    use crate::plan::{Diagnostics, Spanned};
    use crate::semconv::{RunId, TraceId};
    use proptest::prelude::*;

    /// A target, a gate with one probe at a time, and the breaker between them; a step is a second.
    struct Bed {
        breaker: Breaker,
        second: u64,
        probe: Probe,
        paused: bool,
        alone: bool,
        /// Of the target: requests that failed, all, and what its gauge says.
        failed: Share,
        gauge: Range,
        said: Vec<Move>,
    }

    impl Bed {
        fn new(conditions: &[&str]) -> Self {
            let mut layout = LayoutBuilder::new(Vec::new());
            let texts: Vec<_> = conditions.iter().map(|text| Spanned::nowhere((*text).to_owned())).collect();
            let mut diagnostics = Diagnostics::new("plan");
            let conditions = compile_conditions(&texts, &mut layout, &mut diagnostics);
            assert!(!diagnostics.has_errors(), "{diagnostics}");
            Self {
                breaker: Breaker::new(conditions),
                second: 0,
                probe: Probe::None,
                paused: false,
                alone: true,
                failed: Share::default(),
                gauge: Range::default(),
                said: Vec::new(),
            }
        }

        /// Ten requests of traffic, or one by a probe, of which this share fails; a gauge where there is one.
        fn second(&mut self, share: f64, gauge: Option<f64>) -> Move {
            self.second += 1;
            let trace = TraceId::of_run(RunId::new(1), self.second);
            let requests = match self.probe {
                _ if !self.paused => 10,
                Probe::Offered => {
                    self.probe = Probe::UnderWay(trace);
                    1
                }
                Probe::UnderWay(_) => {
                    self.probe = Probe::Over;
                    0
                }
                _ => 0,
            };
            self.failed.total += requests;
            self.failed.passes += if requests == 1 { share.round() as u64 } else { (share * requests as f64) as u64 };
            if let Some(value) = gauge {
                self.gauge = Range { count: self.gauge.count + 1, value, ..self.gauge };
            }
            let (failed, gauge) = (self.failed, self.gauge);
            let read = |condition: &Condition| {
                let of_pool = condition.metric == MetricId::POOL_UTILIZATION;
                Some((if of_pool { Reading::Gauge(gauge) } else { Reading::Rate(failed) }, None))
            };
            let said = self.breaker.look(Duration::from_secs(self.second), read, self.probe, self.alone);
            match &said {
                Move::Stay => {}
                Move::Pause(_) => self.paused = true,
                Move::Try(_) => (self.paused, self.probe) = (true, Probe::Offered),
                Move::Resume => (self.paused, self.probe) = (false, Probe::None),
            }
            self.said.push(said.clone());
            said
        }
    }

    #[test]
    fn a_window_that_is_full_of_failures_pauses_and_one_bad_second_does_not() {
        let mut bed = Bed::new(&["http_req_failed > 0.5 over 10s"]);
        for second in 1..10 {
            assert_eq!(bed.second(1.0, None), Move::Stay, "{second}: the window is not full");
        }
        assert_eq!(bed.second(1.0, None), Move::Pause("http_req_failed 1 > 0.5 over 10s".to_owned()));
        let mut bed = Bed::new(&["http_req_failed > 0.5 over 10s"]);
        for second in 1..100 {
            assert_eq!(bed.second(if second % 10 < 5 { 1.0 } else { 0.0 }, None), Move::Stay, "{second}");
        }
    }

    #[test]
    fn a_probe_that_fails_changes_nothing_and_one_that_goes_well_ends_the_pause() {
        let mut bed = Bed::new(&["http_req_failed>0.5 over 6s"]);
        for _ in 1..=60 {
            bed.second(1.0, None);
        }
        let tries = bed.said.iter().filter(|said| matches!(said, Move::Try(_))).count();
        assert!((5..=30).contains(&tries), "{tries} probes in a minute");
        assert!(bed.paused && !bed.said.contains(&Move::Resume));
        let until = (1..=15).find(|_| bed.second(0.0, None) == Move::Resume);
        assert!(until.is_some(), "{:?}", bed.said);
        for _ in 0..5 {
            assert_eq!(bed.second(1.0, None), Move::Stay, "what was before the pause does not count again");
        }
        assert!(matches!(bed.second(1.0, None), Move::Pause(_)));
    }

    #[test]
    fn a_gauge_pauses_and_its_own_fall_ends_the_pause() {
        let mut bed = Bed::new(&["pool_utilization>0.8 over 5s"]);
        for _ in 0..4 {
            assert_eq!(bed.second(0.0, Some(0.9)), Move::Stay);
        }
        assert!(matches!(bed.second(0.0, Some(0.9)), Move::Pause(_)));
        for _ in 0..30 {
            assert_ne!(bed.second(0.0, Some(0.9)), Move::Resume);
        }
        assert!((1..=5).any(|_| bed.second(0.0, Some(0.1)) == Move::Resume));
    }

    #[test]
    fn without_a_sample_there_is_no_pause() {
        let mut bed = Bed::new(&["pool_utilization>=0 over 3s"]);
        for _ in 0..20 {
            assert_eq!(bed.second(1.0, None), Move::Stay);
        }
        let mut bed = Bed::new(&["pool_utilization>0.8 over 3s"]);
        for _ in 0..3 {
            bed.second(0.0, Some(1.0));
        }
        assert!(bed.paused);
        // Its source is gone.
        assert!((1..=12).any(|_| bed.second(0.0, None) == Move::Resume), "{:?}", bed.said);
    }

    #[test]
    fn while_somebody_else_holds_the_traffic_no_probe_goes_and_without_a_sample_the_pause_ends() {
        let mut bed = Bed::new(&["http_req_failed>0.5 over 5s"]);
        for _ in 0..5 {
            bed.second(1.0, None);
        }
        assert!(bed.paused);
        bed.alone = false;
        let said: Vec<_> = (0..6).map(|_| bed.second(1.0, None)).collect();
        assert!(said.iter().all(|said| !matches!(said, Move::Try(_))), "{said:?}");
        assert!(said.contains(&Move::Resume), "{said:?}");
    }

    #[test]
    fn two_conditions_are_both_said_and_both_must_go() {
        let mut bed = Bed::new(&["http_req_failed>0.5 over 3s", "pool_utilization>0.8 over 3s"]);
        for _ in 0..3 {
            bed.second(1.0, Some(1.0));
        }
        let reason = bed.breaker.reason().unwrap();
        assert_eq!(reason, "http_req_failed 1 >0.5 over 3s; pool_utilization 1 >0.8 over 3s");
        for _ in 0..20 {
            assert_ne!(bed.second(0.0, Some(1.0)), Move::Resume);
        }
        assert_eq!(bed.breaker.reason().unwrap(), "pool_utilization 1 >0.8 over 3s");
        assert!((1..=6).any(|_| bed.second(0.0, Some(0.0)) == Move::Resume));
    }

    proptest! {
        #[test]
        fn it_pauses_only_for_a_window_that_holds_and_always_comes_back(
            bad in prop::collection::vec((0.0..1.0_f64, 1_usize..20), 1..12), over in 1_u64..15,
        ) {
            let mut bed = Bed::new(&[&format!("http_req_failed>0.5 over {over}s")]);
            for (share, seconds) in bad {
                for _ in 0..seconds {
                    let before = bed.paused;
                    let said = bed.second(share, None);
                    if !before && bed.paused {
                        let worst = bed.breaker.reason().unwrap();
                        prop_assert!(worst.starts_with("http_req_failed"), "{}", worst);
                    }
                    prop_assert_eq!(bed.paused, !matches!(said, Move::Stay | Move::Resume));
                }
            }
            for _ in 0..40 {
                bed.second(0.0, None);
            }
            prop_assert!(!bed.paused, "{:?}", bed.said);
        }
    }
}
