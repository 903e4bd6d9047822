//! Sleeps until an instant: the one place where a schedule meets a clock.
//!
//! tokio's timers count whole milliseconds, so they wake about 1 ms late: at 1,000 arrivals
//! a second that is the whole gap between two. On Linux the pacer arms one timerfd for the
//! earliest of all its sleepers, which wakes within tens of microseconds and costs nothing
//! while it waits; nothing spins. Elsewhere, and under a paused clock, it is tokio's timer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// Sleeps until instants, for all tasks of one thread. Clones share the same timer.
#[derive(Clone)]
pub struct Pacer(Kind);

/// Waits until an instant. Never ready before it; dropping it forgets it.
#[derive(Debug)]
pub struct Pause(PauseKind);

#[derive(Clone)]
enum Kind {
    Tokio,
    #[cfg(target_os = "linux")]
    Precise(Rc<precise::Alarm>),
}

#[derive(Debug)]
enum PauseKind {
    Tokio(Pin<Box<tokio::time::Sleep>>),
    #[cfg(target_os = "linux")]
    Precise(precise::Sleeper),
}

/// Sleepers in the order of their instants; the number tells equal ones apart.
#[derive(Debug, Default)]
struct Sleepers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
}

// === impl Pacer ===

impl Pacer {
    /// A pacer on tokio's timers: 1 ms coarse, but it follows a paused clock.
    #[must_use]
    pub const fn tokio() -> Self {
        Self(Kind::Tokio)
    }

    /// The most precise pacer of this machine, for the current `LocalSet`. It must not be used
    /// under a paused clock. Where no timerfd is to be had, it is [`Pacer::tokio`].
    #[must_use]
    pub fn precise() -> Self {
        #[cfg(target_os = "linux")]
        match precise::Alarm::new() {
            Ok(alarm) => return Self(Kind::Precise(Rc::new(alarm))),
            Err(error) => tracing::warn!(%error, "no timerfd: arrivals are late by up to 1 ms"),
        }
        Self::tokio()
    }

    /// A future that is ready at `until`.
    #[must_use]
    pub fn pause(&self, until: Instant) -> Pause {
        Pause(match &self.0 {
            Kind::Tokio => PauseKind::Tokio(Box::pin(tokio::time::sleep_until(until))),
            #[cfg(target_os = "linux")]
            Kind::Precise(alarm) => PauseKind::Precise(precise::Sleeper::new(Rc::clone(alarm), until)),
        })
    }
}

impl fmt::Debug for Pacer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Tokio => "Pacer(tokio)",
            #[cfg(target_os = "linux")]
            Kind::Precise(_) => "Pacer(timerfd)",
        })
    }
}

// === impl Pause ===

impl Pause {
    /// Waits until `until` instead.
    pub fn reset(&mut self, until: Instant) {
        match &mut self.0 {
            PauseKind::Tokio(sleep) => sleep.as_mut().reset(until),
            #[cfg(target_os = "linux")]
            PauseKind::Precise(sleeper) => sleeper.reset(until),
        }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            PauseKind::Tokio(sleep) => sleep.as_mut().poll(cx),
            #[cfg(target_os = "linux")]
            PauseKind::Precise(sleeper) => sleeper.poll(cx),
        }
    }
}

// === impl Sleepers ===

impl Sleepers {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn earliest(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((until, _), _)| *until)
    }

    /// Wakes all that are due.
    fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            entry.remove().wake();
        }
    }
}

#[cfg(target_os = "linux")]
mod precise {
    use super::{Context, Instant, Poll, Rc, RefCell, Sleepers};
    use rustix::fd::OwnedFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use std::cell::Cell;
    use std::time::Duration;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::task::{AbortHandle, spawn_local};

    /// How far apart it rings at least: setting it and being woken cost more than a request's own work, so what is
    /// due closer together is woken together. It delays an arrival by no more than this, above 20,000 a second.
    const APART: Duration = Duration::from_micros(50);

    /// One timerfd and those who wait for it.
    #[derive(Debug)]
    pub(super) struct Alarm {
        shared: Rc<Shared>,
        /// The task that listens to the timerfd; it ends with the last pacer.
        listener: AbortHandle,
    }

    #[derive(Debug)]
    struct Shared {
        timer: AsyncFd<OwnedFd>,
        sleepers: RefCell<Sleepers>,
        /// What the timerfd is set to.
        armed: Cell<Option<Instant>>,
        /// When it last rang.
        rang: Cell<Option<Instant>>,
    }

    /// One sleeper; `number` once it waits.
    #[derive(Debug)]
    pub(super) struct Sleeper {
        alarm: Rc<Alarm>,
        until: Instant,
        number: Option<u64>,
    }

