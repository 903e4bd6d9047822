//! The stream: what happened, one by one, for whoever needs more than sums.
//!
//! Attribution joins single requests, and outputs write single points; all else reads histograms. So the stream
//! exists only where the layout was told that somebody wants it ([`super::LayoutBuilder::stream`]); otherwise a
//! recorder holds none, and recording asks one question more. A worker keeps what happened since it last handed
//! over, up to a bound; past it records are lost and counted, and no request waits.
//!
//! A record is made of the same sample that is counted, so what is summed up and what is told agree. Who adds a kind
//! of record adds a variant; readers take what they know.
//!
//! What belongs to no single request (a check, an iteration, a custom metric) is a [`Mark`]: one value of one metric.
//! Marks are made only where an output writes points ([`super::LayoutBuilder::points`]). They stand beside the records,
//! because there are several of them a request, and a record has five times their size.

use super::layout::{CheckId, MetricId, ScenarioId, SiteId};
use super::recorder::RequestSample;
use crate::semconv::{SpanId, TraceId};
use tokio::time::Instant;

/// One thing that happened, in the order of ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A request, or a hop of it, that ended.
    Request(RequestRecord),
    /// A request that the target turned away to spare real ones.
    Shed(RequestRecord),
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

/// One value of one metric that belongs to no single request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// When.
    pub at: Instant,
    /// The metric.
    pub metric: MetricId,
    /// What it belongs to, and so its tags.
    pub place: Place,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// What a mark belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The run: VUs, and what the target tells of itself.
    Run,
    /// A scenario: its iterations, its bytes.
    Scenario(ScenarioId),
    /// A step: its group, its custom metrics; or a request of it that never finished.
    Site(SiteId),
    /// A check.
    Check(CheckId),
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
    /// What happened beside requests; none where no output writes points.
    pub marks: Vec<Mark>,
    /// Points that found no room: marks, and those that a lost record would have made.
    pub lost_points: u64,
}

/// The most records that a worker keeps between two handovers.
pub const MOST_RECORDS: usize = 1 << 16;

/// The most marks that a worker keeps between two handovers: four for each record.
pub const MOST_MARKS: usize = 1 << 18;

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
            self.lost_points += record.points();
        }
    }

    /// Adds a mark, or counts that there was no room.
    pub(crate) fn mark(&mut self, mark: Mark) {
        if self.marks.len() < MOST_MARKS {
            self.marks.push(mark);
        } else {
            self.lost_points += 1;
        }
    }

    /// How many points an output would make of it, what found no room apart.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.records.iter().map(Record::points).sum::<u64>() + self.marks.len() as u64
    }

    /// The memory it takes, in bytes, without what headers say.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.marks.capacity() * size_of::<Mark>()
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.marks.clear();
        (self.lost, self.lost_points) = (0, 0);
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.lost == 0 && self.marks.is_empty() && self.lost_points == 0
    }
}

// === impl Record ===

impl Record {
    /// How many points it makes: one for each metric of a request; of all else there are marks.
    fn points(&self) -> u64 {
        match self {
            Self::Request(request) => request.sample.points(),
            Self::Shed(_) => super::shed::VALUES.len() as u64,
            Self::CutOff(_) | Self::Iteration(_) => 0,
        }
    }
}
