//! Bytes on the wire of one VU, shared by the sockets that count them and the workflow that reports them.

use std::cell::Cell;
use std::rc::Rc;

/// A pair of counters that lives on one thread. Clones share the same counters.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Rc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    sent: Cell<u64>,
    received: Cell<u64>,
}

// === impl Traffic ===

impl Traffic {
    /// Counts bytes written.
    pub fn add_sent(&self, bytes: usize) {
        self.0.sent.set(self.0.sent.get() + bytes as u64);
    }

    /// Counts bytes read.
    pub fn add_received(&self, bytes: usize) {
        self.0.received.set(self.0.received.get() + bytes as u64);
    }

    /// Takes what was counted since the last call: sent, received.
    #[must_use]
    pub fn take(&self) -> (u64, u64) {
        (self.0.sent.take(), self.0.received.take())
    }
}
