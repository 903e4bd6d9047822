//! How fast a sweep may go: never above a rate, and slower while the database is busy.
//!
//! As TCP shares a line: while all is well the share of its time that a sweep works grows step by
//! step; when its own statements become slow, meet locks, or standbys fall behind, it is halved.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// How much slower than its best a statement may be, per row.
const SLOW: f64 = 4.0;
/// Fewer rows than this say nothing about speed.
const TELLING: u64 = 50;
/// The least share of its time that a sweep works.
const LEAST: f64 = 1.0 / 32.0;
/// How much the share grows with a batch that went well.
const STEP: f64 = 1.0 / 16.0;
/// A batch never makes a sweep wait longer than this on top of the rate.
const REST: Duration = Duration::from_secs(5);

/// Holds deletion to a number of rows a second, or fewer.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    per_second: NonZeroU32,
    /// When the next batch is due by the rate alone.
    due: Instant,
    /// The share of its time that a sweep works, 1 at most.
    share: f64,
    /// Seconds a row at best, by kind of row: tables have their own speed. Forgotten slowly, because a table can get
    /// slower for good.
    best: HashMap<usize, f64>,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, due: Instant::now(), share: 1.0, best: HashMap::new() }
    }

    /// The most rows of one statement: no burst is longer than a second's worth.
    pub(super) fn limit(&self, batch: usize) -> usize {
        batch.min(usize::try_from(self.per_second.get()).unwrap_or(usize::MAX))
    }

    /// Counts `rows` of one kind that were deleted within `took`, and waits until the next batch may follow.
    pub(super) async fn spend(&mut self, kind: usize, rows: u64, took: Duration) {
        self.judge(kind, rows, took);
        #[allow(clippy::cast_precision_loss, reason = "a fraction of a microsecond does not matter")]
        let seconds = rows as f64 / f64::from(self.per_second.get());
        let now = Instant::now();
        // What was not used of the rate is not made up for: a sweep that waited must not rush.
        let begun = now.checked_sub(took).unwrap_or(now);
        self.due = self.due.max(begun) + Duration::try_from_secs_f64(seconds).unwrap_or(REST);
        let rest = took.mul_f64(1.0 / self.share - 1.0).min(REST);
        tokio::time::sleep_until(self.due.max(now + rest)).await;
    }

    /// Others were in the way, or this was in theirs: halves the share.
    pub(super) fn yield_to_others(&mut self) {
        self.share = (self.share / 2.0).max(LEAST);
    }

    fn judge(&mut self, kind: usize, rows: u64, took: Duration) {
        if rows < TELLING {
            return;
        }
        #[allow(clippy::cast_precision_loss, reason = "a row more or less does not matter")]
        let per_row = took.as_secs_f64() / rows as f64;
        let best = *self.best.get(&kind).unwrap_or(&per_row);
        if per_row > best * SLOW {
            self.yield_to_others();
            self.best.insert(kind, best * 1.02);
        } else {
            self.best.insert(kind, best.min(per_row));
            self.share = (self.share + STEP).min(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn pace(per_second: u32) -> Pace {
        Pace::new(NonZeroU32::new(per_second).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_held() {
        let mut pace = pace(1_000);
        assert_eq!(pace.limit(5_000), 1_000);
        let started = Instant::now();
        for _ in 0..5 {
            pace.spend(0, 500, Duration::ZERO).await;
        }
        assert_eq!(started.elapsed(), Duration::from_millis(2_500));
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_was_not_used_is_not_made_up_for() {
        let mut pace = pace(1_000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let started = Instant::now();
        for _ in 0..4 {
            pace.spend(0, 500, Duration::ZERO).await;
        }
        assert_eq!(started.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_yields_when_statements_become_slow_and_comes_back() {
        let mut pace = pace(1_000_000);
        pace.spend(0, 1_000, Duration::from_millis(2)).await;
        assert!((pace.share - 1.0).abs() < f64::EPSILON);
        for _ in 0..20 {
            pace.spend(0, 1_000, Duration::from_millis(40)).await;
        }
        assert!((pace.share - LEAST).abs() < f64::EPSILON);
        let started = Instant::now();
        pace.spend(0, 1_000, Duration::from_millis(2)).await;
        assert!(started.elapsed() > Duration::from_millis(10), "it rests for a while yet");
        for _ in 0..20 {
            pace.spend(0, 1_000, Duration::from_millis(2)).await;
        }
        assert!((pace.share - 1.0).abs() < f64::EPSILON);
    }
}
