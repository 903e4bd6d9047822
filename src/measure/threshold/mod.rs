//! Thresholds: compiled against what a plan can count, judged over the totals.

mod expression;
#[cfg(test)]
mod tests;

pub use expression::{Aggregation, Expression, ExpressionError, Operator};

use super::layout::{LayoutBuilder, MetricId, SeriesId};
use super::metric::Metric;
use super::selector::{Selector, SelectorError};
use super::totals::{Reading, Totals};
use crate::plan::{Diagnostics, During, MetricKind, Spanned, ThresholdDocument};
use std::time::Duration;
use thiserror::Error;

/// The thresholds of a plan, compiled.
#[derive(Clone, Debug, Default)]
pub struct Thresholds {
    items: Vec<Threshold>,
}

/// One threshold, compiled.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// The metric or submetric, as the plan writes it.
    pub metric: String,
    /// The expression, as the plan writes it.
    pub text: String,
    /// The part of the run that it is judged over; none is all of it.
    pub during: Option<During>,
    /// Whether the run ends as soon as it fails.
    pub abort_on_fail: bool,
    id: MetricId,
    expression: Expression,
    delay_abort_eval: Duration,
    /// What it is judged over.
    judged: SeriesId,
    /// The same over all of the run, which is what the summary shows.
    shown: SeriesId,
}

/// What became of a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdResult {
    /// The metric or submetric, as the plan writes it.
    pub metric: String,
    /// The expression, as the plan writes it.
    pub expression: String,
    /// What was taken of the metric.
    pub aggregation: Aggregation,
    /// The part of the run that it was judged over; none is all of it.
    pub during: Option<During>,
    /// What it came to.
    pub outcome: ThresholdOutcome,
    /// The figure that was judged; 0 where there was none.
    pub observed: f64,
    /// Whether that figure is a lower bound.
    pub censored: bool,
}

/// What a threshold came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// The metric has no value. That passes, as in k6.
    NoData,
}

/// Why a text is no `METRIC=EXPR`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no threshold: not `METRIC=EXPR`, as in `http_req_duration=p(95)<3000`")]
pub struct ThresholdTextError {
    text: String,
}

/// More than anyone writes; each may need a cell of its own in every worker.
const MOST_THRESHOLDS: usize = 2000;

// === impl Thresholds ===

impl Thresholds {
    /// Compiles thresholds, after all scenarios, sites, checks and custom metrics were added to `layout`: each
    /// prepares there the cuts that it reads. Problems go to `diagnostics`, each with its place.
    pub fn compile(documents: &[ThresholdDocument], layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Self {
        if let Some(first_over) = documents.get(MOST_THRESHOLDS) {
            diagnostics.error(first_over.metric.span, format!("more than {MOST_THRESHOLDS} thresholds"));
            return Self::default();
        }
        let compile = |document| Threshold::compile(document, layout, diagnostics);
        Self { items: documents.iter().filter_map(compile).collect() }
    }

    /// The thresholds, in the order of the plan.
    #[must_use]
    pub fn items(&self) -> &[Threshold] {
        &self.items
    }

    /// Judges all of them as if the run ended at `end` (from its start).
    #[must_use]
    pub fn judge(&self, totals: &Totals, end: Duration) -> Vec<ThresholdResult> {
        self.items.iter().map(|threshold| threshold.judge(totals, end)).collect()
    }

    /// The first that fails now and wants the run to end for it. For a running run, every second or two.
    #[must_use]
    pub fn abort(&self, totals: &Totals, elapsed: Duration) -> Option<ThresholdResult> {
        let due = |threshold: &&Threshold| {
            let begun = threshold.during.is_none_or(|during| elapsed > during.from);
            threshold.abort_on_fail && begun && elapsed >= threshold.delay_abort_eval
        };
        let fails = |threshold: &Threshold| {
            let reading = totals.series(threshold.judged, elapsed)?;
            // k6 leaves out what is empty while the run lives: a counter that is still 0 may yet grow.
            let result = threshold.result(&reading, totals, elapsed);
            (!reading.is_empty() && result.outcome == ThresholdOutcome::Failed).then_some(result)
        };
        self.items.iter().filter(due).find_map(fails)
    }
}

// === impl Threshold ===

impl Threshold {
    /// The metric that it is of.
    #[must_use]
    pub const fn id(&self) -> MetricId {
        self.id
    }

    /// Its expression, read.
    #[must_use]
    pub const fn expression(&self) -> Expression {
        self.expression
    }

    /// What the summary shows beside it: the metric or submetric over all of the run.
    #[must_use]
    pub const fn shown(&self) -> SeriesId {
        self.shown
    }

    fn compile(
        document: &ThresholdDocument,
        layout: &mut LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let metric = find_series(&document.metric, layout, diagnostics);
        let expression = read_expression(document, diagnostics);
        let ((id, selector), expression) = (metric?, expression?);
        let kind = layout.describe(id)?.kind;
        if !expression.aggregation.fits(kind) {
            let message = format!(
                "invalid threshold {:?} on metric {}: a {} has no {}",
                document.expression.value,
                document.metric.value,
                name_of(kind),
                expression.aggregation
            );
            diagnostics.error(document.expression.span, message).hint(format!("it has {}", aggregations_of(kind)));
            return None;
        }
        Some(Self {
            metric: document.metric.value.clone(),
            text: document.expression.value.clone(),
            during: document.during,
            abort_on_fail: document.abort_on_fail,
            id,
            expression,
            delay_abort_eval: document.delay_abort_eval,
            judged: layout.series(id, &selector, document.during),
            shown: layout.series(id, &selector, None),
        })
    }

