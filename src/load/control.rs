//! What is changed while the load runs: pause and resume of everything, and the VUs of an
//! externally-controlled scenario.
//!
//! A pause stops the clock of the schedule, not that of the measurements: what would have been due
//! meanwhile is due later by as much, so nothing is dropped and nobody is late for it. All workers
//! read the same instants, so they agree to the nanosecond on how much later.
//!
//! Several may hold the load at once, each for a reason of its own; it goes on when the last of them
//! lets go. An operator's pause lets iterations that run go on to their end, as in k6. The guard's
//! also closes the [`Gate`]: no request leaves any more.

use super::plan::{LoadPlan, Model};
use crate::measure::Gate;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most VUs that an externally-controlled scenario can be scaled to.
use super::compile::MAX_VUS;

/// Steers the load of a run, from any thread. Clones steer the same run.
#[derive(Clone, Debug)]
pub struct Control {
    orders: watch::Sender<Orders>,
    gate: Gate,
    /// Who holds the load, for people.
    held: Arc<Mutex<BTreeMap<HeldBy, Held>>>,
}

/// Who holds the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeldBy {
    /// An operator, through the control address or a flag.
    Operator,
    /// The kill switch: a file.
    StopFile,
    /// The kill switch: a signal.
    Signal,
    /// The target asked to be left alone: `Retry-After`.
    Target,
    /// A budget is used up.
    Budget,
    /// A condition of `pause_when` holds.
    Condition,
}

/// For what reason the load was held, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The reason of now, or the last one.
    pub reason: String,
    /// Since when; none where it no longer is.
    pub since: Option<Instant>,
    /// How often it began.
    pub times: u64,
    /// How long those lasted that are over.
    pub lasted: Duration,
    /// When it was last told aloud.
    told: Option<Instant>,
}

/// How often a log line for the same one is a warning: a target may ask for a second each second.
const ALOUD: Duration = Duration::from_secs(60);

/// The VUs of an externally-controlled scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// VUs that iterate.
    pub vus: u32,
    /// VUs that are there to iterate.
    pub max_vus: u32,
}

/// Why an order was not taken. The texts are k6's where k6 has one.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ControlError {
    /// It is paused.
    #[error("test execution was already paused")]
    AlreadyPaused,
    /// It is not paused.
    #[error("test execution wasn't paused")]
    NotPaused,
    /// No operator paused it.
    #[error("the guard holds the traffic, and no operator can resume it")]
    HeldByGuard,
    /// No scenario can be scaled.
    #[error("an externally-controlled executor needs to be configured for live configuration updates")]
    NotExternallyControlled,
    /// More VUs than there are.
    #[error(
        "invalid configuration supplied: the number of active VUs ({}) must be less than or equal to the number of maxVUs ({})",
        .0.vus, .0.max_vus
    )]
    AboveMaximum(Scale),
    /// Fewer than the plan begins with.
    #[error("the new number of max VUs cannot be lower than the starting number of max VUs ({0})")]
    BelowStart(u32),
    /// More than a run may have.
    #[error("{0} VUs are more than a run may have ({MAX_VUS})")]
    TooMany(u32),
}

/// What is asked of the load now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    pub(crate) pause: PauseState,
    /// Who holds the load, as a bit set over [`HeldBy`].
    by: u8,
    /// Whether the schedule runs all the same, because a probe is wanted.
    probing: bool,
    /// Of the first externally-controlled scenario, as in k6; none where there is none.
    scale: Option<External>,
}

/// Where the clock of the schedule stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PauseState {
    /// Since when it stands still; none where it runs.
    pub(crate) since: Option<Instant>,
    /// How much later everything is due: the pauses that are over.
    pub(crate) shift: Duration,
    /// When the last of them ended.
    pub(crate) resumed: Option<Instant>,
    /// Since when the gate is closed.
    pub(crate) barred: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct External {
    /// Which scenario of the plan.
    index: usize,
    now: Scale,
    /// What the plan began with: its maximum is the least.
    start: Scale,
}

/// What a worker keeps to hear of orders.
#[derive(Clone, Debug)]
pub(crate) struct ControlListener(watch::Receiver<Orders>);

// === impl Control ===

impl Control {
    /// For the load of this plan.
    #[must_use]
    pub fn new(plan: &LoadPlan) -> Self {
        let external = plan.scenarios().iter().enumerate().find_map(|(index, scenario)| match scenario.model {
            Model::ExternallyControlled { vus, max_vus, .. } => {
                let start = Scale { vus, max_vus };
                Some(External { index, now: start, start })
            }
            _ => None,
        });
        let orders = Orders { pause: PauseState::default(), by: 0, probing: false, scale: external };
        Self { orders: watch::Sender::new(orders), gate: Gate::new(), held: Arc::default() }
    }

