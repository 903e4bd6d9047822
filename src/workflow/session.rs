//! A VU: plays one iteration a call, as one user of one tenant.
//!
//! Whatever an iteration holds (its user, its bytes on the wire) is given back by a guard, so that
//! one that is dropped half way leaves the VU as good as new.

use super::answer::BoxError;
use super::dataset::mix;
use super::play::{Cause, Hand, Kit, Player};
use super::program::{Program, Scenario};
use super::sequence::Sequence;
use super::users::Account;
use crate::measure::{
    Arrival, CreationPhase, Finished, IterationOutcome, IterationRecord, Record, RecorderHandle, Traffic, VuId,
};
use crate::semconv::TraceId;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

/// The number of the iteration in which an account is made: no iteration has it, so none gets its cookies.
const BEFORE_ALL: u64 = u64::MAX;

/// What the VUs of one thread share.
#[derive(Clone)]
pub struct Worker(Rc<Shared>);

/// What the VUs of one thread share.
struct Shared {
    program: Arc<Program>,
    recorder: RecorderHandle,
    kits: Vec<Kit>,
    /// Part of what VUs' dice are seeded from.
    index: usize,
}

/// One VU. Takes one call at a time; a call that is dropped leaves it usable.
pub struct Vu<S>(Rc<Seat<S>>);

struct Seat<S> {
    worker: Worker,
    id: VuId,
    service: RefCell<S>,
    traffic: Traffic,
    hand: RefCell<Option<Box<Hand>>>,
}

/// What an iteration holds and gives back.
struct Turn<'a, S> {
    seat: &'a Seat<S>,
    /// There until the turn ends.
    hand: Option<Box<Hand>>,
    user: u32,
    due: Instant,
    started: Instant,
    /// None until it is known: what is dropped before was cut off.
    ended: Option<Instant>,
}

// === impl Worker ===

impl Worker {
    /// A worker's part of a program. `index` is the worker's number.
    #[must_use]
    pub fn new(program: Arc<Program>, recorder: RecorderHandle, index: usize) -> Self {
        let kits = program.sequences().flat_map(|sequence| &sequence.steps).map(|step| (step.index, Kit::of(step)));
        let mut kits: Vec<_> = kits.collect();
        kits.sort_by_key(|(index, _)| *index);
        let kits = kits.into_iter().map(|(_, kit)| kit).collect();
        Self(Rc::new(Shared { program, recorder, kits, index }))
    }

    /// Makes a VU that asks `service`, whose sockets count into `traffic`.
    pub fn vu<S>(&self, id: VuId, service: S, traffic: Traffic) -> Vu<S> {
        let hand = Box::new(Hand::new(&self.0.program, id.number, id.number ^ mix(self.0.index as u64)));
        Vu(Rc::new(Seat {
            worker: self.clone(),
            id,
            service: RefCell::new(service),
            traffic,
            hand: RefCell::new(Some(hand)),
        }))
    }

    pub(crate) fn kits(&self) -> &[Kit] {
        &self.0.kits
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.0.index).finish_non_exhaustive()
    }
}

// === impl Vu ===

impl<S> fmt::Debug for Vu<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vu").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl<S, B> Service<Arrival> for Vu<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Finished;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Finished, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        let seat = Rc::clone(&self.0);
        Box::pin(async move { Ok(seat.iterate(arrival).await) })
    }
}

// === impl Seat ===

impl<S, B> Seat<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    async fn iterate(&self, arrival: Arrival) -> Finished {
        let program = &*self.worker.0.program;
        let Some(scenario) = program.scenario(self.id.scenario) else {
            // Nobody asks for a scenario that the program does not have; it would play nothing.
            tokio::task::yield_now().await;
            return Finished { ended: Instant::now(), held: Duration::ZERO, shed: false };
        };
        let mut turn = Turn::begin(self, arrival);
        let Run { ended, held, sent, shed, .. } = turn.play(scenario, arrival).await;
        turn.ended = Some(ended);
        drop(turn);
        if !sent {
            // An iteration that waits for nothing must not keep the thread from its other tasks.
            tokio::task::yield_now().await;
        }
        Finished { ended, held, shed }
    }
}

// === impl Turn ===

impl<'a, S> Turn<'a, S> {
    fn begin(seat: &'a Seat<S>, arrival: Arrival) -> Self {
        let Shared { program, recorder, index, .. } = &*seat.worker.0;
        let taken = program.users.take();
        if taken.shared && program.is_personal() {
            recorder.user_shared();
        }
        let mut hand = seat.hand.borrow_mut().take().unwrap_or_else(|| {
            let seed = seat.id.number ^ mix(*index as u64) ^ mix(arrival.number);
            Box::new(Hand::new(program, seat.id.number, seed))
        });
        program.tenancy.identify(taken.index, &mut hand.variables.identity);
        hand.variables.iteration = arrival.number;
        hand.trace = TraceId::of_run(program.run, hand.random.u64(..));
        let started = if recorder.streams() { Instant::now() } else { arrival.due };
        Turn { seat, hand: Some(hand), user: taken.index, due: arrival.due, started, ended: None }
    }
}

