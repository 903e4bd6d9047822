//! Whose fault it is that an arrival finds no VU: too few VUs, or a generator that was too late.
//!
//! A generator that stood still wakes to all that came due meanwhile, starts what it has VUs for and drops the rest.
//! On time it would have dropped less, because a VU serves one after the other. How many the VUs would have served
//! while it stood still, at the pace at which iterations went so far, is the bound up to which a late drop is its own
//! doing; past that, and for every drop in time, there were too few VUs.

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
    /// How many late arrivals the VUs could have served. None while arrivals are in time.
    could: Option<f64>,
}

// === impl Backlog ===

impl Backlog {
    /// An iteration ran to its end.
    pub(super) fn ended(&mut self, took: Duration) {
        self.ended += 1;
        self.took += took;
    }

    /// An arrival is about to start or to be dropped, `idle` of `vus` VUs having nothing to do.
    pub(super) fn decides(&mut self, due: Instant, now: Instant, idle: u64, vus: u64) {
        let late = now.saturating_duration_since(due);
        if late <= LATE {
            self.could = None;
        } else if self.could.is_none() {
            // A busy VU had an iteration to end first; it may be waiting to tell that it has.
            let (turns, busy) = (self.turns(late), vus.saturating_sub(idle));
            self.could = Some(idle as f64 * turns.max(1.0) + busy as f64 * (turns - 1.0).max(0.0));
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

    /// How many iterations one VU does in this time.
    fn turns(&self, time: Duration) -> f64 {
        let mean = self.took.as_secs_f64() / self.ended.max(1) as f64;
        if self.ended == 0 { 0.0 } else { time.as_secs_f64() / mean.max(1e-6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// How many of `count` arrivals, late by as much as this, are the generator's fault where `idle` of `vus` VUs stood by that
    /// take so long for an iteration.
    fn missed(late: u64, count: u64, (idle, vus): (u64, u64), takes: u64) -> usize {
        let now = Instant::now() + ms(60_000);
        let mut backlog = Backlog::default();
        backlog.ended(ms(takes));
        let faults = (0..count).filter(|i| {
            backlog.decides(now - ms(late) + ms(late * i / count), now, idle, vus);
            if *i < idle {
                backlog.started();
                return false;
            }
            backlog.dropped()
        });
        faults.count()
    }

    #[test]
    fn what_is_dropped_in_time_is_for_want_of_vus() {
        assert_eq!(missed(40, 100, (5, 5), 10), 0);
    }

    #[test]
    fn what_idle_vus_could_have_served_is_the_generators_fault() {
        // Two seconds of five VUs would have been 1,000 iterations: all but the five, and what was late by at most 50 ms.
        assert_eq!(missed(2000, 400, (5, 5), 10), 385);
        // One VU would have served 200, or 199 more where it had one to end.
        assert_eq!(missed(2000, 400, (1, 1), 10), 199);
        assert_eq!(missed(2000, 400, (0, 1), 10), 199);
    }

    #[test]
    fn where_all_vus_were_busy_for_longer_than_it_stood_still_nothing_is() {
        assert_eq!(missed(500, 400, (0, 5), 1000), 0);
        // Before the first answer nobody knows how long they take: what is free can start one each.
        let (mut backlog, now) = (Backlog::default(), Instant::now() + ms(1000));
        backlog.decides(now - ms(500), now, 0, 9);
        assert!(!backlog.dropped());
    }
}
