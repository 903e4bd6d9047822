//! What the receiver counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What came in so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverStats {
    /// Spans in messages that were acknowledged.
    pub spans: u64,
    /// Those of them that belong to traces of others.
    pub foreign: u64,
    /// Those of them that answer a request of pacecar's, though under a trace id of their own: the API does not
    /// continue traces. Another pacecar at the same API makes some too, so this tells only where few are joined.
    pub strayed: u64,
    /// Points of metrics that a timeline knows.
    pub points: u64,
    /// Messages that were refused: garbage, too large, in a coding or type that is not known, too slow.
    pub rejected: u64,
    /// Messages that were told to come again later, because something was full.
    pub later: u64,
}

/// [`ReceiverStats`] that are being counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) spans: AtomicU64,
    pub(super) foreign: AtomicU64,
    pub(super) strayed: AtomicU64,
    pub(super) points: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) later: AtomicU64,
}

// === impl Counters ===

impl Counters {
    pub(super) fn read(&self) -> ReceiverStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReceiverStats {
            spans: read(&self.spans),
            foreign: read(&self.foreign),
            strayed: read(&self.strayed),
            points: read(&self.points),
            rejected: read(&self.rejected),
            later: read(&self.later),
        }
    }
}

/// Adds to a counter. No other memory hangs on these.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
