//! A result, opened: its report as `run` printed it, and what a report shows beside it.

use super::{ResultError, SavedRun, SavedThreshold};
use crate::judge::{Intervals, Judges, Stationarity};
use crate::measure::saved::Restored;
use crate::measure::{Course, MetricId, SavedTotals, Selector, Thresholds, TimelineId, Totals};
use crate::plan::Diagnostics;
use crate::report::result::{Judged, RunMeta, RunReport};
use crate::report::stats::TrendStats;
use std::time::Duration;

/// A result, opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// As it was written.
    pub saved: SavedRun,
    /// Its report.
    pub report: RunReport,
    /// All that was counted.
    pub totals: Totals,
    /// What is shown over time.
    pub(crate) shown: Shown,
}

/// Cuts over time that a report shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) duration: TimelineId,
    pub(crate) response_time: TimelineId,
    pub(crate) dropped: TimelineId,
    pub(crate) vus: TimelineId,
    pub(crate) pool_used: TimelineId,
    pub(crate) pool_pending: TimelineId,
}

/// What the plan asks, compiled once more against the layout of a result.
pub(super) struct Questions {
    pub(super) thresholds: Thresholds,
    pub(super) judges: Judges,
    pub(super) stationarity: Stationarity,
    pub(super) intervals: Intervals,
    pub(super) shown: Shown,
}

// === impl Shown ===

impl Shown {
    /// Asks a layout for them. None costs a request anything: they are fed once a second, or where work is dropped;
    /// the first two are there for the intervals of p(95) anyway.
    pub(crate) fn prepare(layout: &mut crate::measure::LayoutBuilder) -> Self {
        let all = Selector::default();
        let mut of = |metric| layout.timeline(metric, &all);
        Self {
            duration: of(MetricId::HTTP_REQ_DURATION),
            response_time: of(MetricId::HTTP_REQ_RESPONSE_TIME),
            dropped: of(MetricId::DROPPED_ITERATIONS),
            vus: of(MetricId::VUS),
            pool_used: of(MetricId::POOL_USED),
            pool_pending: of(MetricId::POOL_PENDING),
        }
    }
}

// === impl Questions ===

impl Questions {
    pub(super) fn compile(
        run: &SavedRun,
        thresholds: &[SavedThreshold],
        restored: &mut Restored<'_>,
    ) -> Result<Self, ResultError> {
        let mut problems = Diagnostics::new("the result");
        let layout = restored.layout();
        let thresholds = SavedThreshold::compile(thresholds, layout, &mut problems);
        let (judges, stationarity) = run.judges.compile(layout, &mut problems);
        if problems.has_errors() {
            let first = problems.sorted().first().map(|problem| problem.message.clone());
            return Err(ResultError::Questions(first.unwrap_or_default()));
        }
        let (intervals, shown) = (Intervals::prepare(layout), Shown::prepare(layout));
        Ok(Self { thresholds, judges, stationarity, intervals, shown })
    }
}

// === impl SavedRun ===

impl SavedRun {
    /// Opens it: the report is the one that `run` printed, figure by figure.
    ///
    /// # Errors
    /// Where its figures contradict each other.
    pub fn open(self) -> Result<Opened, ResultError> {
        let mut restored = SavedTotals::restore([&self.totals])?;
        let questions = Questions::compile(&self, &self.thresholds, &mut restored)?;
        let totals = restored.totals(&[Duration::ZERO], false)?;
        let meta = RunMeta {
            id: self.run.id,
            plan: self.run.plan.clone(),
            verdict: self.run.verdict,
            started: self.run.started,
            duration: self.run.duration,
            paused: self.run.paused,
        };
        let judged = Judged {
            fidelity: self.fidelity.clone(),
            judge: self.judge.clone(),
            intervals: questions.intervals.read(&totals, self.run.duration),
        };
        let stats = self.trend_stats();
        let mut report = RunReport::collect(meta, &totals, &questions.thresholds, &stats, judged, self.cleanup.clone());
        report.correlation.clone_from(&self.correlation);
        report.outputs = self.outputs();
        Ok(Opened { saved: self, report, totals, shown: questions.shown })
    }

    pub(super) fn trend_stats(&self) -> TrendStats {
        self.trend_stats.parse().unwrap_or_default()
    }
}

// === impl Opened ===

impl Opened {
    /// The run over time, step by step.
    #[must_use]
    pub const fn course(&self) -> &Course {
        &self.saved.course
    }
}