    /// What all requests of the run pass.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Starts nothing new until [`Control::resume`]. What runs goes on to its end.
    ///
    /// # Errors
    /// Where an operator paused it already.
    pub fn pause(&self) -> Result<(), ControlError> {
        if self.hold(HeldBy::Operator, "an operator") { Ok(()) } else { Err(ControlError::AlreadyPaused) }
    }

    /// Goes on where [`Control::pause`] left off, unless the guard holds the load too.
    ///
    /// # Errors
    /// Where no operator paused it.
    pub fn resume(&self) -> Result<(), ControlError> {
        match self.release(HeldBy::Operator) {
            true => Ok(()),
            false if self.is_paused() => Err(ControlError::HeldByGuard),
            false => Err(ControlError::NotPaused),
        }
    }

    /// Holds the load for a reason; where it is held by the same already, only the reason changes. Says whether it
    /// was not. All but an operator close the gate.
    pub fn hold(&self, by: HeldBy, reason: &str) -> bool {
        let mut all = self.held();
        let now = Instant::now();
        let held = all.entry(by).or_insert_with(|| Held {
            reason: String::new(),
            since: None,
            times: 0,
            lasted: Duration::ZERO,
            told: None,
        });
        if held.reason != reason {
            reason.clone_into(&mut held.reason);
        }
        if held.since.is_some() {
            return false;
        }
        (held.since, held.times) = (Some(now), held.times + 1);
        self.settle(now, |orders| orders.by |= by.bit());
        if by == HeldBy::Operator {
            return true;
        }
        if held.told.is_none_or(|told| now.saturating_duration_since(told) >= ALOUD) {
            held.told = Some(now);
            tracing::warn!(reason, "traffic pauses");
        } else {
            tracing::info!(reason, "traffic pauses");
        }
        true
    }

    /// Lets go of the load. Says whether it was held by this one. It goes on where nobody else holds it.
    pub fn release(&self, by: HeldBy) -> bool {
        let mut all = self.held();
        let now = Instant::now();
        let Some(held) = all.get_mut(&by) else { return false };
        let Some(since) = held.since.take() else { return false };
        let lasted = now.saturating_duration_since(since);
        held.lasted += lasted;
        let (reason, aloud) = (held.reason.clone(), held.told == Some(since));
        let still = all.values().filter(|held| held.since.is_some()).map(|held| held.reason.as_str());
        let still = still.collect::<Vec<_>>().join("; ");
        self.settle(now, |orders| orders.by &= !by.bit());
        match (still.is_empty(), aloud) {
            _ if by == HeldBy::Operator => {}
            (true, true) => tracing::warn!(no_longer = reason, paused = ?lasted, "traffic resumes"),
            (true, false) => tracing::info!(no_longer = reason, paused = ?lasted, "traffic resumes"),
            (false, _) => tracing::info!(no_longer = reason, still, "traffic stays paused"),
        }
        true
    }

    /// Lets the schedule run although a condition holds the load, so that the next iteration that is due becomes the
    /// probe. Nobody else may hold it.
    pub fn probe(&self, wanted: bool) {
        self.settle(Instant::now(), |orders| orders.probing = wanted);
    }

    /// Changes the VUs of the first externally-controlled scenario; what is none stays. Can be asked for before the
    /// start and during a pause, too. An iteration of a VU that is no longer wanted is cut off, as in k6.
    ///
    /// # Errors
    /// Where there is no such scenario, or it cannot have so many or so few.
    pub fn scale(&self, vus: Option<u32>, max_vus: Option<u32>) -> Result<Scale, ControlError> {
        self.change(|orders| {
            let external = orders.scale.as_mut().ok_or(ControlError::NotExternallyControlled)?;
            let wanted =
                Scale { vus: vus.unwrap_or(external.now.vus), max_vus: max_vus.unwrap_or(external.now.max_vus) };
            if wanted.vus > wanted.max_vus {
                return Err(ControlError::AboveMaximum(wanted));
            }
            if wanted.max_vus < external.start.max_vus {
                return Err(ControlError::BelowStart(external.start.max_vus));
            }
            if wanted.max_vus > MAX_VUS {
                return Err(ControlError::TooMany(wanted.max_vus));
            }
            external.now = wanted;
            Ok(wanted)
        })
    }

