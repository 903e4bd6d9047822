//! `constant-arrival-rate` and `ramping-arrival-rate`: iterations start when they are due,
//! whatever became of those before. One that finds no VU is dropped, and never made up.
//!
//! k6 drops the arrival that finds no free VU even below `maxVUs`, and makes the VU in the
//! background for later ones, because its VUs take long to make. Here they do not: the VU is
//! made at once and that arrival is its first.

use super::backlog::Backlog;
use super::crew::{Attempt, Crew, MakeVu, OwnEnd, Place};
use super::curtain::{Phase, Seat};
use crate::load::pacer::{Pacer, Pause};
use crate::load::plan::ArrivalRate;
use crate::load::schedule::ArrivalSchedule;
use crate::measure::Arrival;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The VUs that wait for an arrival, and the arrivals that were handed to them.
#[derive(Debug, Default)]
struct Pool {
    /// First in, first out: it spreads the load over users, as k6 does.
    free: RefCell<VecDeque<Rc<Desk>>>,
    backlog: RefCell<Backlog>,
    closed: Cell<bool>,
}

/// Where one VU finds its next arrival.
#[derive(Debug)]
struct Desk {
    seat: Seat,
    arrival: Cell<Option<Placed>>,
}

/// An arrival with its place in the schedule; its own number counts those that started.
#[derive(Clone, Copy, Debug)]
struct Placed {
    arrival: Arrival,
    place: Place,
}

pub(super) async fn run<M: MakeVu>(crew: &Rc<Crew<M>>, open: &ArrivalRate, start: Instant, pacer: &Pacer) {
    let most = crew.part.count(u64::from(open.max));
    let planned = crew.part.count(u64::from(open.pre_allocated));
    let part = crew.part.by_seats(u64::from(open.max));
    let mut schedule = ArrivalSchedule::new(open.intensity.clone(), open.spacing, part);
    let (pool, mut tasks, mut made, mut scheduled) = (Rc::new(Pool::default()), JoinSet::new(), 0, 0);
    let seat = crew.curtain.seat();
    let mut pause = pacer.pause(start);
    let mut missed = None;
    for next in schedule.by_ref() {
        let Some(due) = wait_for(crew, seat, &mut pause, start + next.offset).await else {
            missed = Some(next);
            break;
        };
        scheduled += 1;
        let free = {
            let mut free = pool.free.borrow_mut();
            pool.backlog.borrow_mut().decides(due, Instant::now(), free.len() as u64 + (most - made), most);
            free.pop_front()
        };
        let place = Place { number: next.number, planned: start + next.offset };
        let placed = || Placed { arrival: Arrival { due, number: crew.number() }, place };
        if let Some(desk) = free {
            pool.backlog.borrow_mut().started();
            desk.arrival.set(Some(placed()));
            crew.curtain.wake(desk.seat);
        } else if made < most {
            made += 1;
            if made > planned {
                crew.tally.made.add(1);
            }
            pool.backlog.borrow_mut().started();
            let desk = Rc::new(Desk { seat: crew.curtain.seat(), arrival: Cell::new(Some(placed())) });
            tasks.spawn_local(play(Rc::clone(crew), Rc::clone(&pool), desk));
        } else if pool.backlog.borrow_mut().dropped() {
            crew.missed(due);
        } else {
            crew.dropped(due);
        }
    }
    // Stopped: what had come due by then, and was not started, could not start.
    let stopped = crew.stopped_at().unwrap_or_else(Instant::now);
    // What a pause kept from being due was not.
    let stopped = crew.curtain.held().map_or(stopped, |since| since.min(stopped));
    let dues = missed.into_iter().chain(schedule).map(|next| crew.curtain.moved(start + next.offset));
    for due in dues.take_while(|due| missed.is_some() && *due < stopped) {
        scheduled += 1;
        let idle = pool.free.borrow().len() as u64 + (most - made);
        pool.backlog.borrow_mut().decides(due, stopped, idle, most);
        if pool.backlog.borrow_mut().dropped() {
            crew.missed(due);
        } else {
            crew.dropped(due);
        }
        tokio::task::coop::consume_budget().await;
    }
    crew.recorder.iterations_scheduled(crew.scenario, scheduled);
    if open.to_the_end && missed.is_none() {
        crew.until(seat, Phase::Over, &mut OwnEnd::Never, pin!(pending::<()>())).await;
    }
    pool.closed.set(true);
    crew.curtain.wake_all();
    crew.join(tasks).await;
}

/// Waits until what is planned for `due` is due, and answers when that was; none where the scenario is
/// stopped first. That its time is over is no reason to give up: what was due before that and is late
/// still starts.
async fn wait_for<M: MakeVu>(crew: &Crew<M>, seat: Seat, pause: &mut Pause, due: Instant) -> Option<Instant> {
    if crew.curtain.phase() >= Phase::Stopped {
        return None;
    }
    if crew.curtain.has_come(due) {
        // Behind: VUs, timers and signals must have their turn all the same.
        tokio::task::coop::consume_budget().await;
        return Some(crew.curtain.moved(due));
    }
    crew.reach(seat, Phase::Stopped, pause, due).await
}

/// One VU: iterates whenever it is handed an arrival.
async fn play<M: MakeVu>(crew: Rc<Crew<M>>, pool: Rc<Pool>, desk: Rc<Desk>) {
    let mut kept = None;
    while let Some(Placed { arrival, place }) = next_arrival(&crew, &pool, &desk).await {
        let _active = crew.active();
        let vu = match kept.take() {
            Some(vu) => Some(vu),
            None => crew.make(desk.seat).await,
        };
        let attempt = match vu {
            Some(mut vu) => {
                let attempt =
                    crew.iterate_at(&mut vu, desk.seat, arrival, Some(place), &mut OwnEnd::Never, Phase::Cut).await;
                kept = Some(vu);
                attempt
            }
            None => Attempt::NotStarted,
        };
        match attempt {
            Attempt::Finished(ended) => {
                pool.backlog.borrow_mut().ended(ended.saturating_duration_since(arrival.due));
                pool.free.borrow_mut().push_back(Rc::clone(&desk));
            }
            Attempt::NotStarted => return crew.dropped(arrival.due),
            Attempt::CutOff => return,
        }
    }
}

/// The arrival that was put on the desk; none once no more will come.
async fn next_arrival<M: MakeVu>(crew: &Crew<M>, pool: &Pool, desk: &Desk) -> Option<Placed> {
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
