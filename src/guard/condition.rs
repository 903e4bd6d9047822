//! A condition of `pause_when`: `metric[:aggregation] operator number over D`.

use crate::measure::threshold::{Aggregation, Expression, ExpressionError, Operator, find_series};
use crate::measure::{LayoutBuilder, MetricId, SeriesId};
use crate::plan::units::{self, UnitError};
use crate::plan::{Diagnostics, MetricKind, Spanned, Text};
use std::fmt;
use std::time::Duration;

/// What the grammar looks like, for a hint.
const HINT: &str = "a condition is `metric[:aggregation] operator number over D`, as in `http_req_failed>0.5 over 30s`";
/// The shortest window: figures come once a second.
const SHORTEST: Duration = Duration::from_secs(1);
/// More than anyone writes; each has a window of its own.
const MOST: usize = 100;

/// A condition under which traffic pauses, compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Its metric, or submetric.
    pub metric: MetricId,
    /// What of the metric it is about.
    pub series: SeriesId,
    /// The metric's type.
    pub kind: MetricKind,
    /// How the figure must stand to a bound for traffic to pause.
    pub expression: Expression,
    /// The window that the figure is of.
    pub over: Duration,
    /// How a reason says it: the figure of now stands between the two.
    said: (String, String),
}

/// A condition as it is written.
#[derive(Clone, Debug, PartialEq)]
struct Written<'a> {
    /// With its braces.
    metric: &'a str,
    aggregation: Option<Aggregation>,
    operator: Operator,
    bound: f64,
    over: Duration,
    /// Operator and bound, as they stand there.
    comparison: &'a str,
    /// The window, as it stands there.
    window: &'a str,
    /// The aggregation, as it stands there.
    of: &'a str,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum ConditionError {
    /// It has no window.
    #[error("it has no `over D`")]
    NoWindow,
    /// The window is no duration.
    #[error("{0:?} is no duration: {1}")]
    Window(String, UnitError),
    /// The window is too short to say anything.
    #[error("a window is at least 1s long")]
    Short,
    /// It names no metric.
    #[error("it begins with no metric")]
    NoMetric,
    /// One brace without the other.
    #[error("it has an unmatched curly brace")]
    Unmatched,
    /// What stands between the metric and `over`.
    #[error(transparent)]
    Comparison(ExpressionError),
    /// There is no operator, or nothing on one of its sides.
    #[error("it has no operator with a number behind it")]
    NoComparison,
}

