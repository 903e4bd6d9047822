//! k6's executors: each plays one scenario's part on one worker, as a plain async function.
//!
//! No threads, no channels: [`run`] needs a `LocalSet`, a clock that may be paused, and
//! something that makes VUs, so a test sees every instant of it.

mod arrival_rate;
mod backlog;
mod closed;
mod constant_vus;
mod crew;
mod curtain;
mod externally_controlled;
mod per_vu_iterations;
mod ramping_vus;
mod shared_iterations;
#[cfg(test)]
mod tests;

pub use crew::MakeVu;
pub(crate) use crew::{Bench, Crew, VuNumbers};
pub(crate) use shared_iterations::SharedIterations;

use super::control::{ControlListener, Scale};
use super::pacer::Pacer;
use super::plan::{Model, ScenarioPlan};
use super::stop::StopListener;
use curtain::Phase;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// One scenario's part on one worker.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) plan: ScenarioPlan,
    /// What all workers share, of `shared-iterations`.
    pub(crate) shared: Arc<SharedIterations>,
    pub(crate) pacer: Pacer,
    /// Where it stands among the scenarios of the plan.
    pub(crate) index: usize,
    pub(crate) control: ControlListener,
}

/// Plays a scenario's part to its end. `start` is the run's.
pub(crate) async fn run<M: MakeVu>(mut work: Work, crew: Rc<Crew<M>>, start: Instant, stop: StopListener) {
    let start = start + work.plan.start_time;
    let end = work.plan.duration().map(|duration| start + duration);
    // Before anything is played: the run may start paused.
    crew.curtain.obey(work.control.current().pause);
    let control = work.control.clone();
    let play = async {
        let seat = crew.curtain.seat();
        let mut pause = work.pacer.pause(start);
        let begun = crew.reach(seat, Phase::Stopped, &mut pause, start).await.is_some();
        match &work.plan.model {
            Model::SharedIterations { vus, .. } => {
                shared_iterations::run(&crew, &work.shared, *vus, end, begun).await;
            }
            _ if !begun => {}
            Model::PerVuIterations { vus, iterations, .. } => {
                per_vu_iterations::run(&crew, *vus, *iterations, end).await;
            }
            Model::ConstantVus { vus, .. } => constant_vus::run(&crew, *vus, end).await,
            Model::RampingVus(ramp) => ramping_vus::run(&crew, ramp, start, &work.pacer).await,
            Model::ArrivalRate(open) => arrival_rate::run(&crew, open, start, &work.pacer).await,
            Model::ExternallyControlled { vus, max_vus, .. } => {
                let planned = Scale { vus: *vus, max_vus: *max_vus };
                externally_controlled::run(&crew, planned, work.index, work.control.clone(), end).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = play => {}
        () = crew.curtain.watch(end, work.plan.graceful_stop, stop, control) => {}
    }
    crew.tally.ended.set(1);
}
