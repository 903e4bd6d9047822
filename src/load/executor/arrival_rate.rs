//! `constant-arrival-rate` and `ramping-arrival-rate`: iterations start when they are due,
//! whatever became of those before. One that finds no VU is dropped, and never made up.
//!
//! k6 drops the arrival that finds no free VU even below `maxVUs`, and makes the VU in the
//! background for later ones, because its VUs take long to make. Here they do not: the VU is
//! made at once and that arrival is its first.

use super::crew::{Attempt, Crew, MakeVu};
use super::curtain::{Phase, Seat};
use crate::load::pacer::Pacer;
use crate::load::plan::ArrivalRate;
use crate::load::schedule::ArrivalSchedule;
use crate::measure::Arrival;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The VUs that wait for an arrival, and the arrivals that were handed to them.
#[derive(Debug, Default)]
struct Pool {
    /// First in, first out: it spreads the load over users, as k6 does.
    free: RefCell<VecDeque<Rc<Desk>>>,
    closed: Cell<bool>,
}

/// Where one VU finds its next arrival.
#[derive(Debug)]
struct Desk {
    seat: Seat,
    arrival: Cell<Option<Arrival>>,
}

pub(super) async fn run<M: MakeVu>(crew: &Rc<Crew<M>>, open: &ArrivalRate, start: Instant, pacer: &Pacer) {
    let most = crew.part.count(u64::from(open.max));
    let planned = crew.part.count(u64::from(open.pre_allocated));
    let part = crew.part.by_seats(u64::from(open.max));
    let mut schedule = ArrivalSchedule::new(open.intensity.clone(), open.spacing, part).map(|due| start + due.offset);
    let (pool, mut tasks, mut made) = (Rc::new(Pool::default()), JoinSet::new(), 0);
    let seat = crew.curtain.seat();
    let mut pause = pacer.pause(start);
    let mut missed = None;
    for due in schedule.by_ref() {
        if !wait_for(crew, seat, &mut pause, due).await {
            missed = Some(due);
            break;
        }
        let free = pool.free.borrow_mut().pop_front();
        if let Some(desk) = free {
            desk.arrival.set(Some(Arrival { due, number: crew.number() }));
            crew.curtain.wake(desk.seat);
        } else if made < most {
            made += 1;
            if made > planned {
                crew.tally.made.add(1);
            }
            let desk = Rc::new(Desk {
                seat: crew.curtain.seat(),
                arrival: Cell::new(Some(Arrival { due, number: crew.number() })),
            });
            tasks.spawn_local(play(Rc::clone(crew), Rc::clone(&pool), desk));
        } else {
            crew.dropped(due);
        }
    }
    // Stopped: what had come due by then, and was not started, could not start.
    let now = Instant::now();
    for due in missed.into_iter().chain(schedule).take_while(|due| missed.is_some() && *due < now) {
        crew.dropped(due);
        tokio::task::coop::consume_budget().await;
    }
    if open.to_the_end && missed.is_none() {
        crew.until(seat, Phase::Over, None, pin!(pending::<()>())).await;
    }
    pool.closed.set(true);
    crew.curtain.wake_all();
    crew.join(tasks).await;
}

/// Waits until `due`; false where the scenario is stopped first. That its time is over is no
/// reason to give up: what was due before that and is late still starts.
async fn wait_for<M: MakeVu>(crew: &Crew<M>, seat: Seat, pause: &mut crate::load::pacer::Pause, due: Instant) -> bool {
    if crew.curtain.phase() >= Phase::Stopped {
        return false;
    }
    if Instant::now() >= due {
        // Behind: VUs, timers and signals must have their turn all the same.
        tokio::task::coop::consume_budget().await;
        return true;
    }
    pause.reset(due);
    crew.until(seat, Phase::Stopped, None, Pin::new(pause)).await.is_some()
}

/// One VU: iterates whenever it is handed an arrival.
async fn play<M: MakeVu>(crew: Rc<Crew<M>>, pool: Rc<Pool>, desk: Rc<Desk>) {
    let mut kept = None;
    while let Some(arrival) = next_arrival(&crew, &pool, &desk).await {
        let _active = crew.active();
        let vu = match kept.take() {
            Some(vu) => Some(vu),
            None => crew.make(desk.seat).await,
        };
        let attempt = match vu {
            Some(mut vu) => {
                let attempt = crew.iterate(&mut vu, desk.seat, arrival, None, Phase::Cut).await;
                kept = Some(vu);
                attempt
            }
            None => Attempt::NotStarted,
        };
        match attempt {
            Attempt::Finished(_) => pool.free.borrow_mut().push_back(Rc::clone(&desk)),
            Attempt::NotStarted => return crew.dropped(arrival.due),
            Attempt::CutOff => return,
        }
    }
}

/// The arrival that was put on the desk; none once no more will come.
async fn next_arrival<M: MakeVu>(crew: &Crew<M>, pool: &Pool, desk: &Desk) -> Option<Arrival> {
    poll_fn(|cx| {
        if let Some(arrival) = desk.arrival.take() {
            return Poll::Ready(Some(arrival));
        }
        if pool.closed.get() {
            return Poll::Ready(None);
        }
        crew.curtain.listen(desk.seat, cx.waker());
        Poll::Pending
    })
    .await
}
