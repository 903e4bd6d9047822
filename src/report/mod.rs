//! After a run: its result as data, then as text and JSON, and what it means for the exit code.

pub mod chart;
mod cleanup;
pub mod compare;
mod correlation;
mod explain;
mod fidelity;
pub mod format;
mod html;
mod judge;
mod junit;
mod markdown;
pub mod result;
pub mod saved;
pub mod stats;
pub mod summary;
pub mod text;
mod timelines;
mod tune;
pub mod verdict;

#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare};
pub use correlation::{CorrelationReport, ReceiverFigures};
pub use explain::{figures_sentence, verdict_sentence};
pub use html::{HtmlError, html};
pub use junit::junit;
pub use markdown::markdown;
pub use result::{
    CheckReport, CleanupReport, Figures, GroupReport, Judged, MetricReport, OutputReport, RunMeta, RunReport, Section,
    TableReport, TrendFigures,
};
pub(crate) use result::{groups as live_groups, metrics as live_metrics};
pub use saved::{Opened, ResultError, SavedRun};
pub use stats::{TrendStatError, TrendStats};
pub use summary::summary;
pub use text::{Style, cleanup_text, text};
pub use timelines::{GeneratorUse, MovedReport, TimelinesReport};
pub use tune::{TuneText, tune_exit, tune_value};
pub use verdict::{Exit, Verdict};
