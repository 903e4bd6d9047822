//! Keeps the budgets of a run: hands out what requests may cost, and the book up to date.
//!
//! A request takes its reservation from this process's [`Pocket`] and asks nobody. One task writes
//! the book: ahead, when a pocket runs low or its lease grows old; at once, when a request waits.
//! Nothing is used that does not stand in the book already, so whatever kills this process, nobody
//! spends it again. Where the book cannot be written, traffic pauses when the lease runs out.

use super::completed::chain;
use super::state::{State, StateError};
use crate::guard::{Book, Budget, Granted, Pocket, Report, Term};
use crate::load::{Control, HeldBy};
use crate::measure::{Cost, Purse, Reserved};
use crate::semconv::RunId;
use serde_json::{Map, Value};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// The key of the state.
const KEY: &str = "budget";
/// Of its window so much a lease is good for; and the least and the most.
const PARTS: u32 = 4;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// How often it is asked again where another process has what is wanted, or the book cannot be written.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the last words may take.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// The budgets of a run.
#[derive(Debug)]
pub(super) struct Treasury {
    /// Whose leases they are.
    holder: String,
    counters: Vec<Counter>,
    state: State,
    /// Somebody waits, or a pocket runs low.
    wake: Notify,
    /// Nobody will wait any more.
    stopped: Notify,
    /// How long a lease is good.
    term: Duration,
    /// Whether the book is written no more but for the last time.
    closing: AtomicBool,
}

/// Where requests of one budget reserve.
#[derive(Debug)]
struct Counter {
    till: Mutex<Till>,
    /// The first in line. The others wait for him, so that a settlement wakes one of them.
    turn: Semaphore,
    changed: Notify,
}

#[derive(Debug)]
struct Till {
    pocket: Pocket,
    /// Until when the lease is good.
    until: Instant,
    /// Whether a request waits.
    hungry: bool,
    /// Whether anything was settled since the book was asked.
    settled: bool,
    /// When to ask again for what was not to be had.
    retry: Option<Instant>,
    /// Why traffic is held.
    exhausted: Option<String>,
}

/// What one change of the book was about.
struct Asked {
    budget: Budget,
    report: Report,
}

// === impl Treasury ===

impl Treasury {
    /// Reads the book. Nothing is leased yet.
    pub(super) async fn open(budgets: &[Budget], run: RunId, state: State) -> Result<Arc<Self>, StateError> {
        let now = Instant::now();
        let counter = |budget: &Budget| Counter {
            till: Mutex::new(Till {
                pocket: Pocket::new(budget.clone()),
                until: now,
                hungry: false,
                settled: false,
                retry: None,
                exhausted: None,
            }),
            turn: Semaphore::new(1),
            changed: Notify::new(),
        };
        let shortest = budgets.iter().map(|budget| budget.per).min().unwrap_or(LONGEST);
        let this = Arc::new(Self {
            holder: run.to_string(),
            counters: budgets.iter().map(counter).collect(),
            state,
            wake: Notify::new(),
            stopped: Notify::new(),
            term: (shortest / PARTS).clamp(SHORTEST, LONGEST),
            closing: AtomicBool::new(false),
        });
        this.tell(false).await?;
        Ok(this)
    }

    /// Keeps the book until [`Self::stop`]. Dropped half way, what was being told counts as spent once its lease is over.
    pub(super) async fn keep(self: Arc<Self>, control: Control) {
        let mut failed: Option<Instant> = None;
        while !self.closing.load(Ordering::Acquire) {
            let next = failed.map_or_else(|| self.next(), |failed| Some(failed + AGAIN));
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.wake.notified(), if failed.is_none() => {}
                () = self.stopped.notified() => {}
                () = due => {}
            }
            if failed.is_none() && !self.is_due() {
                continue;
            }
            failed = match self.tell(false).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the budget cannot be kept; it is tried again");
                    self.cannot(&error);
                    Some(Instant::now())
                }
            };
            self.hold(&control);
        }
    }

    /// Has [`Self::keep`] end, after the change of the book that is under way.
    pub(super) fn stop(&self) {
        self.closing.store(true, Ordering::Release);
        self.stopped.notify_one();
    }

    /// Gives back what is left. Requests must be over: what is in flight still counts as spent.
    pub(super) async fn close(&self) -> Result<(), StateError> {
        let late = |_| Err(StateError::Thread("it took too long".to_owned()));
        tokio::time::timeout(LAST_WORDS, self.tell(true)).await.unwrap_or_else(late)
    }

    /// When the book is to be asked without anybody's wish.
    fn next(&self) -> Option<Instant> {
        self.counters.iter().filter_map(|counter| counter.till().next(self.term)).min()
    }

    fn is_due(&self) -> bool {
        let now = Instant::now();
        self.counters.iter().any(|counter| counter.till().is_due(now, self.term))
    }

    /// Holds the traffic while a budget is used up.
    fn hold(&self, control: &Control) {
        let reasons: Vec<_> = self.counters.iter().filter_map(|counter| counter.till().exhausted.clone()).collect();
        if reasons.is_empty() {
            control.release(HeldBy::Budget);
        } else {
            control.hold(HeldBy::Budget, &reasons.join("; "));
        }
    }

    /// Tells the book what became of all reservations, and asks for more where it is wanted.
    async fn tell(&self, back: bool) -> Result<(), StateError> {
        let asked: Vec<Asked> = self.counters.iter().map(|counter| counter.till().ask(back)).collect();
        let wanted: Vec<_> = asked.iter().map(|asked| (asked.budget.clone(), asked.report)).collect();
        let (holder, length, sent) = (self.holder.clone(), self.term, Instant::now());
        let answered = self.state.update(KEY, move |value, now| settle(value, &holder, now, length, &wanted)).await;
        for (place, (counter, asked)) in self.counters.iter().zip(&asked).enumerate() {
            match &answered {
                Ok(granted) => {
                    let granted = granted.get(place).copied().unwrap_or_default();
                    counter.till().answered(asked, &granted, sent + self.term);
                }
                Err(_) => counter.till().pocket.refused(&asked.report),
            }
            counter.changed.notify_waiters();
        }
        answered.map(drop)
    }

    /// The book could not be written: who waits waits for that.
    fn cannot(&self, error: &StateError) {
        for counter in &self.counters {
            let mut till = counter.till();
            if till.hungry || till.exhausted.is_some() {
                till.exhausted =
                    Some(format!("the budget of {} cannot be kept: {}", till.pocket.budget().name, chain(error)));
                till.retry = Some(Instant::now());
            }
        }
    }
}

