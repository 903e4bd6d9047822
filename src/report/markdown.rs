//! A run for a comment on a pull request, and what keeps a stranger's text from being Markdown.

use super::explain::{figures_sentence, questions, verdict_sentence};
use super::result::RunReport;
use super::verdict::Verdict;
use std::fmt::Write as _;

/// A run as Markdown: its verdict, why, and what was asked of it.
#[must_use]
pub fn markdown(report: &RunReport) -> String {
    let run = &report.run;
    let mark = match run.verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Invalid => "⚠️",
    };
    let mut out = format!("### {mark} {}: {}\n\n", run.verdict.as_str(), cell(&run.plan));
    let _ = writeln!(out, "{}\n\n{}\n", cell(&verdict_sentence(report)), cell(&figures_sentence(report)));
    let asked = questions(report);
    if !asked.is_empty() {
        out.push_str("| | asked | seen |\n|---|---|---|\n");
        for (name, held, seen) in asked {
            let _ = writeln!(out, "| {} | {} | {} |", if held { "✅" } else { "❌" }, code(&name), cell(&seen));
        }
        out.push('\n');
    }
    if let Some(cleanup) = &report.cleanup {
        let deleted: u64 = cleanup.tables.iter().map(|table| table.deleted).sum();
        let _ = writeln!(out, "Cleanup: {deleted} rows deleted, {} left.\n", cleanup.remaining);
    }
    let _ = writeln!(out, "Run {}", code(&run.id.to_string()));
    out
}

/// Text in running Markdown or in a cell of a table: never a link, a tag, a mention or another cell.
pub(super) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text as code. A backtick in it would end it, and a bar the cell.
pub(super) fn code(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| match c {
            '`' => '\'',
            '|' => '¦',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    format!("`{clean}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_is_no_markdown() {
        let text = cell("[x](javascript:1) <b> @everyone | `c` **b** #1 ![i](u)\n\n# h");
        assert!(
            !text.contains("[x](") && !text.contains("<b>") && !text.contains('@') && !text.contains('\n'),
            "{text}"
        );
        assert_eq!(code("a`b|c\nd"), "`a'b¦c d`");
    }
}
