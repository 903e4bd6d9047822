//! The most requests in a time: `guard.max_rate` and `--rps`, for all workers together.
//!
//! A virtual schedule (GCRA): each request takes the next slot, slots are a period apart.
//! A slot is taken *before* the wait, and up to [`LATENESS`] of it may be made up, so the
//! rate is kept exactly although a timer wakes a millisecond late. Of a worker's VUs only
//! the first in line holds a slot: a thousand waiting VUs are one timer, served in order,
//! and a VU that ends while it waits costs at most one slot a worker.

use super::Request;
use super::progress::Progress;
use crate::measure::{Gate, RequestContext};
use crate::semconv::TraceId;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tower::Service;

/// How late a request may come for its slot without losing it: two ticks of tokio's timer and one to spare.
const LATENESS: Duration = Duration::from_millis(3);

/// The slots of all workers.
#[derive(Debug)]
pub(crate) struct Cap {
    start: Instant,
    /// Nanoseconds between two slots.
    period: u64,
    /// The next free slot, in nanoseconds since `start`.
    next: AtomicU64,
}

/// One worker's line for the slots. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    cap: Arc<Cap>,
    turn: Arc<Semaphore>,
}

/// Lets requests through no faster than the cap, and none while the gate is closed.
#[derive(Clone, Debug)]
pub(crate) struct Capped<S> {
    inner: S,
    line: Option<Line>,
    gate: Option<Gate>,
    progress: Progress,
}

pin_project! {
    /// A request that waits for its slot, or has had it.
    pub(crate) struct Waiting<S: Service<Request>> {
        service: Option<S>,
        request: Option<Request>,
        progress: Progress,
        wait: Option<Pin<Box<dyn Future<Output = ()>>>>,
        #[pin]
        call: Option<S::Future>,
    }
}

// === impl Cap ===

impl Cap {
    /// One slot every `period`, from now on.
    pub(crate) fn new(period: Duration) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX / 4).max(1);
        Self { start: Instant::now(), period, next: AtomicU64::new(0) }
    }

    /// Takes the next slot. `None`: it is now.
    fn take(&self, now: Instant) -> Option<Instant> {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4);
        let now = nanos(now.saturating_duration_since(self.start));
        let earliest = now.saturating_sub(nanos(LATENESS).min(now));
        let slot = |next: u64| next.max(earliest);
        let after = |next: u64| Some(slot(next).saturating_add(self.period));
        // The closure always answers, so both arms hold the slot before the update.
        let (Ok(next) | Err(next)) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        let slot = slot(next);
        if slot <= now { None } else { self.start.checked_add(Duration::from_nanos(slot)) }
    }
}

// === impl Line ===

impl Line {
    /// The line of a new worker.
    pub(crate) fn new(cap: Arc<Cap>) -> Self {
        Self { cap, turn: Arc::new(Semaphore::new(1)) }
    }

    /// The wait for a slot, or `None` where there is one now.
    fn join(&self) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        match Arc::clone(&self.turn).try_acquire_owned() {
            Ok(turn) => {
                let slot = self.cap.take(Instant::now())?;
                Some(Box::pin(until(slot, turn)))
            }
            Err(_) => {
                let Self { cap, turn } = self.clone();
                Some(Box::pin(async move {
                    // The semaphore is never closed; were it, nobody would have to wait.
                    let Ok(turn) = turn.acquire_owned().await else { return };
                    if let Some(slot) = cap.take(Instant::now()) {
                        until(slot, turn).await;
                    }
                }))
            }
        }
    }
}

/// Waits for a slot at the head of the line.
async fn until(slot: Instant, turn: OwnedSemaphorePermit) {
    sleep_until(slot).await;
    drop(turn);
}

/// Waits for a slot that is had while the gate is open (or lets this trace through).
async fn pass(
    gate: Gate,
    line: Option<Line>,
    mut slot: Option<Pin<Box<dyn Future<Output = ()>>>>,
    trace: Option<TraceId>,
    progress: Progress,
) {
    loop {
        if let Some(slot) = slot.take() {
            slot.await;
            if gate.admits(trace) {
                return;
            }
        }
        let closed = Instant::now();
        gate.pass(trace).await;
        progress.held_by_guard(closed.elapsed());
        match line.as_ref().and_then(Line::join) {
            Some(next) => slot = Some(next),
            None => return,
        }
    }
}

// === impl Capped ===

impl<S> Capped<S> {
    /// Wraps `inner`; without a line and a gate nothing waits.
    pub(crate) fn new(inner: S, line: Option<Line>, gate: Option<Gate>, progress: Progress) -> Self {
        Self { inner, line, gate, progress }
    }

