//! What is known so far of the request in flight.
//!
//! A request that runs out of time is cut off by dropping its future, and with it all that
//! the future knew. So the layers write down here how far they are, and a failure takes its
//! [`Exchange`] from here. One VU has one request in flight, hence one record per VU.

use super::Request;
use super::connection::Marks;
use crate::measure::{Exchange, Failure, FailureKind, Hop, Proto, TlsVersion};
use http::Uri;
use http::header::{COOKIE, HeaderValue};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// The record of one VU. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    record: RefCell<Record>,
    /// The request as it was sent, for a redirect that may come: nothing is copied before one does.
    sent: RefCell<Option<Request>>,
    /// What the plan wrote as `cookie`, where the jar has written over it.
    cookie: RefCell<Option<Option<HeaderValue>>>,
}

#[derive(Debug, Default)]
struct Record {
    /// The phases that are over, and the hops that were followed.
    exchange: Exchange,
    phase: Phase,
    /// How long cap and guard made the request wait: time that its timeout does not count.
    excused: Duration,
    /// Since when they make it wait.
    held: Option<Instant>,
}

/// What the request is doing, and since when.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Idle,
    Blocked(Instant),
    Connecting(Instant),
    Handshaking(Instant),
    /// Handed to a connection; without marks the target is not a socket.
    Sent(Instant, Option<Rc<Marks>>),
}

// === impl Progress ===

impl Progress {
    /// A new request: nothing is known of it.
    pub(crate) fn begin(&self) {
        *self.0.record.borrow_mut() = Record::default();
        drop(self.take_sent());
    }

    /// Keeps a request that was sent, until its answer is here.
    pub(crate) fn keep(&self, request: Request) {
        *self.0.sent.borrow_mut() = Some(request);
    }

    /// Keeps a copy of a request, for connections that use it up.
    pub(crate) fn keep_copy(&self, request: &Request) {
        let mut copy = Request::new(request.body().clone());
        copy.method_mut().clone_from(request.method());
        copy.uri_mut().clone_from(request.uri());
        copy.headers_mut().clone_from(request.headers());
        self.keep(copy);
    }

    /// The jar writes over what the plan wrote.
    pub(crate) fn keep_cookie(&self, of_plan: Option<HeaderValue>) {
        *self.0.cookie.borrow_mut() = Some(of_plan);
    }

    /// Where the request that was sent last went.
    pub(crate) fn sent_to(&self) -> Option<Uri> {
        self.0.sent.borrow().as_ref().map(|request| request.uri().clone())
    }

    /// Takes the request that was sent last, as it was before the jar and the connection added to it.
    pub(crate) fn take_sent(&self) -> Option<Request> {
        let cookie = self.0.cookie.borrow_mut().take();
        let mut request = self.0.sent.borrow_mut().take()?;
        match cookie {
            Some(Some(of_plan)) => drop(request.headers_mut().insert(COOKIE, of_plan)),
            Some(None) => drop(request.headers_mut().remove(COOKIE)),
            None => {}
        }
        Some(request)
    }

    /// A request, or a hop of it, comes to the connection.
    pub(crate) fn blocked(&self, now: Instant) {
        let record = &mut *self.0.record.borrow_mut();
        record.exchange.timings = Default::default();
        record.exchange.stale = false;
        record.phase = Phase::Blocked(now);
    }

    /// A reused connection turned out to be closed.
    pub(crate) fn stale(&self, started: Instant) {
        let record = &mut *self.0.record.borrow_mut();
        record.exchange.stale = true;
        record.phase = Phase::Blocked(started);
    }

    /// The name is resolved; the TCP connection is being made.
    pub(crate) fn connecting(&self) {
        self.enter(Phase::Connecting);
    }

    /// The TCP connection is made; TLS is being negotiated.
    pub(crate) fn handshaking(&self) {
        self.enter(Phase::Handshaking);
    }

    /// The connection is made.
    pub(crate) fn connected(&self) {
        self.enter(Phase::Blocked);
        // What follows is handing the request over, which takes no time worth a phase.
    }

    /// The request was handed to a connection.
    pub(crate) fn sent(&self, now: Instant, marks: Option<Rc<Marks>>) {
        self.0.record.borrow_mut().phase = Phase::Sent(now, marks);
    }

