//! The join: requests as the generator saw them, with the spans that came back for them, in bounded memory.
//!
//! Both sides come late and in any order: an API exports in batches, a worker hands over once a second. So each trace
//! is held until the window of its request closes, `linger` after the request's end; then the request is attributed,
//! counted into its step's bands, and dropped with its spans. What was sampled out is waited for by nobody. Time and
//! events come from outside, so all of this is tested without waiting.

mod clock;
#[cfg(test)]
mod tests;
mod trace;

use super::attribution::{Call, Role, Span, attribute, by_server_timing, classify};
use super::bands::{Band, Bands};
use super::intake::ServerSpan;
use super::timeline::waits;
use crate::measure::{Batch, IterationRecord, Layout, Record, RequestRecord, SiteTags, WallClock};
use crate::semconv::{Sampling, SpanId, TraceId};
use clock::ServiceClock;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
use trace::{Hop, Pending, Trace};
use url::{Host, Url};

/// What the join needs to know of a run.
#[derive(Clone, Copy, Debug)]
pub struct JoinConfig {
    /// Which traces were flagged as recorded.
    pub sampling: Sampling,
    /// How long after a request's end its spans are waited for.
    pub linger: Duration,
    /// The longest that a request takes: for so long its spans may be here before it is.
    pub longest: Duration,
    /// The clock of the generator.
    pub clock: WallClock,
    /// Whether what is below the plan's `base_url` is on this machine.
    pub local: bool,
}

/// Joins requests with their spans.
#[derive(Debug)]
pub struct Joiner {
    config: JoinConfig,
    /// Of each site: its step among the bands, and whether its server is on this machine.
    steps: Vec<(usize, bool)>,
    bands: Bands,
    traces: HashMap<TraceId, Trace>,
    /// Requests by when their window closes; nearly sorted, as they ended.
    closing: VecDeque<(Instant, TraceId, SpanId)>,
    /// Traces by when they are forgotten if nothing claims them.
    forgetting: VecDeque<(Instant, TraceId)>,
    services: HashMap<String, u16>,
    clocks: Vec<ServiceClock>,
    /// Hops whose answer has not come; the hops of a request follow each other.
    hops: Vec<Hop>,
    held_spans: usize,
    /// Answers that wait for a server span.
    unjoined: usize,
    counts: JoinCounts,
    last_span: Option<Instant>,
    /// Waits for a connection of the API's pool in ms, each with the end of its request, until they are taken.
    pool_waits: Vec<(Instant, f64)>,
}

/// What was joined, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct JoinCounts {
    /// Requests that were sampled and answered.
    pub expected: u64,
    /// Those of them with a server span, or with a header in its place.
    pub joined: u64,
    /// Those of them that only a `server-timing` header explains.
    pub by_header: u64,
    /// Requests whose clocks had to be put right.
    pub skewed: u64,
    /// Requests that the generator had no room to tell of.
    pub records_lost: u64,
    /// Spans that found no room.
    pub spans_lost: u64,
    /// Spans that came twice.
    pub duplicates: u64,
    /// Spans of this run that no request claimed.
    pub unclaimed: u64,
}

/// What attribution came to.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct AttributionReport {
    /// The counts.
    pub counts: JoinCounts,
    /// Per step and band, in the order of the plan.
    pub bands: Vec<Band>,
    /// What the bands are read from, so that several workers' add up.
    pub(crate) all: Bands,
}

/// The most spans that wait, at about 64 bytes each.
const MOST_SPANS: usize = 400_000;
/// The most requests that wait, at about 200 bytes each.
const MOST_CALLS: usize = 200_000;
/// The most spans of one trace.
const MOST_OF_A_TRACE: usize = 2_000;
/// The most services that are told apart; further ones share a number.
const MOST_SERVICES: usize = 512;
/// So many traces may be waited for in vain before the list of them is gone through.
const FEW: usize = 4_096;
/// How long after its end a request is heard of at the latest: workers hand over each second.
const HANDOVER: Duration = Duration::from_secs(3);
/// How long no span must have come for all to be there, once every request has its server span: what an exporter
/// sends in two messages comes within it.
const QUIET: Duration = Duration::from_millis(300);