    /// The wait for gate and slot, or `None` where the request may leave now.
    fn wait(&self, request: &Request) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let Some(gate) = &self.gate else { return self.line.as_ref().and_then(Line::join) };
        let trace = |request: &Request| request.extensions().get::<RequestContext>().map(|context| context.trace);
        let slot = if gate.is_open() { Some(self.line.as_ref().and_then(Line::join)?) } else { None };
        let (gate, line, progress) = (gate.clone(), self.line.clone(), self.progress.clone());
        Some(Box::pin(pass(gate, line, slot, trace(request), progress)))
    }
}

impl<S: Service<Request> + Clone> Service<Request> for Capped<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Waiting<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let progress = self.progress.clone();
        match self.wait(&request) {
            None => {
                Waiting { service: None, request: None, progress, wait: None, call: Some(self.inner.call(request)) }
            }
            wait => {
                progress.hold(Instant::now());
                Waiting { service: Some(self.inner.clone()), request: Some(request), progress, wait, call: None }
            }
        }
    }
}

// === impl Waiting ===

impl<S: Service<Request>> Future for Waiting<S> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(wait) = this.wait {
            ready!(wait.as_mut().poll(cx));
            *this.wait = None;
            this.progress.release(Instant::now());
            if let (Some(service), Some(request)) = (this.service, this.request.take()) {
                this.call.set(Some(service.call(request)));
            }
        }
        match this.call.as_pin_mut() {
            Some(call) => call.poll(cx),
            // Only a future that is polled after its end comes here.
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::rc::Rc;

    /// Runs `vus` VUs over one worker's line for `time` and says how many requests were let through.
    async fn let_through(period: Duration, vus: usize, time: Duration) -> u64 {
        let count = Rc::new(Cell::new(0_u64));
        let counter = Rc::clone(&count);
        let inner = tower::service_fn(move |_: Request| {
            counter.set(counter.get() + 1);
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let line = Line::new(Arc::new(Cap::new(period)));
        let local = tokio::task::LocalSet::new();
        for _ in 0..vus {
            let mut service = Capped::new(inner.clone(), Some(line.clone()), None, Progress::default());
            local.spawn_local(async move {
                loop {
                    service.call(Request::default()).await.unwrap();
                }
            });
        }
        local.run_until(tokio::time::sleep(time)).await;
        count.get()
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_by_one_vu_and_by_many() {
        for vus in [1, 7, 300] {
            assert_eq!(
                let_through(Duration::from_millis(20), vus, Duration::from_millis(1999)).await,
                100,
                "{vus} VUs"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_beyond_the_timers_resolution_is_kept_too() {
        let through = let_through(Duration::from_micros(200), 50, Duration::from_secs(1)).await;
        assert!((4_990..=5_020).contains(&through), "{through}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_time_saves_nothing_up() {
        let cap = Cap::new(Duration::from_millis(100));
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        assert_eq!(cap.take(now), None);
        let second = cap.take(now).unwrap();
        assert_eq!(second - now, Duration::from_millis(100) - LATENESS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_lets_nobody_through_and_afterwards_the_cap_is_kept() {
        let (gate, count) = (Gate::new(), Rc::new(Cell::new(0_u64)));
        let counter = Rc::clone(&count);
        let inner = tower::service_fn(move |_: Request| {
            counter.set(counter.get() + 1);
            std::future::ready(Ok::<_, Infallible>(()))
        });
        let line = Line::new(Arc::new(Cap::new(Duration::from_millis(100))));
        let local = tokio::task::LocalSet::new();
        let progress: Vec<_> = (0..50).map(|_| Progress::default()).collect();
        for progress in &progress {
            let mut service = Capped::new(inner.clone(), Some(line.clone()), Some(gate.clone()), progress.clone());
            local.spawn_local(async move {
                loop {
                    service.call(Request::default()).await.unwrap();
                }
            });
        }
        local.run_until(tokio::time::sleep(Duration::from_millis(950))).await;
        assert_eq!(count.get(), 10);
        gate.close(Instant::now());
        local.run_until(tokio::time::sleep(Duration::from_secs(60))).await;
        assert_eq!(count.get(), 10, "not even those that had a slot");
        gate.open();
        local.run_until(tokio::time::sleep(Duration::from_millis(950))).await;
        assert!((9..=11).contains(&(count.get() - 10)), "{}", count.get());
        let held = progress.iter().map(|progress| progress.answered(Default::default(), None).held);
        assert!(held.max().unwrap() > Duration::from_secs(58), "what is not the request's own time is known");
    }

    #[tokio::test(start_paused = true)]
    async fn a_vu_that_ends_while_it_waits_costs_one_slot() {
        let line = Line::new(Arc::new(Cap::new(Duration::from_secs(1))));
        assert!(line.join().is_none());
        let mut waiting: Vec<_> = (0..50).map(|_| line.join().unwrap()).collect();
        let last = waiting.pop().unwrap();
        drop(waiting);
        let start = Instant::now();
        last.await;
        assert!(start.elapsed() <= Duration::from_millis(2001), "{:?}", start.elapsed());
    }
}
