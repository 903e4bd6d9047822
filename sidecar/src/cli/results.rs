//! The flags of what reads results: `report`, `merge`, `compare`.

use crate::results::{Wanted, named};
use clap::{Args, ValueEnum};

pub(super) const REPORT_HELP: &str = "\
Examples:
  pacecar report result.json                             the summary, as `run` printed it
  pacecar report result.json --report report.html        one HTML file that opens offline

Exits with 0 whatever the run's verdict was, and with 104 where the file is no result.";

pub(super) const MERGE_HELP: &str = "\
Examples:
  pacecar merge worker-0.json worker-1.json worker-2.json
  pacecar merge worker-*.json --result whole.json --report report.html

The exit code is the verdict of the whole, as that of `run`; 104 where a file is no result, or the files are of
different plans, or hold the same run twice.";

pub(super) const COMPARE_HELP: &str = "\
Examples:
  pacecar compare main.json branch.json
  pacecar compare --base main-1.json --base main-2.json branch-1.json branch-2.json
  pacecar compare main.json branch.json --markdown >comment.md

The first is the base, unless --base names it; the others are runs of what is new. Several runs of each tell a
difference from noise; one of each tells what to look at. Exits with 99 where something got worse by more than the
threshold and more than the noise, or where a larger share of requests failed; with 104 where a file is no result.";

/// How a comparison or a run is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // For the terminal. (No doc comments here: clap would show every help in its long form because of them.)
    #[default]
    Text,
    // For a comment on a pull request.
    Markdown,
    // For programs.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// BASE NEW…: results, as `--result` wrote them
    #[arg(value_name = "RESULT", required = true)]
    pub(crate) results: Vec<String>,
    /// A run of the base; all others are new (repeatable)
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_BASE")]
    pub(crate) base: Vec<String>,
    /// What changes by less is the same; 10% by default
    #[arg(long, value_name = "PERCENT", hide_env = true, env = "PACECAR_THRESHOLD_PERCENT")]
    pub(crate) threshold: Option<String>,
    /// text, markdown or json
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_env = true,
        hide_possible_values = true,
        env = "PACECAR_FORMAT"
    )]
    format: Format,
    /// As --format markdown
    #[arg(long, hide_env = true, env = "PACECAR_MARKDOWN", value_parser = clap::builder::FalseyValueParser::new())]
    markdown: bool,
}

// === impl CompareArgs ===

impl CompareArgs {
    /// How it is written.
    pub(crate) const fn format(&self) -> Format {
        if self.markdown { Format::Markdown } else { self.format }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A result, as `--result` wrote it
    #[arg(value_name = "RESULT")]
    pub(crate) result: String,
    /// Print Markdown, for a comment on a pull request
    #[arg(long, hide_env = true, env = "PACECAR_MARKDOWN", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) markdown: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Results of one plan, as `--result` wrote them
    #[arg(value_name = "RESULT", required = true)]
    pub(crate) results: Vec<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// What is written beside the summary on standard output.
#[derive(Debug, Default, Args)]
pub(crate) struct WriteArgs {
    /// Write the summary as JSON, in k6's shape
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_SUMMARY_EXPORT", help_heading = "Output")]
    pub(crate) summary_export: Option<String>,
    /// Write the result
    #[arg(
        id = "write_result",
        long = "result",
        value_name = "FILE",
        hide_env = true,
        env = "PACECAR_RESULT",
        help_heading = "Output"
    )]
    pub(crate) result: Option<String>,
    /// Write a report: one HTML file that opens offline
    #[arg(long, value_name = "FILE.html", hide_env = true, env = "PACECAR_REPORT", help_heading = "Output")]
    pub(crate) report: Option<String>,
    /// Write JUnit XML: thresholds and judges as test cases
    #[arg(long, value_name = "FILE.xml", hide_env = true, env = "PACECAR_JUNIT", help_heading = "Output")]
    pub(crate) junit: Option<String>,
}

// === impl WriteArgs ===

impl WriteArgs {
    /// What is wanted.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            summary: named(self.summary_export.as_ref()),
            result: named(self.result.as_ref()),
            report: named(self.report.as_ref()),
            junit: named(self.junit.as_ref()),
        }
    }
}