    /// Whether anybody holds the load.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.orders.borrow().by != 0
    }

    /// Whether only a condition of `pause_when` holds it.
    #[must_use]
    pub fn is_held_by_condition_only(&self) -> bool {
        self.orders.borrow().by == HeldBy::Condition.bit()
    }

    /// Who holds the load now, and why.
    #[must_use]
    pub fn holds(&self) -> Vec<(HeldBy, String)> {
        let now = |(by, held): (&HeldBy, &Held)| held.since.is_some().then(|| (*by, held.reason.clone()));
        self.held().iter().filter_map(now).collect()
    }

    /// Who has held the load so far.
    #[must_use]
    pub fn history(&self) -> Vec<(HeldBy, Held)> {
        self.held().iter().map(|(by, held)| (*by, held.clone())).collect()
    }

    /// The VUs that the externally-controlled scenario is to have; none where there is none.
    #[must_use]
    pub fn scaled_to(&self) -> Option<Scale> {
        self.orders.borrow().scale.map(|external| external.now)
    }

    /// For how long pauses have held the load up by `now`, since its start.
    #[must_use]
    pub fn paused_for(&self, now: Instant) -> Duration {
        self.orders.borrow().pause.paused_for(now)
    }

    /// Waits until it is not paused.
    pub async fn resumed(&self) {
        // The sender is at hand: it cannot have gone.
        let _ = self.orders.subscribe().wait_for(|orders| orders.by == 0).await;
    }

    /// The load starts: pauses of before do not count, one that lasts counts from here on.
    pub(crate) fn begin(&self, start: Instant) {
        self.orders.send_modify(|orders| {
            let [since, barred] = [orders.pause.since, orders.pause.barred].map(|since| since.map(|it| it.max(start)));
            orders.pause = PauseState { since, barred, ..PauseState::default() };
        });
    }

    pub(crate) fn listen(&self) -> ControlListener {
        ControlListener(self.orders.subscribe())
    }

    /// Changes who holds the load, and what follows from it.
    fn settle(&self, now: Instant, change: impl FnOnce(&mut Orders)) {
        self.orders.send_if_modified(|orders| {
            let before = (orders.by, orders.probing);
            change(orders);
            orders.probing &= orders.by == HeldBy::Condition.bit();
            orders.settle(now);
            // Under the lock, so that gate and orders never disagree for longer.
            match orders.pause.barred {
                Some(since) => self.gate.close(since),
                None => self.gate.open(),
            }
            if orders.by != HeldBy::Condition.bit() {
                self.gate.withdraw();
            }
            (orders.by, orders.probing) != before
        });
    }

    /// Nobody panics while holding it; were it so, what is in there is whole all the same.
    fn held(&self) -> MutexGuard<'_, BTreeMap<HeldBy, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the orders as a whole or not at all.
    fn change<T>(&self, change: impl FnOnce(&mut Orders) -> Result<T, ControlError>) -> Result<T, ControlError> {
        let mut answer = Err(ControlError::NotPaused);
        self.orders.send_if_modified(|orders| {
            answer = change(orders);
            answer.is_ok()
        });
        answer
    }
}

// === impl HeldBy ===

impl HeldBy {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

// === impl Orders ===

impl Orders {
    /// Starts or stops the clock of the schedule, as those who hold the load want it.
    fn settle(&mut self, now: Instant) {
        let (held, barred) = (self.by != 0 && !self.probing, self.by & !HeldBy::Operator.bit() != 0);
        match self.pause.since {
            None if held => self.pause.since = Some(now),
            Some(since) if !held => {
                self.pause.since = None;
                self.pause.shift += now.saturating_duration_since(since);
                self.pause.resumed = Some(now);
            }
            _ => {}
        }
        self.pause.barred = if barred { self.pause.barred.or(Some(now)) } else { None };
    }

    /// What scenario `index` is to have; none where it has what the plan says.
    pub(crate) fn scale(&self, index: usize) -> Option<Scale> {
        self.scale.filter(|external| external.index == index).map(|external| external.now)
    }
}

// === impl PauseState ===

impl PauseState {
    pub(crate) fn paused_for(&self, now: Instant) -> Duration {
        self.shift + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

// === impl ControlListener ===

impl ControlListener {
    /// What is asked now; what comes after it is a change.
    pub(crate) fn current(&mut self) -> Orders {
        *self.0.borrow_and_update()
    }

    /// Waits for a change; for ever where every [`Control`] has gone.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests;
