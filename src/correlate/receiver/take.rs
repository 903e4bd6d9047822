//! What happens to a message once it is whole: it is looked through, queued, and only then acknowledged.

use super::intake::{Items, Outgoing};
use super::stats::{Counters, ReceiverStats, add};
use super::{points, spans};
use crate::correlate::forward::{FORWARDED_BY, Forward, Kind, Part};
use crate::correlate::otlp::{self, Malformed, Signal};
use crate::semconv::RunId;
use bytes::Bytes;
use http::HeaderMap;

/// Takes messages for one run. No I/O and no clock: bytes in, items and bytes out.
#[derive(Debug)]
pub struct Taker {
    run: RunId,
    outgoing: Outgoing,
    forward: Option<Forward>,
    pub(super) counters: Counters,
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is queued, so it may be acknowledged.
    Queued,
    /// There is no room now.
    Later,
    /// It is no message.
    Garbage(Malformed),
}

// === impl Taker ===

impl Taker {
    /// Takes for `run`: what is its goes to `outgoing`, and everything to `forward`.
    #[must_use]
    pub fn new(run: RunId, outgoing: Outgoing, forward: Option<Forward>) -> Self {
        Self { run, outgoing, forward, counters: Counters::default() }
    }

    /// What came in so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.counters.read()
    }

    /// Whether a message comes from this run's own forwarder: the collector is pacecar itself, under a name that
    /// could not be seen through when the plan was read.
    pub(super) fn is_echo(&self, headers: &HeaderMap) -> bool {
        headers.get(FORWARDED_BY).is_some_and(|run| run.as_bytes() == self.run.to_string().as_bytes())
    }

    /// Takes an encoded `Export…ServiceRequest`.
    pub fn take(&self, signal: Signal, message: Bytes) -> Taken {
        let taken = self.try_take(signal, message).unwrap_or_else(Taken::Garbage);
        match taken {
            Taken::Queued => {}
            Taken::Later => add(&self.counters.later, 1),
            Taken::Garbage(_) => add(&self.counters.rejected, 1),
        }
        taken
    }

    /// Takes an `Export…ServiceRequest` as JSON. It goes on as protobuf.
    pub fn take_json(&self, signal: Signal, message: &[u8]) -> Taken {
        match otlp::transcode(signal, message) {
            Ok(message) => self.take(signal, message.into()),
            Err(malformed) => {
                add(&self.counters.rejected, 1);
                Taken::Garbage(malformed)
            }
        }
    }

    /// What is joined is queued first. Where only the way to the collector is full the sender hears 'later' and
    /// sends again, but what explains this run's figures is there already: a dead collector does not blind the run.
    fn try_take(&self, signal: Signal, message: Bytes) -> Result<Taken, Malformed> {
        let mut items = Items::default();
        let mut seen = spans::Seen::default();
        match signal {
            Signal::Traces => seen = spans::read(&message, self.run, &mut items)?,
            Signal::Metrics => points::read(&message, &mut items)?,
            Signal::Logs => spans::check_nesting(&message)?,
        }
        let points = if signal == Signal::Metrics { items.len() as u64 } else { 0 };
        if self.outgoing.push(items).is_err() {
            return Ok(Taken::Later);
        }
        if let Some(forward) = &self.forward {
            let (kind, count) = if signal == Signal::Traces { (Kind::Spans, seen.spans) } else { (Kind::Other, 1) };
            // An empty message is nothing to send on.
            if !message.is_empty() && forward.push(Part { signal, kind, body: message, count }).is_err() {
                return Ok(Taken::Later);
            }
        }
        add(&self.counters.spans, seen.spans);
        add(&self.counters.foreign, seen.foreign);
        add(&self.counters.strayed, seen.strayed);
        add(&self.counters.points, points);
        Ok(Taken::Queued)
    }
}
