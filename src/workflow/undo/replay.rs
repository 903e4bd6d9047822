//! Undoing: at the end of a run, and of what a killed one left.
//!
//! What was created later goes first. What one play of the steps created goes one after the other, last first;
//! different plays go side by side. Bounded in tries, in time, and by the client's cap on the rate.

use super::held::Held;
use crate::measure::{Creation, CreationLog, Fate, RecorderHandle, RequestContext, SiteId, Traffic};
use crate::semconv::{Baggage, SpanId, TraceId};
use crate::workflow::answer::{Answer, BoxError, Wanted, ask};
use crate::workflow::play::{Hand, Player};
use crate::workflow::program::Program;
use crate::workflow::query::Queries;
use crate::workflow::sequence::Sequence;
use crate::workflow::session::Worker;
use crate::workflow::step::Step;
use crate::workflow::undo::UndoReport;
use crate::workflow::variable::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service;

/// How many undo side by side.
const SIDE_BY_SIDE: usize = 8;
/// How long is waited before it is tried again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// How many in a row may fail before the rest is left: the target is gone.
const GIVE_UP: u32 = 20;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Headers that one finds out and others may wait for; none where they cannot be found out.
type Found = Rc<OnceCell<Option<HeaderMap>>>;

/// What the workers of one replay share. They live on one thread.
struct Replay {
    program: Arc<Program>,
    worker: Worker,
    recorder: RecorderHandle,
    /// Of each step and user, headers that were found out again.
    found: RefCell<HashMap<(usize, u32), Found>>,
    failed_in_a_row: Cell<u32>,
    until: Instant,
    site: SiteId,
    /// Whether steps may be played for headers.
    may_play: bool,
}

/// How an attempt ended.
enum Ended {
    /// It is undone; `there` is whether it was there.
    Undone { there: bool },
    /// It is not, and this is why.
    Not(String),
}

// === impl Program ===

impl Program {
    /// Says where creations are written down, before anything is sent. Without it `undo` does nothing.
    pub fn undo_in(&self, log: Arc<dyn CreationLog>) {
        self.undoing.keep_in(log);
        for step in self.sequences().flat_map(|sequence| &sequence.steps).filter(|step| step.undo.is_some()) {
            self.undoing.tally.expect(&step.name);
        }
    }

    /// Whether any step has an `undo`.
    #[must_use]
    pub fn has_undo(&self) -> bool {
        self.sequences().flat_map(|sequence| &sequence.steps).any(|step| step.undo.is_some())
    }

    /// What undoing has come to so far.
    #[must_use]
    pub fn undo_report(&self) -> UndoReport {
        self.undoing.tally.report()
    }

    /// Leaves all that was created so far to the next start, and tells why.
    pub fn leave_undone(&self, why: &str) {
        for held in self.undoing.take(false) {
            held.leave(&self.undoing.tally, why);
        }
    }

    /// Takes up what a killed run wrote down and did not undo: [`Self::undo`] will. `sure` is whether its answer said
    /// that it was created.
    pub fn take_up(&self, creation: Creation, sure: bool, log: Arc<dyn CreationLog>) {
        let uri = creation.url.as_ref().and_then(|url| url.parse().ok());
        self.undoing.hold_all(vec![Held { creation, uri, headers: None, sure, log, leftover: true }]);
    }