    /// The answer's head is here: all that is known of the exchange but its hops.
    pub(crate) fn answered(&self, proto: Proto, tls: Option<TlsVersion>) -> Exchange {
        let record = &mut *self.0.record.borrow_mut();
        if let Phase::Sent(at, marks) = &record.phase {
            let head = marks.as_ref().and_then(|marks| marks.first_read()).unwrap_or_else(Instant::now);
            let flushed = marks.as_ref().and_then(|marks| marks.flushed()).unwrap_or(*at).clamp(*at, head.max(*at));
            record.exchange.timings.sending = flushed - *at;
            record.exchange.timings.waiting = head.saturating_duration_since(flushed);
            record.exchange.head_at = Some(head);
        }
        record.exchange.proto = proto;
        record.exchange.tls = tls;
        record.phase = Phase::Idle;
        let known = &record.exchange;
        // The hops stay behind: the redirect takes them once, with the last answer.
        Exchange {
            timings: known.timings,
            head_at: known.head_at,
            proto,
            tls,
            stale: known.stale,
            held: known.held,
            hops: Vec::new(),
        }
    }

    /// A redirect was followed.
    pub(crate) fn hop(&self, hop: Hop) {
        let record = &mut *self.0.record.borrow_mut();
        record.exchange.hops.push(hop);
        record.exchange.timings = Default::default();
        record.exchange.held = Duration::ZERO;
        record.exchange.head_at = None;
    }

    /// Takes the redirects that were followed. Nearly always none, and then nothing is allocated.
    pub(crate) fn take_hops(&self) -> Vec<Hop> {
        std::mem::take(&mut self.0.record.borrow_mut().exchange.hops)
    }

    /// The guard held the request, or the hop, for so long.
    pub(crate) fn held_by_guard(&self, time: Duration) {
        self.0.record.borrow_mut().exchange.held += time;
    }

    /// Cap or guard make the request wait from now on.
    pub(crate) fn hold(&self, now: Instant) {
        self.0.record.borrow_mut().held = Some(now);
    }

    /// They let it go.
    pub(crate) fn release(&self, now: Instant) {
        let record = &mut *self.0.record.borrow_mut();
        if let Some(since) = record.held.take() {
            record.excused += now.saturating_duration_since(since);
        }
    }

    /// How long they made it wait, or none while they still do.
    pub(crate) fn excused(&self) -> Option<Duration> {
        let record = self.0.record.borrow();
        if record.held.is_some() { None } else { Some(record.excused) }
    }

    /// The request ends here without a (whole) answer. What it was doing counts up to now, as in k6.
    pub(crate) fn fail(&self, kind: FailureKind) -> Failure {
        let record = &mut *self.0.record.borrow_mut();
        let now = Instant::now();
        let timings = &mut record.exchange.timings;
        match std::mem::take(&mut record.phase) {
            Phase::Idle => {}
            Phase::Blocked(since) => timings.blocked += now.saturating_duration_since(since),
            Phase::Connecting(since) => timings.connecting += now.saturating_duration_since(since),
            Phase::Handshaking(since) => timings.tls_handshaking += now.saturating_duration_since(since),
            Phase::Sent(at, marks) => match marks.as_ref().and_then(|marks| marks.flushed()) {
                Some(flushed) => {
                    timings.sending = flushed.saturating_duration_since(at);
                    timings.waiting = now.saturating_duration_since(flushed);
                }
                None => timings.sending = now.saturating_duration_since(at),
            },
        }
        Failure { kind, exchange: std::mem::take(&mut record.exchange), source: None }
    }

    /// Closes the phase that is open and opens the next.
    fn enter(&self, next: impl FnOnce(Instant) -> Phase) {
        let record = &mut *self.0.record.borrow_mut();
        let now = Instant::now();
        let timings = &mut record.exchange.timings;
        match record.phase {
            Phase::Blocked(since) => timings.blocked = now.saturating_duration_since(since),
            Phase::Connecting(since) => timings.connecting = now.saturating_duration_since(since),
            Phase::Handshaking(since) => timings.tls_handshaking = now.saturating_duration_since(since),
            Phase::Idle | Phase::Sent(..) => {}
        }
        record.phase = next(now);
    }
}
