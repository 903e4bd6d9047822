//! Ramps over targets whose capacity is known.

use super::{Target, s};
use crate::judge::breaking_point::{Capacity, Finding, Load, Pattern, Terms, find};

/// A ramp to 300 VUs over ten minutes, each thinking `think` ms between requests; `respond` says how long a
/// request takes (ms) with so many VUs, and the probability that it fails.
fn closed(seed: u64, think: f64, respond: impl Fn(f64) -> (f64, f64)) -> Target {
    let mut target = Target::new(seed, 600);
    for second in 0..600_u32 {
        let vus = f64::from(second / 2 + 1);
        target.vus.record(vus, s(u64::from(second)));
        let (middle, failing) = respond(vus);
        let requests = (vus * 1e3 / (think + middle)).round() as u32;
        for i in 0..requests {
            let took = target.around(middle);
            let failed = target.random.f64() < failing;
            target.request(f64::from(second) + f64::from(i) / f64::from(requests) - took / 1e3, took, failed);
        }
    }
    target
}

fn terms() -> Terms {
    Terms { limit: 1000.0, failed: 0.1, open: false, load_ends: s(600) }
}

fn broke(target: &Target, terms: &Terms) -> (Load, Pattern) {
    match find(&target.course(), terms).0 {
        Finding::Broke { at, pattern, .. } => (at, pattern),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_target_that_holds_has_no_breaking_point() {
    for seed in 0..5 {
        let target = closed(seed, 1000.0, |_| (50.0, 0.01));
        assert_eq!(find(&target.course(), &terms()).0, Finding::Held);
    }
}

#[test]
fn one_that_only_gets_slower_breaks_gracefully() {
    // 100 requests a second at most: with n VUs each takes n / 100 − 1 s; p(95) is past a second at about 175.
    for seed in 0..5 {
        let target = closed(seed, 1000.0, |vus| ((vus * 10.0 - 1000.0).max(50.0), 0.0));
        let (at, pattern) = broke(&target, &terms());
        assert_eq!(pattern, Pattern::Graceful);
        assert!((155.0..195.0).contains(&at.vus), "{at:?}");
        assert!((85.0..115.0).contains(&at.rate), "{at:?}");
    }
}

#[test]
fn one_that_begins_to_fail_at_once_falls_off_a_cliff() {
    for seed in 0..5 {
        let target = closed(seed, 1000.0, |vus| if vus < 150.0 { (50.0, 0.0) } else { (20.0, 0.8) });
        let (at, pattern) = broke(&target, &terms());
        assert_eq!(pattern, Pattern::Cliff);
        assert!((140.0..160.0).contains(&at.vus), "{at:?}");
    }
}

#[test]
fn one_that_does_less_the_more_is_asked_collapses() {
    for seed in 0..5 {
        let target = closed(seed, 100.0, |vus| (50.0 * (1.0 + (vus / 80.0).powi(4)), 0.0));
        let (at, pattern) = broke(&target, &terms());
        assert_eq!(pattern, Pattern::Collapse);
        assert!((130.0..185.0).contains(&at.vus), "{at:?}");
        let hangs = closed(seed, 1000.0, |vus| (if vus < 150.0 { 50.0 } else { 60_000.0 }, 0.0));
        assert_eq!(broke(&hangs, &terms()).1, Pattern::Collapse);
    }
}

#[test]
fn failures_that_eat_the_work_bit_by_bit_are_a_collapse_and_few_of_them_are_not() {
    let eaten = closed(1, 1000.0, |vus| (50.0, ((vus - 100.0) / 150.0).clamp(0.0, 1.0)));
    assert_eq!(broke(&eaten, &terms()).1, Pattern::Collapse);
    let shed = closed(1, 1000.0, |vus| (50.0, (1.0 - 150.0 / vus).clamp(0.0, 1.0)));
    assert_eq!(broke(&shed, &terms()).1, Pattern::Graceful);
}

#[test]
fn an_open_queue_breaks_gracefully_at_its_capacity() {
    // From 50 to 200 arrivals a second over five minutes, of which 120 can be served.
    let mut target = Target::new(1, 330);
    let (mut free, mut at) = (0.0_f64, 0.0);
    while at < 300.0 {
        let began = free.max(at);
        free = began + 1.0 / 120.0;
        target.request(at, (free - at) * 1e3 + 10.0, false);
        at += 1.0 / (50.0 + at / 2.0);
    }
    let open = Terms { limit: 500.0, open: true, load_ends: s(300), ..terms() };
    let (load, pattern) = broke(&target, &open);
    assert_eq!(pattern, Pattern::Graceful);
    assert!((112.0..135.0).contains(&load.rate), "{load:?}");
}

#[test]
fn a_hiccup_is_no_breaking_point() {
    let mut target = closed(1, 1000.0, |_| (50.0, 0.0));
    (0..3000).for_each(|i| target.request(200.0 + f64::from(i) / 1000.0, 5000.0, false));
    assert_eq!(find(&target.course(), &terms()).0, Finding::Held);
}

#[test]
fn a_run_that_is_stopped_because_it_broke_still_says_where() {
    let mut target = closed(1, 1000.0, |vus| if vus < 150.0 { (50.0, 0.0) } else { (20.0, 0.9) });
    target.end = s(325);
    let (at, pattern) = broke(&target, &terms());
    assert_eq!(pattern, Pattern::Cliff);
    assert!((140.0..160.0).contains(&at.vus), "{at:?}");
}

#[test]
fn a_run_that_is_too_short_cannot_be_judged() {
    let target = Target::new(1, 4).serve(100.0, |_| (10.0, 0.0));
    assert!(matches!(find(&target.course(), &terms()).0, Finding::Unknown(why) if why.contains("needed")));
    let empty = Target::new(1, 100);
    assert!(matches!(find(&empty.course(), &terms()).0, Finding::Unknown(_)));
}

#[test]
fn the_scalability_law_is_fitted_to_what_was_seen() {
    // λ = 20, α = 0.02, β = 0.0001: the peak is at 99 VUs.
    let yields = |vus: f64| 20.0 * vus / (1.0 + 0.02 * (vus - 1.0) + 0.0001 * vus * (vus - 1.0));
    let target = closed(1, 0.0, |vus| (vus / yields(vus) * 1e3, 0.0));
    let (_, scaling) = find(&target.course(), &Terms { limit: 1e6, ..terms() });
    let scaling = scaling.unwrap();
    let peak = scaling.law.peak().unwrap();
    assert!((90.0..110.0).contains(&peak), "{peak}");
    assert!(scaling.peak.unwrap().contains(peak), "{:?}", scaling.peak);
    let one = scaling.capacity(None).unwrap();
    assert_eq!(one.needed_for(500.0), Some(6));
    let broken = scaling.capacity(Some(Load { rate: 1.0, vus: 50.0 })).unwrap();
    assert_eq!(broken, Capacity { carries: 50.0 });
}

#[test]
fn capacity_lasts_until_growth_fills_it() {
    let one = Capacity { carries: 100.0 };
    assert_eq!((one.needed_for(500.0), one.needed_for(501.0), one.needed_for(1.0)), (Some(5), Some(6), Some(1)));
    assert_eq!(Capacity { carries: 0.0 }.needed_for(1.0), None);
    // Twice as much at 20 % a quarter: ln 2 / ln 1.2 quarters.
    assert!((one.months(50.0, 0.2).unwrap() - 11.405).abs() < 0.01);
    assert_eq!((one.months(200.0, 0.2), one.months(50.0, 0.0)), (Some(0.0), None));
}
