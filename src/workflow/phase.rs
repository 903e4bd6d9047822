//! Setup and teardown: steps that are played once, before and after all iterations.

use super::answer::BoxError;
use super::play::{Cause, Hand, Played, Player};
use super::program::{Phase, Program};
use super::session::Worker;
use super::step::Step;
use crate::measure::{CreationPhase, FailureKind, IterationOutcome, IterationRecord, Record, RecorderHandle, Traffic};
use crate::plan::OnFailure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::cell::RefCell;
use std::sync::Arc;
use thiserror::Error;
use tokio::time::Instant;
use tower::Service;

/// A step of setup or teardown went wrong.
#[derive(Debug, Error)]
#[error("step `{step}`")]
pub struct PhaseError {
    /// The step's name.
    pub step: String,
    /// What went wrong.
    #[source]
    pub cause: StepError,
}

/// What went wrong in a step.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StepError {
    /// A variable that it uses has no value, so it was not sent.
    #[error("a variable has no value, so it was not sent")]
    Missing,
    /// What it would create could not be written down for `undo`, so it was not sent.
    #[error("what it would create could not be written down, so it was not sent")]
    Unwritten,
    /// The target turned it away to spare real requests.
    #[error("the target turned it away to spare real requests")]
    Shed,
    /// There was no (whole) answer.
    #[error("{}", .0.as_str())]
    Failure(FailureKind),
    /// The status is none that is expected.
    #[error("status {0}")]
    Status(u16),
    /// What was to be captured was not in the answer.
    #[error("`{0}` could not be captured")]
    Capture(String),
    /// A check failed, by its key.
    #[error("the check `{0}` failed")]
    Check(&'static str),
}

/// What is played once, and hands over what it knows however it ends.
struct Once<'a> {
    program: &'a Program,
    recorder: &'a RecorderHandle,
    phase: &'a Phase,
    traffic: Traffic,
    hand: Hand,
    started: Instant,
    /// Whether what it captures is for all to see.
    publishes: bool,
}

// === impl Program ===

impl Program {
    /// Plays the steps of `setup:`, as the first user of the first tenant. What they capture, all iterations see; also
    /// where this future is dropped half way. For once only.
    ///
    /// # Errors
    /// The first step that failed: no (whole) answer, a status that is not expected, a missing variable or capture; or
    /// any check where the step says `on_failure: stop`. A step that says `on_failure: continue` fails none.
    pub async fn setup<S, B>(
        self: &Arc<Self>,
        service: S,
        recorder: RecorderHandle,
        traffic: Traffic,
    ) -> Result<(), PhaseError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let worker = Worker::new(Arc::clone(self), recorder.clone(), 0);
        let mut once = Once::new(self, &self.setup, &recorder, traffic, true);
        once.play(&worker, service, |step, played| match played.failed? {
            Cause::Check(_) if !played.stop => None,
            _ if step.on_failure == Some(OnFailure::Continue) && !played.stop => None,
            cause => Some(cause),
        })
        .await
        .map_or(Ok(()), Err)
    }

    /// Plays the steps of `teardown:`, as the first user of the first tenant, with whatever setup captured. A step that
    /// fails does not keep the others from being played, unless it says `on_failure: stop`.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn teardown<S, B>(
        self: &Arc<Self>,
        service: S,
        recorder: RecorderHandle,
        traffic: Traffic,
    ) -> Result<(), PhaseError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let worker = Worker::new(Arc::clone(self), recorder.clone(), 0);
        let mut once = Once::new(self, &self.teardown, &recorder, traffic, false);
        let mut first = None;
        let last = once
            .play(&worker, service, |step, played| {
                let cause = played.failed?;
                if step.on_failure == Some(OnFailure::Stop) {
                    return Some(cause);
                }
                first.get_or_insert_with(|| PhaseError::of(step, cause));
                None
            })
            .await;
        first.or(last).map_or(Ok(()), Err)
    }
}

// === impl Once ===

impl<'a> Once<'a> {
    fn new(
        program: &'a Program,
        phase: &'a Phase,
        recorder: &'a RecorderHandle,
        traffic: Traffic,
        publishes: bool,
    ) -> Self {
        let mut hand = Hand::new(program, 0, u64::from(!publishes).wrapping_neg());
        program.tenancy.identify(0, &mut hand.variables.identity);
        hand.trace = crate::semconv::TraceId::of_run(program.run, hand.random.u64(..));
        phase.steps.deal(&program.world, &mut hand);
        Self { program, recorder, phase, traffic, hand, started: Instant::now(), publishes }
    }

    /// Plays the steps until `judge` says that one ends it.
    async fn play<S, B>(
        &mut self,
        worker: &Worker,
        service: S,
        mut judge: impl FnMut(&Step, &Played) -> Option<Cause>,
    ) -> Option<PhaseError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let service = RefCell::new(service);
        let player = Player {
            run: self.program.run,
            world: &self.program.world,
            kits: worker.kits(),
            recorder: self.recorder,
            service: &service,
            tenant: self.hand.variables.identity.tenant,
            iteration: 0,
            undoing: &self.program.undoing,
            restraint: &self.program.restraint,
            phase: if self.publishes { CreationPhase::Setup } else { CreationPhase::Teardown },
            user: 0,
        };
        let mut due = Instant::now();
        for step in &self.phase.steps.steps {
            let played = player.play(step, &mut self.hand, due).await;
            if let Some(cause) = judge(step, &played) {
                return Some(PhaseError::of(step, cause));
            }
            if !played.sent {
                continue;
            }
            due = played.ended;
            if let Some(think) = step.think {
                due += think.draw(&mut self.hand.random);
                tokio::time::sleep_until(due).await;
            }
        }
        None
    }
}

impl Drop for Once<'_> {
    fn drop(&mut self) {
        let (sent, received) = self.traffic.take();
        if let Some(scenario) = self.phase.scenario.filter(|_| sent > 0 || received > 0) {
            self.recorder.traffic(scenario, sent, received);
        }
        if let Some(scenario) = self.phase.scenario {
            self.recorder.tell(|| {
                Record::Iteration(IterationRecord {
                    scenario,
                    trace: self.hand.trace,
                    due: self.started,
                    started: self.started,
                    ended: Instant::now(),
                    tenant: self.hand.variables.identity.tenant,
                    outcome: IterationOutcome::Phase,
                })
            });
        }
        // None of a phase is given back.
        self.program.undoing.hold(self.hand.made.take());
        if self.publishes {
            // A second setup would change what iterations have seen; the first one stays.
            let _ = self.program.world.setup.set(std::mem::take(&mut self.hand.variables.slots));
        }
    }
}

// === impl PhaseError ===

impl PhaseError {
    fn of(step: &Step, cause: Cause) -> Self {
        let cause = match cause {
            Cause::Missing => StepError::Missing,
            Cause::Unwritten => StepError::Unwritten,
            Cause::Shed => StepError::Shed,
            Cause::Failure(kind) => StepError::Failure(kind),
            Cause::Status(status) => StepError::Status(status),
            Cause::Capture(at) => {
                StepError::Capture(step.captures.get(at).map_or_else(String::new, |it| it.name.clone()))
            }
            Cause::Check(key) => StepError::Check(key),
        };
        Self { step: step.name.clone(), cause }
    }
}
