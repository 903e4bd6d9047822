//! A spike from 60 s to 180 s of a run of 300 s.

use super::{Target, s};
use crate::judge::recovery::{Finding, Terms, find};
use std::time::Duration;

fn terms() -> Terms {
    Terms { before: s(0)..s(60), after: s(180), until: Duration::MAX, within: s(30), factor: 1.2 }
}

/// 20 ms, 500 ms in the spike, and `after` from its end.
fn spike(seed: u64, after: impl Fn(f64) -> (f64, f64)) -> Target {
    Target::new(seed, 300).serve(50.0, |at| match at {
        at if at < 60.0 => (20.0, 0.0),
        at if at < 180.0 => (500.0, 0.02),
        at => after(at - 180.0),
    })
}

fn recovered(target: &Target) -> Option<f64> {
    match find(&target.course(), &terms()) {
        Finding::Recovered { after, .. } => Some(after.as_secs_f64()),
        _ => None,
    }
}

#[test]
fn a_target_that_calms_down_recovers_when_it_has() {
    // Below 1.2 times the calm after 5 s × ln(120) = 24 s.
    for seed in 0..20 {
        let target = spike(seed, |past| (20.0 + 480.0 * (-past / 5.0).exp(), 0.0));
        let after = recovered(&target).unwrap();
        assert!((18.0..28.0).contains(&after), "{after}");
    }
    let at_once = recovered(&spike(1, |_| (20.0, 0.0))).unwrap();
    assert!(at_once < 2.5, "{at_once}: what was asked in the spike is answered after it");
}

#[test]
fn a_calmer_load_past_the_spike_is_enough() {
    let mut target = Target::new(11, 300);
    for i in 0..300 * 40 {
        let at = f64::from(i) / 40.0;
        // Forty a second before and in the spike, two past it.
        if at < 180.0 || i % 20 == 0 {
            let took = target.around(if (60.0..180.0).contains(&at) { 500.0 } else { 20.0 });
            target.request(at, took, false);
        }
    }
    assert!(recovered(&target).unwrap() < 2.0);
}

#[test]
fn one_that_stays_slow_does_not() {
    for seed in 0..20 {
        let target = spike(seed, |_| (40.0, 0.0));
        let Finding::Remained { before, after: Some(after), failing: None } = find(&target.course(), &terms()) else {
            panic!("it stays slow")
        };
        assert!((before.value / 27.0 - 1.0).abs() < 0.1 && (after.value / 54.0 - 1.0).abs() < 0.1);
    }
}

#[test]
fn a_target_that_never_rose_was_back_at_once() {
    let calm = |seed| Target::new(seed, 300).serve(50.0, |_| (20.0, 0.0));
    let late = (0..100).filter(|seed| recovered(&calm(*seed)).is_none_or(|after| after > 5.0)).count();
    assert!(late <= 1, "{late} of 100");
}

#[test]
fn a_target_that_answers_fast_because_it_fails_has_not_recovered() {
    let target = spike(3, |_| (5.0, 0.6));
    let Finding::Remained { failing: Some(share), .. } = find(&target.course(), &terms()) else { panic!("it fails") };
    assert!((share - 0.6).abs() < 0.05, "{share}");
}

#[test]
fn a_calm_that_does_not_last_is_none() {
    let target = spike(4, |past| (if (10.0..40.0).contains(&past) { 500.0 } else { 20.0 }, 0.0));
    let after = recovered(&target).unwrap();
    assert!((38.0..43.0).contains(&after), "{after}");
}

#[test]
fn a_target_that_answers_no_more_has_not_recovered() {
    let target = spike(5, |_| (1e9, 0.0));
    let found = find(&target.course(), &terms());
    assert!(matches!(found, Finding::Remained { after: None | Some(_), failing: None, .. }), "{found:?}");
}

#[test]
fn the_loads_next_rise_is_none_of_its_business() {
    let target = spike(6, |past| (if past > 60.0 { 500.0 } else { 20.0 }, 0.0));
    let until = Terms { until: s(240), ..terms() };
    assert!(matches!(find(&target.course(), &until), Finding::Recovered { after, .. } if after < s(3)));
}

#[test]
fn a_difference_below_a_millisecond_is_none() {
    let target = Target::new(7, 300).serve(50.0, |at| (if at < 180.0 { 0.4 } else { 0.8 }, 0.0));
    assert!(recovered(&target).unwrap() < 1.0);
}

#[test]
fn what_cannot_be_judged_says_why() {
    let unknown = |target: &Target, terms: &Terms| match find(&target.course(), terms) {
        Finding::Unknown(why) => why,
        other => panic!("{other:?}"),
    };
    let sparse = Target::new(8, 300).serve(0.1, |_| (20.0, 0.0));
    assert!(unknown(&sparse, &terms()).contains("values before the spike"));
    let cut_short = Target::new(9, 180).serve(50.0, |_| (20.0, 0.0));
    assert!(unknown(&cut_short, &terms()).contains("past the spike"));
    let mut stuck = Target::new(10, 300);
    (0..600).for_each(|i| stuck.figure.cut_off(s(i / 10), s(i / 10)));
    assert!(unknown(&stuck, &terms()).contains("never finished"));
}
