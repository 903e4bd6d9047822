//! Playing one step: fill in, send, read, keep, check, count.

use super::answer::{Answer, BoxError, Wanted, ask};
use super::dataset::mix;
use super::program::Program;
use super::query::Found;
use super::restraint::{Reservations, Restraint};
use super::step::Step;
use super::undo::{Made, Maker, Pending, Undoing};
use super::variable::{Context, Missing, Variables, World};
use crate::measure::stream::MOST_SERVER_TIMING;
use crate::measure::{
    CreationPhase, CutOffRecord, FailureKind, Record, RecorderHandle, RequestContext, RequestRecord, RequestSample,
    SiteId, Wrong,
};
use crate::plan::OnFailure;
use crate::semconv::{Baggage, RunId, SpanId, TraceId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

/// How many tenants' `baggage` a worker keeps ready for each step.
const KEPT_BAGGAGE: u32 = 4096;

/// How many headers a client adds to each request: who asks, trace, baggage.
const CLIENT_HEADERS: usize = 3;

/// What one VU plays with: its variables, its dice, and buffers that are used again.
#[derive(Debug)]
pub(crate) struct Hand {
    pub(crate) variables: Variables,
    pub(crate) random: fastrand::Rng,
    pub(crate) trace: TraceId,
    found: Vec<Option<Found>>,
    scratch: Vec<u8>,
    /// What was created and is to be undone.
    pub(crate) made: Made,
}

/// What of a step is ready to send. Each worker has its own, so that no reference count is shared between cores.
#[derive(Debug)]
pub(crate) struct Kit {
    uri: Option<Uri>,
    headers: HeaderMap,
    body: Option<Bytes>,
    baggage: RefCell<Vec<Option<HeaderValue>>>,
}

/// Plays steps.
pub(crate) struct Player<'a, S> {
    pub(crate) run: RunId,
    pub(crate) world: &'a World,
    pub(crate) kits: &'a [Kit],
    pub(crate) recorder: &'a RecorderHandle,
    pub(crate) service: &'a RefCell<S>,
    /// The tenant's number in samples; 0 for none.
    pub(crate) tenant: u32,
    /// What keeps the cookies of one iteration apart from those of the next.
    pub(crate) iteration: u64,
    pub(crate) undoing: &'a Undoing,
    pub(crate) restraint: &'a Restraint,
    pub(crate) phase: CreationPhase,
    /// The user, from 0.
    pub(crate) user: u32,
}

/// How a step was played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Played {
    /// When its checks were done.
    pub(crate) ended: Instant,
    /// For how long the guard held its request back.
    pub(crate) held: Duration,
    /// Whether a request was sent.
    pub(crate) sent: bool,
    /// The first thing that went wrong.
    pub(crate) failed: Option<Cause>,
    /// Whether the sequence ends here.
    pub(crate) stop: bool,
}

/// What went wrong in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A variable had no value; nothing was sent.
    Missing,
    /// What it would create could not be written down; nothing was sent.
    Unwritten,
    /// The target turned it away to spare real requests.
    Shed,
    /// There was no (whole) answer.
    Failure(FailureKind),
    /// The answer's status is none that is expected.
    Status(u16),
    /// A capture (by its place in the step) was not in the answer.
    Capture(usize),
    /// A check, by its key.
    Check(&'static str),
}

/// Counts a request that was cut off: the load ended while it was on its way.
struct InFlight<'a> {
    recorder: &'a RecorderHandle,
    restraint: &'a Restraint,
    site: SiteId,
    due: Instant,
    started: Instant,
    trace: TraceId,
    span: SpanId,
    tenant: u32,
    landed: bool,
}

// === impl Hand ===

impl Hand {
    /// The hand of VU `vu`, whose dice are those of the program and `seed`.
    pub(crate) fn new(program: &Program, vu: u64, seed: u64) -> Self {
        let (run, dice) = (program.run, program.dice.bits());
        Self {
            variables: Variables { vu, ..Variables::default() },
            random: fastrand::Rng::with_seed(mix(dice ^ mix(seed))),
            trace: TraceId::of_run(run, 0),
            found: Vec::new(),
            scratch: Vec::new(),
            made: Made::default(),
        }
    }
}

// === impl Kit ===