    fn judge(&self, totals: &Totals, end: Duration) -> ThresholdResult {
        let empty = Reading::Counter(0.0);
        self.result(&totals.series(self.judged, end).unwrap_or(empty), totals, end)
    }

    fn result(&self, reading: &Reading, totals: &Totals, end: Duration) -> ThresholdResult {
        let aggregation = self.expression.aggregation;
        let (observed, censored, empty) = match reading {
            Reading::Trend(trend) => {
                let figure = aggregation.of(trend);
                // A count of nothing is 0, and that is a figure.
                (figure.value, figure.censored, trend.count() == 0 && aggregation != Aggregation::Count)
            }
            Reading::Rate(share) => (share.rate(), false, share.total == 0),
            Reading::Counter(sum) if aggregation == Aggregation::Rate => {
                (per_second(*sum, self.span(totals, end)), false, false)
            }
            Reading::Counter(sum) => (*sum, false, false),
            Reading::Gauge(range) => (range.value, false, range.count == 0),
        };
        let outcome = match self.expression.operator.holds(observed, self.expression.bound) {
            _ if empty => ThresholdOutcome::NoData,
            true => ThresholdOutcome::Passed,
            false => ThresholdOutcome::Failed,
        };
        ThresholdResult {
            metric: self.metric.clone(),
            expression: self.text.clone(),
            aggregation,
            during: self.during,
            outcome,
            observed,
            censored,
        }
    }

    /// How long the part of the run that is judged has lasted at `end`. Of the whole run pauses are left out; `during`
    /// is of the clock on the wall.
    fn span(&self, totals: &Totals, end: Duration) -> Duration {
        let part = |during: During| during.to.unwrap_or(end).min(end).saturating_sub(during.from);
        self.during.map_or_else(|| totals.unpaused(end), part)
    }
}

// === impl ThresholdResult ===

impl ThresholdResult {
    /// Whether it failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.outcome == ThresholdOutcome::Failed
    }
}

/// A sum per second; 0 over no time.
#[must_use]
pub fn per_second(sum: f64, over: Duration) -> f64 {
    if over.is_zero() { 0.0 } else { sum / over.as_secs_f64() }
}

/// Reads `METRIC=EXPR`, as a flag has it. The metric may hold `{tag:value}`; a flag has no place in the plan.
///
/// # Errors
/// Where there is no `=` outside braces, or nothing on one of its sides.
pub fn threshold_from_text(text: &str) -> Result<ThresholdDocument, ThresholdTextError> {
    let mut depth = 0_u32;
    let at = text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '=' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    });
    let parts = at.and_then(|at| Some((text.get(..at)?.trim(), text.get(at + 1..)?.trim())));
    match parts {
        Some((metric, expression)) if !metric.is_empty() && !expression.is_empty() => Ok(ThresholdDocument {
            metric: Spanned::nowhere(metric.to_owned()),
            expression: Spanned::nowhere(expression.to_owned()),
            abort_on_fail: false,
            delay_abort_eval: Duration::ZERO,
            during: None,
        }),
        _ => Err(ThresholdTextError { text: text.to_owned() }),
    }
}

/// The metric that a text names, and the part of it. Problems go to `diagnostics`; a part that no sample can be of is
/// a warning only.
pub fn find_series(
    metric: &Spanned<String>,
    layout: &LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<(MetricId, Selector)> {
    let (text, span) = (&metric.value, metric.span);
    let (name, selector) = match Selector::parse_metric(text) {
        Ok(read) => read,
        Err(error) => {
            let hint = match error {
                SelectorError::Tag(_) => "a submetric is `metric{tag:value,tag2:value2}`",
                SelectorError::Unmatched(_) | SelectorError::Trailing(_) => {
                    "a metric is `metric` or `metric{tag:value}`"
                }
            };
            diagnostics.error(span, error.to_string()).hint(hint);
            return None;
        }
    };
    let Some(id) = layout.find(name) else {
        let near = layout.metric_names().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        let problem = diagnostics.error(span, format!("no metric is called {name:?}"));
        if let Some(near) = near.filter(|near| strsim::jaro(near, name) > 0.7) {
            problem.hint(format!("did you mean `{near}`?"));
        }
        return None;
    };
    if let Err(tag) = layout.can_meet(id, &selector) {
        let scope = layout.describe(id).map(|metric: &Metric| metric.scope);
        let name = tag.split(':').next().unwrap_or_default();
        let known = scope.is_some_and(|scope| Selector::known_tag(scope, name));
        let problem = diagnostics.warning(span, format!("no sample of {text} can have {tag}"));
        problem.hint(if known { "a metric without values passes" } else { "samples of this metric have no such tag" });
    }
    Some((id, selector))
}

fn read_expression(document: &ThresholdDocument, diagnostics: &mut Diagnostics) -> Option<Expression> {
    match document.expression.value.parse() {
        Ok(expression) => Some(expression),
        Err(error) => {
            let hint = "a threshold is `aggregation operator number`, as in `p(95)<200`";
            diagnostics.error(document.expression.span, error.to_string()).hint(hint);
            None
        }
    }
}

const fn name_of(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Trend => "trend",
        MetricKind::Rate => "rate",
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    }
}

const fn aggregations_of(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Trend => "avg, min, med, max, p(N) and count",
        MetricKind::Rate => "rate",
        MetricKind::Counter => "count and rate",
        MetricKind::Gauge => "value",
    }
}
