//! The thread of an output: it takes news from its queue and writes, at lower priority than the load.
//!
//! Each output has a thread, so that none waits for another. The thread ends when the queue does, and at the latest
//! [`FAREWELL`] after it was told to end; only a write to a file that hangs in the kernel can hold it longer, and then
//! it is left to itself.

use super::error::OutputError;
use super::news::News;
use super::queue::{Entrance, Exit, Tally, queue};
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{self, Instant, MissedTickBehavior};

/// What writes for one output. Lives on its own thread: it may block.
pub(super) trait Sink {
    /// Takes a part of some news in. Answers whether it wants to be flushed before the next.
    fn take(&mut self, news: &News, part: &Range<usize>) -> bool;

    /// Writes what was taken in. Each interval.
    fn flush(&mut self) -> impl Future<Output = ()>;

    /// Writes the last of it. Once, and nothing comes after.
    fn finish(&mut self) -> impl Future<Output = ()>;
}

/// What an output can know of its end.
#[derive(Clone, Debug)]
pub(super) struct Closing(watch::Receiver<bool>);

/// An output while it lives. Dropped, its thread writes what it has and ends.
#[derive(Debug)]
pub(super) struct Running {
    name: &'static str,
    entrance: Option<Entrance>,
    tally: Arc<Tally>,
    closing: watch::Sender<bool>,
    closed_at: Option<Instant>,
    done: oneshot::Receiver<()>,
}

/// How long an output may take for what waits at the end.
pub(super) const FAREWELL: Duration = Duration::from_secs(8);
/// How long it may take to open what it writes to.
const OPENING: Duration = Duration::from_secs(10);
/// Things that are taken in at once: some thousand points.
const PART: usize = 1000;
/// What a thread may be late with its own end.
const GRACE: Duration = Duration::from_secs(1);
/// How far these threads stand behind the load, as `nice` has it.
const NICENESS: i32 = 10;

// === impl Running ===

impl Running {
    /// Starts the thread of an output, called `name` in the summary, that is flushed each `every`. `make` opens what it
    /// writes to, in that thread.
    ///
    /// # Errors
    /// What `make` said; or that it could not be opened in time.
    pub(super) async fn start<S, M>(name: &'static str, every: Duration, make: M) -> Result<Self, OutputError>
    where
        S: Sink,
        M: FnOnce(Arc<Tally>, Closing) -> Result<S, OutputError> + Send + 'static,
    {
        let (entrance, exit) = queue();
        let (closing, closes) = watch::channel(false);
        let (opened, opens) = oneshot::channel();
        let (ended, done) = oneshot::channel();
        let body = move || {
            yield_to_the_load();
            let runtime = match time_and_sockets() {
                Ok(runtime) => runtime,
                Err(source) => return drop(opened.send(Err(OutputError::Thread { output: name, source }))),
            };
            let context = runtime.enter();
            let sink = match make(exit.tally(), Closing(closes.clone())) {
                Ok(sink) => sink,
                Err(error) => return drop(opened.send(Err(error))),
            };
            drop(context);
            if opened.send(Ok(())).is_ok() {
                runtime.block_on(drive(sink, exit, Closing(closes), every));
            }
            // Whoever dropped the output does not wait.
            let _ = ended.send(());
        };
        std::thread::Builder::new()
            .name("pacecar-out".to_owned())
            .spawn(body)
            .map_err(|source| OutputError::Thread { output: name, source })?;
        match time::timeout(OPENING, opens).await {
            Ok(Ok(opened)) => opened?,
            Ok(Err(_)) => return Err(OutputError::Died { output: name }),
            Err(_) => return Err(OutputError::Slow { output: name, within: OPENING }),
        }
        Ok(Self { name, tally: entrance.tally(), entrance: Some(entrance), closing, closed_at: None, done })
    }

    /// What it is called in the summary.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Tells it something. Never waits.
    pub(super) fn tell(&self, news: &News) {
        if let Some(entrance) = &self.entrance {
            entrance.tell(self.name, news);
        }
    }

    /// Tells it nothing more: it writes what waits, and has [`FAREWELL`] for it.
    pub(super) fn close(&mut self) {
        self.entrance = None;
        self.closing.send_replace(true);
        self.closed_at.get_or_insert_with(Instant::now);
    }

    /// Waits for its end. Points acknowledged, and lost.
    pub(super) async fn finish(mut self) -> (u64, u64) {
        self.close();
        let until = self.closed_at.unwrap_or_else(Instant::now) + FAREWELL + GRACE;
        let _ = time::timeout_at(until, &mut self.done).await;
        self.tally.fate()
    }
}

// === impl Closing ===

impl Closing {
    /// Whether the end has come.
    pub(super) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits so long, or until the end comes.
    pub(super) async fn sleep(&mut self, wait: Duration) {
        if self.is_now() {
            return;
        }
        tokio::select! {
            () = time::sleep(wait) => {}
            _ = self.0.wait_for(|closing| *closing) => {}
        }
    }

