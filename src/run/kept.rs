//! What a run keeps for its result and its report, where somebody asked for one.

use super::compile::Compiled;
use crate::judge::SavedJudges;
use crate::measure::{Course, Layout, LayoutBuilder, Recorder, Totals};
use crate::report::saved::{Environment, Kept, SavedThreshold, Shown};
use std::sync::Arc;
use tokio::time::Instant;

/// The run over time, put together while it lives; nothing where nobody asked.
#[derive(Debug)]
pub(super) struct Keeping {
    layout: Arc<Layout>,
    start: Instant,
    course: Option<Course>,
}

/// Asks the layout for what a report shows over time.
pub(super) fn prepare(layout: &mut LayoutBuilder) {
    Shown::prepare(layout);
}

// === impl Keeping ===

impl Keeping {
    /// Nothing yet, of a load that began at `start`.
    pub(super) fn new(asked: bool, layout: &Arc<Layout>, start: Instant) -> Self {
        Self { layout: Arc::clone(layout), start, course: asked.then(|| Course::new(layout)) }
    }

    /// Takes what a worker just handed over.
    pub(super) fn take(&mut self, delta: &Recorder) {
        if let Some(course) = &mut self.course {
            let at = Instant::now().saturating_duration_since(self.start);
            course.take(&self.layout, delta, at);
        }
    }

    /// What it came to.
    pub(super) fn course(self) -> Course {
        self.course.unwrap_or_default()
    }
}

// === impl Compiled ===

impl Compiled {
    /// All that a result has beside the report; none where nobody asked.
    pub(super) fn keep(&self, totals: &Totals, course: Course) -> Option<Kept> {
        self.keeps.then(|| Kept {
            digest: self.digest.clone(),
            segment: self.segment.clone(),
            environment: Environment::here(u32::try_from(self.workers.get()).unwrap_or(u32::MAX)),
            thresholds: SavedThreshold::all(&self.thresholds),
            judges: SavedJudges::of(&self.judges, &self.stationarity),
            trend_stats: self.trend_stats.to_string(),
            totals: totals.save(),
            course,
        })
    }
}
