//! What of the guard the workflow must know: the gate, to say when an iteration is over and to leave out what it held;
//! and the purse, from which a request's cost is reserved before it is sent.

use super::answer::Answer;
use super::program::Program;
use super::step::Step;
use crate::measure::{Cost, FailureKind, Gate, MetricId, Purse, Reserved};
use crate::semconv::TraceId;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// What holds a program's requests back. Nothing, unless the run says so before its first request.
#[derive(Debug, Default)]
pub(crate) struct Restraint(OnceLock<Restraints>);

#[derive(Debug)]
struct Restraints {
    gate: Gate,
    /// The metrics that have a budget, in the order of the budgets.
    budgets: Vec<MetricId>,
    purse: Option<Arc<dyn Purse>>,
}

/// What was reserved for one request. Dropped, all that is not settled counts as spent.
pub(crate) struct Reservations<'a> {
    purse: Option<&'a dyn Purse>,
    held: Vec<Reservation>,
}

struct Reservation {
    metric: MetricId,
    budget: usize,
    reserved: Reserved,
    cost: Cost,
}

// === impl Program ===

impl Program {
    /// Says which gate its requests pass, and from which purse they are paid, by metric. For once, before anything is
    /// sent.
    pub fn restrain(&self, gate: Gate, budgets: Vec<MetricId>, purse: Option<Arc<dyn Purse>>) {
        // A second one would be another run's; the first one stays.
        let _ = self.restraint.0.set(Restraints { gate, budgets, purse });
    }
}

// === impl Restraint ===

impl Restraint {
    /// The iteration of this trace is over.
    pub(crate) fn leave(&self, trace: TraceId) {
        if let Some(Restraints { gate, .. }) = self.0.get() {
            gate.leave(trace);
        }
    }

    /// How much of the time since `since` the gate, if it is closed now, has held up: of what is cut off meanwhile.
    pub(crate) fn held_since(&self, since: Instant, now: Instant) -> Duration {
        let closed = self.0.get().and_then(|restraints| restraints.gate.closed_since());
        closed.map_or(Duration::ZERO, |closed| now.saturating_duration_since(closed.max(since)))
    }

    /// Reserves what a step may cost, one budget after the other, each in the same order for all. Waits until it is to
    /// be had.
    pub(crate) async fn reserve(&self, step: &Step) -> Reservations<'_> {
        let restraints = self.0.get().filter(|_| !step.metrics.is_empty());
        let Some((restraints, purse)) = restraints.and_then(|it| Some((it, it.purse.as_deref()?))) else {
            return Reservations { purse: None, held: Vec::new() };
        };
        let mut reservations = Reservations { purse: Some(purse), held: Vec::new() };
        for (budget, metric) in restraints.budgets.iter().enumerate() {
            if step.metrics.iter().any(|known| known.id() == *metric) {
                let reserved = purse.reserve(budget).await;
                reservations.held.push(Reservation { metric: *metric, budget, reserved, cost: Cost::Unknown });
            }
        }
        reservations
    }
}

// === impl Reservations ===

impl Reservations<'_> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// A metric has this figure. Of several the sum counts.
    pub(crate) fn costs(&mut self, metric: MetricId, figure: f64) {
        for reservation in self.held.iter_mut().filter(|reservation| reservation.metric == metric) {
            let before = if let Cost::Figure(before) = reservation.cost { before } else { 0.0 };
            reservation.cost = Cost::Figure(before + figure);
        }
    }

    /// The answer is here. One that was never asked for, or that the target turned away, has cost nothing.
    pub(crate) fn answered(&mut self, answer: &Answer) {
        let unsent = matches!(
            answer.failure,
            Some(
                FailureKind::Refused
                    | FailureKind::Dns
                    | FailureKind::Connect
                    | FailureKind::Tls
                    | FailureKind::Forbidden
                    | FailureKind::InvalidRequest
            )
        );
        if (unsent && answer.hops.is_empty()) || answer.is_shed() {
            self.unsent();
        }
    }

    /// It was never sent.
    pub(crate) fn unsent(&mut self) {
        for reservation in self.held.iter_mut().filter(|reservation| reservation.cost == Cost::Unknown) {
            reservation.cost = Cost::Nothing;
        }
    }
}

impl Drop for Reservations<'_> {
    fn drop(&mut self) {
        if let Some(purse) = self.purse {
            for Reservation { budget, reserved, cost, .. } in self.held.drain(..) {
                purse.settle(budget, reserved, cost);
            }
        }
    }
}
