//! When a scenario ends on one worker, and who must hear of it.
//!
//! Nobody sleeps until the end by itself: an iteration that waits for its answer leaves its
//! waker here, once, and costs nothing more. One watcher moves the phase on and wakes all; it
//! also carries an operator's pause, which moves every planned time of the scenario.

use crate::load::control::{ControlListener, PauseState};
use crate::load::stop::{Phase as Stopped, Stop, StopListener};
use std::cell::{Cell, RefCell};
use std::task::Waker;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How far a scenario has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Iterations start.
    Open,
    /// Its time is over: no new ones. Those that run may finish.
    Over,
    /// It was stopped before its time: no new ones, not even those that were due.
    Stopped,
    /// What still runs is cut off.
    Cut,
}

/// The phase, and the wakers of those who wait.
#[derive(Debug)]
pub(super) struct Curtain {
    phase: Cell<Phase>,
    pause: Cell<PauseState>,
    wakers: RefCell<Vec<Option<Waker>>>,
}

/// A place at which a task leaves its waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat(usize);

impl Curtain {
    pub(super) const fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Open),
            pause: Cell::new(PauseState { since: None, shift: Duration::ZERO, resumed: None, barred: None }),
            wakers: RefCell::new(Vec::new()),
        }
    }

    pub(super) const fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Since when the scenario is held; none where it runs.
    pub(super) const fn held(&self) -> Option<Instant> {
        self.pause.get().since
    }

    /// Since when no request leaves, those of iterations that run neither.
    pub(super) const fn barred(&self) -> Option<Instant> {
        self.pause.get().barred
    }

    /// When the last pause ended.
    pub(super) const fn resumed(&self) -> Option<Instant> {
        self.pause.get().resumed
    }

    /// When a planned time is, after the pauses that are over.
    pub(super) fn moved(&self, planned: Instant) -> Instant {
        planned + self.pause.get().shift
    }

    /// Whether a planned time was there before the pause that lasts, or is there now.
    pub(super) fn has_come(&self, planned: Instant) -> bool {
        let at = self.moved(planned);
        // What falls on the instant of the pause falls into it: a run that starts paused starts nothing.
        at <= Instant::now() && self.held().is_none_or(|since| at < since)
    }

    /// Takes over what is wanted.
    pub(super) fn obey(&self, pause: PauseState) {
        if self.pause.replace(pause) != pause {
            self.wake_all();
        }
    }

    pub(super) fn seat(&self) -> Seat {
        let mut wakers = self.wakers.borrow_mut();
        wakers.push(None);
        Seat(wakers.len() - 1)
    }

    /// Has the waker called when the phase moves on, or by [`Curtain::wake`].
    pub(super) fn listen(&self, seat: Seat, waker: &Waker) {
        if let Some(place) = self.wakers.borrow_mut().get_mut(seat.0)
            && !place.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            *place = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self, seat: Seat) {
        if let Some(Some(waker)) = self.wakers.borrow().get(seat.0) {
            waker.wake_by_ref();
        }
    }

    /// Moves on; never back.
    pub(super) fn go_to(&self, phase: Phase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.wake_all();
        }
    }

    pub(super) fn wake_all(&self) {
        // A waker only puts a task into a queue: none of them comes back here while we hold the list.
        self.wakers.borrow().iter().flatten().for_each(Waker::wake_by_ref);
    }

    /// Moves the phase on as time, the operator and the stop signal say. Never ends by itself.
    pub(super) async fn watch(
        &self,
        end: Option<Instant>,
        graceful: Duration,
        mut stop: StopListener,
        control: ControlListener,
    ) {
        let mut orders = control.clone();
        let held = async {
            loop {
                self.obey(orders.current().pause);
                orders.changed().await;
            }
        };
        let over = async {
            match end {
                Some(end) => {
                    let end = reached(end, control).await;
                    self.go_to(Phase::Over);
                    sleep_until(end + graceful).await;
                    self.go_to(Phase::Cut);
                }
                None => std::future::pending().await,
            }
            std::future::pending::<()>().await;
        };
        let stopped = async {
            stop.stopped().await;
            self.go_to(Phase::Stopped);
            if let Stopped::Draining { since } = stop.phase() {
                tokio::select! {
                    () = stop.cut() => {}
                    () = sleep_until(since + graceful.min(Stop::DRAIN)) => {}
                }
            }
            self.go_to(Phase::Cut);
            std::future::pending::<()>().await;
        };
        tokio::join!(held, over, stopped);
    }
}

/// Waits until a planned time is there, however often it is moved. Answers when that was.
async fn reached(planned: Instant, mut control: ControlListener) -> Instant {
    loop {
        let PauseState { since, shift, .. } = control.current().pause;
        let there = async {
            match since {
                Some(_) => std::future::pending().await,
                None => sleep_until(planned + shift).await,
            }
        };
        tokio::select! {
            biased;
            () = there => return planned + shift,
            () = control.changed() => {}
        }
    }
}
