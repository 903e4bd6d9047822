//! The loop of a VU in a closed model: one iteration after the other.

use super::crew::{Attempt, Crew, MakeVu};
use super::curtain::{Phase, Seat};
use crate::measure::Arrival;
use std::pin::Pin;
use tokio::time::{Instant, Sleep};

/// Iterates until `next` has no number left, `end`, or the scenario's end. An iteration is due
/// when the one before it ended. The first one is due at `due`: when its VU is there, for a closed model has no schedule
/// that it could miss. A thousand VUs that are wanted at one instant come one after the other, here as in k6; were
/// they all due at that instant, such a start alone would count as lag. Says how the last attempt went.
pub(super) async fn iterate_while<M: MakeVu>(
    crew: &Crew<M>,
    vu: &mut M::Vu,
    seat: Seat,
    mut due: Instant,
    end: Option<Instant>,
    mut cut_at: Option<Pin<&mut Sleep>>,
    mut next: impl FnMut() -> Option<u64>,
) -> Attempt {
    // `due` is the time at which the last iteration ended: no need to ask the clock again.
    while crew.curtain.phase() == Phase::Open && end.is_none_or(|end| due < end) {
        let Some(number) = next() else { break };
        let arrival = Arrival { due, number };
        match crew.iterate(vu, seat, arrival, cut_at.as_mut().map(Pin::as_mut), Phase::Over).await {
            Attempt::Finished(ended) => due = ended,
            over => return over,
        }
        // A target that fails at once never makes the task wait: it must let timers and signals in.
        tokio::task::coop::consume_budget().await;
    }
    Attempt::Finished(due)
}