// === impl AttributionReport ===

impl AttributionReport {
    /// Adds what another worker's spans said: bands are read off anew over all requests.
    pub fn merge(&mut self, other: &Self) {
        let (mine, more) = (&mut self.counts, &other.counts);
        mine.expected += more.expected;
        mine.joined += more.joined;
        mine.by_header += more.by_header;
        mine.skewed += more.skewed;
        mine.records_lost += more.records_lost;
        mine.spans_lost += more.spans_lost;
        mine.duplicates += more.duplicates;
        mine.unclaimed += more.unclaimed;
        self.all.merge(&other.all);
        self.bands = self.all.read();
    }
}

// === impl Joiner ===

impl Joiner {
    /// Joins the requests of a run with this layout.
    #[must_use]
    pub fn new(config: JoinConfig, layout: &Layout) -> Self {
        let mut bands = Bands::default();
        let site = |tags: &SiteTags| (bands.step(&tags.step), local(&tags.url).unwrap_or(config.local));
        let steps = layout.sites().iter().map(|site| &site.tags).map(site).collect();
        Self {
            config,
            steps,
            bands,
            traces: HashMap::new(),
            closing: VecDeque::new(),
            forgetting: VecDeque::new(),
            services: HashMap::new(),
            clocks: Vec::new(),
            hops: Vec::new(),
            held_spans: 0,
            unjoined: 0,
            counts: JoinCounts::default(),
            last_span: None,
            pool_waits: Vec::new(),
        }
    }

    /// Takes what a worker handed over.
    pub fn take(&mut self, batch: &Batch, now: Instant) {
        self.counts.records_lost += batch.lost;
        for record in &batch.records {
            match record {
                Record::Request(request) => self.request(request, now),
                Record::Iteration(IterationRecord { trace, .. }) => self.iteration_ended(*trace),
                _ => {}
            }
        }
        self.tick(now);
    }

    /// Takes a span of this run.
    pub fn span(&mut self, span: &ServerSpan, now: Instant) {
        self.last_span = Some(now);
        if !self.config.sampling.takes(&span.trace) {
            // Recorded all the same: there is nothing to join it with.
            self.counts.unclaimed += 1;
            return;
        }
        if self.held_spans >= MOST_SPANS {
            self.make_room(now);
        }
        let service = self.service(&span.service);
        let known = Span {
            id: span.span,
            parent: span.parent,
            service,
            role: classify(span),
            start: nanoseconds(span.start),
            end: nanoseconds(span.end),
        };
        let trace = self.trace(span.trace, now);
        if trace.spans.iter().any(|had| had.id == known.id) {
            self.counts.duplicates += 1;
            return;
        }
        if trace.spans.len() >= MOST_OF_A_TRACE {
            trace.complete = false;
            self.counts.spans_lost += 1;
            return;
        }
        trace.spans.push(known);
        let gaps = trace.gaps(&known);
        let answers = matches!(known.role, Role::Server { .. } | Role::Queue);
        let joined = if answers { trace.answered(known.parent) } else { 0 };
        self.held_spans += 1;
        self.unjoined -= joined;
        self.observe(known.service, gaps, now);
    }

