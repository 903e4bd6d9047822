//! The objectives of a running run: what was counted over their windows, and which alerts fire.

use super::super::tally::Tally;
use super::super::totals::Totals;
use super::window::Window;
use super::{Slo, SloAlert, Slos};
use crate::plan::SloSeverity;
use std::time::Duration;

/// Counts and judges objectives. Its size is that of its windows' number.
#[derive(Debug)]
pub struct SloBook {
    pub(super) entries: Vec<Entry>,
}

/// One objective.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) slo: Slo,
    /// What the totals had when they were looked at last.
    seen: Tally,
    /// In the order of the objective's windows.
    pub(super) windows: Vec<Window>,
    /// Of each alert: since when it fires.
    pub(super) firing: Vec<Option<Duration>>,
}

/// An objective as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct SloStatus {
    /// Its name.
    pub name: String,
    /// What is good, as the plan writes it.
    pub good: String,
    /// The percentage that must be good.
    pub objective: f64,
    /// The window of the budget, as the plan writes it.
    pub window: String,
    /// What was counted over that window.
    pub tally: Tally,
    /// What is left of the budget, as a share; below 0 where more was bad than may be.
    pub budget_remaining: f64,
    /// Burn rates, the shortest window first.
    pub burns: Vec<Burn>,
    /// The alerts, in the order of the plan.
    pub alerts: Vec<AlertStatus>,
}

/// How fast the budget burns over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Burn {
    /// The window, as the plan writes it.
    pub window: String,
    /// How many times faster than the budget lasts; 0 where nothing was counted.
    pub rate: f64,
    /// What was counted.
    pub tally: Tally,
}

/// An alert as it stands now.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStatus {
    /// How urgent it is.
    pub severity: SloSeverity,
    /// The long window, as the plan writes it.
    pub long: String,
    /// The short window, as the plan writes it.
    pub short: String,
    /// The burn rate from which on it fires.
    pub burn: f64,
    /// Since when it fires; none where it does not.
    pub firing: Option<Duration>,
}

/// An alert that began to fire, or no longer does.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertChange {
    /// The objective's name.
    pub slo: String,
    /// What is good, as the plan writes it.
    pub good: String,
    /// The percentage that must be good.
    pub objective: f64,
    /// The alert.
    pub alert: AlertStatus,
    /// The burn rates over the long window and the short one.
    pub burns: [f64; 2],
    /// What is left of the budget.
    pub budget_remaining: f64,
    /// Who is told beside the log.
    pub webhook: Option<String>,
}

/// Floats are rounded: what is a bound by its text is one.
const ROUNDING: f64 = 1e-9;

// === impl SloBook ===

impl SloBook {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(slos: &Slos) -> Self {
        let entry = |slo: &Slo| Entry {
            slo: slo.clone(),
            seen: Tally::default(),
            windows: slo.windows.iter().map(|window| Window::new(window.length)).collect(),
            firing: vec![None; slo.alerts.len()],
        };
        Self { entries: slos.items().iter().map(entry).collect() }
    }

    /// Counts what the totals have got since they were looked at last. `at` never runs backwards; one book has one
    /// beginning of time.
    pub fn count(&mut self, totals: &Totals, at: Duration) {
        for entry in &mut self.entries {
            let now = totals.tally(entry.slo.tally);
            let more = now.since(entry.seen);
            entry.seen = now;
            entry.windows.iter_mut().for_each(|window| window.add(at, more));
        }
    }

