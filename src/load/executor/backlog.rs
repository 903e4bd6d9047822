//! Whose fault it is that an arrival finds no VU: too few VUs, or a generator that was too late.
//!
//! A generator that stood still wakes to all that came due meanwhile, starts what it has VUs for and drops the rest.
//! On time it would have dropped less, because a VU serves one after the other. How many more the idle VUs would have
//! served while it stood still, at the pace at which iterations went so far, is the bound up to which a late
//! drop is its own doing; past that, and for every drop in time, there were too few VUs.

use std::time::Duration;
use tokio::time::Instant;

/// An arrival that is decided about later than this is late: the bound that fidelity puts to lag.
const LATE: Duration = Duration::from_millis(50);

/// What came of arrivals that were late.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// How many iterations ended, and how long they took together.
    ended: u64,
    took: Duration,
    /// How many late arrivals idle VUs could have served. None while arrivals are in time.
    could: Option<f64>,
}

// === impl Backlog ===

impl Backlog {
    /// An iteration ran to its end.
    pub(super) fn ended(&mut self, took: Duration) {
        self.ended += 1;
        self.took += took;
    }

    /// An arrival is about to start or to be dropped, `idle` VUs having nothing to do.
    pub(super) fn decides(&mut self, due: Instant, now: Instant, idle: u64) {
        let late = now.saturating_duration_since(due);
        if late <= LATE {
            self.could = None;
        } else if self.could.is_none() {
            self.could = Some(idle as f64 * self.turns(late));
        }
    }

    /// It started.
    pub(super) fn started(&mut self) {
        self.spend();
    }

    /// It was dropped. Says whether a generator in time would have started it.
    pub(super) fn dropped(&mut self) -> bool {
        self.spend()
    }

    fn spend(&mut self) -> bool {
        let Some(could) = &mut self.could else { return false };
        let one = *could >= 1.0;
        if one {
            *could -= 1.0;
        }
        one
    }

    /// How many iterations one VU does in this time: at least the one that it can begin.
    fn turns(&self, time: Duration) -> f64 {
        let mean = self.took.as_secs_f64() / self.ended.max(1) as f64;
        if self.ended == 0 { 1.0 } else { (time.as_secs_f64() / mean.max(1e-6)).max(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many of `count` arrivals, late by as much as this, are the generator's fault where `idle` VUs of 10 ms each stood by.
    fn missed(late: u64, count: u64, idle: u64, free: u64) -> usize {
        let now = Instant::now() + ms(60_000);
        let mut backlog = Backlog::default();
        backlog.ended(ms(10));
        let faults = (0..count).filter(|i| {
            backlog.decides(now - ms(late) + ms(late * i / count), now, idle);
            if *i < free {
                backlog.started();
                return false;
            }
            backlog.dropped()
        });
        faults.count()
    }

    #[test]
    fn what_is_dropped_in_time_is_for_want_of_vus() {
        assert_eq!(missed(40, 100, 5, 5), 0);
    }

    #[test]
    fn what_idle_vus_could_have_served_is_the_generators_fault() {
        // Two seconds of five VUs would have been 1,000 iterations: all but the five, and what was late by at most 50 ms.
        assert_eq!(missed(2000, 400, 5, 5), 385);
        // One VU would have served 200.
        assert_eq!(missed(2000, 400, 1, 1), 199);
    }

    #[test]
    fn without_idle_vus_nothing_is() {
        assert_eq!(missed(2000, 400, 0, 0), 0);
    }
}
