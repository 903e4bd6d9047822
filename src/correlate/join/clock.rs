//! How far a service's clock is from ours, and how long the way there takes at its fastest.
//!
//! NTP's clock filter: of each request we know when it left and when its answer was whole, and of its server span when
//! it began and ended there. What was on the wire for the shortest time says most: the offset that puts its server
//! span into the middle is off by half of that time at most. Where the span lies within the request as it is, there is
//! nothing to put right.

use tokio::time::{Duration, Instant};

/// How long the best request is kept, in two halves: clocks drift, and ways change.
const HALF: Duration = Duration::from_secs(30);

/// Fewer requests than this say nothing of the fastest way.
const ENOUGH: u32 = 20;

/// A span may be ended a little after the answer was read, and begun on a whole millisecond: no skew yet.
const TOLERANCE: i64 = 2_000_000;

/// What is known of one service's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServiceClock {
    now: Best,
    before: Best,
    began: Option<Instant>,
}

/// The request that was on the wire for the shortest time. Gaps in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    /// Before its server span and after it.
    gaps: Option<(i64, i64)>,
    seen: u32,
}

// === impl ServiceClock ===

impl ServiceClock {
    /// A request whose server span began so long after its first byte was sent, and ended so long before its answer
    /// was whole.
    pub(super) fn observe(&mut self, before: i64, after: i64, at: Instant) {
        if self.began.is_none_or(|began| at.saturating_duration_since(began) > HALF) {
            self.before = std::mem::take(&mut self.now);
            self.began = Some(at);
        }
        self.now.seen = self.now.seen.saturating_add(1);
        if self.now.gaps.is_none_or(|known| wire((before, after)) < wire(known)) {
            self.now.gaps = Some((before, after));
        }
    }

    /// What must be taken from its times to get ours; 0 where nothing speaks against it.
    pub(super) fn offset(&self) -> i64 {
        match self.best() {
            Some((before, after)) if before < -TOLERANCE || after < -TOLERANCE => before.saturating_sub(after) / 2,
            _ => 0,
        }
    }

    /// The fastest way there, from the first byte sent; none until enough is known.
    pub(super) fn way(&self) -> Option<u64> {
        let (before, after) = self.best()?;
        let enough = self.now.seen.saturating_add(self.before.seen) >= ENOUGH;
        let way = if self.offset() == 0 { before } else { before.saturating_add(after) / 2 };
        enough.then(|| u64::try_from(way).unwrap_or(0))
    }

    fn best(&self) -> Option<(i64, i64)> {
        let both = [self.now.gaps, self.before.gaps];
        both.into_iter().flatten().min_by_key(|gaps| wire(*gaps))
    }
}

/// How long a request was on the wire; a span that is longer than its request is as far from the truth.
const fn wire((before, after): (i64, i64)) -> u64 {
    before.saturating_add(after).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_quickest_request_tells_offset_and_way() {
        let mut clock = ServiceClock::default();
        assert_eq!((clock.offset(), clock.way()), (0, None));
        // 60 ms ahead; the way takes 1 ms, but for those that waited on either side.
        for n in 1..ENOUGH {
            clock.observe(61_000_000 + i64::from(n) * 100_000, -59_000_000 + i64::from(n) * 900_000, Instant::now());
        }
        clock.observe(61_000_000, -59_000_000, Instant::now());
        assert_eq!((clock.offset(), clock.way()), (60_000_000, Some(1_000_000)));
        // Set right: after a minute nobody remembers.
        for _ in 0..3 {
            tokio::time::advance(HALF + Duration::from_secs(1)).await;
            clock.observe(2_000_000, 9_000_000, Instant::now());
        }
        assert_eq!(clock.offset(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_span_within_its_request_is_taken_as_it_is() {
        let mut clock = ServiceClock::default();
        for _ in 0..ENOUGH {
            clock.observe(300_000, 4_000_000, Instant::now());
        }
        // Ended late on a busy machine: one such does not move the clock.
        clock.observe(300_000, -30_000_000, Instant::now());
        assert_eq!((clock.offset(), clock.way()), (0, Some(300_000)));
    }
}