impl Purse for Treasury {
    fn reserve(&self, budget: usize) -> Pin<Box<dyn Future<Output = Reserved> + Send + '_>> {
        Box::pin(async move {
            let Some(counter) = self.counters.get(budget) else { return Reserved::default() };
            // The semaphore is never closed; were it, nobody would have to wait.
            let _turn = counter.turn.acquire().await;
            loop {
                let mut changed = pin!(counter.changed.notified());
                changed.as_mut().enable();
                let (reserved, low) = counter.till().reserve();
                if low {
                    self.wake.notify_one();
                }
                match reserved {
                    Some(reserved) => return reserved,
                    None => changed.await,
                }
            }
        })
    }

    fn settle(&self, budget: usize, reserved: Reserved, cost: Cost) {
        let Some(counter) = self.counters.get(budget) else { return };
        let waited_for = {
            let mut till = counter.till();
            till.pocket.settle(reserved, cost);
            till.settled = true;
            till.hungry
        };
        if waited_for {
            counter.changed.notify_waiters();
            self.wake.notify_one();
        }
    }
}

// === impl Counter ===

impl Counter {
    fn till(&self) -> MutexGuard<'_, Till> {
        // Nobody panics while holding it; were it so, what is in there is whole all the same.
        self.till.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Till ===

impl Till {
    /// Reserves for one request; and says whether the book should be asked.
    fn reserve(&mut self) -> (Option<Reserved>, bool) {
        let good = Instant::now() < self.until && self.exhausted.is_none();
        match if good { self.pocket.reserve() } else { None } {
            Some(reserved) => {
                self.hungry = false;
                (Some(reserved), self.pocket.runs_low())
            }
            None => {
                self.hungry = true;
                (None, true)
            }
        }
    }

    fn next(&self, term: Duration) -> Option<Instant> {
        let renewal = (!self.pocket.is_empty()).then(|| self.renewal(term));
        [renewal, self.retry].into_iter().flatten().min()
    }

    /// When the lease is to be renewed: a third of it is over.
    fn renewal(&self, term: Duration) -> Instant {
        self.until.checked_sub(term / 3 * 2).unwrap_or(self.until)
    }

    fn is_due(&self, now: Instant, term: Duration) -> bool {
        let renewal = !self.pocket.is_empty() && now >= self.renewal(term);
        let retry = self.retry.is_some_and(|retry| now >= retry);
        let hungry = self.hungry && !self.pocket.has_enough() && (self.retry.is_none() || self.settled);
        renewal || retry || hungry || (self.pocket.runs_low() && self.retry.is_none())
    }

    fn ask(&mut self, back: bool) -> Asked {
        // Who waits may not have seen yet what is there for him.
        let hungry = !back && ((self.hungry && !self.pocket.has_enough()) || self.exhausted.is_some());
        // What nobody uses others may have.
        let back = back || (!hungry && self.pocket.is_unused());
        self.settled = false;
        Asked { budget: self.pocket.budget().clone(), report: self.pocket.report(hungry, back) }
    }

    fn answered(&mut self, asked: &Asked, granted: &Granted, until: Instant) {
        self.pocket.granted(&asked.report, granted);
        self.until = until;
        let budget = &asked.budget;
        if !granted.short || self.pocket.has_enough() {
            (self.retry, self.exhausted) = (None, None);
            return;
        }
        self.retry = Some(Instant::now() + granted.after.unwrap_or(AGAIN));
        // While something is in flight its settlement may make room: that is no pause.
        self.exhausted = self.pocket.is_idle().then(|| {
            let (name, sum, used) = (&budget.name, budget.sum, Amount(granted.used));
            format!("the budget of {name} is used up: {used} of {sum} in {}", humantime::format_duration(budget.per))
        });
    }
}

// === helpers ===

/// What a change does to the state: each budget's book takes its report.
fn settle(
    value: Option<Value>,
    holder: &str,
    now: Duration,
    length: Duration,
    wanted: &[(Budget, Report)],
) -> (Option<Value>, Vec<Granted>) {
    let mut books = match value {
        Some(Value::Object(books)) => books,
        _ => Map::new(),
    };
    let granted = wanted.iter().map(|(budget, report)| {
        let book = books.get(&budget.name).map(|book| Book::parse(book).ok_or(()));
        let mut book = book.transpose().unwrap_or_else(|()| {
            tracing::warn!(metric = budget.name, "the book of a budget is damaged: it begins anew");
            None
        });
        let granted = book.get_or_insert_default().report(budget, Term { holder, now, length }, *report);
        books.insert(budget.name.clone(), book.unwrap_or_default().value());
        granted
    });
    let granted = granted.collect();
    (Some(Value::Object(books)), granted)
}

/// An amount for people.
struct Amount(f64);

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{:.6}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}