    /// Undoes all that was created so far, or, with `leftovers`, only what was taken up. `make` gives services; on a
    /// `LocalSet`. `recorder` is one whose figures nobody reads.
    pub async fn undo<S, B>(self: &Arc<Self>, make: impl Fn(Traffic) -> S, recorder: RecorderHandle, leftovers: bool)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + 'static,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let all = self.undoing.take(leftovers);
        let worker = Worker::new(Arc::clone(self), recorder.clone(), 0);
        let Some(replay) = Replay::new(&worker, self, recorder, true).filter(|_| !all.is_empty()) else { return };
        let replay = Rc::new(replay);
        let mut phases: BTreeMap<_, BTreeMap<u64, Vec<Held>>> = BTreeMap::new();
        for held in all {
            phases.entry(held.creation.phase).or_default().entry(held.creation.group).or_default().push(held);
        }
        for (_, groups) in phases.into_iter().rev() {
            let queue: VecDeque<Vec<Held>> = groups.into_values().collect();
            let (queue, mut workers) = (Rc::new(RefCell::new(queue)), JoinSet::new());
            for _ in 0..SIDE_BY_SIDE.min(queue.borrow().len()) {
                let (replay, queue, service) = (Rc::clone(&replay), Rc::clone(&queue), make(Traffic::default()));
                workers.spawn_local(async move {
                    let service = RefCell::new(service);
                    loop {
                        let group = queue.borrow_mut().pop_front();
                        let Some(mut group) = group else { break };
                        group.sort_by_key(|held| held.creation.id);
                        while let Some(held) = group.pop() {
                            replay.undo(&service, &held).await;
                        }
                    }
                });
            }
            while workers.join_next().await.is_some() {}
        }
    }

    /// Undoes at once what an iteration created and there is no room to keep, with its own service.
    pub(crate) async fn undo_now<S, B>(
        self: &Arc<Self>,
        worker: &Worker,
        recorder: &RecorderHandle,
        service: &RefCell<S>,
        mut made: Vec<Held>,
    ) where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        // The steps that could be played for headers would stand in the run's figures.
        let Some(replay) = Replay::new(worker, self, recorder.clone(), false) else { return };
        while let Some(held) = made.pop() {
            replay.undo(service, &held).await;
        }
    }

    /// The step that a creation names, and the steps it is one of. Flags may have given the scenario another name.
    fn step_of(&self, creation: &Creation) -> Option<(&Sequence, &Step)> {
        let find = |any: bool| {
            let named = |step: &&Step| {
                step.undo.is_some() && step.name == creation.step && (any || step.scenario == creation.scenario)
            };
            self.sequences().find_map(|sequence| Some((sequence, sequence.steps.iter().find(named)?)))
        };
        find(false).or_else(|| find(true))
    }
}

// === impl Replay ===

impl Replay {
    /// None where the program has no step.
    fn new(worker: &Worker, program: &Arc<Program>, recorder: RecorderHandle, may_play: bool) -> Option<Self> {
        Some(Self {
            program: Arc::clone(program),
            worker: worker.clone(),
            recorder,
            found: RefCell::default(),
            failed_in_a_row: Cell::new(0),
            until: Instant::now() + LIMIT,
            site: program.sequences().find_map(|sequence| sequence.steps.first())?.site,
            may_play,
        })
    }

