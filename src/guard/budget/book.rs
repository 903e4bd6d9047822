//! What all processes of a plan share of a budget, and what outlives them.

use super::{Budget, EXACT};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// In how many slices of its window a budget remembers what was spent.
const SLICES: u64 = 64;

/// What was spent of one budget, and who has taken how much on lease. Times are milliseconds of a clock that all
/// processes share and that never goes back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// The dearest request ever settled; 0 where none was.
    dearest: f64,
    /// By when it counts as spent.
    spent: BTreeMap<u64, Spent>,
    /// By process.
    leases: BTreeMap<String, Lease>,
}

/// What was spent within a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spent {
    amount: f64,
    /// The dearest request of it.
    dearest: f64,
}

/// What a process may use.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Lease {
    /// In flight, or not used yet.
    amount: f64,
    /// Until when it may reserve from it.
    until: u64,
}

/// Who asks, when, and for how long a lease is good.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a> {
    /// The process.
    pub holder: &'a str,
    /// The time of the shared clock.
    pub now: Duration,
    /// How long a lease is good.
    pub length: Duration,
}

/// What came of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Granted {
    /// How much more may be used.
    pub more: f64,
    /// Whether the lease had run out: then all of it counts as spent, and nothing of it is free any more.
    pub expired: bool,
    /// Whether there is a lease now.
    pub leased: bool,
    /// The dearest request ever settled; 0 where none was.
    pub dearest: f64,
    /// The dearest request of the window.
    pub dearest_of_window: f64,
    /// Whether that is less than is of use to who asked.
    pub short: bool,
    /// What counts as spent in the window, or is in somebody's hands.
    pub used: f64,
    /// When what was asked for could be had, from now on; none where it was had, or where that depends on others.
    pub after: Option<Duration>,
}

// === impl Book ===

impl Book {
    /// Reads a book; none where it is none.
    #[must_use]
    pub fn parse(value: &Value) -> Option<Self> {
        let amount = |value: &Value| value.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0);
        let mut spent = BTreeMap::new();
        for entry in value.get("spent")?.as_array()? {
            let [at, sum, dearest] = entry.as_array()?.as_slice() else { return None };
            spent.insert(at.as_u64()?, Spent { amount: amount(sum)?, dearest: amount(dearest)? });
        }
        let mut leases = BTreeMap::new();
        for (holder, lease) in value.get("leases")?.as_object()? {
            let lease = Lease { amount: amount(lease.get("amount")?)?, until: lease.get("until")?.as_u64()? };
            leases.insert(holder.clone(), lease);
        }
        Some(Self { dearest: amount(value.get("dearest")?)?, spent, leases })
    }

    /// The book as it is kept.
    #[must_use]
    pub fn value(&self) -> Value {
        let spent: Vec<_> = self.spent.iter().map(|(at, it)| json!([at, it.amount, it.dearest])).collect();
        let lease = |(holder, lease): (&String, &Lease)| {
            (holder.clone(), json!({ "amount": lease.amount, "until": lease.until }))
        };
        let leases: Map<String, Value> = self.leases.iter().map(lease).collect();
        json!({ "dearest": self.dearest, "spent": spent, "leases": leases })
    }

    /// Takes a report: what was settled since the last one, what the holder keeps of its lease, and how much more it
    /// `wants`, of which `need` at least is of use to it. Grants no more than the window has left.
    pub fn report(&mut self, budget: &Budget, term: Term<'_>, report: super::Report) -> Granted {
        let now = ms(term.now);
        self.forget(budget, term.length, now);
        self.dearest = self.dearest.max(report.dearest);
        // Of a lease that ran out all counts as spent already, whoever looked first. What is still in flight, or ended
        // since, counts once more: by when it ends.
        let expired = report.leased && !self.leases.contains_key(term.holder);
        let (keep, free) = if expired { (report.keep - report.free, 0.0) } else { (report.keep, report.free) };
        if report.settled > 0.0 || report.dearest > 0.0 {
            self.spend(budget, now, Spent { amount: report.settled, dearest: report.dearest });
        }
        self.leases.remove(term.holder);
        let used = self.used() + keep;
        let left = (budget.sum - used).max(0.0);
        let more = match (report.want, report.need) {
            (want, _) if want <= 0.0 => 0.0,
            (want, _) if budget.within(used + want) => want,
            // A rest that is of no use to anybody is not taken.
            (_, need) if left > 0.0 && budget.within(used + (need - free).max(0.0)) => left,
            _ => 0.0,
        };
        if keep + more > 0.0 {
            let until = now.saturating_add(ms(term.length));
            self.leases.insert(term.holder.to_owned(), Lease { amount: keep + more, until });
        }
        let short = report.want > 0.0 && free + more < report.need * (1.0 - EXACT);
        Granted {
            more,
            expired,
            leased: keep + more > 0.0,
            dearest: self.dearest,
            dearest_of_window: self.spent.values().map(|spent| spent.dearest).fold(0.0, f64::max),
            short,
            used,
            after: if short { self.after(budget, now, used + (report.need - free).max(0.0)) } else { None },
        }
    }

    /// What is spent, or in somebody's hands.
    fn used(&self) -> f64 {
        let spent: f64 = self.spent.values().map(|spent| spent.amount).sum();
        spent + self.leases.values().map(|lease| lease.amount).sum::<f64>()
    }

    /// Forgets what has left the window, and counts leases that ran out as spent when they did.
    fn forget(&mut self, budget: &Budget, length: Duration, now: u64) {
        // No clock that is shared goes back; should one, what it said of the future is of now.
        let latest = now.saturating_add(ms(length)).saturating_add(slice(budget));
        let ahead: Vec<u64> = self.spent.range(latest.saturating_add(1)..).map(|(at, _)| *at).collect();
        for at in ahead {
            if let Some(spent) = self.spent.remove(&at) {
                self.spend(budget, now, spent);
            }
        }
        let over: Vec<String> =
            self.leases.iter().filter(|(_, it)| it.until <= now).map(|(it, _)| it.clone()).collect();
        for holder in over {
            if let Some(lease) = self.leases.remove(&holder) {
                self.spend(budget, lease.until, Spent { amount: lease.amount, dearest: 0.0 });
            }
        }
        for lease in self.leases.values_mut() {
            lease.until = lease.until.min(latest);
        }
        self.spent.retain(|at, _| at.saturating_add(ms(budget.per)) > now);
    }

    /// Counts it from the end of its slice on.
    fn spend(&mut self, budget: &Budget, at: u64, spent: Spent) {
        let slice = slice(budget);
        let entry = self.spent.entry(at.div_ceil(slice).saturating_mul(slice)).or_default();
        entry.amount += spent.amount;
        entry.dearest = entry.dearest.max(spent.dearest);
    }

    /// How long until so much of what is `used` has left the window that it is within the sum.
    fn after(&self, budget: &Budget, now: u64, mut used: f64) -> Option<Duration> {
        for (at, spent) in &self.spent {
            used -= spent.amount;
            if budget.within(used) {
                let leaves = at.saturating_add(ms(budget.per));
                return Some(Duration::from_millis(leaves.saturating_sub(now).max(1)));
            }
        }
        None
    }
}

// === helpers ===

/// The length of a slice, in milliseconds.
fn slice(budget: &Budget) -> u64 {
    ms(budget.per).div_ceil(SLICES).max(1)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
