//! What an operator changes while the load runs: pause and resume of everything, and the VUs of an
//! externally-controlled scenario.
//!
//! A pause stops the clock of the schedule, not that of the measurements: what would have been due
//! meanwhile is due later by as much, so nothing is dropped and nobody is late for it. All workers
//! read the same instants, so they agree to the nanosecond on how much later.

use super::plan::{LoadPlan, Model};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most VUs that an externally-controlled scenario can be scaled to.
use super::compile::MAX_VUS;

/// Steers the load of a run, from any thread. Clones steer the same run.
#[derive(Clone, Debug)]
pub struct Control(watch::Sender<Orders>);

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
        Self(watch::Sender::new(Orders { pause: PauseState::default(), scale: external }))
    }

    /// Starts nothing new until [`Control::resume`]. What runs goes on to its end.
    ///
    /// # Errors
    /// Where it is paused already.
    pub fn pause(&self) -> Result<(), ControlError> {
        self.change(|orders| match orders.pause.since {
            Some(_) => Err(ControlError::AlreadyPaused),
            None => {
                orders.pause.since = Some(Instant::now());
                Ok(())
            }
        })
    }

    /// Goes on where [`Control::pause`] left off.
    ///
    /// # Errors
    /// Where it is not paused.
    pub fn resume(&self) -> Result<(), ControlError> {
        self.change(|orders| {
            let since = orders.pause.since.take().ok_or(ControlError::NotPaused)?;
            let now = Instant::now();
            orders.pause.shift += now.saturating_duration_since(since);
            orders.pause.resumed = Some(now);
            Ok(())
        })
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

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.borrow().pause.since.is_some()
    }

    /// The VUs that the externally-controlled scenario is to have; none where there is none.
    #[must_use]
    pub fn scaled_to(&self) -> Option<Scale> {
        self.0.borrow().scale.map(|external| external.now)
    }

    /// For how long pauses have held the load up by `now`, since its start.
    #[must_use]
    pub fn paused_for(&self, now: Instant) -> Duration {
        self.0.borrow().pause.paused_for(now)
    }

    /// Waits until it is not paused.
    pub async fn resumed(&self) {
        // The sender is at hand: it cannot have gone.
        let _ = self.0.subscribe().wait_for(|orders| orders.pause.since.is_none()).await;
    }

    /// The load starts: pauses of before do not count, one that lasts counts from here on.
    pub(crate) fn begin(&self, start: Instant) {
        self.0.send_modify(|orders| {
            orders.pause = PauseState { since: orders.pause.since.map(|since| since.max(start)), ..Default::default() };
        });
    }

    pub(crate) fn listen(&self) -> ControlListener {
        ControlListener(self.0.subscribe())
    }

    /// Changes the orders as a whole or not at all.
    fn change<T>(&self, change: impl FnOnce(&mut Orders) -> Result<T, ControlError>) -> Result<T, ControlError> {
        let mut answer = Err(ControlError::NotPaused);
        self.0.send_if_modified(|orders| {
            answer = change(orders);
            answer.is_ok()
        });
        answer
    }
}

// === impl Orders ===

impl Orders {
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
