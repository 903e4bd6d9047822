//! What an operator does while the executors play: scale, pause, resume.

use super::*;
use crate::load::control::ControlError;

// === externally-controlled ===

fn external(vus: u32, max: u32, duration: u64) -> Scenario {
    scenario(Executor::ExternallyControlled {
        vus: Spanned::nowhere(vus),
        max_vus: Spanned::nowhere(max),
        duration: Some(secs(duration)),
    })
}

/// VUs at work, and VUs made beyond the planned ones, of the first scenario.
fn vus_now(progress: &Progress) -> (u64, u64) {
    let counts = progress.scenarios(Instant::now())[0];
    (counts.active_vus, counts.made_vus)
}

#[test]
fn externally_controlled_vus_iterate_for_their_duration_and_are_cut_off_at_its_end() {
    let played = play(&[external(2, 5, 1)], |_, _| 400);
    assert_eq!(played.starts(), [0, 0, 400, 400, 800, 800]);
    assert_eq!((played.counts(), played.ended), ((4, 2, 0), 1000));
    assert_eq!((played.made.as_slice(), played.counts[0].made_vus), ([1, 2].as_slice(), 0));
}

#[test]
fn a_duration_of_zero_is_until_it_is_stopped() {
    let plan = plan(&[external(1, 1, 0)], &Segment::whole());
    assert_eq!(plan.duration(), None);
    // One VU now, any number later: every worker is of use.
    assert!(plan.useful_workers() > 1000);
    let played = play_with(
        &plan,
        1,
        |_, _| 1000,
        false,
        async |stop| {
            sleep(secs(5000)).await;
            stop.drain(StopReason::Control);
        },
    );
    assert_eq!((played.counts().0, played.ended), (5000, 5_000_000));
}

#[test]
fn vus_are_scaled_live_on_every_worker() {
    for workers in [1, 3] {
        let plan = plan(&[external(2, 5, 10)], &Segment::whole());
        let played = steer(
            &plan,
            workers,
            |_, _| 1000,
            false,
            async |_, control, progress| {
                sleep(Duration::from_millis(1500)).await;
                assert_eq!(vus_now(&progress), (2, 0));
                control.scale(Some(4), None).unwrap();
                sleep(Duration::from_millis(1)).await;
                assert_eq!(vus_now(&progress), (4, 0));
                // More than there were: they are made.
                control.scale(Some(7), Some(8)).unwrap();
                sleep(Duration::from_millis(2000)).await;
                assert_eq!(vus_now(&progress), (7, 3));
                control.scale(Some(1), Some(6)).unwrap();
                sleep(Duration::from_millis(1)).await;
                assert_eq!(vus_now(&progress), (1, 1));
                sleep(secs(2)).await;
                control.scale(Some(0), None).unwrap();
                sleep(secs(1)).await;
                assert_eq!(vus_now(&progress), (0, 1));
                control.scale(Some(3), None).unwrap();
            },
        );
        // Those scaled down were cut off, and the three that run at the end.
        assert_eq!((played.counts().1, played.ended), (6 + 1 + 3, 10_000), "{workers} workers");
        assert!(played.calls.iter().all(|call| call.due.abs_diff(call.started) <= 1), "{:?}", played.calls);
    }
}

#[test]
fn orders_that_cannot_be_are_refused_as_by_k6_and_change_nothing() {
    let plan_of = |scenario| plan(&[scenario], &Segment::whole());
    let control = Control::new(&plan_of(external(2, 5, 10)));
    let refused = |vus, max| control.scale(vus, max).unwrap_err().to_string();
    assert_eq!(
        refused(Some(9), None),
        "invalid configuration supplied: the number of active VUs (9) must be less than or equal to the number of maxVUs (5)"
    );
    assert_eq!(
        refused(None, Some(4)),
        "the new number of max VUs cannot be lower than the starting number of max VUs (5)"
    );
    assert!(refused(None, Some(1_000_001)).contains("1000000"));
    assert_eq!(control.scaled_to().map(|scale| (scale.vus, scale.max_vus)), Some((2, 5)));
    assert_eq!(control.resume(), Err(ControlError::NotPaused));
    assert_eq!((control.pause(), control.pause()), (Ok(()), Err(ControlError::AlreadyPaused)));
    let other = Control::new(&plan_of(constant(1, 1)));
    assert_eq!(other.scale(Some(1), None), Err(ControlError::NotExternallyControlled));
}

#[test]
fn vus_can_be_scaled_before_the_start_and_during_a_pause() {
    let plan = plan(&[external(0, 4, 4)], &Segment::whole());
    let played = steer(
        &plan,
        2,
        |_, _| 1000,
        false,
        async |_, control, progress| {
            control.pause().unwrap();
            control.scale(Some(3), None).unwrap();
            sleep(secs(2)).await;
            assert_eq!(vus_now(&progress), (0, 0));
            control.resume().unwrap();
            sleep(Duration::from_millis(500)).await;
            assert_eq!(vus_now(&progress), (3, 0));
        },
    );
    // The pause is no part of the four seconds.
    assert_eq!(played.ended, 6000);
    assert_eq!(played.calls.iter().map(|call| call.started).min(), Some(2000));
}