    /// Closes what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(closing) = self.closing.front().copied().filter(|(due, ..)| *due <= now) {
            self.closing.pop_front();
            self.close(closing);
        }
        while let Some((_, id)) = self.forgetting.front().copied().filter(|(due, _)| *due <= now) {
            self.forgetting.pop_front();
            self.forget(id, now);
        }
    }

    /// Whether every request has its server span and nothing more comes, so that there is nothing to wait for.
    #[must_use]
    pub fn is_settled(&self, now: Instant) -> bool {
        let quiet = self.last_span.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        self.unjoined == 0 && quiet
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> JoinCounts {
        self.counts
    }

    /// Takes the waits for a connection of the pool that came to light since they were last taken: each in ms, with
    /// the end of its request.
    pub fn take_pool_waits(&mut self) -> Vec<(Instant, f64)> {
        std::mem::take(&mut self.pool_waits)
    }

    /// Closes everything.
    pub fn close_all(&mut self) {
        while let Some(closing) = self.closing.pop_front() {
            self.close(closing);
        }
    }

    /// Closes everything and reads the bands off.
    #[must_use]
    pub fn finish(mut self) -> AttributionReport {
        self.close_all();
        let left: usize = self.traces.values().map(|trace| trace.spans.len()).sum();
        self.counts.unclaimed += left as u64;
        AttributionReport { counts: self.counts, bands: self.bands.read(), all: self.bands }
    }

    /// A request that ended, or a hop of one.
    fn request(&mut self, record: &RequestRecord, now: Instant) {
        let Some((step, local)) = self.steps.get(record.site.0 as usize).copied() else { return };
        let sample = &record.sample;
        let total = u64::try_from(sample.timings.duration().as_nanos()).unwrap_or(u64::MAX);
        if !self.config.sampling.takes(&record.trace) {
            self.bands.add(step, total, None);
            return;
        }
        if record.hop == 0 {
            // Whatever the end of the hops before was lost with.
            self.hops.clear();
        }
        let began = sample.ended.checked_sub(sample.timings.duration()).unwrap_or(sample.ended);
        self.hops.push(Hop {
            start: nanoseconds(self.config.clock.unix(began)),
            timings: sample.timings,
            answered: sample.status != 0,
        });
        if !record.last {
            return;
        }
        if self.closing.len() >= MOST_CALLS {
            self.make_room(now);
        }
        let hops = std::mem::take(&mut self.hops);
        let trace = self.trace(record.trace, now);
        let pending = Pending::new(record.span, (step, local), hops, record.server_timing.clone(), &trace.spans);
        let waits = pending.waits();
        let server = pending.server(&trace.spans).copied();
        trace.calls.push(pending);
        let gaps = server.and_then(|server| Some((server.service, trace.gaps(&server)?)));
        self.unjoined += waits;
        if let Some((service, gaps)) = gaps {
            self.observe(service, Some(gaps), now);
        }
        self.closing.push_back((sample.ended + self.config.linger, record.trace, record.span));
    }

    fn iteration_ended(&mut self, id: TraceId) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        trace.ended = true;
        if trace.calls.is_empty() {
            self.drop_trace(id);
        }
    }

    /// The window of a request closes.
    fn close(&mut self, (due, id, span): (Instant, TraceId, SpanId)) {
        let Some(trace) = self.traces.get_mut(&id) else { return };
        let Some((call, spans)) = trace.take_call(span) else { return };
        self.unjoined -= call.waits();
        self.held_spans -= spans.len();
        if self.pool_waits.len() < MOST_CALLS {
            let ended = due.checked_sub(self.config.linger).unwrap_or(due);
            self.pool_waits.extend(waits(&spans).map(|ms| (ended, ms)));
        }
        let (complete, done) = (trace.complete, trace.ended && trace.calls.is_empty());
        for (hop, spans) in call.by_hop(&spans) {
            self.attribute(id, &call, hop, &spans, complete);
        }
        if done {
            self.drop_trace(id);
        }
    }

    fn attribute(&mut self, id: TraceId, pending: &Pending, hop: &Hop, spans: &[Span], complete: bool) {
        let phase = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut call = Call {
            span: pending.span,
            start: hop.start,
            sending: phase(hop.timings.sending),
            waiting: phase(hop.timings.waiting),
            receiving: phase(hop.timings.receiving),
            offset: 0,
            way: None,
            local: pending.local,
            complete,
        };
        let total = call.total();
        let server = pending.server(spans);
        if let Some(clock) = server.and_then(|server| self.clocks.get(usize::from(server.service))) {
            (call.offset, call.way) = (clock.offset(), clock.way());
        }
        let found = attribute(&call, spans);
        let (parts, by_header) = match (&found, &pending.server_timing) {
            (Some(found), _) => (Some(found.parts), false),
            (None, Some(header)) => (by_server_timing(total, header), true),
            (None, None) => (None, false),
        };
        let joined = parts.is_some();
        self.counts.expected += u64::from(hop.answered || joined);
        self.counts.joined += u64::from(joined);
        self.counts.by_header += u64::from(joined && by_header);
        self.counts.skewed += u64::from(found.is_some_and(|found| found.skewed || call.offset != 0));
        self.bands.add(pending.step, total, parts.as_ref().map(|parts| (parts, id)));
    }

    /// Learns of a service's clock as soon as both sides of a request are here: when its window closes, `linger` later,
    /// the requests around it have told what there is to know, the first of a run too.
    fn observe(&mut self, service: u16, gaps: Option<(i64, i64)>, now: Instant) {
        if let (Some((before, after)), Some(clock)) = (gaps, self.clocks.get_mut(usize::from(service))) {
            clock.observe(before, after, now);
        }
    }

    /// Forgets the oldest trace that no request has claimed; where there is none, closes the oldest request before its
    /// time.
    fn make_room(&mut self, now: Instant) {
        while let Some((_, id)) = self.forgetting.pop_front() {
            let Some(trace) = self.traces.get(&id) else { continue };
            if trace.calls.is_empty() {
                self.counts.spans_lost += trace.spans.len() as u64;
                return self.drop_trace(id);
            }
            // Claimed: it is looked at again when its requests are through.
            self.forgetting.push_back((now + self.config.linger + HANDOVER, id));
            break;
        }
        if let Some(closing) = self.closing.pop_front() {
            self.close(closing);
        }
    }

    /// Forgets a trace that nothing claimed; one with requests that wait is looked at again when they are through.
    fn forget(&mut self, id: TraceId, now: Instant) {
        let Some(trace) = self.traces.get(&id) else { return };
        if trace.calls.is_empty() {
            self.drop_trace(id);
        } else {
            self.forgetting.push_back((now + self.config.linger + HANDOVER, id));
        }
    }

    fn drop_trace(&mut self, id: TraceId) {
        if let Some(trace) = self.traces.remove(&id) {
            self.held_spans -= trace.spans.len();
            self.counts.unclaimed += trace.spans.len() as u64;
            self.unjoined -= trace.calls.iter().map(Pending::waits).sum::<usize>();
        }
    }

    fn trace(&mut self, id: TraceId, now: Instant) -> &mut Trace {
        let until = now + self.config.longest + self.config.linger + HANDOVER;
        if self.forgetting.len() > 2 * self.traces.len() + FEW {
            // Most have long been joined: `longest` may be minutes, and as many requests come in one.
            self.forgetting.retain(|(_, id)| self.traces.contains_key(id));
        }
        self.traces.entry(id).or_insert_with(|| {
            self.forgetting.push_back((until, id));
            Trace::default()
        })
    }

    fn service(&mut self, name: &str) -> u16 {
        if let Some(number) = self.services.get(name) {
            return *number;
        }
        let number = self.clocks.len().min(MOST_SERVICES);
        if number == self.clocks.len() {
            self.clocks.push(ServiceClock::default());
        }
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        if self.services.len() < 2 * MOST_SERVICES {
            self.services.insert(name.to_owned(), number);
        }
        number
    }
}

/// Whether an absolute URL leads to this machine; none where it has no host, or one that is known only when it is sent.
#[must_use]
pub fn local(url: &str) -> Option<bool> {
    match Url::parse(url).ok()?.host()? {
        Host::Ipv4(ip) => Some(ip.is_loopback()),
        Host::Ipv6(ip) => Some(ip.to_canonical().is_loopback()),
        Host::Domain(name) => Some(name.trim_end_matches('.') == "localhost"),
    }
}

fn nanoseconds(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}