impl Kit {
    /// Copies what is fixed of a step.
    pub(crate) fn of(step: &Step) -> Self {
        let uri = match &step.url {
            super::url::Url::Fixed(uri) => uri.to_string().parse().ok(),
            _ => None,
        };
        let headers = step.headers.fixed.iter().filter_map(|(name, value)| {
            let mut copy = HeaderValue::from_bytes(value.as_bytes()).ok()?;
            copy.set_sensitive(value.is_sensitive());
            Some((HeaderName::from_bytes(name.as_str().as_bytes()).ok()?, copy))
        });
        let body = match &step.body {
            super::body::Body::Fixed(bytes) => Some(Bytes::copy_from_slice(bytes)),
            _ => None,
        };
        Self { uri, headers: headers.collect(), body, baggage: RefCell::default() }
    }

    fn baggage(&self, run: RunId, step: &Step, tenant: u32) -> HeaderValue {
        let index = tenant as usize;
        let mut ready = self.baggage.borrow_mut();
        if let Some(Some(value)) = ready.get(index) {
            return value.clone();
        }
        let number = tenant.to_string();
        let tenant_text = if tenant == 0 { "" } else { number.as_str() };
        let text = Baggage { run, scenario: &step.scenario, tenant: tenant_text, step: &step.name }.to_string();
        // `Baggage` writes visible ASCII only.
        let value = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        if tenant <= KEPT_BAGGAGE {
            if ready.len() <= index {
                ready.resize(index + 1, None);
            }
            ready[index] = Some(value.clone());
        }
        value
    }
}

// === impl Player ===

