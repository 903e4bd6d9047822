//! A target that fails and recovers, and the breaker before it, second by second.
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
