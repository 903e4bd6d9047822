//! The gate that every request passes: open, or closed while the guard holds the traffic.
//!
//! Open, it costs one look at a flag. Closed, requests wait before it, those of iterations that
//! have begun too. Half open, it lets the requests of one iteration through, whichever comes
//! first: the probe, by whose outcome it is decided whether the gate opens. Whoever closes and
//! opens it stands above; here nothing is decided.

use crate::semconv::TraceId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;

/// Whether requests may leave. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What `state` says, for those in a hurry.
    closed: AtomicBool,
    /// Requests that wait.
    waiting: AtomicUsize,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Since when it is closed; none where it is open.
    since: Option<Instant>,
    probe: Probe,
}

/// The one iteration that a closed gate lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// None.
    #[default]
    None,
    /// Whichever comes first.
    Offered,
    /// That of this trace is under way.
    UnderWay(TraceId),
    /// It is over.
    Over,
}

/// Counts a request that waits.
struct Waiting<'a>(&'a AtomicUsize);

// === impl Gate ===

impl Gate {
    /// An open one.
    #[must_use]
    pub fn new() -> Self {
        let (closed, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self(Arc::new(Inner { closed, waiting, state: watch::Sender::new(State::default()) }))
    }

    /// Whether it is open to everybody.
    #[must_use]
    pub fn is_open(&self) -> bool {
        // Acquire: who sees it open also sees what was settled before.
        !self.0.closed.load(Ordering::Acquire)
    }

    /// Since when it is closed; none where it is open.
    #[must_use]
    pub fn closed_since(&self) -> Option<Instant> {
        if self.is_open() { None } else { self.0.state.borrow().since }
    }

    /// How many requests wait before it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Whether a request of this trace may leave now.
    #[must_use]
    pub fn admits(&self, trace: Option<TraceId>) -> bool {
        self.is_open() || self.claims(trace)
    }

    /// Waits until a request of this trace may leave. Cancel safe.
    pub async fn pass(&self, trace: Option<TraceId>) {
        if self.admits(trace) {
            return;
        }
        let mut state = self.0.state.subscribe();
        let _waiting = Waiting::new(&self.0.waiting);
        loop {
            if state.borrow_and_update().since.is_none() || self.claims(trace) {
                return;
            }
            // The sender is at hand: it cannot have gone.
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        // The sender is at hand: it cannot have gone.
        let _ = self.0.state.subscribe().wait_for(|state| state.since.is_some()).await;
    }

    /// The iteration of this trace is over.
    pub fn leave(&self, trace: TraceId) {
        if !self.is_open() {
            self.change(|state| state.probe == Probe::UnderWay(trace), |state| state.probe = Probe::Over);
        }
    }

    /// Closes it from `at` on; one that is closed stays so since before.
    pub fn close(&self, at: Instant) {
        self.change(|state| state.since.is_none(), |state| *state = State { since: Some(at), probe: Probe::None });
    }

    /// Opens it.
    pub fn open(&self) {
        self.change(|state| state.since.is_some(), |state| *state = State::default());
    }

    /// Lets the next iteration that asks through, as the probe.
    pub fn offer(&self) {
        self.change(|state| state.since.is_some(), |state| state.probe = Probe::Offered);
    }

    /// Lets nobody through: a probe that is under way waits again.
    pub fn withdraw(&self) {
        self.change(|state| state.probe != Probe::None, |state| state.probe = Probe::None);
    }

    /// What became of the probe.
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.0.state.borrow().probe
    }

    /// Waits until the offer of a probe is taken, or called back.
    pub async fn taken(&self) {
        // The sender is at hand: it cannot have gone.
        let _ = self.0.state.subscribe().wait_for(|state| state.probe != Probe::Offered).await;
    }

    /// Whether this trace is the probe's, or becomes it.
    fn claims(&self, trace: Option<TraceId>) -> bool {
        let Some(trace) = trace else { return false };
        let mut claimed = false;
        self.0.state.send_if_modified(|state| match state.probe {
            Probe::Offered => {
                state.probe = Probe::UnderWay(trace);
                claimed = true;
                true
            }
            Probe::UnderWay(known) => {
                claimed = known == trace;
                false
            }
            Probe::None | Probe::Over => false,
        });
        claimed
    }

    fn change(&self, if_so: impl Fn(&State) -> bool, change: impl Fn(&mut State)) {
        self.0.state.send_if_modified(|state| {
            let applies = if_so(state);
            if applies {
                change(state);
                // Under the lock: the flag never says other than the state for longer than this.
                self.0.closed.store(state.since.is_some(), Ordering::Release);
            }
            applies
        });
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Waiting ===

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::semconv::RunId;
    use std::time::Duration;

    fn trace(n: u64) -> Option<TraceId> {
        Some(TraceId::of_run(RunId::new(7), n))
    }

    async fn passes(gate: &Gate, n: u64) -> bool {
        tokio::time::timeout(Duration::from_secs(1), gate.pass(trace(n))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_holds_all_until_it_opens() {
        let gate = Gate::new();
        assert!(passes(&gate, 1).await);
        let at = Instant::now();
        gate.close(at);
        gate.close(at + Duration::from_secs(5));
        assert_eq!(gate.closed_since(), Some(at));
        assert!(!passes(&gate, 1).await && gate.waiting() == 0);
        let waiting = gate.clone();
        let waiter = tokio::spawn(async move { waiting.pass(None).await });
        tokio::task::yield_now().await;
        assert_eq!(gate.waiting(), 1);
        gate.open();
        waiter.await.unwrap();
        assert!(gate.closed_since().is_none() && gate.waiting() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_iteration_is_the_probe_until_it_is_over() {
        let gate = Gate::new();
        gate.close(Instant::now());
        gate.offer();
        assert!(passes(&gate, 1).await && passes(&gate, 1).await, "all of its requests");
        assert!(!passes(&gate, 2).await);
        gate.leave(trace(2).unwrap());
        assert_eq!(gate.probe(), Probe::UnderWay(trace(1).unwrap()));
        gate.leave(trace(1).unwrap());
        assert_eq!(gate.probe(), Probe::Over);
        assert!(!passes(&gate, 1).await && !passes(&gate, 3).await);
        gate.offer();
        assert!(passes(&gate, 3).await);
        gate.withdraw();
        assert!(!passes(&gate, 3).await, "waits again");
        gate.open();
        gate.offer();
        assert_eq!(gate.probe(), Probe::None, "an open gate has none");
    }
}
