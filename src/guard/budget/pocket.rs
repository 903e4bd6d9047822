//! One process's part of a budget: what it has on lease, and what of it is in flight.

use super::{Budget, EXACT, Granted};
use crate::measure::{Cost, Reserved};

/// A lease is about this part of the sum: so many changes of the book use up a whole budget.
const BLOCKS: f64 = 32.0;

/// What a process has of a budget.
#[derive(Clone, Debug)]
pub struct Pocket {
    budget: Budget,
    /// May be reserved. Below zero where requests cost more than was reserved for them.
    free: f64,
    /// Reserved and not settled.
    in_flight: f64,
    requests: u64,
    /// Settled and not reported.
    settled: f64,
    /// The dearest settled and not reported.
    dearest: f64,
    known: Known,
    /// Whether it stands in the book with a lease.
    leased: bool,
    /// Whether anything was reserved since the last report.
    used: bool,
}

/// What is known of prices.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    dearest: f64,
    dearest_of_window: f64,
}

/// What a process tells the book.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Settled since the last report.
    pub settled: f64,
    /// The dearest of them.
    pub dearest: f64,
    /// What it keeps of its lease: in flight, or free.
    pub keep: f64,
    /// Of that, what is free.
    pub free: f64,
    /// How much more it wants.
    pub want: f64,
    /// How much, free, is of use to it.
    pub need: f64,
    /// Whether it has a lease.
    pub leased: bool,
    /// What was spent beyond its lease, and stands under `settled`.
    overdrawn: f64,
}

// === impl Pocket ===

impl Pocket {
    /// An empty one.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            free: 0.0,
            in_flight: 0.0,
            requests: 0,
            settled: 0.0,
            dearest: 0.0,
            known: Known::default(),
            leased: false,
            used: false,
        }
    }

    /// The budget it is of.
    #[must_use]
    pub const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What one request must have: `each`, or what one has cost in this window if that is more; the dearest seen; all
    /// there is while nobody knows. More than the whole budget no request must have.
    #[must_use]
    pub fn need(&self) -> f64 {
        let need = match self.budget.each {
            Some(each) => each.max(self.known.dearest_of_window).max(self.dearest),
            None => self.known.dearest.max(self.dearest),
        };
        if need > 0.0 { need.min(self.budget.sum) } else { self.budget.sum }
    }

    /// Whether nobody knows yet what a request costs: then one goes at a time, with all there is.
    #[must_use]
    pub fn is_unpriced(&self) -> bool {
        self.budget.each.is_none() && self.known.dearest.max(self.dearest) <= 0.0
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.requests == 0
    }

    /// Whether there is nothing on lease, and nothing to be told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.leased && self.settled == 0.0
    }

    /// Whether nothing was reserved since the last report.
    #[must_use]
    pub const fn is_unused(&self) -> bool {
        !self.used && self.is_idle()
    }

    /// Whether what is free runs low, so that more should be asked for ahead.
    #[must_use]
    pub fn runs_low(&self) -> bool {
        !self.is_unpriced() && self.used && self.free < self.block() / 2.0
    }

    /// Whether a request could reserve now, given a lease that is good.
    #[must_use]
    pub fn has_enough(&self) -> bool {
        self.free > 0.0 && self.free >= self.need() * (1.0 - EXACT)
    }

    /// Reserves for one request, where there is enough. The lease must be good.
    pub fn reserve(&mut self) -> Option<Reserved> {
        if !self.has_enough() {
            return None;
        }
        let amount = self.need().min(self.free);
        self.free -= amount;
        if self.free < self.budget.sum * EXACT {
            // What is left of a sum by its last bits is nothing.
            self.free = 0.0;
        }
        self.in_flight += amount;
        self.requests += 1;
        self.used = true;
        Some(Reserved { amount })
    }

    /// Says what became of a reservation.
    pub fn settle(&mut self, reserved: Reserved, cost: Cost) {
        let cost = match cost {
            Cost::Figure(cost) if cost.is_finite() => {
                self.dearest = self.dearest.max(cost);
                cost.max(0.0)
            }
            Cost::Figure(_) | Cost::Unknown => reserved.amount,
            Cost::Nothing => 0.0,
        };
        self.requests = self.requests.saturating_sub(1);
        self.in_flight = if self.requests == 0 { 0.0 } else { (self.in_flight - reserved.amount).max(0.0) };
        self.settled += cost;
        self.free += reserved.amount - cost;
    }

    /// What is to be told now. Until the answer the lease stays good for as much. `hungry`: a request waits; `back`: what
    /// is free is given back.
    pub fn report(&mut self, hungry: bool, back: bool) -> Report {
        let need = self.need();
        if back {
            self.free = self.free.min(0.0);
        }
        let free = self.free.max(0.0);
        let want = match (hungry, back) {
            (_, true) => 0.0,
            (true, _) => (need - free).max(if self.is_unpriced() { 0.0 } else { self.block() - free }).max(0.0),
            (false, _) if self.runs_low() => (self.block() - free).max(0.0),
            _ => 0.0,
        };
        self.used = false;
        Report {
            settled: std::mem::take(&mut self.settled),
            dearest: std::mem::take(&mut self.dearest),
            keep: self.in_flight + free,
            free,
            want,
            need,
            leased: self.leased,
            overdrawn: self.free.min(0.0),
        }
    }

    /// The book took the report.
    pub fn granted(&mut self, report: &Report, granted: &Granted) {
        self.known = Known { dearest: granted.dearest, dearest_of_window: granted.dearest_of_window };
        // What was spent beyond the lease stands in the book now, and of one that ran out nothing is left.
        self.free -= report.overdrawn;
        if granted.expired {
            self.free = (self.free - report.free).min(0.0);
        }
        self.free += granted.more;
        self.leased = granted.leased;
    }

    /// The book could not be reached: all is to be told again. What was to be given back is not used before the book
    /// says how it stands.
    pub fn refused(&mut self, report: &Report) {
        self.settled += report.settled;
        self.dearest = self.dearest.max(report.dearest);
    }

    /// How much is asked for at once: whole requests, a part of the sum.
    fn block(&self) -> f64 {
        let need = self.need();
        (self.budget.sum / BLOCKS / need).floor().max(1.0) * need
    }
}
