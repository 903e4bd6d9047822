//! What belongs to the request that this thread is working on: when it arrived, and where its time goes.
//!
//! A future is polled on one thread at a time, so a layer that sets the scope around each poll (and puts back what was
//! there) gives all that runs below it a scope of its own, as a task-local does: without allocating, and without a
//! runtime. What a handler spawns is another task and has none.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

thread_local! {
    static ARRIVED: Cell<Option<Instant>> = const { Cell::new(None) };
    static TIMES: RefCell<Option<Arc<Times>>> = const { RefCell::new(None) };
}

/// Where the time of a synthetic request goes, for `Server-Timing`.
#[derive(Debug, Default)]
pub(super) struct Times {
    queue: AtomicU64,
    pool: AtomicU64,
}

/// Puts back what was there, also in a panic.
struct Restore {
    arrived: Option<Instant>,
    times: Option<Option<Arc<Times>>>,
}

/// Does `work` as part of a request that arrived then, and whose time is told to `times`.
#[inline]
pub(super) fn within<T>(arrived: Instant, times: Option<&Arc<Times>>, work: impl FnOnce() -> T) -> T {
    let _restore = Restore {
        arrived: ARRIVED.replace(Some(arrived)),
        times: times.map(|times| TIMES.replace(Some(Arc::clone(times)))),
    };
    work()
}

/// When the request that is being worked on arrived; none outside of [`within`].
#[inline]
pub(super) fn arrived() -> Option<Instant> {
    ARRIVED.get()
}

/// A synthetic request waited so long for its handler.
pub(super) fn queued(wait: Duration) {
    TIMES.with_borrow(|times| {
        if let Some(times) = times {
            add(&times.queue, wait);
        }
    });
}

/// A synthetic request waited so long for a connection of the pool.
#[cfg(feature = "deadpool-postgres")]
pub(super) fn waited_for_pool(wait: Duration) {
    TIMES.with_borrow(|times| {
        if let Some(times) = times {
            add(&times.pool, wait);
        }
    });
}

fn add(sum: &AtomicU64, time: Duration) {
    sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

// === impl Times ===

impl Times {
    /// The names of `Server-Timing` and what was told, where something was.
    pub(super) fn told(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let named = [("queue", &self.queue), ("pool", &self.pool)];
        let read = named.map(|(name, sum)| (name, Duration::from_nanos(sum.load(Ordering::Relaxed))));
        read.into_iter().filter(|(_, time)| !time.is_zero())
    }
}

// === impl Restore ===

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        ARRIVED.set(self.arrived);
        if let Some(times) = self.times.take() {
            drop(TIMES.replace(times));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_work() {
        let (outer, inner) = (Arc::new(Times::default()), Arc::new(Times::default()));
        let first = super::super::clock::now();
        let second = first + Duration::from_secs(1);
        queued(Duration::from_secs(9));
        within(first, Some(&outer), || {
            queued(Duration::from_millis(1));
            within(second, Some(&inner), || {
                assert_eq!(arrived(), Some(second));
                queued(Duration::from_millis(2));
            });
            // A real request inside has no times of its own, and there is none.
            assert_eq!(arrived(), Some(first));
            queued(Duration::from_millis(4));
        });
        assert_eq!(arrived(), None);
        let told = |times: &Times| times.told().collect::<Vec<_>>();
        assert_eq!(told(&outer), [("queue", Duration::from_millis(5))]);
        assert_eq!(told(&inner), [("queue", Duration::from_millis(2))]);
    }
}
