//! How many connections may be out at once, so that it can be changed while they are.
//!
//! deadpool has a semaphore of its own for that, whose count is only right again after a shrink when connections have
//! gone round: a pool of 40 of which 4 were open lets 38 through after it was resized to 2 (0.13). So the bound stands
//! here, in front of it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// The permits of a pool.
#[derive(Debug)]
pub(super) struct Permits {
    free: Semaphore,
    bound: Mutex<Bound>,
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct Bound {
    max: usize,
    used: usize,
    /// Permits that are out and do not come back: the pool shrank while they were.
    debt: usize,
}

/// A right to one connection. Dropped, it is somebody else's.
#[derive(Debug)]
pub(super) struct Permit(Arc<Permits>);

/// Somebody who waits.
struct Waits<'a>(&'a AtomicUsize);

// === impl Permits ===

impl Permits {
    pub(super) fn new(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        let bound = Mutex::new(Bound { max, used: 0, debt: 0 });
        Self { free: Semaphore::new(max), bound, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a permit, in the order of asking.
    pub(super) async fn take(self: &Arc<Self>) -> Permit {
        if let Ok(free) = self.free.try_acquire() {
            free.forget();
        } else {
            let _waits = Waits::new(&self.waiting);
            // It is never closed; and if it were, there would be no bound to keep.
            if let Ok(free) = self.free.acquire().await {
                free.forget();
            }
        }
        self.bound().used += 1;
        Permit(Arc::clone(self))
    }

    pub(super) fn resize(&self, max: usize) {
        let max = max.min(Semaphore::MAX_PERMITS);
        let mut bound = self.bound();
        let before = std::mem::replace(&mut bound.max, max);
        if max >= before {
            let more = max - before;
            let forgiven = more.min(bound.debt);
            bound.debt -= forgiven;
            self.free.add_permits(more - forgiven);
        } else {
            let fewer = before - max;
            bound.debt += fewer - self.free.forget_permits(fewer);
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn max_and_used(&self) -> (usize, usize) {
        let bound = self.bound();
        (bound.max, bound.used)
    }

    /// Nobody panics while holding it; were it so, what is in there is whole all the same.
    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut bound = self.0.bound();
        bound.used = bound.used.saturating_sub(1);
        if bound.debt > 0 {
            bound.debt -= 1;
        } else {
            self.0.free.add_permits(1);
        }
    }
}

// === impl Waits ===

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    fn take(permits: &Arc<Permits>) -> Option<Permit> {
        poll(pin!(permits.take()))
    }

    #[test]
    fn a_bound_that_shrinks_holds_at_once_and_for_what_is_out() {
        let permits = Arc::new(Permits::new(3));
        let mut out: Vec<_> = (0..3).map(|_| take(&permits).unwrap()).collect();
        permits.resize(1);
        assert_eq!(permits.max_and_used(), (1, 3));
        out.pop();
        out.pop();
        assert!(take(&permits).is_none(), "one is still out");
        out.pop();
        let one = take(&permits).unwrap();
        assert!(take(&permits).is_none());
        drop(one);
        // Of 40 that were never taken nothing is left either.
        let permits = Arc::new(Permits::new(40));
        permits.resize(2);
        let out: Vec<_> = std::iter::from_fn(|| take(&permits)).collect();
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn a_bound_that_grows_lets_the_next_in_and_forgives() {
        let permits = Arc::new(Permits::new(2));
        let out = (take(&permits).unwrap(), take(&permits).unwrap());
        let mut third = pin!(permits.take());
        assert!(poll(third.as_mut()).is_none());
        assert_eq!(permits.waiting(), 1);
        permits.resize(1);
        permits.resize(3);
        let third = poll(third).unwrap();
        assert_eq!((permits.waiting(), permits.max_and_used()), (0, (3, 3)));
        assert!(take(&permits).is_none());
        drop((out, third));
        let all: Vec<_> = std::iter::from_fn(|| take(&permits)).collect();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn who_gives_up_does_not_wait_any_more() {
        let permits = Arc::new(Permits::new(1));
        let one = take(&permits).unwrap();
        {
            let mut second = pin!(permits.take());
            assert!(poll(second.as_mut()).is_none());
        }
        assert_eq!(permits.waiting(), 0);
        drop(one);
        assert!(take(&permits).is_some());
    }
}
