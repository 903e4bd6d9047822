//! Thresholds as a result file holds them: as the plan writes them, to be judged again.

use crate::measure::{LayoutBuilder, Thresholds};
use crate::plan::{Diagnostics, During, Spanned, ThresholdDocument};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A threshold as the plan writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedThreshold {
    metric: String,
    expression: String,
    /// From and to in ms; none is all of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    during: Option<(f64, Option<f64>)>,
}

// === impl SavedThreshold ===

impl SavedThreshold {
    /// All of a plan's.
    pub(crate) fn all(thresholds: &Thresholds) -> Vec<Self> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let of = |threshold: &crate::measure::threshold::Threshold| Self {
            metric: threshold.metric.clone(),
            expression: threshold.text.clone(),
            during: threshold.during.map(|during| (ms(during.from), during.to.map(ms))),
        };
        thresholds.items().iter().map(of).collect()
    }

    /// Thresholds again, whose cuts `layout` has.
    pub(super) fn compile(all: &[Self], layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Thresholds {
        let documents: Vec<_> = all.iter().map(Self::document).collect();
        Thresholds::compile(&documents, layout, diagnostics)
    }

    fn document(&self) -> ThresholdDocument {
        let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        ThresholdDocument {
            metric: Spanned::nowhere(self.metric.clone()),
            expression: Spanned::nowhere(self.expression.clone()),
            abort_on_fail: false,
            delay_abort_eval: Duration::ZERO,
            during: self.during.map(|(from, to)| During { from: time(from), to: to.map(time) }),
        }
    }
}
