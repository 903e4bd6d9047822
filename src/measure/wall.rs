//! From tokio's clock to the world's.
//!
//! Everything is measured on the clock that never jumps. What leaves the program (a span, a point) needs the time of
//! day: that is asked for once, so a clock that is set meanwhile tears nothing apart.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    at: Instant,
    /// Since the Unix epoch.
    unix: Duration,
}

// === impl WallClock ===

impl WallClock {
    /// Both clocks as they stand now.
    #[must_use]
    pub fn now() -> Self {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { at: Instant::now(), unix }
    }

    /// An instant that is known on both clocks.
    #[must_use]
    pub const fn new(at: Instant, unix: Duration) -> Self {
        Self { at, unix }
    }

    /// An instant, since the Unix epoch.
    #[must_use]
    pub fn unix(&self, at: Instant) -> Duration {
        if at >= self.at { self.unix + (at - self.at) } else { self.unix.saturating_sub(self.at - at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn instants_keep_their_distance() {
        let now = Instant::now();
        let clock = WallClock::new(now, Duration::from_secs(1_000));
        assert_eq!(clock.unix(now + Duration::from_millis(5)), Duration::from_millis(1_000_005));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(clock.unix(Instant::now()), Duration::from_secs(1_009));
        assert_eq!(WallClock::new(Instant::now(), Duration::from_secs(20)).unix(now), Duration::from_secs(11));
    }
}
