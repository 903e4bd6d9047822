//! What outputs are told while a run lives, and the points in it.

use super::tags::{Class, Tagging};
use crate::measure::slo::AlertChange;
use crate::measure::{Batch, MetricId, Record, Unfinished, shed};
use crate::semconv::{SpanId, TraceId};
use std::ops::Range;
use std::sync::Arc;
use tokio::time::Instant;

/// One thing that all outputs are told. Cheap to clone: they share what is large.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The run begins: from here on something will be written.
    Begin,
    /// What a worker recorded, or the reporter.
    Batch(Arc<Batch>),
    /// What never finished, as it is known at the end of the load.
    Unfinished(Arc<[Unfinished]>, Instant),
    /// The run itself did something.
    Event(Arc<Event>),
}

/// What the run itself did.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: EventKind,
}

/// What the run itself did.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// It sends from here on.
    Started,
    /// It holds traffic back.
    Paused,
    /// It goes on.
    Resumed,
    /// A threshold that aborts failed.
    Aborted {
        /// The metric, as the plan writes it.
        metric: String,
        /// The expression, as the plan writes it.
        expression: String,
    },
    /// A signal, or somebody at the control address, stopped it.
    Stopped,
    /// Its load is over.
    Ended,
    /// An alert of an objective fires, or no longer does.
    Alert(Box<AlertChange>),
}

/// Values of one class at one instant.
#[derive(Debug)]
pub(super) struct Points<'a> {
    pub(super) class: Class,
    pub(super) at: Instant,
    /// The request that they are of.
    pub(super) trace: Option<(TraceId, SpanId)>,
    pub(super) values: &'a [(MetricId, f64)],
    /// How many times each: of what never finished there may be many with one bound.
    pub(super) count: u64,
}

// === impl News ===

impl News {
    /// How many points are in it, and how many of what it tells were lost before.
    pub(super) fn points(&self) -> (u64, u64) {
        match self {
            Self::Batch(batch) => (batch.points(), batch.lost_points),
            Self::Unfinished(unfinished, _) => (unfinished.iter().map(|it| it.count).sum(), 0),
            Self::Begin | Self::Event(_) => (0, 0),
        }
    }

    /// The memory that it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.bytes(),
            Self::Unfinished(unfinished, _) => size_of_val::<[Unfinished]>(unfinished),
            Self::Begin | Self::Event(_) => 0,
        }
    }

    /// How many things are in it: an output takes them in in parts.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.records.len() + batch.marks.len(),
            Self::Unfinished(unfinished, _) => unfinished.len(),
            Self::Begin | Self::Event(_) => 1,
        }
    }

    /// Tells the points of a part of it, in the order in which they were recorded.
    pub(super) fn each(&self, part: &Range<usize>, tagging: &Tagging, mut tell: impl FnMut(Points<'_>)) {
        let skipping = part.start;
        match self {
            Self::Batch(batch) => {
                let mut values = Vec::new();
                let records = batch.records.len();
                for record in batch.records.iter().take(part.end).skip(skipping) {
                    values.clear();
                    let request = match record {
                        Record::Request(request) => {
                            values.extend(request.sample.values());
                            request
                        }
                        Record::Shed(request) => {
                            values.extend(shed::VALUES);
                            request
                        }
                        _ => continue,
                    };
                    tell(Points {
                        class: Class::of_request(request.site, &request.sample, tagging.tenants()),
                        at: request.sample.ended,
                        trace: Some((request.trace, request.span)),
                        values: &values,
                        count: 1,
                    });
                }
                let (from, to) = (skipping.saturating_sub(records), part.end.saturating_sub(records));
                for mark in batch.marks.iter().take(to).skip(from) {
                    let values = [(mark.metric, mark.value)];
                    let class = Class::of_mark(mark.metric, mark.place);
                    tell(Points { class, at: mark.at, trace: None, values: &values, count: 1 });
                }
            }
            Self::Unfinished(unfinished, at) => {
                for it in unfinished.iter().take(part.end).skip(skipping) {
                    let (class, values) = (Class::of_unfinished(it.place), [(it.metric, it.bound)]);
                    tell(Points { class, at: *at, trace: None, values: &values, count: it.count });
                }
            }
            Self::Begin | Self::Event(_) => {}
        }
    }
}
