//! The experiment driven: asks the search, has the trial made, until there is nothing more to ask.

use super::outcome::Outcome;
use super::purse::Purse;
use super::search::{Next, next};
use super::terms::Terms;
use super::trial::{Order, Phase, RunTrial, Trial};
use std::time::Duration;

/// An experiment under way.
#[derive(Clone, Debug)]
pub struct Experiment {
    terms: Terms,
    trials: Vec<Trial>,
}

/// How an experiment ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// There is nothing more to run.
    Concluded(Box<Outcome>),
    /// Whoever makes the trials was told to stop.
    Stopped,
}

/// Where an experiment stands, before a trial.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// The trial that comes.
    pub order: &'a Order,
    /// Trials made.
    pub made: usize,
    /// The trials that were made.
    pub trials: &'a [Trial],
    /// Trials there can be in all.
    pub most: usize,
    /// The longest that what is left may take, this trial included: as long as trials took so far.
    pub left: Duration,
}

// === impl Experiment ===

impl Experiment {
    /// One that has not begun.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self { terms, trials: Vec::new() }
    }

    /// What it is about.
    #[must_use]
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The trials made so far, in order.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Has trials made one after the other until the search is done, or the runner is told to stop. What was made is in
    /// [`Self::trials`] either way. Restoring today's values is the caller's.
    pub async fn run<R: RunTrial>(&mut self, runner: &mut R, mut tell: impl FnMut(&Progress<'_>)) -> Ended {
        loop {
            let order = match next(&self.terms, &self.trials) {
                Next::Done(outcome) => return Ended::Concluded(outcome),
                Next::Run(order) => order,
            };
            tell(&self.progress(&order));
            let Some(trial) = runner.run(&order).await else { return Ended::Stopped };
            // What was ordered is what the search goes by, whatever the runner wrote down.
            self.trials.push(Trial { order, ..trial });
        }
    }

    fn progress<'a>(&'a self, order: &'a Order) -> Progress<'a> {
        let purse = Purse::after(&self.terms, &self.trials);
        let trials = u32::try_from(purse.trials).unwrap_or(u32::MAX);
        let left = if order.phase == Phase::Hold {
            purse.per_hold
        } else {
            purse.per_trial.saturating_mul(trials).saturating_add(purse.per_hold)
        };
        let most = self.trials.len() + purse.trials + usize::from(purse.hold);
        Progress { order, made: self.trials.len(), trials: &self.trials, most, left }
    }
}
