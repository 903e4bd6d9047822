//! Tells pacecar's own half of each trace: the iteration's span, and a client span for each request.
//!
//! Made of the stream's records, off the path of requests. Without these spans every server span of the API would
//! be an orphan in the trace backend.

use super::forward::{Forward, OwnSpan, OwnSpans, OwnValue, Prepared};
use super::intake::SpanKind;
use crate::measure::{
    Batch, CutOffRecord, IterationOutcome, IterationRecord, Layout, Record, RequestRecord, WallClock,
};
use crate::semconv::{RunId, Sampling, SpanId};
use tokio::time::Instant;

/// Makes spans of what happened and hands them on.
#[derive(Debug)]
pub struct Narrator {
    spans: OwnSpans,
    sampling: Sampling,
    clock: WallClock,
    sites: Vec<Told>,
    scenarios: Vec<Told>,
    /// When the request began whose hops come in.
    began: Option<Instant>,
}

/// What is the same for all spans of a step, or of a scenario.
#[derive(Debug)]
struct Told {
    name: String,
    prepared: Prepared,
}

// === impl Narrator ===

impl Narrator {
    /// Tells of the requests of a run with this layout. What is sampled out is not told. `resource` as in
    /// [`OwnSpans::new`].
    #[must_use]
    pub fn new(
        run: RunId,
        layout: &Layout,
        sampling: Sampling,
        clock: WallClock,
        resource: &[(&str, OwnValue<'_>)],
        forward: Forward,
    ) -> Self {
        let scenario_of = |at: usize| layout.scenarios().get(at).map_or("", |scenario| scenario.name.as_str());
        let sites = layout.sites().iter().map(|site| {
            let tags = &site.tags;
            Told {
                name: format!("{} {}", tags.method, tags.url),
                prepared: Prepared::new(&[
                    ("http.request.method", OwnValue::Text(&tags.method)),
                    ("url.template", OwnValue::Text(&tags.url)),
                    ("pacecar.step", OwnValue::Text(&tags.step)),
                    ("pacecar.scenario", OwnValue::Text(scenario_of(usize::from(site.scenario.0)))),
                ]),
            }
        });
        let scenarios = layout.scenarios().iter().map(|scenario| Told {
            name: scenario.name.clone(),
            prepared: Prepared::new(&[("pacecar.scenario", OwnValue::Text(&scenario.name))]),
        });
        Self {
            sites: sites.collect(),
            scenarios: scenarios.collect(),
            spans: OwnSpans::new(run, resource, forward),
            sampling,
            clock,
            began: None,
        }
    }

    /// Tells of what a worker handed over.
    pub fn take(&mut self, batch: &Batch) {
        for record in &batch.records {
            match record {
                Record::Request(request) | Record::Shed(request) if self.sampling.takes(&request.trace) => {
                    self.request(request)
                }
                Record::CutOff(request) if self.sampling.takes(&request.trace) => self.cut_off(request),
                Record::Iteration(iteration) if self.sampling.takes(&iteration.trace) => self.iteration(iteration),
                _ => {}
            }
        }
    }

    /// Hands on what was told so far.
    pub fn flush(&mut self) {
        self.spans.flush();
    }

    /// A request that ended. Its hops are one span.
    fn request(&mut self, record: &RequestRecord) {
        let sample = &record.sample;
        let took = sample.timings.until_connected() + sample.timings.duration();
        let start = sample.ended.checked_sub(took).unwrap_or(sample.ended);
        let began = match self.began.take() {
            Some(began) if record.hop > 0 => began,
            _ => start,
        };
        if !record.last {
            self.began = Some(began);
            return;
        }
        let Some(told) = self.sites.get(record.site.0 as usize) else { return };
        let status = (sample.status > 0).then(|| sample.status.to_string());
        let error = match sample.failure {
            Some(kind) => Some(kind.as_str()),
            None => status.as_deref().filter(|_| !sample.expected),
        };
        let mut attributes = Vec::with_capacity(3);
        if sample.status > 0 {
            attributes.push(("http.response.status_code", OwnValue::Number(i64::from(sample.status))));
        }
        if sample.tenant > 0 {
            attributes.push(("pacecar.tenant", OwnValue::Number(i64::from(sample.tenant))));
        }
        if record.hop > 0 {
            attributes.push(("http.request.resend_count", OwnValue::Number(i64::from(record.hop))));
        }
        self.spans.push(&OwnSpan {
            trace: record.trace,
            span: record.span,
            parent: Some(SpanId::root_of(&record.trace)),
            name: &told.name,
            kind: SpanKind::Client,
            start: self.clock.unix(began),
            end: self.clock.unix(sample.ended),
            error,
            prepared: &told.prepared,
            attributes: &attributes,
        });
    }

    fn cut_off(&mut self, record: &CutOffRecord) {
        let Some(told) = self.sites.get(record.site.0 as usize) else { return };
        let tenant = [("pacecar.tenant", OwnValue::Number(i64::from(record.tenant)))];
        self.spans.push(&OwnSpan {
            trace: record.trace,
            span: record.span,
            parent: Some(SpanId::root_of(&record.trace)),
            name: &told.name,
            kind: SpanKind::Client,
            start: self.clock.unix(record.started),
            end: self.clock.unix(record.at),
            error: Some("cut off"),
            prepared: &told.prepared,
            attributes: if record.tenant > 0 { &tenant } else { &[] },
        });
    }

    fn iteration(&mut self, record: &IterationRecord) {
        let Some(told) = self.scenarios.get(usize::from(record.scenario.0)) else { return };
        let tenant = [("pacecar.tenant", OwnValue::Number(i64::from(record.tenant)))];
        self.spans.push(&OwnSpan {
            trace: record.trace,
            span: SpanId::root_of(&record.trace),
            parent: None,
            name: &told.name,
            kind: SpanKind::Internal,
            start: self.clock.unix(record.started),
            end: self.clock.unix(record.ended),
            error: (record.outcome == IterationOutcome::CutOff).then_some("cut off"),
            prepared: &told.prepared,
            attributes: if record.tenant > 0 { &tenant } else { &[] },
        });
    }
}
