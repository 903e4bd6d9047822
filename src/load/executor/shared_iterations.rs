//! `shared-iterations`: all VUs, of all workers, take from one number of iterations, the
//! fast ones more. What is left at `maxDuration` is dropped.

use super::closed::iterate_while;
use super::crew::{Attempt, Crew, MakeVu, OwnEnd};
use crate::load::schedule::Stripes;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The iterations that all workers of this machine take from.
#[derive(Debug)]
pub(crate) struct SharedIterations {
    /// This machine's among those of the scenario.
    part: Stripes,
    total: u64,
    taken: AtomicU64,
    /// Taken by a VU that could not start them.
    returned: AtomicU64,
    /// Workers that still play.
    workers: AtomicUsize,
}

impl SharedIterations {
    pub(crate) fn new(part: Stripes, iterations: u64, workers: usize) -> Arc<Self> {
        let total = part.count(iterations);
        Arc::new(Self {
            part,
            total,
            taken: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            workers: AtomicUsize::new(workers),
        })
    }

    /// The number of the next iteration; none where all are taken.
    fn take(&self) -> Option<u64> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken < self.total { self.part.nth(taken) } else { None }
    }

    /// A worker is through. The last one learns how many nobody started.
    fn leave(&self) -> u64 {
        if self.workers.fetch_sub(1, Ordering::AcqRel) > 1 {
            return 0;
        }
        let taken = self.taken.load(Ordering::Relaxed).min(self.total);
        self.total - taken + self.returned.load(Ordering::Relaxed)
    }
}

pub(super) async fn run<M: MakeVu>(
    crew: &Rc<Crew<M>>,
    shared: &Arc<SharedIterations>,
    vus: u32,
    end: Option<Instant>,
    begun: bool,
) {
    let mut tasks = JoinSet::new();
    for _ in 0..if begun { crew.part.count(u64::from(vus)) } else { 0 } {
        let (crew, shared) = (Rc::clone(crew), Arc::clone(shared));
        tasks.spawn_local(async move {
            let _active = crew.active();
            let seat = crew.curtain.seat();
            if let Some(mut vu) = crew.make(seat).await {
                let last =
                    iterate_while(&crew, &mut vu, seat, Instant::now(), end, &mut OwnEnd::Never, || shared.take())
                        .await;
                if last == Attempt::NotStarted {
                    shared.returned.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    crew.join(tasks).await;
    let left = shared.leave();
    // As in k6, a run that is stopped drops nothing: nobody will ask for the rest.
    if left > 0 && end.is_some_and(|end| crew.over(end)) {
        crew.left_over(left);
    }
}
