//! Requests that the target turned away to spare real ones, and iterations that ended so.
//!
//! They were sent, so `http_reqs` and `iterations` have them. They did not fail; and an answer that comes at once
//! because nothing was done says nothing of how fast the target is: they stand in no rate and in no distribution.

use super::cells::Cell;
use super::layout::{MetricId, ScenarioId, SiteId};
use super::recorder::{Recorder, RecorderHandle, RequestSample};
use super::totals::Totals;
use tokio::time::Instant;

/// What such a request counts, as points.
pub const VALUES: [(MetricId, f64); 2] = [(MetricId::HTTP_REQS, 1.0), (MetricId::HTTP_REQS_SHED, 1.0)];

// === impl Recorder ===

impl Recorder {
    fn request_shed(&mut self, site: SiteId, sample: &RequestSample) {
        let index = site.0 as usize;
        if let Some(shed) = self.cells.requests_shed.get_mut(index) {
            *shed += 1;
        }
        let at = sample.ended.saturating_duration_since(self.start());
        let cuts = self.layout().cuts.requests.get(index).map(Vec::as_slice).unwrap_or_default();
        let counts = |metric| matches!(metric, MetricId::HTTP_REQS | MetricId::HTTP_REQS_SHED);
        // Neither expected nor not: who asks for either means answers.
        let met: Vec<usize> = cuts
            .iter()
            .filter(|cut| counts(cut.metric) && cut.holds(at) && cut.dynamic.expected.is_none())
            .filter(|cut| cut.dynamic.meets(sample))
            .map(|cut| cut.cell)
            .collect();
        for cell in met {
            if let Some(cell) = self.cells.cuts.get_mut(cell) {
                cell.record(1.0, || at);
            }
        }
    }

    fn iteration_shed(&mut self, scenario: ScenarioId, ended: Instant) {
        let index = usize::from(scenario.0);
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.completed += 1;
        }
        let at = ended.saturating_duration_since(self.start());
        let cuts = self.layout().cuts.scenarios.get(index).map(Vec::as_slice).unwrap_or_default();
        let met = cuts.iter().filter(|cut| cut.metric == MetricId::ITERATIONS && cut.holds(at));
        let met: Vec<usize> = met.map(|cut| cut.cell).collect();
        for cell in met {
            if let Some(cell) = self.cells.cuts.get_mut(cell) {
                Cell::record(cell, 1.0, || at);
            }
        }
    }
}

// === impl RecorderHandle ===

impl RecorderHandle {
    /// Counts a request that the target turned away: in `http_reqs` and `http_reqs_shed`, and in nothing else.
    pub fn request_shed(&self, site: SiteId, sample: &RequestSample) {
        self.with(|recorder| recorder.request_shed(site, sample));
    }

    /// Counts an iteration that ended because a request of it was turned away: in `iterations`, and in nothing else.
    pub fn iteration_shed(&self, scenario: ScenarioId, ended: Instant) {
        self.with(|recorder| recorder.iteration_shed(scenario, ended));
    }
}

// === impl Totals ===

impl Totals {
    /// Requests that the target turned away.
    #[must_use]
    pub fn requests_shed(&self) -> u64 {
        self.cells.requests_shed.iter().sum()
    }
}