impl<S, B> Turn<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Plays an iteration.
    async fn play(&mut self, scenario: &Scenario, arrival: Arrival) -> Run {
        let Some(hand) = self.hand.as_deref_mut() else { return Run::nothing() };
        let Shared { program, recorder, kits, .. } = &*self.seat.worker.0;
        let mut player = Player {
            run: program.run,
            world: &program.world,
            kits,
            recorder,
            service: &self.seat.service,
            tenant: hand.variables.identity.tenant,
            iteration: BEFORE_ALL,
            undoing: &program.undoing,
            restraint: &program.restraint,
            phase: CreationPhase::Account,
            user: self.user,
        };
        let (mut due, mut held) = (arrival.due, Duration::ZERO);
        if let Some(create) = &program.create
            && let Account::Make(making) = program.users.account(self.user).await
        {
            create.deal(&program.world, hand);
            let made = run(&player, create, hand, due).await;
            if made.failed {
                return made;
            }
            making.done();
            (due, held) = (made.due, made.held);
        }
        player.iteration = arrival.number;
        player.phase = CreationPhase::Iteration;
        let Some(workflow) = scenario.draw(&mut hand.random) else { return Run::nothing() };
        workflow.deal(&program.world, hand);
        let mut run = run(&player, workflow, hand, due).await;
        run.held += held;
        let made = hand.made.take();
        if !made.is_empty() {
            let no_room = program.undoing.hold(made);
            if !no_room.is_empty() {
                program.undo_now(&self.seat.worker, recorder, &self.seat.service, no_room).await;
                // The next iteration is due when this one ends, and it cannot start before.
                run.ended = Instant::now();
            }
        }
        run
    }
}

impl<S> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        let Shared { program, recorder, .. } = &*self.seat.worker.0;
        program.users.give_back(self.user);
        if let Some(hand) = &self.hand {
            program.restraint.leave(hand.trace);
            // Cut off half way.
            program.undoing.hold_all(hand.made.take());
        }
        let (sent, received) = self.seat.traffic.take();
        if sent > 0 || received > 0 {
            recorder.traffic(self.seat.id.scenario, sent, received);
        }
        if let Some(hand) = &self.hand {
            recorder.tell(|| {
                Record::Iteration(IterationRecord {
                    scenario: self.seat.id.scenario,
                    trace: hand.trace,
                    due: self.due,
                    started: self.started,
                    ended: self.ended.unwrap_or_else(Instant::now),
                    tenant: hand.variables.identity.tenant,
                    outcome: self.ended.map_or(IterationOutcome::CutOff, |_| IterationOutcome::Completed),
                })
            });
        }
        *self.seat.hand.borrow_mut() = self.hand.take();
    }
}

/// How a sequence was played.
struct Run {
    ended: Instant,
    /// When what follows is due.
    due: Instant,
    /// For how long the guard held requests back.
    held: Duration,
    sent: bool,
    failed: bool,
    /// Whether the target turned a request away.
    shed: bool,
}

// === impl Run ===

impl Run {
    /// Nothing to play.
    fn nothing() -> Self {
        Self::due(Instant::now())
    }

    const fn due(due: Instant) -> Self {
        Self { ended: due, due, held: Duration::ZERO, sent: false, failed: false, shed: false }
    }
}

/// Plays a sequence from `due` on: each step is due when the one before it and its pause end.
async fn run<S, B>(player: &Player<'_, S>, sequence: &Sequence, hand: &mut Hand, due: Instant) -> Run
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut run = Run::due(due);
    for step in &sequence.steps {
        let played = player.play(step, hand, run.due).await;
        run.ended = played.ended;
        run.held += played.held;
        run.sent |= played.sent;
        run.shed |= played.failed == Some(Cause::Shed);
        if let Some(cause) = played.failed {
            run.failed = true;
            if let (Some(check), true) = (step.refused, cause.has_no_check(step)) {
                player.recorder.check(check, false);
            }
        }
        if played.stop {
            break;
        }
        if !played.sent {
            continue;
        }
        run.due = played.ended;
        if let Some(think) = step.think {
            run.due += think.draw(&mut hand.random);
            tokio::time::sleep_until(run.due).await;
            run.ended = Instant::now();
        }
    }
    run
}
