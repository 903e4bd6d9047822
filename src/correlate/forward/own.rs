//! pacecar's own spans, written straight into OTLP: the iteration's, and one for each request.
//!
//! What a step fixes is encoded once ([`Prepared`]); per span little more than ids, times and a status is written.

use super::queue::{Forward, Kind, Part};
use crate::correlate::SpanKind;
use crate::correlate::otlp::{Signal, Writer};
use crate::semconv::{self, RunId, SpanId, TraceId};
use std::time::Duration;

/// Spans are handed over at this size at the latest.
const FULL: usize = 256 << 10;

/// A span of pacecar's own.
#[derive(Clone, Copy, Debug)]
pub struct OwnSpan<'a> {
    /// Its trace: the iteration.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// Its parent; none for the iteration's own span.
    pub parent: Option<SpanId>,
    /// Its name: `{method} {template}` for a request, the workflow for an iteration.
    pub name: &'a str,
    /// [`SpanKind::Client`] for a request, [`SpanKind::Internal`] for an iteration.
    pub kind: SpanKind,
    /// When it began, since the Unix epoch.
    pub start: Duration,
    /// When it ended, since the Unix epoch.
    pub end: Duration,
    /// `error.type`, of few values: makes the span's status an error.
    pub error: Option<&'a str>,
    /// What is the same for all spans of its step.
    pub prepared: &'a Prepared,
    /// What is not: the status, the tenant.
    pub attributes: &'a [(&'a str, OwnValue<'a>)],
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OwnValue<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Number(i64),
    /// Any number.
    Real(f64),
    /// True or false.
    Truth(bool),
}

/// Attributes, encoded once.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    encoded: Box<[u8]>,
}

/// Collects own spans and hands them to the forwarder in batches. One for each place that makes spans; nothing
/// is shared but the queue.
#[derive(Debug)]
pub struct OwnSpans {
    forward: Forward,
    /// `resource` and `scope`, encoded.
    resource: Vec<u8>,
    scope: Vec<u8>,
    /// On every span.
    common: Prepared,
    /// Spans, encoded as fields of `ScopeSpans`.
    spans: Writer,
    count: u64,
}

// === impl Prepared ===

impl Prepared {
    /// Encodes `attributes`.
    #[must_use]
    pub fn new(attributes: &[(&str, OwnValue<'_>)]) -> Self {
        let mut writer = Writer::default();
        for (key, value) in attributes {
            attribute(&mut writer, 9, key, *value);
        }
        Self { encoded: writer.take().into() }
    }
}

// === impl OwnSpans ===

impl OwnSpans {
    /// For the spans of `run`, which go to `forward`. `resource` is added to `service.name=pacecar` and
    /// `service.version`, or stands in their place.
    #[must_use]
    pub fn new(run: RunId, resource: &[(&str, OwnValue<'_>)], forward: Forward) -> Self {
        let resource = self::resource(resource);
        let scope = scope();
        let common = Prepared::new(&[
            (semconv::SYNTHETIC_TYPE, OwnValue::Text(semconv::SYNTHETIC_TEST)),
            ("pacecar.run", OwnValue::Text(&run.to_string())),
        ]);
        Self { forward, resource, scope, common, spans: Writer::default(), count: 0 }
    }

    /// Takes a span. `user_agent.synthetic.type=test` and `pacecar.run` are added.
    pub fn push(&mut self, span: &OwnSpan<'_>) {
        let common = &self.common;
        self.spans.message(2, |writer| encode(writer, span, common));
        self.count += 1;
        if self.spans.len() >= FULL {
            self.flush();
        }
    }

    /// Hands over what there is. Call it about each second, and before [`super::Forwarder::finish`].
    pub fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let spans = self.spans.take();
        let mut writer = Writer::default();
        writer.message(1, |writer| {
            writer.raw(&self.resource);
            writer.message(2, |writer| {
                writer.raw(&self.scope);
                writer.raw(&spans);
            });
        });
        let count = std::mem::take(&mut self.count);
        let body = writer.take().into();
        self.forward.push_or_lose(Part { signal: Signal::Traces, kind: Kind::Own, body, count });
    }
}

impl Drop for OwnSpans {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Who tells, as field 1 of what has a resource: `service.name=pacecar`, `service.version`, and `attributes`, which go
/// before them.
pub(crate) fn resource(attributes: &[(&str, OwnValue<'_>)]) -> Vec<u8> {
    let own = [("service.name", "pacecar"), ("service.version", env!("CARGO_PKG_VERSION"))];
    let mut writer = Writer::default();
    writer.message(1, |writer| {
        for (key, value) in own.iter().filter(|(key, _)| attributes.iter().all(|(given, _)| given != key)) {
            attribute(writer, 1, key, OwnValue::Text(value));
        }
        for (key, value) in attributes {
            attribute(writer, 1, key, *value);
        }
    });
    writer.take()
}

/// What tells, as field 1 of what has a scope.
pub(crate) fn scope() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.message(1, |writer| {
        writer.bytes(1, b"pacecar");
        writer.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    });
    writer.take()
}

fn encode(writer: &mut Writer, span: &OwnSpan<'_>, common: &Prepared) {
    /// Local, and known to have no remote parent.
    const FLAGS: u32 = 0x100 | 1;
    writer.bytes(1, &span.trace.0);
    writer.bytes(2, &span.span.0);
    if let Some(parent) = span.parent {
        writer.bytes(4, &parent.0);
    }
    writer.bytes(5, span.name.as_bytes());
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    writer.varint(6, kind);
    writer.fixed64(7, nanoseconds(span.start));
    writer.fixed64(8, nanoseconds(span.end.max(span.start)));
    writer.raw(&common.encoded);
    writer.raw(&span.prepared.encoded);
    for (key, value) in span.attributes {
        attribute(writer, 9, key, *value);
    }
    if let Some(error) = span.error {
        attribute(writer, 9, "error.type", OwnValue::Text(error));
        writer.message(15, |status| status.varint(3, 2));
    }
    writer.fixed32(16, FLAGS);
}

/// A `KeyValue` as field `number`.
pub(crate) fn attribute(writer: &mut Writer, number: u32, key: &str, value: OwnValue<'_>) {
    writer.message(number, |writer| {
        writer.bytes(1, key.as_bytes());
        writer.message(2, |writer| match value {
            OwnValue::Text(text) => writer.bytes(1, text.as_bytes()),
            OwnValue::Truth(truth) => writer.varint(2, u64::from(truth)),
            OwnValue::Number(number) => writer.varint(3, number.cast_unsigned()),
            OwnValue::Real(number) => writer.fixed64(4, number.to_bits()),
        });
    });
}

pub(crate) fn nanoseconds(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