    /// The totals begin anew.
    pub fn begin_anew(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.seen = Tally::default());
    }

    /// Judges the alerts. Answers with those that changed.
    pub fn judge(&mut self, at: Duration) -> Vec<AlertChange> {
        self.entries.iter_mut().flat_map(|entry| entry.judge(at)).collect()
    }

    /// How all of them stand.
    #[must_use]
    pub fn status(&mut self, at: Duration) -> Vec<SloStatus> {
        self.entries.iter_mut().map(|entry| entry.status(at)).collect()
    }

    /// Objectives whose alerts a single bad sample can fire at this rate of samples, by the short window: name, alert,
    /// how many samples come in that window, how many it takes. `lasted` is for how long was counted.
    #[must_use]
    pub fn too_few(&mut self, at: Duration, lasted: Duration) -> Vec<TooFew> {
        let mut found = Vec::new();
        for Entry { slo, windows, .. } in &mut self.entries {
            for alert in &slo.alerts {
                let Some(place) = slo.windows.iter().position(|window| window.text == alert.short.text) else {
                    continue;
                };
                let Some(window) = windows.get_mut(place) else { continue };
                let over = lasted.min(alert.short.length).as_secs_f64();
                let come = window.sum(at).total / over.max(1e-9) * alert.short.length.as_secs_f64();
                let fewest = slo.fewest(alert.burn);
                if come < fewest {
                    let (slo, alert) = (slo.name.clone(), alert.clone());
                    found.push(TooFew { slo, alert, come, fewest });
                }
            }
        }
        found
    }

    /// The memory it takes, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let window = size_of::<Window>() + 121 * size_of::<Tally>();
        self.entries.iter().map(|entry| size_of::<Entry>() + entry.windows.len() * window).sum()
    }
}

/// An alert whose short window holds so few samples that a single bad one fires it.
#[derive(Clone, Debug)]
pub struct TooFew {
    /// The objective's name.
    pub slo: String,
    /// The alert.
    pub alert: SloAlert,
    /// How many samples come in its short window.
    pub come: f64,
    /// How many it takes.
    pub fewest: f64,
}

// === impl Entry ===

impl Entry {
    fn judge(&mut self, at: Duration) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        for number in 0..self.slo.alerts.len() {
            let Some(alert) = self.slo.alerts.get(number).cloned() else { break };
            let burns = [&alert.long.text, &alert.short.text].map(|text| self.burn(text, at));
            let fires = burns.iter().all(|burn| *burn > 0.0 && *burn >= alert.burn * (1.0 - ROUNDING));
            let Some(since) = self.firing.get_mut(number).filter(|since| since.is_some() != fires) else { continue };
            *since = fires.then_some(at);
            let status = AlertStatus::of(&alert, *since);
            changes.push(AlertChange {
                slo: self.slo.name.clone(),
                good: self.slo.good.clone(),
                objective: self.slo.objective,
                alert: status,
                burns,
                budget_remaining: self.budget_remaining(at),
                webhook: alert.webhook,
            });
        }
        changes
    }

    fn status(&mut self, at: Duration) -> SloStatus {
        let budget = self.slo.budget();
        let burns: Vec<Burn> = self
            .slo
            .windows
            .iter()
            .zip(&mut self.windows)
            .map(|(window, counted)| {
                let tally = counted.sum(at);
                Burn { window: window.text.clone(), rate: burn_rate(tally, budget), tally }
            })
            .collect();
        let alerts = self.slo.alerts.iter().zip(&self.firing).map(|(alert, since)| AlertStatus::of(alert, *since));
        let alerts = alerts.collect();
        SloStatus {
            name: self.slo.name.clone(),
            good: self.slo.good.clone(),
            objective: self.slo.objective,
            window: self.slo.window.text.clone(),
            tally: self.sum(&self.slo.window.text.clone(), at),
            budget_remaining: self.budget_remaining(at),
            burns,
            alerts,
        }
    }

    fn budget_remaining(&mut self, at: Duration) -> f64 {
        let window = self.slo.window.text.clone();
        1.0 - self.burn(&window, at)
    }

    fn burn(&mut self, window: &str, at: Duration) -> f64 {
        burn_rate(self.sum(window, at), self.slo.budget())
    }

    fn sum(&mut self, window: &str, at: Duration) -> Tally {
        let place = self.slo.windows.iter().position(|known| known.text == window);
        place.and_then(|place| self.windows.get_mut(place)).map(|window| window.sum(at)).unwrap_or_default()
    }
}

/// How many times faster than the budget lasts. Rounded where a percentage that is no binary fraction leaves noise.
fn burn_rate(tally: Tally, budget: f64) -> f64 {
    (tally.bad_share() / budget * 1e9).round() / 1e9
}

// === impl AlertStatus ===

impl AlertStatus {
    fn of(alert: &SloAlert, firing: Option<Duration>) -> Self {
        Self {
            severity: alert.severity,
            long: alert.long.text.clone(),
            short: alert.short.text.clone(),
            burn: alert.burn,
            firing,
        }
    }
}
