//! Good and bad over the last so long, in bounded space whatever the length.
//!
//! A ring of slots, each a 120th of the window. The slot that the window's beginning lies in
//! counts by the part of it that is still inside, so the figure neither jumps nor lags.

use super::super::tally::Tally;
use std::time::Duration;

/// What was counted over a window that ends now.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Of a slot, in nanoseconds.
    width: u64,
    /// The number of the newest slot, counted from the beginning of time.
    newest: u64,
    /// Slot `n` is at `n % RING`.
    slots: Box<[Tally; RING]>,
}

/// How many slots a window has: it is at most 0.8 % too long before the part of the oldest is taken.
const SLOTS: usize = 120;
/// One more, of which a part is still inside.
const RING: usize = SLOTS + 1;

// === impl Window ===

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        let width = u64::try_from(length.as_nanos() / SLOTS as u128).unwrap_or(u64::MAX).max(1);
        Self { width, newest: 0, slots: Box::new([Tally::default(); RING]) }
    }

    /// Counts at `at`: a time that never runs backwards.
    pub(super) fn add(&mut self, at: Duration, tally: Tally) {
        self.advance(at);
        if let Some(slot) = self.slots.get_mut(place(self.newest)) {
            slot.add(tally);
        }
    }

    /// What lies in the window that ends at `at`.
    pub(super) fn sum(&mut self, at: Duration) -> Tally {
        self.advance(at);
        let into = nanos(at) % self.width;
        let inside = 1.0 - into as f64 / self.width as f64;
        let mut sum = Tally::default();
        for (age, tally) in self.by_age() {
            let share = if age == SLOTS { inside } else { 1.0 };
            sum.add(Tally { bad: tally.bad * share, total: tally.total * share });
        }
        sum
    }

    /// The slots, the newest first, without the empty ones at the end.
    pub(super) fn save(&mut self, at: Duration) -> Vec<Tally> {
        self.advance(at);
        let mut slots: Vec<Tally> = self.by_age().map(|(_, tally)| tally).collect();
        let used = slots.iter().rposition(|tally| tally.total > 0.0).map_or(0, |last| last + 1);
        slots.truncate(used);
        slots
    }

    /// Takes back what was saved so long before `at`. What is there already stays.
    pub(super) fn restore(&mut self, at: Duration, ago: Duration, saved: &[Tally]) {
        self.advance(at);
        let then = nanos(at.saturating_sub(ago)) / self.width;
        for (age, tally) in (0_u64..).zip(saved) {
            let Some(number) = then.checked_sub(age) else { return };
            if self.newest - number.min(self.newest) < RING as u64
                && let Some(slot) = self.slots.get_mut(place(number))
            {
                slot.add(*tally);
            }
        }
    }

    /// Empties the slots of the time that has passed.
    fn advance(&mut self, at: Duration) {
        let now = nanos(at) / self.width;
        let passed = now.saturating_sub(self.newest).min(RING as u64);
        for number in (now.max(self.newest) + 1 - passed)..=now.max(self.newest) {
            if passed > 0
                && let Some(slot) = self.slots.get_mut(place(number))
            {
                *slot = Tally::default();
            }
        }
        self.newest = self.newest.max(now);
    }

    /// Slots with their age, the newest first.
    fn by_age(&self) -> impl Iterator<Item = (usize, Tally)> + '_ {
        (0..RING).map_while(|age| {
            let number = self.newest.checked_sub(age as u64)?;
            Some((age, self.slots.get(place(number)).copied().unwrap_or_default()))
        })
    }
}

const fn place(number: u64) -> usize {
    (number % RING as u64) as usize
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const fn one(bad: bool) -> Tally {
        Tally { bad: bad as u8 as f64, total: 1.0 }
    }

    #[test]
    fn what_is_older_than_the_window_is_gone_and_nothing_before() {
        let mut window = Window::new(secs(300));
        window.add(secs(1000), one(true));
        for (at, left) in [(1000, 1.0), (1150, 1.0), (1299, 1.0), (1303, 0.0), (5000, 0.0)] {
            let sum = window.sum(secs(at));
            assert!((sum.bad - left).abs() < 0.5 && sum.bad == sum.total, "{at}: {sum:?}");
        }
    }

    #[test]
    fn at_a_steady_rate_the_sum_is_steady() {
        let mut window = Window::new(secs(300));
        for at in 0..4000 {
            window.add(secs(at), Tally { bad: 1.0, total: 10.0 });
            let sum = window.sum(secs(at));
            // Whole seconds in slots of 2.5 s: two or three a slot.
            let expected = (at + 1).min(300) as f64;
            assert!((sum.bad - expected).abs() <= 2.0, "{at}: {sum:?}");
        }
    }

    #[test]
    fn what_was_saved_is_as_old_as_it_is_when_it_comes_back() {
        let mut window = Window::new(secs(300));
        (0..300).for_each(|at| window.add(secs(at), one(at < 100)));
        let saved = window.save(secs(300));
        let mut other = Window::new(secs(300));
        other.restore(secs(10_000), secs(50), &saved);
        let sum = other.sum(secs(10_000));
        assert!((sum.bad - 50.0).abs() < 6.0 && (sum.total - 250.0).abs() < 6.0, "{sum:?}");
        let mut late = Window::new(secs(300));
        late.restore(secs(10_000), secs(1000), &saved);
        assert_eq!(late.sum(secs(10_000)), Tally::default());
        assert!(Window::new(secs(300)).save(secs(9)).is_empty());
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list_of_samples(gaps in prop::collection::vec(0_u64..90, 1..200), length in 1_u64..4000) {
            let mut window = Window::new(secs(length));
            let (mut at, mut all) = (5_000, Vec::new());
            for gap in gaps {
                at += gap;
                window.add(secs(at), one(true));
                all.push(at);
                let exact = |length: f64| all.iter().filter(|then| (at - **then) as f64 <= length).count() as f64;
                let slot = length as f64 / SLOTS as f64;
                let sum = window.sum(secs(at)).total;
                prop_assert!(sum >= exact((length as f64 - slot).max(0.0)) - 1e-9 && sum <= exact(length as f64 + slot) + 1e-9);
            }
        }
    }
}
