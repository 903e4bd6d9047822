//! The loop of a VU in a closed model: one iteration after the other.

use super::crew::{Attempt, Crew, MakeVu, OwnEnd};
use super::curtain::{Phase, Seat};
use crate::measure::Arrival;
use tokio::time::Instant;

/// Iterates until `next` has no number left, `end`, or the scenario's end. An iteration is due
/// when the one before it ended. The first one is due at `due`: when its VU is there, for a closed model has no schedule
/// that it could miss. A thousand VUs that are wanted at one instant come one after the other, here as in k6; were
/// they all due at that instant, such a start alone would count as lag. After a pause the
/// next one is due when that is over. `end` is a planned time. Says how the last attempt went.
pub(super) async fn iterate_while<M: MakeVu>(
    crew: &Crew<M>,
    vu: &mut M::Vu,
    seat: Seat,
    mut due: Instant,
    end: Option<Instant>,
    own_end: &mut OwnEnd,
    mut next: impl FnMut() -> Option<u64>,
) -> Attempt {
    // `due` is the time at which the last iteration ended: no need to ask the clock again.
    loop {
        if crew.curtain.held().is_some() {
            if !crew.released(seat, Phase::Over).await {
                break;
            }
            due = due.max(crew.curtain.resumed().unwrap_or(due));
        }
        if crew.curtain.phase() != Phase::Open || end.is_some_and(|end| due >= crew.curtain.moved(end)) {
            break;
        }
        let Some(number) = next() else { break };
        let arrival = Arrival { due, number };
        match crew.iterate(vu, seat, arrival, own_end, Phase::Over).await {
            Attempt::Finished(ended) => due = ended,
            over => return over,
        }
        // A target that fails at once never makes the task wait: it must let timers and signals in.
        tokio::task::coop::consume_budget().await;
    }
    Attempt::Finished(due)
}
