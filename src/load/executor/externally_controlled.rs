//! `externally-controlled`: as many VUs iterate as an operator last asked for.
//!
//! k6's rules: what is scaled down is cut off at once, and its end knows no grace.

use super::closed::iterate_while;
use super::crew::{Attempt, Crew, MakeVu, OwnEnd};
use super::curtain::Phase;
use crate::load::control::{ControlListener, Scale};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) async fn run<M: MakeVu>(
    crew: &Rc<Crew<M>>,
    planned: Scale,
    index: usize,
    mut control: ControlListener,
    end: Option<Instant>,
) {
    // How many of this worker's VUs are wanted. Those with a number not below it wait.
    let wanted = Rc::new(Cell::new(0));
    let mut tasks = JoinSet::new();
    let mut there = Scale { vus: 0, ..planned };
    let follow = async {
        loop {
            let scale = control.current().scale(index).unwrap_or(planned);
            if scale.max_vus != there.max_vus {
                let [before, now] = [there, scale].map(|scale| crew.part.count(u64::from(scale.max_vus)));
                crew.tally.made.set((crew.tally.made.get() + now).saturating_sub(before));
            }
            wanted.set(crew.part.count(u64::from(scale.vus)));
            for number in tasks.len() as u64..wanted.get() {
                tasks.spawn_local(play(Rc::clone(crew), Rc::clone(&wanted), number, end));
            }
            there = scale;
            crew.curtain.wake_all();
            control.changed().await;
        }
    };
    let seat = crew.curtain.seat();
    crew.until(seat, Phase::Over, &mut OwnEnd::Never, pin!(follow)).await;
    crew.join(tasks).await;
}

/// One VU, whenever it is wanted. It is made when it is wanted first, and anew after it was cut off: a VU whose call
/// was dropped may hold half of something.
async fn play<M: MakeVu>(crew: Rc<Crew<M>>, wanted: Rc<Cell<u64>>, number: u64, end: Option<Instant>) {
    let seat = crew.curtain.seat();
    let mut kept = None;
    loop {
        let called = poll_fn(|cx| {
            if crew.curtain.phase() > Phase::Open {
                return Poll::Ready(false);
            }
            if number < wanted.get() {
                return Poll::Ready(true);
            }
            crew.curtain.listen(seat, cx.waker());
            Poll::Pending
        });
        if !called.await {
            return;
        }
        let _active = crew.active();
        let made = match kept.take() {
            Some(vu) => Some(vu),
            None => crew.make(seat).await,
        };
        let Some(mut vu) = made else { return };
        let due = Instant::now();
        let next = || (number < wanted.get()).then(|| crew.number());
        let mut unwanted = OwnEnd::Unwanted(Rc::clone(&wanted), number);
        match iterate_while(&crew, &mut vu, seat, due, end, &mut unwanted, next).await {
            Attempt::CutOff => {}
            Attempt::Finished(_) | Attempt::NotStarted => kept = Some(vu),
        }
    }
}
