//! The summary as text: k6's end-of-test summary line for line, then pacecar's own sections.

use super::correlation::{CorrelationReport, Table};
use super::explain::short;
use super::fidelity::rows;
use super::format;
use super::result::{CheckReport, CleanupReport, Figures, MetricReport, RunReport, Section, TrendFigures};
use crate::judge::{JudgeReport, JudgeVerdict};
use crate::measure::threshold::{Aggregation, ThresholdOutcome, ThresholdResult};
use crate::measure::{Contains, Quantile, Share};
use std::fmt::Write as _;

/// Whether the text is coloured. The caller knows where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Nothing but text.
    Plain,
    /// With ANSI colours.
    Coloured,
}

/// The summary. It begins with an empty line and ends with a line's end.
#[must_use]
pub fn text(report: &RunReport, style: Style) -> String {
    let mut page = Page { style, out: String::new() };
    page.thresholds(report);
    page.totals(report);
    page.fidelity(report);
    if !report.judge.is_empty() {
        page.judge(&report.judge);
    }
    if let Some(correlation) = report.correlation.as_ref().filter(|correlation| !correlation.is_empty()) {
        page.correlation(correlation);
    }
    if let Some(cleanup) = &report.cleanup {
        page.cleanup(cleanup);
    }
    page.out
}

/// The section CLEANUP alone: what the command `cleanup` prints.
#[must_use]
pub fn cleanup_text(cleanup: &CleanupReport, style: Style) -> String {
    let mut page = Page { style, out: String::new() };
    page.cleanup(cleanup);
    page.out
}

pub(super) const GREEN: &str = "32";
pub(super) const RED: &str = "31";
pub(super) const CYAN: &str = "36";
const FAINT_CYAN: &str = "2;36";
pub(super) const FAINT: &str = "2;37";
pub(super) const YELLOW: &str = "33";
const BOLD: &str = "1";

/// A text under way.
pub(super) struct Page {
    style: Style,
    out: String,
}

/// One line of figures before its columns are as wide as the widest.
struct Line {
    /// The metric or submetric, as the plan writes it.
    name: String,
    /// What is shown of it: of a submetric its tags, set in below its metric.
    shown: String,
    figures: Cells,
}

enum Cells {
    /// Name and value of each figure of a trend.
    Trend(Vec<(String, String)>),
    /// A value and what stands beside it.
    Other(String, Vec<String>),
}

// === impl Page ===