    /// When the time of the farewell is over. An output that nobody holds any more has that time too.
    async fn time_is_over(mut self) {
        let _ = self.0.wait_for(|closing| *closing).await;
        time::sleep(FAREWELL).await;
    }
}

/// Takes and flushes until the queue has ended, or the time is over.
async fn drive(mut sink: impl Sink, mut exit: Exit, closing: Closing, every: Duration) {
    let play = async {
        let mut ticks = time::interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What waits is taken in before anything is written: a sink that is stuck has one backlog, its own.
                biased;
                news = exit.next() => match news {
                    Some(news) => {
                        for from in (0..news.len()).step_by(PART) {
                            if sink.take(&news, &(from..from + PART)) {
                                sink.flush().await;
                            }
                        }
                    }
                    None => break,
                },
                _ = ticks.tick() => sink.flush().await,
            }
        }
        sink.finish().await;
    };
    tokio::select! {
        () = play => {}
        () = closing.time_is_over() => {}
    }
}

fn time_and_sockets() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Lowers the priority of this thread alone: on Linux each has its own.
fn yield_to_the_load() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "an output keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::measure::{Batch, Mark, MetricId, Place};
    use std::sync::mpsc;

    /// Hands what it takes to a test, and can be stuck.
    struct Told {
        taken: mpsc::Sender<u64>,
        tally: Arc<Tally>,
        stuck: bool,
    }

    impl Sink for Told {
        fn take(&mut self, news: &News, _: &Range<usize>) -> bool {
            let _ = self.taken.send(news.points().0);
            self.tally.wrote(if self.stuck { 0 } else { news.points().0 });
            self.stuck
        }

        async fn flush(&mut self) {
            if self.stuck {
                std::future::pending::<()>().await;
            }
        }

        async fn finish(&mut self) {
            self.flush().await;
        }
    }

    fn news() -> News {
        let mark = Mark { at: Instant::now(), metric: MetricId::VUS, place: Place::Run, value: 1.0 };
        News::Batch(Arc::new(Batch { marks: vec![mark; 3], lost_points: 2, ..Batch::default() }))
    }

    async fn start(stuck: bool) -> (Running, mpsc::Receiver<u64>) {
        let (taken, takes) = mpsc::channel();
        let make = move |tally, _| Ok(Told { taken, tally, stuck });
        (Running::start("json", Duration::from_secs(60), make).await.unwrap(), takes)
    }

    #[tokio::test]
    async fn what_was_lost_before_is_lost_and_what_was_taken_is_written() {
        let (running, takes) = start(false).await;
        (0..4).for_each(|_| running.tell(&news()));
        assert_eq!(running.finish().await, (12, 8));
        assert_eq!(takes.iter().collect::<Vec<_>>(), [3; 4]);
    }

    #[tokio::test]
    async fn whoever_tells_a_sink_that_is_stuck_does_not_wait_for_it() {
        let (running, takes) = start(true).await;
        // More than may wait.
        (0..5000).for_each(|_| running.tell(&news()));
        assert_eq!(takes.recv(), Ok(3));
        assert_eq!(running.tally.fate(), (0, 5000 * 5));
        // Dropped, its thread has its farewell and ends by itself.
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_open_is_not_waited_for() {
        let (hold, held) = mpsc::channel::<()>();
        let make = move |tally, _| {
            let _ = held.recv();
            Ok(Told { taken: mpsc::channel().0, tally, stuck: false })
        };
        let refused = Running::start("json", Duration::from_secs(60), make).await;
        assert!(matches!(refused, Err(OutputError::Slow { .. })));
        drop(hold);
    }
}