/// Compiles the conditions of a plan, after all metrics were added to `layout`.
pub fn compile_conditions(texts: &[Text], layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Vec<Condition> {
    if let Some(first_over) = texts.get(MOST) {
        diagnostics.error(first_over.span, format!("more than {MOST} conditions"));
        return Vec::new();
    }
    texts.iter().filter_map(|text| Condition::compile(text, layout, diagnostics)).collect()
}

// === impl Condition ===

impl Condition {
    fn compile(text: &Text, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<Self> {
        let written = match Written::parse(text) {
            Ok(written) => written,
            Err(error) => {
                diagnostics.error(text.span, format!("`{}` is no condition: {error}", text.value)).hint(HINT);
                return None;
            }
        };
        let metric = Spanned::new(written.metric.to_owned(), text.span);
        let (id, selector) = find_series(&metric, layout, diagnostics)?;
        let kind = layout.describe(id)?.kind;
        let aggregation = written.aggregation.unwrap_or(match kind {
            MetricKind::Trend => Aggregation::Avg,
            MetricKind::Rate => Aggregation::Rate,
            MetricKind::Counter => Aggregation::Count,
            MetricKind::Gauge => Aggregation::Value,
        });
        if !aggregation.fits(kind) {
            let message = format!("`{}`: the metric {} has no {aggregation}", text.value, written.metric);
            diagnostics.error(text.span, message).hint(HINT);
            return None;
        }
        let of = if written.of.is_empty() { String::new() } else { format!(":{}", written.of) };
        Some(Self {
            metric: id,
            series: layout.series(id, &selector, None),
            kind,
            expression: Expression { aggregation, operator: written.operator, bound: written.bound },
            over: written.over,
            said: (format!("{}{of}", written.metric), format!("{} over {}", written.comparison, written.window)),
        })
    }

    /// Whether a figure is one for which traffic pauses.
    #[must_use]
    pub fn holds(&self, figure: f64) -> bool {
        self.expression.operator.holds(figure, self.expression.bound)
    }

    /// Why traffic pauses, with the figure of now: `http_req_failed 0.8 > 0.5 over 30s`.
    #[must_use]
    pub fn reason(&self, figure: f64) -> String {
        format!("{} {} {}", self.said.0, Figure(figure), self.said.1)
    }
}

// === impl Written ===

impl<'a> Written<'a> {
    fn parse(text: &'a str) -> Result<Self, ConditionError> {
        let (rest, window) = split_window(text).ok_or(ConditionError::NoWindow)?;
        let over = units::duration(window).map_err(|error| ConditionError::Window(window.to_owned(), error))?;
        if over < SHORTEST {
            return Err(ConditionError::Short);
        }
        let (metric, rest) = split_metric(rest)?;
        let at = rest.find(['<', '>', '=', '!']).ok_or(ConditionError::NoComparison)?;
        let (before, comparison) = (rest[..at].trim(), rest[at..].trim());
        let (of, aggregation) = match before.strip_prefix(':') {
            None if before.is_empty() => ("", None),
            None => return Err(ConditionError::NoComparison),
            Some(of) => (of.trim(), Some(of.trim().parse().map_err(ConditionError::Comparison)?)),
        };
        // The grammar of thresholds; which aggregation stands before it makes no difference.
        let Expression { operator, bound, .. } = format!("count{comparison}").parse().map_err(|error| match error {
            ExpressionError::Malformed(_) => ConditionError::NoComparison,
            error => ConditionError::Comparison(error),
        })?;
        Ok(Self { metric, aggregation, operator, bound, over, comparison, window, of })
    }
}

// === helpers ===

/// What stands before and behind the last word `over`.
fn split_window(text: &str) -> Option<(&str, &str)> {
    let (before, window) = text.trim().rsplit_once("over")?;
    let parted = before.ends_with(char::is_whitespace) && window.starts_with(char::is_whitespace);
    parted.then(|| (before.trim(), window.trim()))
}

/// The metric, with the braces behind it, and the rest.
fn split_metric(text: &str) -> Result<(&str, &str), ConditionError> {
    let name = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-'));
    let name = name.unwrap_or(text.len());
    if name == 0 {
        return Err(ConditionError::NoMetric);
    }
    let rest = text[name..].trim_start();
    let end = match rest.strip_prefix('{') {
        None => name,
        Some(tags) => {
            let close = tags.find('}').ok_or(ConditionError::Unmatched)?;
            text.len() - tags.len() + close + 1
        }
    };
    Ok((&text[..end], &text[end..]))
}

/// A figure for people: four digits that mean something.
struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        let decimals = match magnitude {
            _ if magnitude >= 1000.0 => 0,
            _ if magnitude >= 100.0 => 1,
            _ if magnitude >= 10.0 => 2,
            _ if magnitude >= 1.0 => 3,
            _ => 4,
        };
        let text = format!("{:.decimals$}", self.0);
        f.write_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::measure::SiteTags;
    use crate::plan::Span;

    fn compile(text: &str) -> (Option<Condition>, String) {
        let mut layout = LayoutBuilder::new(Vec::new());
        let scenario = layout.scenario("main", &[]);
        layout.site(scenario, SiteTags { step: "login".into(), ..SiteTags::default() }, 1.0);
        let mut diagnostics = Diagnostics::new("plan");
        let text = Spanned::new(text.to_owned(), Span::new(3, 9));
        let compiled = compile_conditions(&[text], &mut layout, &mut diagnostics);
        (compiled.into_iter().next(), diagnostics.to_string())
    }

    #[test]
    fn the_grammar_is_read_with_and_without_an_aggregation_and_spaces() {
        for (text, metric, aggregation, bound, over) in [
            ("http_req_failed>0.5 over 30s", MetricId::HTTP_REQ_FAILED, Aggregation::Rate, 0.5, 30),
            ("  http_req_failed:rate >= 0.5   over 1m30s ", MetricId::HTTP_REQ_FAILED, Aggregation::Rate, 0.5, 90),
            ("pool_utilization>0.8 over 10s", MetricId::POOL_UTILIZATION, Aggregation::Value, 0.8, 10),
            (
                "http_req_duration:p(95)>5e2 over 1s",
                MetricId::HTTP_REQ_DURATION,
                Aggregation::Percentile(95.0),
                500.0,
                1,
            ),
            ("http_req_duration > 500 over 1h", MetricId::HTTP_REQ_DURATION, Aggregation::Avg, 500.0, 3600),
            ("http_reqs:rate>100 over 10s", MetricId::HTTP_REQS, Aggregation::Rate, 100.0, 10),
            ("http_reqs>100 over 10s", MetricId::HTTP_REQS, Aggregation::Count, 100.0, 10),
            ("http_req_failed{step:login}:rate>0 over 2s", MetricId::HTTP_REQ_FAILED, Aggregation::Rate, 0.0, 2),
            (
                "http_req_failed{step:login, status:503} > 0 over 2s",
                MetricId::HTTP_REQ_FAILED,
                Aggregation::Rate,
                0.0,
                2,
            ),
        ] {
            let (condition, problems) = compile(text);
            let condition = condition.unwrap_or_else(|| panic!("{text}: {problems}"));
            let Expression { aggregation: of, bound: at, .. } = condition.expression;
            assert_eq!(
                (condition.metric, of, at, condition.over.as_secs()),
                (metric, aggregation, bound, over),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_condition_is_an_error_at_its_place() {
        for (text, told) in [
            ("", "over D"),
            ("http_req_failed>0.5", "over D"),
            ("http_req_failed>0.5over 30s", "over D"),
            ("http_req_failed>0.5 over", "over D"),
            ("http_req_failed>0.5 over ", "over D"),
            ("http_req_failed>0.5 over 30", "at least 1s"),
            ("http_req_failed>0.5 over soon", "no duration"),
            ("http_req_failed>0.5 over -1s", "negative"),
            ("http_req_failed>0.5 over 30s please", "no duration"),
            ("http_req_failed over 30s", "no operator"),
            ("http_req_failed 0.5 over 30s", "no operator"),
            ("http_req_failed> over 30s", "no operator"),
            (">0.5 over 30s", "no metric"),
            ("http_req_failed>>0.5 over 30s", "not a number"),
            ("http_req_failed=0.5 over 30s", "no operator"),
            ("http_req_failed>50% over 30s", "not a number"),
            ("http_req_failed>NaN over 30s", "not a number"),
            ("http_req_failed rate>0.5 over 30s", "no operator"),
            ("http_req_failed:>0.5 over 30s", "no aggregation"),
            ("http_req_failed:often>0.5 over 30s", "no aggregation"),
            ("http_req_failed:p(95)>0.5 over 30s", "has no p(95)"),
            ("pool_utilization:avg>0.5 over 30s", "has no avg"),
            ("http_req_duration:p(101)>0.5 over 30s", "percentile"),
            ("http_req_failed{step:login>0.5 over 30s", "curly brace"),
            ("http_req_failed{step}>0.5 over 30s", "malformed"),
            ("http_req_fail>0.5 over 30s", "did you mean `http_req_failed`"),
        ] {
            let (condition, problems) = compile(text);
            assert!(condition.is_none(), "{text}");
            assert!(problems.contains(told) && problems.contains(":3:9:"), "{text}: {problems}");
        }
    }

    #[test]
    fn a_reason_says_the_figure_between_metric_and_bound() {
        let reason = |text: &str, figure| compile(text).0.unwrap().reason(figure);
        assert_eq!(reason("http_req_failed>0.5 over 30s", 0.8), "http_req_failed 0.8 >0.5 over 30s");
        assert_eq!(reason("http_req_failed > 0.5 over 30s", 1.0 / 3.0), "http_req_failed 0.3333 > 0.5 over 30s");
        assert_eq!(
            reason("http_req_duration{step:login}:p(95) > 500 over 1m", 1234.56),
            "http_req_duration{step:login}:p(95) 1235 > 500 over 1m"
        );
        assert_eq!(reason("http_reqs > 5 over 1m", 100.0), "http_reqs 100 > 5 over 1m");
    }
}
