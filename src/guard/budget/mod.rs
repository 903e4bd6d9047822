//! Budgets: what any window of a length may cost, in money, tokens, or whatever a metric counts.
//!
//! What a request may cost is reserved before it is sent and settled after. The [`Book`] is what
//! all processes of a plan share, and what outlives them: what was spent when, and how much each
//! process has taken on lease. A lease stands in the book before any of it is used, and a process
//! that does not come back has spent all of it. The [`Pocket`] is one process's lease: from it
//! requests reserve without asking anybody.
//!
//! Both are plain values; who keeps the book, and on what clock, others decide. Every rounding is
//! to the safe side: what is spent counts from the end of its slice of the window, and until the
//! whole length has gone by since.

mod book;
mod pocket;
#[cfg(test)]
mod tests;

pub use book::{Book, Granted, Term};
pub use pocket::{Pocket, Report};

use crate::measure::{LayoutBuilder, MetricId};
use crate::plan::{BudgetLimit, Diagnostics, MetricKind};
use std::time::Duration;

/// The shortest window: leases are for a second at least.
const SHORTEST: Duration = Duration::from_secs(1);
/// How exactly sums are compared, as a part of the whole: a hundred times 0.05 is 5, whatever the last bit says.
const EXACT: f64 = 1e-9;

/// The budget of a metric, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The metric.
    pub metric: MetricId,
    /// What it is called, in the book too.
    pub name: String,
    /// The most in any window.
    pub sum: f64,
    /// The window's length.
    pub per: Duration,
    /// What is reserved before a request, at least.
    pub each: Option<f64>,
}

/// Compiles the budgets of a plan, after all metrics were added to `layout`.
pub fn compile_budgets(limits: &[BudgetLimit], layout: &LayoutBuilder, diagnostics: &mut Diagnostics) -> Vec<Budget> {
    limits.iter().filter_map(|limit| Budget::compile(limit, layout, diagnostics)).collect()
}

// === impl Budget ===

impl Budget {
    fn compile(limit: &BudgetLimit, layout: &LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<Self> {
        let BudgetLimit { metric, sum, per, each } = limit;
        let id = layout.find(metric).filter(|id| layout.is_custom(*id));
        let Some(id) = id else {
            diagnostics
                .error(metric.span, format!("no step has a metric `{}` to budget", metric.value))
                .hint("a budget is of a custom metric: `metrics: { cost_per_request: { trend: $.cost } }` in a step");
            return None;
        };
        let kind = layout.describe(id)?.kind;
        if !matches!(kind, MetricKind::Trend | MetricKind::Counter) {
            diagnostics.error(
                metric.span,
                format!("`{}` cannot be summed up: it is neither a trend nor a counter", metric.value),
            );
            return None;
        }
        if per.value < SHORTEST {
            diagnostics.error(per.span, "a budget's window is at least 1s long");
            return None;
        }
        if let Some(each) = each.filter(|each| each.value > sum.value) {
            diagnostics
                .error(each.span, "`each` is above `sum`: not a single request could be sent")
                .hint("`each` is what one request may cost, `sum` what all of a window may");
            return None;
        }
        Some(Self {
            metric: id,
            name: metric.value.clone(),
            sum: sum.value,
            per: per.value,
            each: each.map(|each| each.value),
        })
    }

    /// Whether so much is within the sum.
    fn within(&self, amount: f64) -> bool {
        amount <= self.sum * (1.0 + EXACT)
    }
}
