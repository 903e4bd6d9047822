//! A comparison for the terminal.

use super::{Comparing, Comparison, Outcome};
use crate::report::explain::grouped;
use crate::report::text::{CYAN, FAINT, GREEN, RED, Style, YELLOW, width};
use std::fmt::Write as _;

/// A comparison as text. It ends with a line's end.
#[must_use]
pub fn text(comparison: &Comparison, style: Style) -> String {
    let paint = |text: &str, code: &str| match style {
        Style::Plain => text.to_owned(),
        Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
    };
    let mut out = String::from("\n");
    for (what, side) in [("base", &comparison.base), ("new", &comparison.new)] {
        for run in &side.runs {
            let seconds = run.duration_ms / 1e3;
            let told =
                format!("{} requests in {seconds:.0} s, {}, {}", grouped(run.requests), run.verdict, run.started);
            let _ = writeln!(out, "  {what:<5} {}  {}", run.name, paint(&told, FAINT));
        }
    }
    out.push('\n');
    let name = |row: &Comparing| format!("{} {}", row.metric, row.stat);
    let cells = |row: &Comparing| [row.shown.text(row.base), row.shown.text(row.new), row.change_text()];
    let longest = comparison.rows.iter().map(|row| width(&name(row))).max().unwrap_or(0);
    let mut widths = [4, 3, 4];
    for row in &comparison.rows {
        widths.iter_mut().zip(cells(row)).for_each(|(known, cell)| *known = width(&cell).max(*known));
    }
    let right = |text: &str, to: usize| format!("{}{text}", " ".repeat(to.saturating_sub(width(text))));
    let mut told = false;
    for row in &comparison.rows {
        if row.outcome == Outcome::Told && !told {
            told = true;
            let _ = writeln!(out, "\n  {}", paint("not judged", FAINT));
        }
        let (mark, colour) = match row.outcome {
            Outcome::Worse => ("✗", RED),
            Outcome::Better => ("✓", GREEN),
            Outcome::Same => ("✓", FAINT),
            Outcome::Told => (" ", FAINT),
        };
        let [base, new, change] = cells(row);
        let name = name(row);
        let dots = ".".repeat(longest - width(&name) + 3);
        let _ = write!(out, "  {} {name}{} ", paint(mark, colour), paint(&format!("{dots}:"), FAINT));
        let change = right(&change, widths[2]);
        let change = if row.outcome == Outcome::Told { change } else { paint(&change, colour) };
        let figures = format!("{} → {}", right(&base, widths[0]), right(&new, widths[1]));
        let _ = write!(out, "{}  {change}", paint(&figures, CYAN));
        let interval = row.interval_text();
        if interval.is_empty() {
            out.push('\n');
        } else {
            let _ = writeln!(out, "  {}", paint(&interval, FAINT));
        }
    }
    out.push('\n');
    for note in &comparison.notes {
        let _ = writeln!(out, "  {}", paint(&format!("! {note}"), YELLOW));
    }
    let (mark, colour) = if comparison.is_regression() { ("✗", RED) } else { ("✓", GREEN) };
    let _ = writeln!(out, "\n  {}\n", paint(&format!("{mark} {}", comparison.sentence()), colour));
    out
}
