//! What all VUs of one scenario on one worker share, and the one iteration that they all do.

use super::curtain::{Curtain, Phase, Seat};
use crate::load::error::{BoxError, LoadError};
use crate::load::pacer::Pause;
use crate::load::progress::Tally;
use crate::load::schedule::Stripes;
use crate::load::stop::{Phase as StopPhase, Stop, StopReason};
use crate::measure::{Arrival, Finished, IterationSample, RecorderHandle, ScenarioId, VuId};
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};
use tower::Service;

/// What makes VUs, and the VUs that it makes, as one bound.
pub trait MakeVu: Service<VuId, Response = Self::Vu, Error: Into<BoxError>, Future: 'static> + 'static {
    /// A VU: it takes one call at a time.
    type Vu: Service<Arrival, Response = Finished, Error = Infallible> + 'static;
}

impl<M, V> MakeVu for M
where
    M: Service<VuId, Response = V, Error: Into<BoxError>, Future: 'static> + 'static,
    V: Service<Arrival, Response = Finished, Error = Infallible> + 'static,
{
    type Vu = V;
}

/// Numbers the VUs of one worker, unique in the run.
#[derive(Debug)]
pub(crate) struct VuNumbers {
    /// What of all VU numbers this worker gives out.
    part: Stripes,
    given: Cell<u64>,
}

/// What all VUs of one scenario on one worker share.
#[derive(Debug)]
pub(crate) struct Crew<M> {
    pub(super) scenario: ScenarioId,
    pub(super) recorder: RecorderHandle,
    pub(super) tally: Arc<Tally>,
    pub(super) curtain: Curtain,
    /// The VUs of this worker among those of the scenario.
    pub(super) part: Stripes,
    worker: usize,
    maker: Rc<RefCell<M>>,
    numbers: Rc<VuNumbers>,
    iterations: Cell<u64>,
    stop: Stop,
    failure: Rc<RefCell<Option<LoadError>>>,
}

/// What one worker's scenarios share.
#[derive(Debug)]
pub(crate) struct Bench<M> {
    pub(crate) worker: usize,
    pub(crate) maker: Rc<RefCell<M>>,
    pub(crate) recorder: RecorderHandle,
    pub(crate) numbers: Rc<VuNumbers>,
    pub(crate) stop: Stop,
    /// The first thing that went wrong.
    pub(crate) failure: Rc<RefCell<Option<LoadError>>>,
}

/// Where an arrival stands in its schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its number there.
    pub(super) number: u64,
    /// When it would be due without pauses.
    pub(super) planned: Instant,
}

/// How an attempt at an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// At this time.
    Finished(Instant),
    /// The end came before it could start.
    NotStarted,
    /// The end came while it ran.
    CutOff,
}

/// A VU's own end, beside the scenario's.
#[derive(Debug)]
pub(super) enum OwnEnd {
    /// It has none.
    Never,
    /// At a planned time.
    At(Instant, Pin<Box<Sleep>>),
    /// Where no more than so many VUs are wanted: its number, from 0, is not below.
    Unwanted(Rc<Cell<u64>>, u64),
}

// === impl VuNumbers ===

impl VuNumbers {
    pub(crate) const fn new(part: Stripes) -> Self {
        Self { part, given: Cell::new(0) }
    }

    fn next(&self) -> u64 {
        let given = self.given.replace(self.given.get() + 1);
        self.part.nth(given).map_or(0, |number| number + 1)
    }
}

// === impl Crew ===

impl<M: MakeVu> Crew<M> {
    pub(crate) fn new(bench: &Bench<M>, scenario: ScenarioId, part: Stripes, tally: Arc<Tally>) -> Rc<Self> {
        Rc::new(Self {
            scenario,
            recorder: bench.recorder.clone(),
            tally,
            curtain: Curtain::new(),
            part,
            worker: bench.worker,
            maker: Rc::clone(&bench.maker),
            numbers: Rc::clone(&bench.numbers),
            iterations: Cell::new(0),
            stop: bench.stop.clone(),
            failure: Rc::clone(&bench.failure),
        })
    }

