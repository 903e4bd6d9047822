//! `per-vu-iterations`: each VU does so many iterations. What is left at `maxDuration` is dropped.

use super::closed::iterate_while;
use super::crew::{Attempt, Crew, MakeVu, OwnEnd};
use super::curtain::Phase;
use std::rc::Rc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) async fn run<M: MakeVu>(crew: &Rc<Crew<M>>, vus: u32, iterations: u64, end: Option<Instant>) {
    let mut tasks = JoinSet::new();
    for _ in 0..crew.part.count(u64::from(vus)) {
        let crew = Rc::clone(crew);
        tasks.spawn_local(async move {
            let active = crew.active();
            let seat = crew.curtain.seat();
            let Some(mut vu) = crew.make(seat).await else { return };
            let mut left = iterations;
            let next = || {
                left = left.checked_sub(1)?;
                Some(crew.number())
            };
            let last = iterate_while(&crew, &mut vu, seat, Instant::now(), end, &mut OwnEnd::Never, next).await;
            drop((vu, active));
            let left = left + u64::from(last == Attempt::NotStarted);
            // As in k6, a run that is stopped drops nothing: nobody will ask for the rest.
            if left > 0 && end.is_some_and(|end| crew.over(end)) {
                crew.left_over(left);
            }
        });
    }
    crew.join(tasks).await;
}

impl<M: MakeVu> Crew<M> {
    /// Whether the scenario ran out of time, rather than being stopped.
    pub(super) fn over(&self, end: Instant) -> bool {
        !self.stopped() && (self.curtain.phase() >= Phase::Over || self.curtain.has_come(end))
    }
}
