//! A comparison for a comment on a pull request.

use super::{Comparing, Comparison, Outcome};
use crate::report::explain::grouped;
use crate::report::markdown::{cell, code};
use std::fmt::Write as _;

/// A comparison as Markdown: the verdict, what was judged, and folded away what was not. What came from plan or target
/// is text.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mark = if comparison.is_regression() { "❌" } else { "✅" };
    let mut out = format!("### {mark} pacecar: {}\n\n", cell(&comparison.sentence()));
    let judged: Vec<_> = comparison.rows.iter().filter(|row| row.outcome != Outcome::Told).collect();
    let told: Vec<_> = comparison.rows.iter().filter(|row| row.outcome == Outcome::Told).collect();
    table(&mut out, &judged);
    for (what, side) in [("base", &comparison.base), ("new", &comparison.new)] {
        for run in &side.runs {
            let (requests, seconds) = (grouped(run.requests), run.duration_ms / 1e3);
            let _ = writeln!(
                out,
                "- {what}: {} · {requests} requests in {seconds:.0} s · {} · run {}",
                code(&run.name),
                run.verdict,
                code(&run.id)
            );
        }
    }
    out.push('\n');
    for note in &comparison.notes {
        let _ = writeln!(out, "> {}", cell(note));
    }
    if !told.is_empty() {
        out.push_str("\n<details><summary>Figures that are not judged</summary>\n\n");
        table(&mut out, &told);
        out.push_str("</details>\n");
    }
    out
}

fn table(out: &mut String, rows: &[&Comparing]) {
    if rows.is_empty() {
        return;
    }
    out.push_str("| | figure | base | new | difference | 95 % sure |\n|---|---|---:|---:|---:|---|\n");
    for row in rows {
        let mark = match row.outcome {
            Outcome::Worse => "❌",
            Outcome::Better => "🟢",
            Outcome::Same | Outcome::Told => "",
        };
        let bold = if row.outcome == Outcome::Worse { "**" } else { "" };
        let _ = writeln!(
            out,
            "| {mark} | {} | {} | {} | {bold}{}{bold} | {} |",
            code(&format!("{} {}", row.metric, row.stat)),
            row.shown.text(row.base),
            row.shown.text(row.new),
            row.change_text(),
            row.interval_text().trim_matches(['(', ')']),
        );
    }
    out.push('\n');
}
