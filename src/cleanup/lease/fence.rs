//! What keeps a run that slept too long from doing harm when it wakes: its lease may be somebody else's work by now.
//!
//! A process that was frozen, or whose machine slept, wakes in the middle of what it did. So
//! nothing relies on a timer that should have fired: each request asks the [`Fence`] before it is
//! sent, and each look of a sweep asks the database whether its [`Term`] still holds.

use crate::semconv::RunId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Until when requests may be sent, by a clock that goes on while the machine sleeps. Clones are the same fence; one
/// that nobody set lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<AtomicU64>);

/// Nobody set it.
const UNSET: u64 = 0;
/// It is open for good.
const OPEN: u64 = u64::MAX;

/// Who holds a lease: the run, and how often the lease was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub(in crate::cleanup) run: RunId,
    pub(in crate::cleanup) term: i32,
}

// === impl Fence ===

impl Fence {
    /// Whether a request may be sent now.
    #[must_use]
    pub fn admits(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            UNSET | OPEN => true,
            until => now() < until,
        }
    }

    /// Opens it for good: the traffic is over, and what is still sent undoes what this run made.
    pub fn open(&self) {
        self.0.store(OPEN, Ordering::Relaxed);
    }

    /// Sets it: a lease of this length was renewed, or is being renewed, now. What is under way is cut off after five
    /// sixths of it.
    pub(super) fn good_for(&self, lease: Duration) {
        self.until(now(), lease);
    }

    /// As [`Self::good_for`], as of `sent` by [`now`].
    pub(super) fn until(&self, sent: u64, lease: Duration) {
        let good = u64::try_from((lease * 5 / 6).as_millis()).unwrap_or(u64::MAX);
        let until = sent.saturating_add(good).clamp(UNSET + 1, OPEN - 1);
        let set = |before| (before != OPEN).then_some(until);
        // One that is open stays so.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, set);
    }
}

// === helpers ===

/// Milliseconds of a clock that neither jumps nor stops while the machine sleeps.
pub(super) fn now() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds.saturating_mul(1_000) + nanos / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_once_the_lease_may_be_lost() {
        let fence = Fence::default();
        assert!(fence.admits(), "nobody set it");
        fence.clone().good_for(Duration::from_secs(3600));
        assert!(fence.admits());
        fence.until(now().saturating_sub(51_000), Duration::from_secs(60));
        assert!(!fence.admits(), "five sixths are over");
        fence.good_for(Duration::from_secs(60));
        assert!(fence.admits(), "it was renewed");
        fence.open();
        fence.until(1, Duration::from_secs(60));
        assert!(fence.admits(), "it is open for good");
    }
}
