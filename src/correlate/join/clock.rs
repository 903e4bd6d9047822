//! How far a service's clock is from ours, and how long the way there takes at its fastest.
//!
//! NTP's filter: of each request we know when it left and when its answer was whole, and of its server span when it
//! began and ended there. What was on the wire for the shortest time says most, so the smallest gap before and the
//! smallest after, over the last minute, give both the clock's offset and the way.

use tokio::time::{Duration, Instant};

/// How long the smallest gaps are kept, in two halves: clocks drift, and ways change.
const HALF: Duration = Duration::from_secs(30);

/// Fewer requests than this say nothing of the fastest way.
const ENOUGH: u32 = 20;

/// What is known of one service's clock. Gaps in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServiceClock {
    now: Gaps,
    before: Gaps,
    began: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Gaps {
    before: i64,
    after: i64,
    seen: u32,
}

// === impl ServiceClock ===

impl ServiceClock {
    /// A request whose server span began and ended so long after it left and before its answer was whole.
    pub(super) fn observe(&mut self, before: i64, after: i64, at: Instant) {
        if self.began.is_none_or(|began| at.saturating_duration_since(began) > HALF) {
            self.before = std::mem::take(&mut self.now);
            self.began = Some(at);
        }
        self.now.before = self.now.before.min(before);
        self.now.after = self.now.after.min(after);
        self.now.seen = self.now.seen.saturating_add(1);
    }

    /// What must be taken from its times to get ours; 0 until something is known.
    pub(super) fn offset(&self) -> i64 {
        self.smallest().map_or(0, |(before, after)| before.saturating_sub(after) / 2)
    }

    /// The fastest way there, sending not included; none until enough is known.
    pub(super) fn way(&self) -> Option<u64> {
        let (before, after) = self.smallest()?;
        let enough = self.now.seen + self.before.seen >= ENOUGH;
        enough.then(|| u64::try_from(before.saturating_add(after) / 2).unwrap_or(0))
    }

    fn smallest(&self) -> Option<(i64, i64)> {
        let smallest = (self.now.before.min(self.before.before), self.now.after.min(self.before.after));
        (self.now.seen + self.before.seen > 0).then_some(smallest)
    }
}

// === impl Gaps ===

impl Default for Gaps {
    fn default() -> Self {
        Self { before: i64::MAX, after: i64::MAX, seen: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_smallest_gaps_tell_offset_and_way() {
        let mut clock = ServiceClock::default();
        assert_eq!((clock.offset(), clock.way()), (0, None));
        // 60 ms ahead; the way takes 1 ms, but for one that waited.
        for n in 0..ENOUGH {
            clock.observe(61_000_000 + i64::from(n) * 1_000, -59_000_000 + i64::from(n) * 1_000, Instant::now());
        }
        clock.observe(400_000_000, -59_000_000, Instant::now());
        assert_eq!((clock.offset(), clock.way()), (60_000_000, Some(1_000_000)));
        // Set right: after a minute nobody remembers.
        for _ in 0..3 {
            tokio::time::advance(HALF + Duration::from_secs(1)).await;
            clock.observe(2_000_000, 2_000_000, Instant::now());
        }
        assert_eq!(clock.offset(), 0);
    }
}
