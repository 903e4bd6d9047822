//! Sums that only rise, whole or as changes, turned into changes: across restarts and silence.

use std::time::Duration;

/// Turns what a counter says into how much it grew since it last spoke.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    /// The whole, and since when it counts; none before the first word.
    last: Option<(f64, Option<Duration>)>,
}

// === impl Counter ===

impl Counter {
    /// A whole since `start` (where that is known). None for the first: who knows how much of it is new.
    ///
    /// A whole that is smaller, or counts since another start, is of a process that began anew: all of it is growth.
    pub(super) fn whole(&mut self, value: f64, start: Option<Duration>) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let before = self.last.replace((value, start));
        let (before, since) = before?;
        let anew = value < before || matches!((since, start), (Some(one), Some(other)) if other > one);
        Some(if anew { value.max(0.0) } else { value - before })
    }

    /// A change since the last word: it is growth by itself.
    #[must_use]
    pub(super) fn change(value: f64) -> Option<f64> {
        (value.is_finite() && value >= 0.0).then_some(value)
    }
}

/// Turns a counter into a rate per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    counter: Counter,
    at: Option<Duration>,
}

// === impl Rate ===

impl Rate {
    /// A whole at an instant, as growth per second since the one before; none for the first, or where no time passed.
    pub(super) fn whole(&mut self, at: Duration, value: f64, start: Option<Duration>) -> Option<f64> {
        match self.counter.whole(value, start) {
            Some(growth) => self.over(at, growth),
            None => {
                self.at.get_or_insert(at);
                None
            }
        }
    }

    fn over(&mut self, at: Duration, growth: f64) -> Option<f64> {
        let before = self.at.replace(at)?;
        let seconds = at.saturating_sub(before).as_secs_f64();
        (seconds > 0.0).then(|| growth / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_whole_says_nothing_and_the_next_says_what_is_new() {
        let mut counter = Counter::default();
        assert_eq!(counter.whole(1_000.0, None), None);
        assert_eq!(counter.whole(1_010.0, None), Some(10.0));
        assert_eq!(counter.whole(1_010.0, None), Some(0.0));
    }

    #[test]
    fn a_restart_is_growth_from_nothing() {
        let mut counter = Counter::default();
        counter.whole(1_000.0, Some(s(1)));
        assert_eq!(counter.whole(7.0, Some(s(50))), Some(7.0), "it is smaller");
        assert_eq!(counter.whole(9.0, Some(s(60))), Some(9.0), "it counts since later");
        assert_eq!(counter.whole(9.5, Some(s(60))), Some(0.5));
        assert_eq!(counter.whole(f64::NAN, None), None);
        assert_eq!(counter.whole(10.0, Some(s(60))), Some(0.5));
    }

    #[test]
    fn rates_are_over_the_time_that_passed() {
        let mut rate = Rate::default();
        assert_eq!(rate.whole(s(10), 100.0, None), None);
        assert_eq!(rate.whole(s(12), 110.0, None), Some(5.0));
        assert_eq!(rate.whole(s(12), 110.0, None), None, "no time passed");
    }
}