    /// The number of this worker's next iteration, unique in the scenario.
    pub(super) fn number(&self) -> u64 {
        let taken = self.iterations.replace(self.iterations.get() + 1);
        self.part.nth(taken).unwrap_or(taken)
    }

    /// Makes a VU. None where the scenario was cut first, or where it failed, which ends the run.
    pub(super) async fn make(&self, seat: Seat) -> Option<M::Vu> {
        let made = pin!(async {
            poll_fn(|cx| self.maker.borrow_mut().poll_ready(cx)).await.map_err(Into::into)?;
            let vu = VuId { scenario: self.scenario, number: self.numbers.next() };
            let making = self.maker.borrow_mut().call(vu);
            making.await.map_err(Into::<BoxError>::into)
        });
        match self.until(seat, Phase::Cut, &mut OwnEnd::Never, made).await? {
            Ok(vu) => Some(vu),
            Err(source) => {
                self.fail(LoadError::MakeVu { worker: self.worker, source });
                None
            }
        }
    }

    /// One iteration, from being due to being counted.
    pub(super) async fn iterate(
        &self,
        vu: &mut M::Vu,
        seat: Seat,
        arrival: Arrival,
        own_end: &mut OwnEnd,
        give_up: Phase,
    ) -> Attempt {
        self.iterate_at(vu, seat, arrival, None, own_end, give_up).await
    }

    /// As [`iterate`](Self::iterate); `place` is where in its schedule an arrival of an open model stands.
    pub(super) async fn iterate_at(
        &self,
        vu: &mut M::Vu,
        seat: Seat,
        arrival: Arrival,
        place: Option<Place>,
        own_end: &mut OwnEnd,
        give_up: Phase,
    ) -> Attempt {
        let ready = {
            let ready = pin!(poll_fn(|cx| vu.poll_ready(cx)));
            self.until(seat, give_up, own_end, ready).await
        };
        match ready {
            Some(Ok(())) => {}
            Some(Err(never)) => match never {},
            None => return Attempt::NotStarted,
        }
        let started = Instant::now();
        self.tally.started.add(1);
        if let Some(place) = place {
            // On the schedule's clock, which stands still in a pause.
            let started = started - arrival.due.saturating_duration_since(place.planned);
            self.recorder.arrival_started(self.scenario, place.number, place.planned, started);
        }
        let finished = {
            let call = pin!(vu.call(arrival));
            self.until(seat, Phase::Cut, own_end, call).await
        };
        let due = arrival.due;
        match finished {
            Some(Ok(Finished { ended, held, shed })) => {
                if shed {
                    self.recorder.iteration_shed(self.scenario, ended);
                } else {
                    let sample = IterationSample { due: due + held, started: started + held, ended };
                    self.recorder.iteration(self.scenario, &sample);
                }
                self.tally.completed.add(1);
                Attempt::Finished(ended)
            }
            Some(Err(never)) => match never {},
            None => {
                // The call was dropped above, so what it had to say of its requests is said.
                let now = Instant::now();
                // What the guard holds back came due later by as much.
                let held = self.curtain.barred().map_or(Duration::ZERO, |since| now - since.max(started).min(now));
                self.recorder.iteration_cut_off(self.scenario, due + held, started + held, now);
                self.tally.cut_off.add(1);
                Attempt::CutOff
            }
        }
    }

