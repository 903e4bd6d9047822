//! Ends a run before its time, in two steps.

use std::fmt;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Stops the load of a run, from any thread. Clones stop the same run.
#[derive(Clone)]
pub struct Stop(watch::Sender<State>);

/// How far a run has been stopped. It only ever moves down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It runs.
    Running,
    /// No iteration starts; those that run may finish, for at most [`Stop::DRAIN`] and their `gracefulStop`.
    Draining {
        /// Since when.
        since: Instant,
    },
    /// What still runs is cut off.
    Now,
}

/// Who stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopReason {
    /// SIGINT or SIGTERM.
    Signal,
    /// A threshold with `abortOnFail`.
    Threshold,
    /// The control API.
    Control,
    /// The run's lease was lost: another may begin to delete what it makes.
    Lease,
    /// The load itself could not go on: the error is in the result of `join`.
    Failure,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    reason: Option<StopReason>,
    /// When it was stopped first.
    at: Option<Instant>,
}

/// What a worker keeps to hear of it.
#[derive(Clone, Debug)]
pub(crate) struct StopListener(watch::Receiver<State>);

// === impl Stop ===

impl Stop {
    /// The longest that running iterations may go on once a run is stopped.
    pub const DRAIN: Duration = Duration::from_secs(5);

    /// A run that nobody has stopped.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(State { phase: Phase::Running, reason: None, at: None }))
    }

    /// Starts no new iterations and lets those that run finish.
    pub fn drain(&self, reason: StopReason) {
        self.go_to(Phase::Draining { since: Instant::now() }, reason);
    }

    /// Cuts off what runs.
    pub fn now(&self, reason: StopReason) {
        self.go_to(Phase::Now, reason);
    }

    /// How far it has been stopped.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.borrow().phase
    }

    /// Who stopped it first.
    #[must_use]
    pub fn reason(&self) -> Option<StopReason> {
        self.0.borrow().reason
    }

    /// When it was stopped first.
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        self.0.borrow().at
    }

    /// Waits until it is stopped.
    pub async fn stopped(&self) {
        StopListener(self.0.subscribe()).stopped().await;
    }

    pub(crate) fn listen(&self) -> StopListener {
        StopListener(self.0.subscribe())
    }

    fn go_to(&self, phase: Phase, reason: StopReason) {
        self.0.send_if_modified(|state| {
            let further = match (state.phase, phase) {
                (Phase::Running, _) => phase != Phase::Running,
                (Phase::Draining { .. }, Phase::Now) => true,
                _ => false,
            };
            if further {
                state.phase = phase;
                state.reason.get_or_insert(reason);
                state.at.get_or_insert_with(Instant::now);
            }
            further
        });
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.phase()).field(&self.reason()).finish()
    }
}

// === impl StopListener ===

impl StopListener {
    pub(crate) fn phase(&self) -> Phase {
        self.0.borrow().phase
    }

    /// Waits until the run is stopped; for ever where every [`Stop`] has gone.
    pub(crate) async fn stopped(&mut self) {
        if self.0.wait_for(|state| state.phase != Phase::Running).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the run is to end at once.
    pub(crate) async fn cut(&mut self) {
        if self.0.wait_for(|state| state.phase == Phase::Now).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_only_moves_on_and_keeps_the_first_reason() {
        let stop = Stop::new();
        assert_eq!((stop.phase(), stop.reason()), (Phase::Running, None));
        stop.drain(StopReason::Signal);
        let draining = stop.phase();
        assert!(matches!(draining, Phase::Draining { .. }));
        tokio::time::advance(Duration::from_secs(1)).await;
        stop.drain(StopReason::Control);
        assert_eq!(stop.phase(), draining);
        stop.clone().now(StopReason::Threshold);
        stop.drain(StopReason::Control);
        assert_eq!((stop.phase(), stop.reason()), (Phase::Now, Some(StopReason::Signal)));
        stop.stopped().await;
    }
}
