//! What never finished, as points: once a run is over its lower bounds are known.
//!
//! Whoever reads percentiles off points must not find them better because work was dropped. So what stands in the
//! distributions at a lower bound is told as a point at that bound.

use super::layout::{MetricId, ScenarioId, SiteId};
use super::selector::Selector;
use super::stream::Place;
use super::totals::Totals;
use std::time::Duration;

/// Work that never finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unfinished {
    /// [`MetricId::ITERATION_RESPONSE_TIME`] or [`MetricId::HTTP_REQ_RESPONSE_TIME`].
    pub metric: MetricId,
    /// Its scenario, or its step.
    pub place: Place,
    /// What it took at least, in ms: not below the slowest that finished.
    pub bound: f64,
    /// How many there are of it.
    pub count: u64,
}

// === impl Totals ===

impl Totals {
    /// What never finished in a run that ended at `end` (from its start).
    #[must_use]
    pub fn unfinished(&self, end: Duration) -> Vec<Unfinished> {
        let mut found = Vec::new();
        let slowest = |metric| self.trend(metric, &Selector::default(), end).finished().max().unwrap_or(0.0);
        let mut add = |metric, place, ages: Vec<(f64, u64)>, floor: f64| {
            let bounded =
                ages.into_iter().map(|(age, count)| Unfinished { metric, place, bound: age.max(floor), count });
            found.extend(bounded);
        };
        let metric = MetricId::ITERATION_RESPONSE_TIME;
        let floor = slowest(metric);
        for (id, cells) in (0..).map(ScenarioId).zip(&self.cells.scenarios) {
            add(metric, Place::Scenario(id), cells.cut_off.ages(end, 1.0), floor);
            add(metric, Place::Scenario(id), cells.dropped.ages(end, 1.0), floor);
        }
        let metric = MetricId::HTTP_REQ_RESPONSE_TIME;
        let floor = slowest(metric);
        for (id, site) in (0..).map(SiteId).zip(self.layout().sites()) {
            if let Some(cut_off) = self.cells.requests_cut_off.get(id.0 as usize) {
                add(metric, Place::Site(id), cut_off.ages(end, 1.0), floor);
            }
            if let Some(cells) = self.cells.scenarios.get(usize::from(site.scenario.0)) {
                add(metric, Place::Site(id), cells.dropped.ages(end, site.share), floor);
            }
        }
        found
    }
}