impl Page {
    pub(super) const fn new(style: Style) -> Self {
        Self { style, out: String::new() }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn thresholds(&mut self, report: &RunReport) {
        if report.thresholds.is_empty() {
            return;
        }
        self.title("THRESHOLDS");
        // In the order of the metrics, which is by name with each submetric behind its metric.
        for metric in &report.metrics {
            let results: Vec<_> = report.thresholds_of(&metric.name).collect();
            if results.is_empty() {
                continue;
            }
            let parent = metric.name.split('{').next().unwrap_or_default();
            let below = parent.len() < metric.name.len() && report.thresholds_of(parent).next().is_some();
            let indent = if below { "      " } else { "    " };
            let name = if below { metric.name.get(parent.len()..).unwrap_or_default() } else { &metric.name };
            self.line(format_args!("{indent}{name}"));
            for result in results {
                let mark = if result.failed() { self.paint("✗", RED) } else { self.paint("✓", GREEN) };
                let value = self.paint(&threshold_value(result, metric), CYAN);
                let source = result.expression.trim();
                let aggregation = source.split(['<', '>', '=', '!']).next().unwrap_or_default().trim();
                let during = result.during.map(|during| {
                    let to = during.to.map_or_else(|| "end".to_owned(), short);
                    format!(" during {}..{to}", short(during.from))
                });
                let during = during.unwrap_or_default();
                let none = match result.outcome {
                    ThresholdOutcome::NoData => self.paint(" (no data)", FAINT),
                    ThresholdOutcome::Passed | ThresholdOutcome::Failed => String::new(),
                };
                self.line(format_args!("{indent}{mark} '{source}'{during} {aggregation}={value}{none}"));
            }
            self.blank();
        }
        self.blank();
    }

    fn totals(&mut self, report: &RunReport) {
        self.title("TOTAL RESULTS");
        let checks = report.checks();
        if checks.total > 0 {
            self.checks(report, checks);
        }
        let shown = |metric: &&MetricReport| metric.section != Section::Hidden && has_something(metric, report);
        let lines: Vec<_> =
            report.metrics.iter().filter(shown).map(|metric| (metric.section, Line::of(metric))).collect();
        let widths = Widths::of(lines.iter().map(|(_, line)| line));
        let sections = [
            (Section::Custom, "CUSTOM"),
            (Section::Http, "HTTP"),
            (Section::Execution, "EXECUTION"),
            (Section::Network, "NETWORK"),
        ];
        for (section, title) in sections {
            let mut of_section = lines.iter().filter(|(of, _)| *of == section).peekable();
            if of_section.peek().is_none() {
                continue;
            }
            let title = self.paint(title, BOLD);
            self.line(format_args!("    {title}"));
            for (_, line) in of_section {
                self.figures(line, &widths);
            }
            self.blank();
        }
        self.blank();
    }

    fn checks(&mut self, report: &RunReport, all: Share) {
        let seconds = report.run.duration.saturating_sub(report.run.paused).as_secs_f64();
        let rate = if seconds > 0.0 { all.total as f64 / seconds } else { 0.0 };
        let share = |name, of: u64| {
            let share = Share { passes: of, total: all.total };
            Line::plain(name, format::percent(share.rate()), format!("{of} out of {}", all.total))
        };
        let rate = format!("{}/s", format::trimmed(rate, 6));
        let lines = [
            Line::plain("checks_total", all.total.to_string(), rate),
            share("checks_succeeded", all.passes),
            share("checks_failed", all.fails()),
        ];
        let widths = Widths::of(lines.iter());
        lines.iter().for_each(|line| self.figures(line, &widths));
        self.blank();
        for check in report.groups.iter().flat_map(|group| &group.checks) {
            self.check(check);
        }
        self.blank();
    }

    fn check(&mut self, check: &CheckReport) {
        let CheckReport { name, passes, fails } = check;
        if *fails == 0 {
            let line = self.paint(&format!("✓ {name}"), GREEN);
            self.line(format_args!("    {line}"));
            return;
        }
        let line = self.paint(&format!("✗ {name}"), RED);
        self.line(format_args!("    {line}"));
        let percent = 100 * passes / (passes + fails);
        let line = self.paint(&format!("↳  {percent}% — ✓ {passes} / ✗ {fails}"), RED);
        self.line(format_args!("      {line}"));
    }

    fn figures(&mut self, line: &Line, widths: &Widths) {
        let dots = (widths.name + 3).saturating_sub(width(&line.shown) + INDENT);
        let dots = self.paint(&format!("{}:", ".".repeat(dots)), FAINT);
        let mut text = format!("    {}{dots} ", line.shown);
        match &line.figures {
            Cells::Trend(figures) => {
                for (i, (name, value)) in figures.iter().enumerate() {
                    let space = if i == 0 { "" } else { " " };
                    let pad = widths.trend.get(i).copied().unwrap_or(0).saturating_sub(width(value));
                    let _ = write!(text, "{space}{name}={}{}", self.paint(value, CYAN), " ".repeat(pad));
                }
            }
            Cells::Other(value, extras) => {
                let pad = widths.value.saturating_sub(width(value));
                let _ = write!(text, "{}{}", self.paint(value, CYAN), " ".repeat(pad));
                for (i, extra) in extras.iter().enumerate() {
                    let alone = extras.len() == 1;
                    let pad = widths.extras.get(i).copied().unwrap_or(0).saturating_sub(width(extra));
                    let pad = if alone { 0 } else { pad };
                    let _ = write!(text, " {}{}", self.paint(extra, FAINT_CYAN), " ".repeat(pad));
                }
            }
        }
        self.line(format_args!("{text}"));
    }

    fn fidelity(&mut self, report: &RunReport) {
        let RunReport { fidelity, .. } = report;
        self.title("FIDELITY");
        if fidelity.valid {
            let line = self.paint("✓ the generator kept its schedule", GREEN);
            self.line(format_args!("    {line}"));
        } else {
            let line = self.paint("✗ invalid: the generator, not the target, set these figures", RED);
            self.line(format_args!("    {line}"));
        }
        for reason in &fidelity.reasons {
            let line = self.paint(&format!("↳  {reason}"), RED);
            self.line(format_args!("      {line}"));
        }
        for note in &fidelity.notes {
            let line = self.paint(&format!("! {note}"), YELLOW);
            self.line(format_args!("    {line}"));
        }
        self.blank();
        let rows = rows(report);
        let longest = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        for (name, value, extras) in rows {
            let dots = self.paint(&format!("{}:", ".".repeat(longest - name.len() + 3)), FAINT);
            let mut line = format!("    {name}{dots} {}", self.paint(&value, CYAN));
            for extra in extras {
                let _ = write!(line, "  {}", self.paint(&extra, FAINT_CYAN));
            }
            self.line(format_args!("{line}"));
        }
        self.blank();
        self.blank();
    }

    fn judge(&mut self, judge: &JudgeReport) {
        self.title("JUDGE");
        for (name, verdict, sentence) in judge.lines() {
            let (mark, colour) = match verdict {
                JudgeVerdict::Pass => ("✓", GREEN),
                JudgeVerdict::Fail => ("✗", RED),
            };
            let line = self.paint(&format!("{mark} {}", name.replace('_', " ")), colour);
            self.line(format_args!("    {line}"));
            self.line(format_args!("      ↳  {sentence}"));
        }
        self.blank();
        self.blank();
    }

    fn correlation(&mut self, correlation: &CorrelationReport) {
        self.title("CORRELATION");
        if let Some(sentence) = correlation.sentence() {
            let sentence = self.paint(&sentence, BOLD);
            self.line(format_args!("    {sentence}"));
            self.blank();
        }
        let Table { head, rows } = correlation.table();
        if !rows.is_empty() {
            let mut widths: Vec<_> = head.iter().map(|name| width(name)).collect();
            for row in &rows {
                widths.iter_mut().zip(row).for_each(|(known, cell)| *known = (*known).max(width(cell)));
            }
            // The step to the left, figures to the right.
            let cell = |text: &str, at: usize| {
                let pad = " ".repeat(widths.get(at).copied().unwrap_or(0).saturating_sub(width(text)));
                if at == 0 { format!("{text}{pad}") } else { format!("  {pad}{text}") }
            };
            let head: String = head.iter().enumerate().map(|(at, name)| cell(name, at)).collect();
            let head = self.paint(&head, FAINT);
            self.line(format_args!("    {head}"));
            for row in &rows {
                let row: String = row.iter().enumerate().map(|(at, text)| cell(text, at)).collect();
                self.line(format_args!("    {row}"));
            }
            self.blank();
        }
        let lines = correlation.lines();
        let longest = lines.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        for (name, value, extras) in lines {
            let dots = self.paint(&format!("{}:", ".".repeat(longest - name.len() + 3)), FAINT);
            let mut line = format!("    {name}{dots} {}", self.paint(&value, CYAN));
            for extra in extras {
                let _ = write!(line, "  {}", self.paint(&extra, FAINT_CYAN));
            }
            self.line(format_args!("{line}"));
        }
        for moved in correlation.timelines.iter().flat_map(|timelines| timelines.moved_lines()) {
            let moved = self.paint(&moved, YELLOW);
            self.line(format_args!("    {moved}"));
        }
        let timelines = correlation.timelines.iter().flat_map(|timelines| &timelines.timelines.notes);
        for note in correlation.notes.iter().chain(timelines) {
            let line = self.paint(&format!("! {note}"), YELLOW);
            self.line(format_args!("    {line}"));
        }
        self.blank();
        self.blank();
    }

    pub(super) fn title(&mut self, title: &str) {
        let title = self.paint(title, BOLD);
        self.line(format_args!("  █ {title} "));
        self.blank();
    }

    /// As k6: a line begins with its end of line, so a text begins with an empty one.
    pub(super) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = write!(self.out, "\n{text}");
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    pub(super) fn paint(&self, text: &str, code: &str) -> String {
        match self.style {
            Style::Plain => text.to_owned(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// What stands before a metric's name.
const INDENT: usize = 4;

/// The widest of each column.
#[derive(Default)]
struct Widths {
    name: usize,
    value: usize,
    trend: Vec<usize>,
    extras: Vec<usize>,
}

// === impl Widths ===

impl Widths {
    fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Self {
        fn grow<'b>(widths: &mut Vec<usize>, columns: impl Iterator<Item = &'b String>) {
            for (i, column) in columns.enumerate() {
                match widths.get_mut(i) {
                    Some(had) => *had = (*had).max(width(column)),
                    None => widths.push(width(column)),
                }
            }
        }
        let mut widths = Self::default();
        for line in lines {
            // k6 makes room for a name and for what it shows of it, side by side.
            widths.name = widths.name.max(INDENT + width(&line.name) + width(&line.shown));
            match &line.figures {
                Cells::Trend(figures) => grow(&mut widths.trend, figures.iter().map(|(_, value)| value)),
                Cells::Other(value, extras) => {
                    widths.value = widths.value.max(width(value));
                    grow(&mut widths.extras, extras.iter());
                }
            }
        }
        widths
    }
}

// === impl Line ===

impl Line {
    fn of(metric: &MetricReport) -> Self {
        let shown = match metric.name.split_once('{') {
            Some((_, tags)) => format!("  {{ {} }}", tags.strip_suffix('}').unwrap_or(tags)),
            None => metric.name.clone(),
        };
        let value = |value: f64| format::value(value, metric.contains);
        let figures = match &metric.figures {
            Figures::Trend(TrendFigures { stats, .. }) => Cells::Trend(
                stats
                    .iter()
                    .map(|(name, figure)| (name.clone(), trend_value(name, *figure, metric.contains)))
                    .collect(),
            ),
            Figures::Rate(share) => {
                Cells::Other(format::percent(share.rate()), vec![format!("{} out of {}", share.passes, share.total)])
            }
            Figures::Counter { count, rate } => Cells::Other(value(*count), vec![format!("{}/s", value(*rate))]),
            Figures::Gauge { value: latest, min, max } => {
                Cells::Other(value(*latest), vec![format!("min={}", value(*min)), format!("max={}", value(*max))])
            }
        };
        Self { name: metric.name.clone(), shown, figures }
    }

    fn plain(name: &str, value: String, extra: String) -> Self {
        Self { name: name.into(), shown: name.into(), figures: Cells::Other(value, vec![extra]) }
    }
}

/// Whether a metric has a line: something was counted, or a threshold asks for it or for a part of it.
fn has_something(metric: &MetricReport, report: &RunReport) -> bool {
    let parent = metric.name.split('{').next().unwrap_or_default();
    let of_it =
        |name: &str| name == metric.name || name.split_once('{').is_some_and(|(parent, _)| parent == metric.name);
    if report.thresholds.iter().any(|threshold| of_it(&threshold.metric)) {
        return true;
    }
    if parent.len() < metric.name.len() {
        return report.metric(parent).is_some_and(|parent| has_something(parent, report));
    }
    match &metric.figures {
        Figures::Trend(figures) => figures.count > 0,
        Figures::Rate(share) => share.total > 0,
        Figures::Counter { count, .. } => *count != 0.0 || metric.section == Section::Network,
        Figures::Gauge { .. } => true,
    }
}

/// The figure that a threshold was judged by, as its metric's figures are written.
pub(super) fn threshold_value(result: &ThresholdResult, metric: &MetricReport) -> String {
    match metric.figures {
        Figures::Trend(_) => {
            let figure = Quantile { value: result.observed, censored: result.censored };
            trend_value(&result.aggregation.to_string(), figure, metric.contains)
        }
        Figures::Rate(_) => format::percent(result.observed),
        Figures::Counter { .. } if result.aggregation == Aggregation::Rate => {
            format!("{}/s", format::value(result.observed, metric.contains))
        }
        Figures::Counter { .. } | Figures::Gauge { .. } => format::value(result.observed, metric.contains),
    }
}

/// A figure of a trend; one that rests on work that never finished is at least this.
fn trend_value(name: &str, figure: Quantile, contains: Contains) -> String {
    let contains = if name == "count" { Contains::Default } else { contains };
    let bound = if figure.censored { "≥" } else { "" };
    format!("{bound}{}", format::value(figure.value, contains))
}

pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}
