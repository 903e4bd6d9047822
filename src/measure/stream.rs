//! The stream: what happened, one by one, for whoever needs more than sums.
//!
//! Attribution joins single requests, and outputs write single points; all else reads histograms. So the stream
//! exists only where the layout was told that somebody wants it ([`super::LayoutBuilder::stream`]); otherwise a
//! recorder holds none, and recording asks one question more. A worker keeps what happened since it last handed
//! over, up to a bound; past it records are lost and counted, and no request waits.
//!
//! A record is made of the same sample that is counted, so what is summed up and what is told agree. Who adds a kind
//! of record (a check, a custom metric) adds a variant; readers take what they know.

use super::layout::{ScenarioId, SiteId};
use super::recorder::RequestSample;
use crate::semconv::{SpanId, TraceId};
use tokio::time::Instant;

/// One thing that happened, in the order of ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A request, or a hop of it, that ended.
    Request(RequestRecord),
    /// A request that was cut off: it left, and nobody waited for its answer.
    CutOff(CutOffRecord),
    /// An iteration that ended.
    Iteration(IterationRecord),
}

/// A request that ended, or a redirect on its way.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The step.
    pub site: SiteId,
    /// The trace of its iteration.
    pub trace: TraceId,
    /// Its client span: one for all hops.
    pub span: SpanId,
    /// Which hop it is, from 0. The hops of a request follow each other.
    pub hop: u16,
    /// Whether it is the answer; `false` for a redirect that was followed.
    pub last: bool,
    /// What was counted of it.
    pub sample: RequestSample,
    /// The answer's `server-timing`, as it came; at most [`MOST_SERVER_TIMING`] bytes.
    pub server_timing: Option<Box<str>>,
}

/// A request that was cut off.
#[derive(Clone, Copy, Debug)]
pub struct CutOffRecord {
    /// The step.
    pub site: SiteId,
    /// The trace of its iteration.
    pub trace: TraceId,
    /// Its client span.
    pub span: SpanId,
    /// When it was due.
    pub due: Instant,
    /// When it was begun.
    pub started: Instant,
    /// When it was cut off.
    pub at: Instant,
    /// The tenant's number, from 1; 0 for none.
    pub tenant: u32,
}

/// An iteration that ended, setup or teardown.
#[derive(Clone, Copy, Debug)]
pub struct IterationRecord {
    /// Its scenario.
    pub scenario: ScenarioId,
    /// Its trace, whose root span is [`SpanId::root_of`] it.
    pub trace: TraceId,
    /// When it was due.
    pub due: Instant,
    /// When it started.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The tenant's number, from 1; 0 for none.
    pub tenant: u32,
    /// How it ended.
    pub outcome: IterationOutcome,
}

/// How an iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IterationOutcome {
    /// It came to its end.
    Completed,
    /// It was cut off.
    CutOff,
    /// It is setup or teardown: a trace like others, and no iteration.
    Phase,
}

/// What a recorder holds of the stream.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// What happened.
    pub records: Vec<Record>,
    /// Records that found no room.
    pub lost: u64,
}

/// The most records that a worker keeps between two handovers.
pub const MOST_RECORDS: usize = 1 << 16;

/// The longest `server-timing` that is kept.
pub const MOST_SERVER_TIMING: usize = 1024;

// === impl Batch ===

impl Batch {
    /// Adds a record, or counts that there was no room.
    pub(crate) fn push(&mut self, record: Record) {
        if self.records.len() < MOST_RECORDS {
            self.records.push(record);
        } else {
            self.lost += 1;
        }
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.lost = 0;
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.lost == 0
    }
}
