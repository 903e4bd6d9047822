//! What waits for one output: bounded in bytes and in number, counted in points.
//!
//! Whoever tells never waits: what finds no room is lost and counted. All that was offered and not acknowledged is
//! lost, so there is one count less that could be wrong.

use super::news::News;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// News that may wait: two workers hand over twice a second.
const MOST_NEWS: usize = 1024;
/// Bytes that may wait. Outputs share them: two that are stuck hold one copy.
const MOST_BYTES: usize = 64 << 20;

/// A queue and what counts it.
pub(super) fn queue() -> (Entrance, Exit) {
    let (sender, receiver) = mpsc::channel(MOST_NEWS);
    let waiting = Arc::new(AtomicUsize::new(0));
    let tally = Arc::new(Tally::default());
    let entrance = Entrance { news: sender, waiting: Arc::clone(&waiting), tally: Arc::clone(&tally) };
    (entrance, Exit { news: receiver, waiting, tally })
}

/// Points of one output by their fate.
#[derive(Debug, Default)]
pub(super) struct Tally {
    offered: AtomicU64,
    written: AtomicU64,
    /// Whether something found no room: told once.
    full: AtomicBool,
}

/// The near end.
#[derive(Debug)]
pub(super) struct Entrance {
    news: mpsc::Sender<News>,
    waiting: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

/// The far end.
#[derive(Debug)]
pub(super) struct Exit {
    news: mpsc::Receiver<News>,
    waiting: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

// === impl Tally ===

impl Tally {
    /// So many points were acknowledged.
    pub(super) fn wrote(&self, points: u64) {
        self.written.fetch_add(points, Ordering::Relaxed);
    }

    /// So many more points there were, which the queue did not carry.
    pub(super) fn offer(&self, points: u64) {
        self.offered.fetch_add(points, Ordering::Relaxed);
    }

    /// Acknowledged, and lost.
    pub(super) fn fate(&self) -> (u64, u64) {
        // In this order: what is written meanwhile was offered before.
        let written = self.written.load(Ordering::Acquire);
        let offered = self.offered.load(Ordering::Acquire);
        (written, offered.saturating_sub(written))
    }
}

// === impl Entrance ===

impl Entrance {
    /// Queues news, or counts them lost.
    pub(super) fn tell(&self, name: &'static str, news: &News) {
        let (points, lost) = news.points();
        self.tally.offer(points + lost);
        let bytes = news.bytes();
        let before = self.waiting.fetch_add(bytes, Ordering::AcqRel);
        // One that is alone always has room, however large.
        let fits = before == 0 || before + bytes <= MOST_BYTES;
        if !fits || self.news.try_send(news.clone()).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::AcqRel);
            if !self.tally.full.swap(true, Ordering::Relaxed) {
                tracing::warn!(output = name, "the output is behind: points are lost");
            }
        }
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }
}

// === impl Exit ===

impl Exit {
    /// The next news; none once nobody tells any more.
    pub(super) async fn next(&mut self) -> Option<News> {
        let news = self.news.recv().await?;
        self.waiting.fetch_sub(news.bytes(), Ordering::AcqRel);
        Some(news)
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }
}