// === pause and resume ===

/// Pauses at so many milliseconds, for so many.
fn paused(plan: &LoadPlan, workers: usize, takes: u64, at: u64, pause: u64) -> Play {
    steer(
        plan,
        workers,
        move |_, _| takes,
        false,
        async move |_, control, progress| {
            sleep(Duration::from_millis(at)).await;
            control.pause().unwrap();
            // What runs may finish.
            sleep(Duration::from_millis(takes + 1)).await;
            assert!(
                progress.scenarios(Instant::now()).iter().all(|counts| counts.active_vus == 0),
                "at work in a pause"
            );
            sleep(Duration::from_millis(pause - takes - 1)).await;
            control.resume().unwrap();
        },
    )
}

#[test]
fn a_pause_moves_an_open_schedule_and_drops_nothing() {
    for workers in [1, 2] {
        let plan = plan(&[arrivals(4.0, 2, 10, 10, Arrivals::Constant)], &Segment::whole());
        let played = paused(&plan, workers, 100, 600, 10_000);
        let later = |due: u64| if due > 600 { due + 10_000 } else { due };
        let wanted: Vec<u64> = (0..8).map(|n| later(250 * n)).collect();
        assert_eq!(played.starts(), wanted);
        assert!(played.calls.iter().all(|call| call.due == call.started));
        assert_eq!((played.counts(), played.ended), ((8, 0, 0), 12_000));
    }
}

#[test]
fn a_pause_holds_closed_vus_between_iterations_and_adds_its_length_to_the_end() {
    let plan = plan(&[constant(2, 2), per_vu(1, 4, 600), shared(1, 4, 600)], &Segment::whole());
    let played = paused(&plan, 1, 500, 700, 5000);
    // The second iterations run on to 1.0 s; the third begin when the pause is over, and are due then.
    for scenario in 0..3 {
        let calls = played.calls.iter().filter(|call| call.scenario == scenario && call.vu != 2).take(4);
        assert_eq!(
            calls.map(|call| (call.due, call.started)).collect::<Vec<_>>(),
            [(0, 0), (500, 500), (5700, 5700), (6200, 6200)],
            "scenario {scenario}"
        );
    }
    // 0.7 s of the two are over when it is paused: 1.3 s are left, and the third of each VU of the first ends at 6.7 s.
    assert_eq!(played.counts[0].completed, 2 * 5);
}

#[test]
fn a_pause_moves_ramps_and_the_cut_of_those_that_leave() {
    // One of two VUs leaves at 1 s and is cut off 1 s later; the pause comes in between.
    let plan = plan(&[ramping(2, &[(1, 2.0), (0, 1.0), (3, 1.0)], 1)], &Segment::whole());
    let played = steer(
        &plan,
        1,
        |_, _| 2500,
        false,
        async |_, control, _| {
            sleep(Duration::from_millis(1500)).await;
            control.pause().unwrap();
            sleep(secs(3)).await;
            control.resume().unwrap();
        },
    );
    // It ends by itself at 2.5 s: without the pause it would have been cut off at 2 s.
    assert_eq!((played.counts(), played.ended), ((3, 0, 0), 7000));
}

#[test]
fn a_pause_before_the_start_moves_all_of_it() {
    let mut late = constant(1, 1);
    late.start_time = secs(2);
    let plan = plan(&[arrivals(2.0, 1, 2, 2, Arrivals::Constant), late], &Segment::whole());
    let played = steer(
        &plan,
        1,
        |_, _| 500,
        false,
        async |_, control, _| {
            control.pause().unwrap();
            sleep(secs(10)).await;
            control.resume().unwrap();
            sleep(Duration::from_millis(1500)).await;
            control.pause().unwrap();
            sleep(secs(5)).await;
            control.resume().unwrap();
        },
    );
    assert_eq!(played.starts(), [10_000, 10_500, 17_000, 17_500]);
    assert_eq!((played.counts(), played.ended), ((2, 0, 0), 18_000));
}

#[test]
fn a_run_that_is_stopped_in_a_pause_ends_and_drops_nothing() {
    let plan = plan(
        &[
            constant(2, 60),
            arrivals(10.0, 60, 9, 9, Arrivals::Constant),
            external(1, 1, 60),
            ramping(1, &[(60, 9.0)], 30),
        ],
        &Segment::whole(),
    );
    let played = steer(
        &plan,
        1,
        |_, _| 100,
        false,
        async |stop, control, _| {
            sleep(Duration::from_millis(950)).await;
            control.pause().unwrap();
            sleep(secs(20)).await;
            stop.drain(StopReason::Control);
        },
    );
    assert_eq!(played.ended, 20_950);
    assert!(played.counts.iter().all(|counts| counts.dropped == 0 && counts.cut_off == 0), "{:?}", played.counts);
    assert_eq!(played.counts[1].completed, 10);
}