impl<S, B> Player<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Plays a step that is due at `due`.
    pub(crate) async fn play(&self, step: &Step, hand: &mut Hand, due: Instant) -> Played {
        // A target that answers without ever waiting must not keep the thread from its other tasks.
        tokio::task::coop::consume_budget().await;
        let started = Instant::now();
        let context = Context { variables: &hand.variables, world: self.world };
        match step.when.as_ref().map_or(Ok(true), |when| when.holds(context)) {
            Ok(true) => {}
            Ok(false) => return Played::unsent(started, None),
            Err(missing) => return self.missing(missing, started),
        }
        let span = SpanId::new(hand.random.u64(..));
        let request = match self.request(step, hand, span, due) {
            Ok(request) => request,
            Err(missing) => return self.missing(missing, started),
        };
        let mut costs = self.restraint.reserve(step).await;
        // A budget that lets it wait is the guard's doing: it comes due later by as much.
        let begun = if costs.is_empty() { started } else { Instant::now() };
        let waited = begun.saturating_duration_since(started);
        let due = due + waited;
        let pending = match self.write_down(step, hand).await {
            Ok(pending) => pending,
            Err(unsent) => {
                costs.unsent();
                return unsent;
            }
        };
        let mut in_flight = InFlight {
            recorder: self.recorder,
            restraint: self.restraint,
            site: step.site,
            due,
            started: begun,
            trace: hand.trace,
            span,
            tenant: self.tenant,
            landed: false,
        };
        let wanted = Wanted {
            text: step.wants_text,
            queries: &step.queries,
            stream: step.stream,
            recorder: self.recorder,
            site: step.site,
        };
        let answer = ask(self.service, request, wanted, &mut hand.found).await;
        in_flight.landed = true;
        let failed = if answer.is_shed() {
            self.shed(step, &answer, due, span, hand)
        } else {
            let expected = answer.failure.is_none() && step.expect.expects(answer.status);
            self.count(step, &answer, expected, due, (hand.trace, span));
            self.look(step, &answer, expected, hand, &mut costs)
        };
        costs.answered(&answer);
        drop(costs);
        if let (Some(pending), Some(undo)) = (pending, &step.undo) {
            let Hand { variables, scratch, .. } = hand;
            pending.settle(undo, &answer, Context { variables, world: self.world }, scratch);
        }
        let ended = Instant::now();
        let held = waited + answer.held();
        self.recorder.group(step.site, ended.saturating_duration_since(started + held));
        Played { ended, held, sent: true, failed: failed.0, stop: failed.1 }
    }

    /// Writes down what a step with `undo` is about to create; it is not sent before that is safe.
    async fn write_down(&self, step: &Step, hand: &mut Hand) -> Result<Option<Pending>, Played> {
        if step.undo.is_none() {
            return Ok(None);
        }
        let Hand { variables, scratch, made, .. } = hand;
        let maker = Maker { phase: self.phase, user: self.user, group: mix(variables.vu) ^ variables.iteration };
        let context = Context { variables, world: self.world };
        Pending::begin(self.undoing, step, maker, context, scratch, made).await.map_err(|error| {
            self.undoing.unwritten(&step.name, &error);
            Played::unsent(Instant::now(), Some(Cause::Unwritten))
        })
    }

    /// A variable has no value: a failed check, and the end.
    fn missing(&self, missing: Missing, at: Instant) -> Played {
        if let Some(check) = missing.0 {
            self.recorder.check(check, false);
        }
        Played::unsent(at, Some(Cause::Missing))
    }

    /// Fills in a step's request.
    fn request(
        &self,
        step: &Step,
        hand: &mut Hand,
        span: SpanId,
        due: Instant,
    ) -> Result<Request<Full<Bytes>>, Missing> {
        let kit = self.kits.get(step.index);
        let Hand { variables, trace, scratch, .. } = hand;
        let context = Context { variables, world: self.world };
        for variable in &step.needed {
            variable.get(context)?;
        }
        let uri = match kit.and_then(|kit| kit.uri.as_ref()) {
            Some(uri) => uri.clone(),
            None => step.url.fill(context)?,
        };
        let fixed = kit.map_or(&step.headers.fixed, |kit| &kit.headers);
        // A clone would have room for what is in it only, and grow with each header that follows.
        let mut headers = HeaderMap::with_capacity(fixed.len() + step.headers.filled.len() + CLIENT_HEADERS);
        for (name, value) in fixed {
            headers.append(name.clone(), value.clone());
        }
        step.headers.fill(context, scratch, &mut headers)?;
        let body = match kit.and_then(|kit| kit.body.as_ref()) {
            Some(body) => body.clone(),
            None => step.body.fill(context)?,
        };
        let baggage = match kit {
            Some(kit) => kit.baggage(self.run, step, self.tenant),
            None => HeaderValue::from_static(""),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = step.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.extensions_mut().insert(RequestContext {
            trace: *trace,
            span,
            baggage,
            iteration: self.iteration,
            due,
        });
        Ok(request)
    }

    /// Counts the request, and each redirect before its answer as a request of its own.
    fn count(&self, step: &Step, answer: &Answer, expected: bool, due: Instant, ids: (TraceId, SpanId)) {
        if answer.stale {
            self.recorder.stale_connection();
        }
        let (due, number) = self.count_hops(step, answer, due, ids);
        let (trace, span) = ids;
        let sample = self.sample(answer, expected, due);
        self.recorder.request(step.site, &sample);
        self.recorder.tell(|| {
            let (site, server_timing) = (step.site, server_timing(&answer.headers));
            Record::Request(RequestRecord { site, trace, span, hop: number, last: true, sample, server_timing })
        });
        if let Some(wrong) = wrong(answer, expected) {
            self.recorder.went_wrong(step.site, wrong, trace);
        }
        if let Some(kind) = answer.failure {
            tracing::debug!(step = step.name, failure = kind.as_str(), "no whole answer");
        }
    }

    /// Counts the redirects before an answer: when what followed was due, and its number.
    fn count_hops(&self, step: &Step, answer: &Answer, due: Instant, ids: (TraceId, SpanId)) -> (Instant, u16) {
        let (trace, span) = ids;
        let (mut due, mut number) = (due, 0);
        for hop in &answer.hops {
            due += hop.held;
            let sample = RequestSample {
                due,
                ended: hop.ended,
                timings: hop.timings,
                status: hop.status,
                // What is followed is what the plan wished for.
                expected: true,
                failure: None,
                proto: Some(hop.proto),
                tls: hop.tls,
                tenant: self.tenant,
            };
            self.recorder.request(step.site, &sample);
            self.recorder.tell(|| {
                let (site, hop) = (step.site, number);
                Record::Request(RequestRecord { site, trace, span, hop, last: false, sample, server_timing: None })
            });
            number = number.saturating_add(1);
            due = hop.ended;
        }
        (due + answer.held, number)
    }

    /// Counts a request that the target turned away: neither failed nor answered. Nothing of it is checked or kept, and
    /// the sequence ends with it, unless the step says otherwise.
    fn shed(&self, step: &Step, answer: &Answer, due: Instant, span: SpanId, hand: &mut Hand) -> (Option<Cause>, bool) {
        let (site, trace) = (step.site, hand.trace);
        let (due, hop) = self.count_hops(step, answer, due, (trace, span));
        let sample = self.sample(answer, false, due);
        self.recorder.request_shed(site, &sample);
        self.recorder
            .tell(|| Record::Shed(RequestRecord { site, trace, span, hop, last: true, sample, server_timing: None }));
        for capture in &step.captures {
            if let Some(slot) = hand.variables.slots.get_mut(capture.slot) {
                *slot = None;
            }
        }
        (Some(Cause::Shed), step.on_failure != Some(OnFailure::Continue))
    }

    const fn sample(&self, answer: &Answer, expected: bool, due: Instant) -> RequestSample {
        RequestSample {
            due,
            ended: answer.ended,
            timings: answer.timings,
            status: answer.status,
            expected,
            failure: answer.failure,
            proto: answer.proto,
            tls: answer.tls,
            tenant: self.tenant,
        }
    }

    /// Keeps, checks and counts what the answer has: the first thing that went wrong, and whether it ends the sequence.
    fn look(
        &self,
        step: &Step,
        answer: &Answer,
        expected: bool,
        hand: &mut Hand,
        costs: &mut Reservations<'_>,
    ) -> (Option<Cause>, bool) {
        let mut failed = match answer.failure {
            Some(kind) => Some(Cause::Failure(kind)),
            None if !expected => Some(Cause::Status(answer.status)),
            None => None,
        };
        let mut lost = false;
        for (at, capture) in step.captures.iter().enumerate() {
            let value = if answer.failure.is_none() { capture.take(answer, &hand.found) } else { None };
            if value.is_none() {
                lost = true;
                failed = failed.or(Some(Cause::Capture(at)));
                if let Some(check) = capture.check {
                    self.recorder.check(check, false);
                    if expected {
                        self.recorder.went_wrong(step.site, Wrong::Check(check), hand.trace);
                    }
                }
            }
            if let Some(slot) = hand.variables.slots.get_mut(capture.slot) {
                *slot = value;
            }
        }
        let context = Context { variables: &hand.variables, world: self.world };
        for (check, passed) in step.expect.judge(answer, &hand.found, context) {
            if let Some(id) = check.id {
                self.recorder.check(id, passed);
            }
            if !passed {
                // A status that is not expected is told already, and nothing else holds of no answer.
                if let Some(id) = check.id.filter(|_| expected) {
                    self.recorder.went_wrong(step.site, Wrong::Check(id), hand.trace);
                }
                failed = failed.or(Some(Cause::Check(check.key)));
            }
        }
        for metric in &step.metrics {
            if let Some(figure) = metric.record(answer, &hand.found, context, step.site, self.recorder) {
                costs.costs(metric.id(), figure);
            }
        }
        let stop = match step.on_failure {
            Some(OnFailure::Continue) => false,
            Some(OnFailure::Stop) => failed.is_some(),
            None => lost,
        };
        (failed, stop)
    }
}