    /// The future's output, or none where `phase` (or this VU's own end) is there first. What is
    /// ready at the same time as the end has made it.
    pub(super) async fn until<F: Future>(
        &self,
        seat: Seat,
        phase: Phase,
        own_end: &mut OwnEnd,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if own_end.is_there(&self.curtain, cx) || self.curtain.phase() >= phase {
                return Poll::Ready(None);
            }
            self.curtain.listen(seat, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits for a planned time of the scenario, however often a pause moves it. Answers when that was; none where
    /// `phase` is there first.
    pub(super) async fn reach(&self, seat: Seat, phase: Phase, pause: &mut Pause, planned: Instant) -> Option<Instant> {
        let mut armed = None;
        poll_fn(|cx| {
            let at = self.curtain.moved(planned);
            if self.curtain.held().is_none_or(|since| at < since) {
                if armed.replace(at) != Some(at) {
                    pause.reset(at);
                }
                if Pin::new(&mut *pause).poll(cx).is_ready() {
                    return Poll::Ready(Some(at));
                }
            }
            if self.curtain.phase() >= phase {
                return Poll::Ready(None);
            }
            self.curtain.listen(seat, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Waits until no operator holds the scenario; the VU is not at work meanwhile. False where `phase` is there first.
    pub(super) async fn released(&self, seat: Seat, phase: Phase) -> bool {
        if self.curtain.held().is_none() {
            return true;
        }
        let _idle = Idle::new(&self.tally);
        poll_fn(|cx| {
            if self.curtain.phase() >= phase {
                return Poll::Ready(false);
            }
            if self.curtain.held().is_none() {
                return Poll::Ready(true);
            }
            self.curtain.listen(seat, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Counts what VUs had left when their time was over. There may be a thousand million of them.
    pub(super) fn left_over(&self, count: u64) {
        self.recorder.iterations_never_due(self.scenario, count);
        self.tally.dropped.add(count);
    }

    /// Counts an iteration that was due and could not start.
    pub(super) fn dropped(&self, due: Instant) {
        self.recorder.iteration_dropped(self.scenario, due);
        self.tally.dropped.add(1);
    }

    /// Counts an iteration that was due and that only the generator kept from starting.
    pub(super) fn missed(&self, due: Instant) {
        self.recorder.iteration_missed(self.scenario, due);
        self.tally.dropped.add(1);
    }

    /// Ends the run for an error; the first one counts.
    pub(super) fn fail(&self, error: LoadError) {
        tracing::error!(%error, "load cannot go on");
        self.failure.borrow_mut().get_or_insert(error);
        self.stop.now(StopReason::Failure);
    }

    /// Waits for the tasks of all VUs; a panic in one ends the run.
    pub(super) async fn join(&self, mut vus: tokio::task::JoinSet<()>) {
        while let Some(ended) = vus.join_next().await {
            if let Err(error) = ended {
                self.fail(LoadError::VuPanicked { worker: self.worker, source: error });
            }
        }
    }
}

impl<M> Crew<M> {
    /// Whether the run was stopped before its time.
    pub(super) fn stopped(&self) -> bool {
        self.stop.phase() != StopPhase::Running
    }

    /// When the run was stopped before its time; none where it was not.
    pub(super) fn stopped_at(&self) -> Option<Instant> {
        self.stop.at()
    }

    /// Counts a VU as active for as long as the guard lives.
    pub(super) fn active(&self) -> Active<'_> {
        self.tally.active.add(1);
        Active(&self.tally)
    }
}

// === impl OwnEnd ===

impl OwnEnd {
    pub(super) fn at(planned: Instant) -> Self {
        Self::At(planned, Box::pin(tokio::time::sleep_until(planned)))
    }

    /// Whether it is there; where it is a time, the task is woken then.
    fn is_there(&mut self, curtain: &Curtain, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Never => false,
            Self::Unwanted(wanted, number) => *number >= wanted.get(),
            // A pause holds it up as it does everything that is planned.
            Self::At(..) if curtain.held().is_some() => false,
            Self::At(planned, sleep) => {
                let at = curtain.moved(*planned);
                if sleep.deadline() != at {
                    sleep.as_mut().reset(at);
                }
                sleep.as_mut().poll(cx).is_ready()
            }
        }
    }
}

/// A VU that waits for the end of a pause: none that is at work.
#[derive(Debug)]
struct Idle<'a>(&'a Tally);

impl<'a> Idle<'a> {
    fn new(tally: &'a Tally) -> Self {
        tally.active.sub(1);
        Self(tally)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.active.add(1);
    }
}

/// A VU that is at work.
#[derive(Debug)]
pub(super) struct Active<'a>(&'a Tally);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.sub(1);
    }
}
