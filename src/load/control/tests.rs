//! Who holds the load, and who does not override whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::measure::Probe;
use tokio::time::advance;

fn control() -> Control {
    Control::new(&LoadPlan { scenarios: Vec::new(), segment: crate::load::Segment::whole() })
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_load_goes_on_when_the_last_one_lets_go() {
    let control = control();
    control.begin(Instant::now());
    assert!(control.hold(HeldBy::StopFile, "a file"));
    advance(SECOND).await;
    assert!(control.hold(HeldBy::Target, "wait") && !control.hold(HeldBy::Target, "wait longer"));
    assert_eq!(control.holds()[1], (HeldBy::Target, "wait longer".to_owned()));
    control.pause().unwrap();
    assert_eq!(control.pause(), Err(ControlError::AlreadyPaused));
    assert_eq!(control.resume(), Ok(()), "the operator's own");
    assert_eq!(control.resume(), Err(ControlError::HeldByGuard));
    advance(SECOND).await;
    assert!(control.release(HeldBy::StopFile) && !control.release(HeldBy::StopFile));
    assert!(control.is_paused() && !control.gate().is_open());
    advance(SECOND).await;
    assert!(control.release(HeldBy::Target));
    assert!(!control.is_paused() && control.gate().is_open());
    assert_eq!(control.paused_for(Instant::now()), 3 * SECOND);
    assert_eq!(control.resume(), Err(ControlError::NotPaused));
    let lasted: Vec<_> = control.history().into_iter().map(|(_, held)| (held.times, held.lasted)).collect();
    assert_eq!(lasted, [(1, Duration::ZERO), (1, 2 * SECOND), (1, 2 * SECOND)]);
}

#[tokio::test(start_paused = true)]
async fn an_operators_pause_leaves_the_gate_open() {
    let control = control();
    control.pause().unwrap();
    assert!(control.is_paused() && control.gate().is_open());
    control.hold(HeldBy::Budget, "used up");
    assert!(!control.gate().is_open());
    control.release(HeldBy::Budget);
    assert!(control.is_paused() && control.gate().is_open());
}

#[tokio::test(start_paused = true)]
async fn the_schedule_runs_for_a_probe_and_only_while_nobody_else_holds_it() {
    let control = control();
    control.begin(Instant::now());
    control.hold(HeldBy::Condition, "failures");
    advance(SECOND).await;
    control.gate().offer();
    control.probe(true);
    let pause = control.listen().current().pause;
    assert_eq!((pause.since, pause.shift, pause.barred.is_some()), (None, SECOND, true));
    control.hold(HeldBy::StopFile, "a file");
    assert!(control.listen().current().pause.since.is_some());
    assert_eq!(control.gate().probe(), Probe::None, "called back");
    control.release(HeldBy::StopFile);
    assert!(control.listen().current().pause.since.is_some(), "and not sent out again by itself");
    control.release(HeldBy::Condition);
    assert!(control.listen().current().pause.since.is_none());
}
