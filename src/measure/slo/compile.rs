//! From `slo:` to what is counted and judged.

use super::super::layout::LayoutBuilder;
use super::super::metric::Scope;
use super::super::tally::Good;
use super::super::threshold::{Expression, Operator, find_series};
use super::{Slo, SloAlert, Slos};
use crate::plan::{Diagnostics, MetricKind, SloAlertDocument, SloDocument, SloWindow, Spanned};

/// More than anyone writes: each has a ring of counters for each of its windows, and a state that is written.
const MOST: usize = 50;
/// The same of alerts.
const MOST_ALERTS: usize = 20;
/// What the grammar looks like, for a hint.
const HINT: &str = "a sample is good where `metric operator number` holds, as in `http_req_response_time<200`";

// === impl Slos ===

impl Slos {
    /// Compiles objectives, after all scenarios, sites, checks and custom metrics were added to `layout`: each prepares
    /// there what it counts. Problems go to `diagnostics`, each with its place.
    pub fn compile(documents: &[SloDocument], layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Self {
        if let Some(first_over) = documents.get(MOST) {
            diagnostics.error(first_over.span, format!("more than {MOST} objectives"));
            return Self::default();
        }
        Self { items: documents.iter().filter_map(|document| compile(document, layout, diagnostics)).collect() }
    }
}

fn compile(document: &SloDocument, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<Slo> {
    if let Some(first_over) = document.alerts.get(MOST_ALERTS) {
        diagnostics.error(first_over.span, format!("more than {MOST_ALERTS} alerts of one objective"));
        return None;
    }
    let text = &document.good;
    let (metric, condition) = text.split_at(condition_at(text));
    let named = Spanned::new(metric.trim().to_owned(), text.span);
    let (id, selector) = find_series(&named, layout, diagnostics)?;
    let described = layout.describe(id)?;
    let (kind, counted) = (described.kind, !matches!(described.scope, Scope::Run | Scope::Target));
    if !counted || !matches!(kind, MetricKind::Trend | MetricKind::Rate) {
        let message =
            format!("`{}` cannot be an objective: {} has no samples that are good or bad", text.value, metric);
        diagnostics.error(text.span, message).hint("a trend or a rate of requests, steps, iterations or checks");
        return None;
    }
    let good = match (condition.trim(), kind) {
        // k6 counts failures as true; every other rate counts what went well.
        ("", MetricKind::Rate) => {
            let bound = if named.value.starts_with("http_req_failed") { 0.0 } else { 1.0 };
            Good { operator: Operator::Equal, bound }
        }
        ("", _) => {
            diagnostics.error(text.span, format!("`{}` does not say what is good", text.value)).hint(HINT);
            return None;
        }
        // The grammar of thresholds; which aggregation stands before it makes no difference.
        (condition, _) => match format!("count{condition}").parse() {
            Ok(Expression { operator, bound, .. }) => Good { operator, bound },
            Err(_) => {
                diagnostics.error(text.span, format!("`{}` is not `metric operator number`", text.value)).hint(HINT);
                return None;
            }
        },
    };
    let most = 100.0 / (100.0 - document.objective.value);
    for alert in document.alerts.iter().filter(|alert| alert.burn > most * (1.0 + 1e-9)) {
        let span = if alert.span == crate::plan::Span::NONE { document.span } else { alert.span };
        let (burn, objective) = (alert.burn, document.objective.value);
        let message = format!(
            "this alert can never fire: at {objective} % the budget burns at most {most:.4} times too fast, not {burn}"
        );
        diagnostics.warning(span, message).hint("a lower `burn`, or a higher `objective`");
    }
    Some(Slo {
        name: document.name.value.clone(),
        good: text.value.clone(),
        objective: document.objective.value,
        window: document.window.clone(),
        windows: windows(document),
        alerts: document.alerts.iter().map(alert).collect(),
        tally: layout.tally(id, &selector, good),
    })
}

/// Where the condition begins: at the first operator outside braces; the text's end where there is none.
fn condition_at(text: &str) -> usize {
    let behind = text.rfind('}').map_or(0, |at| at + 1);
    text[behind..].find(['<', '>', '=', '!']).map_or(text.len(), |at| behind + at)
}

fn alert(document: &SloAlertDocument) -> SloAlert {
    SloAlert {
        severity: document.severity,
        burn: document.burn,
        long: document.long.clone(),
        short: document.short.clone(),
        webhook: document.webhook.as_ref().map(|webhook| webhook.value.clone()),
    }
}

/// Each window once, as the plan writes it, the shortest first.
fn windows(document: &SloDocument) -> Vec<SloWindow> {
    let of_alerts = document.alerts.iter().flat_map(|alert| [&alert.long, &alert.short]);
    let mut windows: Vec<SloWindow> = Vec::new();
    for window in of_alerts.chain([&document.window]) {
        if !windows.iter().any(|known| known.text == window.text) {
            windows.push(window.clone());
        }
    }
    windows.sort_by_key(|window| window.length);
    windows
}
