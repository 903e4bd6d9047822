//! Outputs in a run: what is compiled of them, and who tells them what.

use super::compile::Compiled;
use super::completed::{Findings, chain};
use super::correlate::CorrelationPlan;
use crate::export::{self, Exported, Exports, Output};
use crate::measure::{Batch, LayoutBuilder, Mark, MetricId, Place, Totals};
use crate::plan::{Diagnostics, Plan, Variables};
use crate::report::{Exit, OutputReport};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Compiles `outputs:`, and asks the layout for points where there are any.
pub(super) fn compile(
    plan: &Plan,
    variables: &Variables,
    correlation: Option<&CorrelationPlan>,
    layout: &mut LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Vec<Output> {
    let mut outputs = export::compile(&plan.outputs, &variables.environment, diagnostics);
    for output in &mut outputs {
        if let (Output::Otlp(otlp), Some(correlation)) = (output, correlation) {
            correlation.share_with(otlp, diagnostics);
        }
    }
    if !outputs.is_empty() {
        layout.points();
    }
    outputs
}

/// Gauges of the run, as they are now.
pub(super) fn tell_gauges(exports: &Exports, gauges: &[(MetricId, f64)]) {
    if exports.is_empty() {
        return;
    }
    let at = Instant::now();
    let marks = gauges.iter().map(|(metric, value)| Mark { at, metric: *metric, place: Place::Run, value: *value });
    exports.record(&Arc::new(Batch { marks: marks.collect(), ..Batch::default() }));
}

/// What never finished, now that the load is over.
pub(super) fn tell_unfinished(exports: &Exports, totals: &Totals, end: Duration) {
    if !exports.is_empty() {
        exports.unfinished(totals.unfinished(end));
    }
}

// === impl Compiled ===

impl Compiled {
    /// Opens the outputs. None where one cannot be opened: then nothing is sent.
    pub(super) async fn open_outputs(&self, findings: &mut Findings) -> Option<Exports> {
        let run = Exported {
            run: self.run,
            plan: self.name(),
            layout: &self.layout,
            planned: self.plan.scenarios.len(),
            thresholds: &self.thresholds,
        };
        match Exports::open(&self.outputs, &run).await {
            Ok(exports) => Some(exports),
            Err(error) => {
                findings.add(Exit::InvalidPlan, chain(&error));
                None
            }
        }
    }
}

/// Waits for the outputs, and says what became of their points.
pub(super) async fn finish(exports: Exports, findings: &mut Findings) -> Vec<OutputReport> {
    let figures = exports.finish().await;
    for output in figures.iter().filter(|output| output.lost > 0) {
        let all = output.written + output.lost;
        findings.note(format!(
            "output {}: {} of {all} points were not acknowledged, and are lost",
            output.name, output.lost
        ));
    }
    let report =
        |output: export::OutputFigures| OutputReport { name: output.name, written: output.written, lost: output.lost };
    figures.into_iter().map(report).collect()
}
