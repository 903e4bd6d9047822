//! Traces: finds this run's spans among all that come, and reads only those.

use super::attributes;
use super::intake::Items;
use crate::correlate::otlp::{Field, Fields, Malformed};
use crate::correlate::{Intake, ServerSpan, SpanKind};
use crate::semconv::{RunId, SpanId, TraceId};
use std::time::Duration;

/// `Span.kind` of a server's span.
const SERVER: u64 = 2;

/// What a message held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) spans: u64,
    /// Those of other traces.
    pub(super) foreign: u64,
    /// Those of other traces that answer a request of ours.
    pub(super) strayed: u64,
}

/// Looks through an `ExportTraceServiceRequest`. Spans of `run` go to `items`.
pub(super) fn read(message: &[u8], run: RunId, items: &mut Items) -> Result<Seen, Malformed> {
    let run_bytes = run.bits().to_be_bytes();
    let mut seen = Seen::default();
    for resource_spans in messages(message, 1) {
        let resource_spans = resource_spans?;
        // Read for the first span of ours, and once.
        let mut service = None;
        for scope_spans in messages(resource_spans, 2) {
            let scope_spans = scope_spans?;
            let mut scope = None;
            for span in messages(scope_spans, 2) {
                let span = span?;
                let (trace, kind) = glance(span)?;
                seen.spans += 1;
                if !trace.starts_with(&run_bytes) {
                    seen.foreign += 1;
                    if kind == SERVER && answers_us(span, run, run_bytes)? {
                        seen.strayed += 1;
                    }
                    continue;
                }
                let service = match &mut service {
                    Some(service) => service,
                    none => none.insert(attributes::service(last(resource_spans, 1)?)?),
                };
                let scope = match &mut scope {
                    Some(scope) => scope,
                    none => none.insert(scope_name(last(scope_spans, 1)?)?),
                };
                items.push(Intake::Span(Box::new(decode(span, scope, service)?)))?;
            }
        }
    }
    Ok(seen)
}

/// Looks through the three levels of lists that traces, metrics and logs have in common.
pub(super) fn check_nesting(message: &[u8]) -> Result<(), Malformed> {
    for resource in messages(message, 1) {
        for scope in messages(resource?, 2) {
            for record in messages(scope?, 2) {
                Fields::of(record?).try_for_each(|field| field.map(|_| ()))?;
            }
        }
    }
    Ok(())
}

/// The messages in field `number` of a message. All of its fields are looked at.
pub(super) fn messages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::of(message).filter_map(move |field| match field {
        Ok(field) if field.number == number => Some(field.value.bytes()),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// The message in field `number`. Where there are several the last one counts, as protobuf has it.
pub(super) fn last(message: &[u8], number: u32) -> Result<Option<&[u8]>, Malformed> {
    messages(message, number).last().transpose()
}

/// The name of an `InstrumentationScope`.
pub(super) fn scope_name(scope: Option<&[u8]>) -> Result<String, Malformed> {
    Ok(attributes::text(last(scope.unwrap_or_default(), 1)?.unwrap_or_default()))
}

/// Trace id and kind of a span. Its other fields are walked over, so a span cut short is noticed.
fn glance(span: &[u8]) -> Result<(&[u8], u64), Malformed> {
    let (mut trace, mut kind) = (&[][..], 0);
    for field in Fields::of(span) {
        let Field { number, value } = field?;
        match number {
            1 => trace = value.bytes()?,
            6 => kind = value.varint()?,
            _ => {}
        }
    }
    Ok((trace, kind))
}

/// Whether a server's span of another trace names this run, links to it, or has a user agent of pacecar's.
fn answers_us(span: &[u8], run: RunId, run_bytes: [u8; 8]) -> Result<bool, Malformed> {
    let mut agent = false;
    for field in Fields::of(span) {
        let Field { number, value } = field?;
        match number {
            9 => {
                let (key, value) = attributes::key_value(value.bytes()?)?;
                match key {
                    // The baggage, where the API copies it to its spans. It is certain, either way.
                    b"pacecar.run" => {
                        let value = attributes::string_value(value.unwrap_or_default())?;
                        return Ok(value == run.to_string().as_bytes());
                    }
                    b"user_agent.original" | b"http.user_agent" => {
                        agent = attributes::string_value(value.unwrap_or_default())?.starts_with(b"pacecar/");
                    }
                    _ => {}
                }
            }
            // An API at a trust boundary begins a trace of its own and links it to the caller's.
            13 if last(value.bytes()?, 1)?.is_some_and(|trace| trace.starts_with(&run_bytes)) => return Ok(true),
            _ => {}
        }
    }
    Ok(agent)
}

fn decode(encoded: &[u8], scope: &str, service: &str) -> Result<ServerSpan, Malformed> {
    let mut span = ServerSpan {
        trace: TraceId([0; 16]),
        span: SpanId([0; 8]),
        parent: None,
        name: String::new(),
        scope: scope.to_owned(),
        service: service.to_owned(),
        kind: SpanKind::Internal,
        start: Duration::ZERO,
        end: Duration::ZERO,
        attributes: Vec::new(),
    };
    for field in Fields::of(encoded) {
        let Field { number, value } = field?;
        match number {
            1 => span.trace = TraceId(value.bytes()?.try_into().map_err(|_| Malformed::WrongType)?),
            2 => span.span = SpanId(value.bytes()?.try_into().map_err(|_| Malformed::WrongType)?),
            4 => {
                span.parent = match value.bytes()? {
                    [] => None,
                    id => {
                        let id: [u8; 8] = id.try_into().map_err(|_| Malformed::WrongType)?;
                        (id != [0; 8]).then_some(SpanId(id))
                    }
                };
            }
            5 => span.name = attributes::text(value.bytes()?),
            6 => {
                span.kind = match value.varint()? {
                    SERVER => SpanKind::Server,
                    3 => SpanKind::Client,
                    4 => SpanKind::Producer,
                    5 => SpanKind::Consumer,
                    _ => SpanKind::Internal,
                }
            }
            7 => span.start = Duration::from_nanos(value.fixed64()?),
            8 => span.end = Duration::from_nanos(value.fixed64()?),
            9 => attributes::add(&mut span.attributes, value.bytes()?)?,
            _ => {}
        }
    }
    if span.span == SpanId([0; 8]) {
        return Err(Malformed::WrongType);
    }
    Ok(span)
}
