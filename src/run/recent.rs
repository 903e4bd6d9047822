//! The last ten seconds of a run, for a page that shows what is now.
//!
//! What is kept is the whole so far, once a second, eleven times: two of them and their difference
//! are a window, and nothing has to be counted twice.

use super::board::PULSE;
use crate::measure::{Histogram, Selector, Totals};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// How far a window reaches back.
const WINDOW: Duration = Duration::from_secs(10);
/// Samples that are kept at most: one a second, and the one before the window.
const SAMPLES: usize = 12;
/// After so long without a sample there is no now.
const STALE: Duration = Duration::from_secs(3);

/// The last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pulse {
    /// Requests a second that ended.
    pub rate: f64,
    /// `http_req_duration` p(95), in ms; none where no request ended.
    pub p95_ms: Option<f64>,
}

/// What was counted by the last seconds.
#[derive(Debug)]
pub(super) struct Recent(VecDeque<Sample>);

#[derive(Debug)]
struct Sample {
    at: Instant,
    requests: u64,
    durations: Histogram,
}

// === impl Recent ===

impl Recent {
    /// Nothing, at the start of the load.
    pub(super) fn new(start: Instant) -> Self {
        Self(VecDeque::from([Sample { at: start, requests: 0, durations: Histogram::new() }]))
    }

    /// Once a second.
    pub(super) fn sample(&mut self, totals: &Totals) {
        let at = Instant::now();
        let end = at.saturating_duration_since(totals.start());
        let durations = totals.trend(PULSE, &Selector::default(), end).finished().clone();
        self.add(Sample { at, requests: totals.requests(), durations });
    }

    fn add(&mut self, sample: Sample) {
        let at = sample.at;
        self.0.push_back(sample);
        // The first one that stays is the start of the window: the youngest that is old enough. Ticks are not exact.
        let old = |sample: &Sample| at.saturating_duration_since(sample.at) + Duration::from_millis(500) >= WINDOW;
        while self.0.len() > SAMPLES || self.0.get(1).is_some_and(old) {
            self.0.pop_front();
        }
    }

    pub(super) fn pulse(&self) -> Pulse {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return Pulse::default() };
        let span = last.at.saturating_duration_since(first.at).as_secs_f64();
        if span <= 0.0 || last.at.elapsed() > STALE {
            return Pulse::default();
        }
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = last.requests.saturating_sub(first.requests) as f64 / span;
        Pulse { rate, p95_ms: last.durations.since(&first.durations).quantile(0.95) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_and_p95_are_of_the_last_ten_seconds() {
        let mut recent = Recent::new(Instant::now());
        assert_eq!(recent.pulse(), Pulse::default());
        let (mut all, mut requests) = (Histogram::new(), 0);
        for second in 1..=40 {
            tokio::time::advance(Duration::from_secs(1)).await;
            // 100 a second of 10 ms, from the 21st second on 50 of 200 ms.
            let (n, ms) = if second <= 20 { (100, 10.0) } else { (50, 200.0) };
            all.record_n(ms, n);
            requests += n;
            recent.add(Sample { at: Instant::now(), requests, durations: all.clone() });
            let Pulse { rate, p95_ms } = recent.pulse();
            let near = |ms: f64| (p95_ms.unwrap() / ms - 1.0).abs() < 0.01;
            match second {
                1..=20 => assert!(rate == 100.0 && near(10.0), "{second}: {rate} {p95_ms:?}"),
                30..=40 => assert!(rate == 50.0 && near(200.0), "{second}: {rate} {p95_ms:?}"),
                _ => assert!(near(200.0) && (50.0..100.0).contains(&rate), "{second}: {rate}"),
            }
            assert!(recent.0.len() <= SAMPLES);
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(recent.pulse(), Pulse::default(), "after the end there is no now");
    }
}
