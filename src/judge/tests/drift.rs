//! Soaks with a known slope.

use super::{Target, s};
use crate::judge::drift::{Finding, Terms, find};
use crate::stats::series;
use std::time::Duration;

fn terms() -> Terms {
    Terms { held: Duration::ZERO..Duration::MAX, per_hour: 0.05, share: false }
}

/// A soak of so many seconds at one request a second (or more), its level wandering by `noise` from minute to minute.
fn soak(seed: u64, lasts: u64, rate: f64, noise: f64, level: impl Fn(f64) -> f64) -> Target {
    let part = lasts as f64 / 120.0;
    let wander = series::ar1(121, 0.5, seed);
    Target::new(seed, lasts).serve(rate, |at| (level(at) * (1.0 + noise * wander[(at / part) as usize]), 0.0))
}

fn rises(target: &Target) -> bool {
    matches!(find(&target.course(), &terms()), Finding::Slope { rises: true, .. })
}

fn share_of(runs: u64, rising: impl Fn(u64) -> Target) -> f64 {
    (0..runs).filter(|seed| rises(&rising(*seed))).count() as f64 / runs as f64
}

#[test]
fn a_stable_target_is_seldom_called_drifting() {
    let two_hours = share_of(100, |seed| soak(seed, 7200, 1.0, 0.05, |_| 200.0));
    assert!(two_hours <= 0.05, "{two_hours}");
    let noisy = share_of(100, |seed| soak(seed, 7200, 1.0, 0.3, |_| 200.0));
    assert!(noisy <= 0.05, "{noisy}");
    let half_a_minute = share_of(100, |seed| soak(seed, 30, 100.0, 0.1, |_| 50.0));
    assert!(half_a_minute <= 0.05, "{half_a_minute}");
}

#[test]
fn a_leak_is_found() {
    let found = share_of(50, |seed| soak(seed, 7200, 1.0, 0.05, |at| 200.0 * (1.0 + 0.15 * at / 3600.0)));
    assert!(found >= 0.9, "{found}");
    let fast = share_of(50, |seed| soak(seed, 30, 100.0, 0.1, |at| 20.0 + 100.0 * at / 30.0));
    assert!(fast >= 0.95, "{fast}");
}

#[test]
fn a_step_up_is_found() {
    let found = share_of(20, |seed| soak(seed, 7200, 1.0, 0.03, |at| if at < 3600.0 { 200.0 } else { 400.0 }));
    assert!(found >= 0.95, "{found}");
}

#[test]
fn its_slope_is_told_as_a_share_of_where_it_began() {
    let target = soak(1, 7200, 2.0, 0.02, |at| 200.0 * (1.0 + 0.25 * at / 3600.0));
    let Finding::Slope { per_hour, interval, rises, levels } = find(&target.course(), &terms()) else {
        panic!("a slope")
    };
    assert!((per_hour - 0.25).abs() < 0.04 && interval.contains(0.25) && rises, "{per_hour} {interval:?}");
    assert!((levels[1] / levels[0] - 1.5).abs() < 0.08, "{levels:?}");
}

#[test]
fn a_slope_that_is_allowed_and_a_falling_figure_pass() {
    assert!(share_of(20, |seed| soak(seed, 7200, 1.0, 0.02, |at| 200.0 * (1.0 + 0.01 * at / 3600.0))) <= 0.05);
    assert!(share_of(20, |seed| soak(seed, 7200, 1.0, 0.02, |at| 200.0 * (1.0 - 0.2 * at / 3600.0))) == 0.0);
}

#[test]
fn a_bad_minute_is_no_drift() {
    let bad = |at: f64| if (6900.0..6960.0).contains(&at) { 5000.0 } else { 200.0 };
    assert!(share_of(20, |seed| soak(seed, 7200, 1.0, 0.03, bad)) <= 0.05);
}

#[test]
fn only_the_time_for_which_the_load_is_held_counts() {
    // Slower as the load ramps up and down, flat between.
    let level = |at: f64| match at {
        at if at < 1800.0 => 100.0 + at / 18.0,
        at if at < 5400.0 => 200.0,
        _ => 400.0,
    };
    let target = soak(1, 7200, 1.0, 0.02, level);
    assert!(rises(&target));
    let held = Terms { held: s(1800)..s(5400), ..terms() };
    assert!(matches!(find(&target.course(), &held), Finding::Slope { rises: false, .. }));
}

#[test]
fn a_share_of_failures_that_rises_from_none_is_a_drift() {
    let target = Target::new(1, 3600).serve(3.0, |at| (20.0, 0.2 * at / 3600.0));
    let mut course = target.course();
    (course.figure, course.is_failed) = (&target.failed, true);
    course.stat = crate::measure::threshold::Aggregation::Rate;
    let share = Terms { share: true, ..terms() };
    let Finding::Slope { per_hour, rises, .. } = find(&course, &share) else { panic!("a slope") };
    assert!(rises && (per_hour - 0.2).abs() < 0.03, "{per_hour}");
    let never = Target::new(1, 3600).serve(3.0, |_| (20.0, 0.0));
    course.figure = &never.failed;
    assert!(matches!(find(&course, &share), Finding::Slope { rises: false, per_hour: 0.0, .. }));
}

#[test]
fn too_few_values_cannot_be_judged() {
    let target = Target::new(1, 600).serve(0.2, |_| (20.0, 0.0));
    assert!(matches!(find(&target.course(), &terms()), Finding::Unknown(why) if why.contains("needed")));
}
