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
    /// Whether its server is on this machine.
    pub(super) local: bool,
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

    /// How long after a request's first byte was sent the server span that answers it began, and how long before the
    /// answer was whole it ended, in nanoseconds; none where they are not both here, or where there were redirects.
    pub(super) fn gaps(&self, server: &Span) -> Option<(i64, i64)> {
        let call = self.calls.iter().find(|call| answers(server) && Some(call.span) == server.parent)?;
        let [hop] = call.hops.as_slice() else { return None };
        Some((server.start.saturating_sub(hop.start), hop.end().saturating_sub(server.end)))
    }

    /// Takes a request out, with the spans that are its own.
    pub(super) fn take_call(&mut self, span: SpanId) -> Option<(Pending, Vec<Span>)> {
        let at = self.calls.iter().position(|call| call.span == span)?;
        let call = self.calls.swap_remove(at);
        let mut mine = Vec::new();
        let mut others = Vec::new();
        for (span, top) in self.spans.iter().zip(tops(&self.spans)) {
            let belongs = match self.spans.get(top).and_then(|top| top.parent) {
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

/// Of each span: its topmost ancestor that is there; for those whose ancestors lead in circles, one of the circle.
/// Each span is walked over once, however deep they are nested.
fn tops(spans: &[Span]) -> Vec<usize> {
    const UNKNOWN: usize = usize::MAX;
    let places: HashMap<SpanId, usize> = spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
    let mut tops = vec![UNKNOWN; spans.len()];
    for from in 0..spans.len() {
        let mut way = Vec::new();
        let mut at = from;
        while tops[at] == UNKNOWN {
            // Where the way comes back to itself, it ends.
            tops[at] = at;
            way.push(at);
            at = spans[at].parent.and_then(|parent| places.get(&parent)).copied().unwrap_or(at);
        }
        let top = tops[at];
        for at in way {
            tops[at] = top;
        }
    }
    tops
}

// === impl Pending ===

impl Pending {
    /// A request whose spans may be here already.
    pub(super) fn new(
        span: SpanId,
        (step, local): (usize, bool),
        hops: Vec<Hop>,
        server_timing: Option<Box<str>>,
        spans: &[Span],
    ) -> Self {
        let servers = spans.iter().filter(|known| known.parent == Some(span) && answers(known)).count();
        Self { span, step, local, hops, server_timing, servers }
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
        let tops = if several { tops(spans) } else { Vec::new() };
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
            let mine = spans.iter().zip(&tops).filter(|(_, top)| {
                let top = spans.get(**top);
                top.is_some_and(|top| chosen.contains(&top.id))
            });
            (hop, Cow::Owned(mine.map(|(span, _)| *span).collect()))
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
        middle >= self.start && middle <= self.end()
    }

    /// When its answer was whole, in nanoseconds since the Unix epoch.
    fn end(&self) -> i64 {
        let length = i64::try_from(self.timings.duration().as_nanos()).unwrap_or(i64::MAX);
        self.start.saturating_add(length)
    }
}

fn answers(span: &Span) -> bool {
    matches!(span.role, Role::Server { .. } | Role::Queue)
}
