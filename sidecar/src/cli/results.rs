//! The flags of what reads results: `report`, `merge`.

use crate::results::{Wanted, named};
use clap::Args;

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

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// A result, as `--result` wrote it
    #[arg(value_name = "RESULT")]
    pub(crate) result: String,
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
}

// === impl WriteArgs ===

impl WriteArgs {
    /// What is wanted.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            summary: named(self.summary_export.as_ref()),
            result: named(self.result.as_ref()),
            report: named(self.report.as_ref()),
        }
    }
}
