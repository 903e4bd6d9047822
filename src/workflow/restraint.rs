//! What of the guard the workflow must know: the gate, to say when an iteration is over and to leave out what it held.

use super::program::Program;
use crate::measure::Gate;
use crate::semconv::TraceId;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::Instant;

/// What holds a program's requests back. Nothing, unless the run says so before its first request.
#[derive(Debug, Default)]
pub(crate) struct Restraint(OnceLock<Gate>);

// === impl Program ===

impl Program {
    /// Says which gate its requests pass. For once, before anything is sent.
    pub fn pass(&self, gate: Gate) {
        // A second one would be another run's; the first one stays.
        let _ = self.restraint.0.set(gate);
    }
}

// === impl Restraint ===

impl Restraint {
    /// The iteration of this trace is over.
    pub(crate) fn leave(&self, trace: TraceId) {
        if let Some(gate) = self.0.get() {
            gate.leave(trace);
        }
    }

    /// How much of the time since `since` the gate, if it is closed now, has held up: of what is cut off meanwhile.
    pub(crate) fn held_since(&self, since: Instant, now: Instant) -> Duration {
        let closed = self.0.get().and_then(Gate::closed_since);
        closed.map_or(Duration::ZERO, |closed| now.saturating_duration_since(closed.max(since)))
    }
}