    impl Alarm {
        pub(super) fn new() -> std::io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            // Its successor `register` is unsafe: the descriptor must stay open and the same while it is
            // registered. This one is ours, and nobody takes it out.
            #[allow(deprecated, reason = "the safe way to register a descriptor that is owned")]
            let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
            let shared =
                Rc::new(Shared { timer, sleepers: RefCell::default(), armed: Cell::new(None), rang: Cell::new(None) });
            let listener = spawn_local(listen(Rc::clone(&shared))).abort_handle();
            Ok(Self { shared, listener })
        }
    }

    impl Drop for Alarm {
        fn drop(&mut self) {
            self.listener.abort();
        }
    }

    impl Shared {
        /// Sets the timerfd to the earliest sleeper. Only an earlier one costs a system call:
        /// one that has gone makes the timer ring for nothing, once.
        fn arm(&self) {
            let Some(earliest) = self.sleepers.borrow().earliest() else { return };
            let ring = self.rang.get().map_or(earliest, |rang| earliest.max(rang + APART));
            if self.armed.get().is_some_and(|armed| armed <= ring) {
                return;
            }
            // Zero would disarm it.
            let left = ring.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            let value = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let setting = Itimerspec { it_interval: never, it_value: value };
            match timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &setting) {
                Ok(_) => self.armed.set(Some(ring)),
                // Cannot happen with a valid descriptor and time. Better early and often than never.
                Err(error) => {
                    tracing::error!(%error, "timerfd cannot be set");
                    self.sleepers.borrow_mut().wake(earliest);
                }
            }
        }
    }

    /// Wakes the sleepers whenever the timer rings.
    async fn listen(shared: Rc<Shared>) {
        loop {
            match shared.timer.readable().await {
                // It need not be read: each ring is told once, and setting it again forgets those before.
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => {
                    // The runtime is shutting down.
                    tracing::debug!(%error, "pacer ends");
                    return;
                }
            }
            let now = Instant::now();
            shared.armed.set(None);
            shared.rang.set(Some(now));
            shared.sleepers.borrow_mut().wake(now);
            shared.arm();
        }
    }

    impl Sleeper {
        pub(super) const fn new(alarm: Rc<Alarm>, until: Instant) -> Self {
            Self { alarm, until, number: None }
        }

        pub(super) fn reset(&mut self, until: Instant) {
            self.forget();
            self.until = until;
        }

        pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
            if Instant::now() >= self.until {
                self.forget();
                return Poll::Ready(());
            }
            let shared = &self.alarm.shared;
            {
                let mut sleepers = shared.sleepers.borrow_mut();
                let number = *self.number.get_or_insert_with(|| sleepers.number());
                match sleepers.waiting.entry((self.until, number)) {
                    std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().clone_from(cx.waker()),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        entry.insert(cx.waker().clone());
                    }
                }
            }
            shared.arm();
            Poll::Pending
        }

        fn forget(&mut self) {
            if let Some(number) = self.number.take() {
                self.alarm.shared.sleepers.borrow_mut().waiting.remove(&(self.until, number));
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::time::Duration;
    use tokio::task::{LocalSet, spawn_local};

    fn on_a_thread(paused: bool, test: impl AsyncFnOnce(Pacer)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(paused).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            test(if paused { Pacer::tokio() } else { Pacer::precise() }).await;
        });
    }

    /// What holds of every pacer, under a paused clock and under the real one.
    async fn wakes_in_order_and_never_early(pacer: Pacer) {
        let start = Instant::now();
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = [7_u32, 2, 5, 2]
            .into_iter()
            .map(|after| {
                let (pacer, order) = (pacer.clone(), Rc::clone(&order));
                spawn_local(async move {
                    let until = start + Duration::from_millis(1) * after;
                    pacer.pause(until).await;
                    assert!(Instant::now() >= until);
                    order.borrow_mut().push(after);
                })
            })
            .collect();
        // One that is forgotten, one that is put off, and one that is over already.
        drop(pacer.pause(start + Duration::from_millis(1)));
        let mut later = pacer.pause(start + Duration::from_secs(3600));
        assert!(futures_poll(&mut later).await.is_pending());
        later.reset(start + Duration::from_millis(9));
        pacer.pause(start).await;
        later.await;
        assert!(start.elapsed() >= Duration::from_millis(9) && start.elapsed() < Duration::from_secs(60));
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.borrow(), [2, 2, 5, 7]);
    }

    async fn futures_poll(pause: &mut Pause) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *pause).poll(cx))).await
    }

    #[test]
    fn a_paused_clock_wakes_in_order_and_never_early() {
        on_a_thread(true, wakes_in_order_and_never_early);
    }

    #[test]
    fn the_real_clock_wakes_in_order_and_never_early() {
        on_a_thread(false, wakes_in_order_and_never_early);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_timerfd_is_finer_than_a_millisecond() {
        on_a_thread(false, async |pacer| {
            assert_eq!(format!("{pacer:?}"), "Pacer(timerfd)");
            let mut late: Vec<Duration> = Vec::new();
            for _ in 0..101 {
                let until = Instant::now() + Duration::from_micros(700);
                pacer.pause(until).await;
                late.push(until.elapsed());
            }
            late.sort_unstable();
            // Loose: the machine is shared. tokio's own timers have a median above 0.8 ms here.
            assert!(late[50] < Duration::from_micros(500), "{:?}", late[50]);
        });
    }
}
