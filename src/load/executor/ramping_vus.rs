//! `ramping-vus`: the number of VUs follows the stages. Each VU knows its own times.

use super::closed::iterate_while;
use super::crew::{Attempt, Crew, MakeVu, OwnEnd};
use super::curtain::Phase;
use crate::load::pacer::Pacer;
use crate::load::schedule::{VuRamp, VuSpan};
use std::rc::Rc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) async fn run<M: MakeVu>(crew: &Rc<Crew<M>>, ramp: &VuRamp, start: Instant, pacer: &Pacer) {
    let mut tasks = JoinSet::new();
    for k in 0..crew.part.count(u64::from(ramp.peak())) {
        let Some(index) = crew.part.nth(k).and_then(|index| u32::try_from(index).ok()) else { break };
        tasks.spawn_local(play(Rc::clone(crew), ramp.spans(index), start, pacer.clone()));
    }
    crew.join(tasks).await;
}

/// One VU, through all of its times.
async fn play<M: MakeVu>(crew: Rc<Crew<M>>, spans: Vec<VuSpan>, start: Instant, pacer: Pacer) {
    let seat = crew.curtain.seat();
    let mut pause = pacer.pause(start);
    let mut kept: Option<M::Vu> = None;
    let mut ended = start;
    for span in spans {
        let Some(on) = crew.reach(seat, Phase::Over, &mut pause, start + span.on).await else { return };
        let _active = crew.active();
        let made = match kept.take() {
            Some(vu) => Some(vu),
            None => crew.make(seat).await,
        };
        let Some(mut vu) = made else { return };
        let mut cut = OwnEnd::at(start + span.cut);
        let off = Some(start + span.off);
        let next = || Some(crew.number());
        // Where it is wanted again while its last iteration still ran, it goes on from there.
        let due = if ended > on { ended } else { Instant::now() };
        match iterate_while(&crew, &mut vu, seat, due, off, &mut cut, next).await {
            Attempt::Finished(at) => ended = at,
            Attempt::NotStarted => {}
            // A VU whose call was dropped may hold half of something: the next time gets a fresh one.
            Attempt::CutOff => continue,
        }
        kept = Some(vu);
    }
}