    /// Undoes one, and counts it.
    async fn undo<S, B>(&self, service: &RefCell<S>, held: &Held)
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let tally = &self.program.undoing.tally;
        let Some(uri) = &held.uri else {
            let why = if held.sure {
                "what it created is not undone, because the answer lacks what names it"
            } else {
                "no answer came, so what it created, if anything, has no known name and is not undone"
            };
            held.leave(tally, why);
            // Nobody can do more than tell it, so it is told once.
            held.log.after(held.creation.id, Fate::Told);
            return;
        };
        if self.failed_in_a_row.get() >= GIVE_UP || Instant::now() > self.until {
            held.leave(tally, "not undone: too many before it failed");
            return;
        }
        match self.attempts(service, held, uri).await {
            Ended::Undone { there } => {
                self.failed_in_a_row.set(0);
                held.settle(tally, there);
            }
            Ended::Not(why) => {
                self.failed_in_a_row.set(self.failed_in_a_row.get() + 1);
                held.leave(tally, &format!("not undone: {why}"));
            }
        }
    }

    async fn attempts<S, B>(&self, service: &RefCell<S>, held: &Held, uri: &Uri) -> Ended
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let Ok(method) = Method::from_bytes(held.creation.method.as_bytes()) else {
            return Ended::Not("its method is none".to_owned());
        };
        let mut headers = match &held.headers {
            Some(headers) => headers.clone(),
            None => self.headers(service, &held.creation).await.unwrap_or_default(),
        };
        let (mut anew, mut pauses) = (held.headers.is_some(), PAUSES.iter());
        loop {
            let answer = self.ask(service, &held.creation, &method, uri, headers.clone()).await;
            let why = match (answer.failure, answer.status) {
                (None, 404 | 410) => return Ended::Undone { there: false },
                (None, 200..=399) => return Ended::Undone { there: true },
                (None, 401 | 403) if anew => {
                    // A token does not live for ever.
                    anew = false;
                    match self.headers(service, &held.creation).await {
                        Some(found) => headers = found,
                        None => return Ended::Not(format!("status {}", answer.status)),
                    }
                    continue;
                }
                (None, status @ (408 | 409 | 425 | 429 | 500..)) => format!("status {status}"),
                (None, status) => return Ended::Not(format!("status {status}")),
                (Some(kind), _) => kind.as_str().to_owned(),
            };
            let Some(pause) = pauses.next() else { return Ended::Not(why) };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn ask<S, B>(
        &self,
        service: &RefCell<S>,
        creation: &Creation,
        method: &Method,
        uri: &Uri,
        headers: HeaderMap,
    ) -> Answer
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let run = self.program.run;
        let baggage = Baggage { run, scenario: &creation.scenario, tenant: "", step: "undo" }.to_string();
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        request.extensions_mut().insert(RequestContext {
            trace: TraceId::of_run(run, fastrand::u64(..)),
            span: SpanId::new(fastrand::u64(1..)),
            baggage: HeaderValue::try_from(baggage).unwrap_or_else(|_| HeaderValue::from_static("")),
            iteration: creation.group,
            due: Instant::now(),
        });
        let queries = Queries::default();
        // A stream alone would count anything, and nothing is read as one.
        let wanted = Wanted { text: false, queries: &queries, stream: None, recorder: &self.recorder, site: self.site };
        ask(service, request, wanted, &mut Vec::new()).await
    }

    /// Finds out headers once more: the steps before it that capture something, and create nothing to undo, are played
    /// as its user until the headers can be filled in.
    async fn headers<S, B>(&self, service: &RefCell<S>, creation: &Creation) -> Option<HeaderMap>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (sequence, step) = self.program.step_of(creation)?;
        let cell = Rc::clone(self.found.borrow_mut().entry((step.index, creation.user)).or_default());
        // Who needs the same at the same time waits for the one that asks.
        cell.get_or_init(|| self.play_for_headers(service, creation, sequence, step)).await.clone()
    }

    async fn play_for_headers<S, B>(
        &self,
        service: &RefCell<S>,
        creation: &Creation,
        sequence: &Sequence,
        step: &Step,
    ) -> Option<HeaderMap>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let undo = step.undo.as_ref()?;
        let program = &self.program;
        let mut hand = Hand::new(program, 0, fastrand::u64(..));
        program.tenancy.identify(creation.user, &mut hand.variables.identity);
        hand.trace = TraceId::of_run(program.run, fastrand::u64(..));
        sequence.deal(&program.world, &mut hand);
        let player = Player {
            run: program.run,
            world: &program.world,
            kits: self.worker.kits(),
            recorder: &self.recorder,
            service,
            tenant: hand.variables.identity.tenant,
            iteration: creation.group,
            undoing: &program.undoing,
            restraint: &program.restraint,
            phase: creation.phase,
            user: creation.user,
        };
        let mut before = sequence.steps.iter().take_while(|earlier| earlier.index != step.index);
        let mut scratch = Vec::new();
        loop {
            let context = Context { variables: &hand.variables, world: &program.world };
            if let Some(headers) = undo.headers(context, &mut scratch) {
                return Some(headers);
            }
            let next = before.find(|step| !step.captures.is_empty() && step.undo.is_none());
            let next = next.filter(|_| self.may_play)?;
            player.play(next, &mut hand, Instant::now()).await;
        }
    }
}