// === impl Played ===

impl Played {
    /// Nothing was sent; where something went wrong the sequence ends.
    const fn unsent(ended: Instant, failed: Option<Cause>) -> Self {
        Self { ended, held: Duration::ZERO, sent: false, stop: failed.is_some(), failed }
    }
}

/// What is wrong with an answer before anything in it is looked at.
fn wrong(answer: &Answer, expected: bool) -> Option<Wrong> {
    match answer.failure {
        Some(kind) => Some(Wrong::Failure(kind)),
        None => (!expected).then_some(Wrong::Status(answer.status)),
    }
}

// === impl InFlight ===

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            let at = Instant::now();
            // What the guard held back came due later.
            let due = self.due + self.restraint.held_since(self.started, at);
            self.recorder.request_cut_off(self.site, due, at);
            self.recorder.tell(|| {
                let Self { site, started, trace, span, tenant, .. } = *self;
                Record::CutOff(CutOffRecord { site, trace, span, due, started, at, tenant })
            });
        }
    }
}

// === impl Cause ===

impl Cause {
    /// Whether no check of the step has counted it.
    pub(crate) fn has_no_check(self, step: &Step) -> bool {
        match self {
            Self::Missing | Self::Shed | Self::Capture(_) | Self::Check(_) => false,
            Self::Unwritten => true,
            Self::Failure(_) | Self::Status(_) => !step.expect.checks_status(),
        }
    }
}

/// What the target says of its own time; several headers are one list.
fn server_timing(headers: &HeaderMap) -> Option<Box<str>> {
    let mut all = headers.get_all("server-timing").iter().filter_map(|value| value.to_str().ok());
    let mut text = all.next()?.to_owned();
    for more in all {
        text.push(',');
        text.push_str(more);
    }
    (text.len() <= MOST_SERVER_TIMING).then(|| text.into_boxed_str())
}
