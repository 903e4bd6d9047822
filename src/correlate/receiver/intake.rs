//! The way from the receiver to what joins: a queue that is bounded in bytes, not only in messages.
//!
//! A span may hold 64 attributes of 256 bytes. Ten thousand of those would be more than the receiver may take, ten
//! thousand usual ones are little: so room is given by size.

use crate::correlate::otlp::Malformed;
use crate::correlate::{Intake, MetricPoint, MetricValue, ServerSpan};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that may wait to be joined.
const MAX_BYTES: usize = 16 << 20;
/// Messages that may wait to be joined.
const MAX_BATCHES: usize = 4096;

/// What one message held for a run. Its room is free again when it is dropped.
///
/// A client that was told 'later', or that heard nothing, sends again: a span may come twice, with the same id.
#[derive(Debug)]
pub struct Batch {
    items: Vec<Intake>,
    _room: OwnedSemaphorePermit,
}

/// The far end, for what joins.
#[derive(Debug)]
pub struct Incoming {
    batches: mpsc::Receiver<Batch>,
}

/// The near end, for the receiver.
#[derive(Clone, Debug)]
pub struct Outgoing {
    batches: mpsc::Sender<Batch>,
    room: Arc<Semaphore>,
}

/// What there is no room for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What is being read from a message.
#[derive(Debug, Default)]
pub(super) struct Items {
    list: Vec<Intake>,
    size: usize,
}

/// A queue between a receiver and what joins.
#[must_use]
pub fn intake() -> (Outgoing, Incoming) {
    let (sender, receiver) = mpsc::channel(MAX_BATCHES);
    (Outgoing { batches: sender, room: Arc::new(Semaphore::new(MAX_BYTES)) }, Incoming { batches: receiver })
}

// === impl Batch ===

impl Batch {
    /// What came, in the order of the message.
    #[must_use]
    pub fn items(&self) -> &[Intake] {
        &self.items
    }

    /// Takes what came out.
    pub fn drain(&mut self) -> impl Iterator<Item = Intake> + '_ {
        self.items.drain(..)
    }
}

// === impl Incoming ===

impl Incoming {
    /// The next message's; none when the receiver has stopped and nothing waits.
    pub async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// The next message's, if one waits.
    pub fn try_next(&mut self) -> Option<Batch> {
        self.batches.try_recv().ok()
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Queues all of `items` or nothing. Where nobody joins any more they are dropped: that is no reason to
    /// refuse what only passes through.
    pub(super) fn push(&self, items: Items) -> Result<(), Full> {
        if items.list.is_empty() || self.batches.is_closed() {
            return Ok(());
        }
        let room = u32::try_from(items.size).map_err(|_| Full)?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(room).map_err(|_| Full)?;
        match self.batches.try_send(Batch { items: items.list, _room: room }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
        }
    }
}

// === impl Items ===

impl Items {
    /// Adds an item, unless the message holds more than there can ever be room for.
    pub(super) fn push(&mut self, item: Intake) -> Result<(), Malformed> {
        self.size += size(&item);
        if self.size > MAX_BYTES {
            return Err(Malformed::TooMuch);
        }
        self.list.push(item);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }
}

/// What an item takes in memory, roughly and rather more.
fn size(item: &Intake) -> usize {
    /// A `String`'s head and what the allocator adds.
    const TEXT: usize = 40;
    let texts = |attributes: &[(String, String)]| -> usize {
        attributes.iter().map(|(key, value)| key.len() + value.len() + 2 * TEXT).sum()
    };
    match item {
        Intake::Span(span) => {
            let ServerSpan { name, scope, service, attributes, .. } = &**span;
            size_of::<ServerSpan>() + name.len() + scope.len() + service.len() + 3 * TEXT + texts(attributes)
        }
        Intake::Metric(MetricPoint { name, unit, service, attributes, value, .. }) => {
            let buckets = match value {
                MetricValue::Histogram { bounds, counts, .. } => 8 * (bounds.len() + counts.len()),
                MetricValue::Gauge(_) | MetricValue::Sum { .. } => 0,
            };
            size_of::<MetricPoint>() + name.len() + unit.len() + service.len() + 3 * TEXT + texts(attributes) + buckets
        }
    }
}
