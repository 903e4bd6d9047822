//! One trace while it waits: its requests, its spans, and which of them belong together.

use crate::correlate::attribution::{Role, Span};
use crate::measure::Timings;
use crate::semconv::SpanId;
use std::borrow::Cow;
use std::collections::HashMap;

/// One iteration's trace.
#[derive(Debug)]
pub(super) struct Trace {
    /// Requests whose window is open.
    pub(super) calls: Vec<Pending>,
    /// Spans that no request has taken yet.
    pub(super) spans: Vec<Span>,
    /// Whether none of its spans was thrown away.
    pub(super) complete: bool,
    /// Whether its iteration has ended, so that no request follows.
    pub(super) ended: bool,
}

/// A request whose window is open.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) span: SpanId,
    pub(super) step: usize,
    /// At least one; more where redirects were followed.
    hops: Vec<Hop>,
    pub(super) server_timing: Option<Box<str>>,
    /// Server spans that answer it.
    servers: usize,
}

/// One hop of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop {
    /// When its first byte was about to be sent, in nanoseconds since the Unix epoch.
    pub(super) start: i64,
    pub(super) timings: Timings,
    /// Whether an answer came.
    pub(super) answered: bool,
}

// === impl Trace ===

impl Default for Trace {
    fn default() -> Self {
        Self { calls: Vec::new(), spans: Vec::new(), complete: true, ended: false }
    }
}

impl Trace {
    /// A server span below `parent` has come. Answers for how many fewer hops one waits.
    pub(super) fn answered(&mut self, parent: Option<SpanId>) -> usize {
        let Some(call) = self.calls.iter_mut().find(|call| Some(call.span) == parent) else { return 0 };
        let before = call.waits();
        call.servers += 1;
        before - call.waits()
    }

    /// Takes a request out, with the spans that are its own.
    pub(super) fn take_call(&mut self, span: SpanId) -> Option<(Pending, Vec<Span>)> {
        let at = self.calls.iter().position(|call| call.span == span)?;
        let call = self.calls.swap_remove(at);
        let places: HashMap<SpanId, usize> = self.spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
        let mut mine = Vec::new();
        let mut others = Vec::new();
        for span in &self.spans {
            let belongs = match top(span, &self.spans, &places).parent {
                Some(parent) if parent == call.span => true,
                Some(parent) if self.calls.iter().any(|other| other.span == parent) => false,
                // Its way up is broken. Steps follow each other, so time tells whose it is.
                _ => self.calls.is_empty() && self.ended || call.was_under_way(span),
            };
            if belongs { &mut mine } else { &mut others }.push(*span);
        }
        self.spans = others;
        Some((call, mine))
    }
}

/// The topmost ancestor that is there, of a span whose ancestors may lead in circles.
fn top<'a>(span: &'a Span, spans: &'a [Span], places: &HashMap<SpanId, usize>) -> &'a Span {
    let mut top = span;
    for _ in 0..spans.len() {
        let above = top.parent.and_then(|parent| places.get(&parent)).and_then(|at| spans.get(*at));
        match above {
            Some(above) => top = above,
            None => break,
        }
    }
    top
}

// === impl Pending ===

impl Pending {
    /// A request whose spans may be here already.
    pub(super) fn new(
        span: SpanId,
        step: usize,
        hops: Vec<Hop>,
        server_timing: Option<Box<str>>,
        spans: &[Span],
    ) -> Self {
        let servers = spans.iter().filter(|known| known.parent == Some(span) && answers(known)).count();
        Self { span, step, hops, server_timing, servers }
    }

    /// How many of its answers have no server span yet.
    pub(super) fn waits(&self) -> usize {
        self.hops.iter().filter(|hop| hop.answered).count().saturating_sub(self.servers)
    }

    /// The server span that answers it, where it is there.
    pub(super) fn server<'a>(&self, spans: &'a [Span]) -> Option<&'a Span> {
        spans.iter().find(|span| span.parent == Some(self.span) && answers(span))
    }

    /// Each hop with the spans that are its own: where redirects were followed, every one has a server span, and they
    /// came in that order.
    pub(super) fn by_hop<'a>(&'a self, spans: &'a [Span]) -> impl Iterator<Item = (&'a Hop, Cow<'a, [Span]>)> {
        let several = self.hops.len() > 1;
        let mut roots: Vec<&Span> = spans.iter().filter(|span| span.parent == Some(self.span)).collect();
        roots.sort_by_key(|root| root.start);
        let places: HashMap<SpanId, usize> =
            if several { spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect() } else { HashMap::new() };
        let matched = roots.len() == self.hops.len();
        self.hops.iter().enumerate().map(move |(number, hop)| {
            if !several {
                return (hop, Cow::Borrowed(spans));
            }
            let own = |root: &&&Span| match matched {
                true => roots.get(number).is_some_and(|wanted| wanted.id == root.id),
                // One is missing: whichever overlaps.
                false => hop.overlaps(root),
            };
            let chosen: Vec<SpanId> = roots.iter().filter(own).map(|root| root.id).collect();
            let mine = spans.iter().filter(|span| chosen.contains(&top(span, spans, &places).id));
            (hop, Cow::Owned(mine.copied().collect()))
        })
    }

    fn was_under_way(&self, span: &Span) -> bool {
        self.hops.iter().any(|hop| hop.overlaps(span))
    }
}

// === impl Hop ===

impl Hop {
    /// Whether the middle of a span lies within it. Its service's clock is taken as it is.
    fn overlaps(&self, span: &Span) -> bool {
        let middle = span.start / 2 + span.end / 2;
        let length = i64::try_from(self.timings.duration().as_nanos()).unwrap_or(i64::MAX);
        middle >= self.start && middle <= self.start.saturating_add(length)
    }
}

fn answers(span: &Span) -> bool {
    matches!(span.role, Role::Server { .. } | Role::Queue)
}
