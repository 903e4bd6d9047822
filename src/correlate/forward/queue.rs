//! What waits for the collector: bounded in bytes, counted in spans.

use crate::correlate::otlp::Signal;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes that may wait. At 300 bytes a span about 100,000 spans: some seconds of an API under load.
const MAX_BYTES: usize = 32 << 20;
/// What a part costs beside its bytes, so that a flood of empty messages is bounded too.
const PART_OVERHEAD: usize = 256;

/// The near end of the queue: hands messages to the forwarder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Forward {
    shared: Arc<Shared>,
}

/// What has become of what was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardStats {
    /// Spans that others sent: what `pacecar.receiver` calls `forwarded` and `lost`.
    pub spans: Tally,
    /// pacecar's own spans.
    pub own: Tally,
    /// Messages of metrics and logs.
    pub others: Tally,
}

/// A count of things by their fate; what is in neither still waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The collector said that it has them.
    pub acknowledged: u64,
    /// The collector never said so.
    pub lost: u64,
}

/// What a part's spans count as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Spans that others sent.
    Spans,
    /// pacecar's own spans.
    Own,
    /// A message of metrics or logs.
    Other,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) signal: Signal,
    pub(crate) kind: Kind,
    /// An encoded `Export…ServiceRequest`.
    pub(crate) body: Bytes,
    /// Spans in it; of metrics and logs 1 where they are others', of pacecar's own the points in it.
    pub(crate) count: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    spans: u64,
    own: u64,
    others: u64,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Part>,
    /// Of what waits and of what is on its way.
    bytes: usize,
    /// Spans without a fate yet, waiting or on their way.
    pending: Pending,
    stats: ForwardStats,
    /// Nothing more comes in.
    closed: bool,
    /// Nothing more goes out: what was pending is counted.
    abandoned: bool,
}

// === impl Forward ===

impl Forward {
    pub(in crate::correlate) fn new() -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Notify::new() }) }
    }

    /// What has become of what was handed over so far.
    #[must_use]
    pub fn stats(&self) -> ForwardStats {
        self.state().stats
    }

    /// Queues a part, or hands it back where there is no room.
    pub(crate) fn push(&self, part: Part) -> Result<(), Part> {
        let mut state = self.state();
        if state.closed || !state.fits(part.body.len()) {
            return Err(part);
        }
        state.bytes += part.cost();
        *state.pending.of(part.kind) += part.count;
        state.waiting.push_back(part);
        drop(state);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Queues a part, or counts it lost where there is no room.
    pub(crate) fn push_or_lose(&self, part: Part) {
        if let Err(Part { kind, count, .. }) = self.push(part) {
            self.count_lost(kind, count);
        }
    }

    /// Counts what could not even be queued.
    pub(super) fn count_lost(&self, kind: Kind, count: u64) {
        self.state().stats.of(kind).lost += count;
    }

    /// Takes the oldest part and what follows of the same signal, up to `most` bytes. Waits until there is one;
    /// none once the queue is closed and empty.
    pub(in crate::correlate) async fn batch(&self, most: usize) -> Option<Vec<Part>> {
        loop {
            let changed = self.shared.changed.notified();
            {
                let mut state = self.state();
                if let Some(batch) = state.take(most) {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Settles one part of what is under way: `lost` of its spans, the others acknowledged.
    pub(in crate::correlate) fn settle(&self, part: &Part, lost: u64) {
        let mut state = self.state();
        if state.abandoned {
            return;
        }
        let lost = lost.min(part.count);
        state.bytes -= part.cost();
        *state.pending.of(part.kind) -= part.count;
        let tally = state.stats.of(part.kind);
        tally.lost += lost;
        tally.acknowledged += part.count - lost;
    }

    /// Takes nothing more in. What waits is still sent.
    pub(in crate::correlate) fn close(&self) {
        self.state().closed = true;
        self.shared.changed.notify_one();
    }

    /// Gives up on everything that has no fate yet.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        state.abandoned = true;
        state.waiting.clear();
        let pending = std::mem::take(&mut state.pending);
        state.stats.spans.lost += pending.spans;
        state.stats.own.lost += pending.own;
        state.stats.others.lost += pending.others;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters and a list: whoever panicked while holding it left nothing half done.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    const fn fits(&self, length: usize) -> bool {
        self.bytes + length + PART_OVERHEAD <= MAX_BYTES
    }

    fn take(&mut self, most: usize) -> Option<Vec<Part>> {
        let first = self.waiting.pop_front()?;
        let mut bytes = first.body.len();
        let mut batch = vec![first];
        while let (Some(next), Some(first)) = (self.waiting.front(), batch.first()) {
            bytes += next.body.len();
            if next.signal != first.signal || bytes > most {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        Some(batch)
    }
}

// === impl Pending ===

impl Pending {
    const fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Spans => &mut self.spans,
            Kind::Own => &mut self.own,
            Kind::Other => &mut self.others,
        }
    }
}

// === impl ForwardStats ===

impl ForwardStats {
    const fn of(&mut self, kind: Kind) -> &mut Tally {
        match kind {
            Kind::Spans => &mut self.spans,
            Kind::Own => &mut self.own,
            Kind::Other => &mut self.others,
        }
    }
}

// === impl Part ===

impl Part {
    fn cost(&self) -> usize {
        self.body.len() + PART_OVERHEAD
    }
}
