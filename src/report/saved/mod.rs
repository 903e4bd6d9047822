//! The result file: a run with all that was counted, so that it can be rendered again, compared, and added to others.
//!
//! One JSON document (docs/results.md has its keys). It holds histograms, not percentiles, because percentiles do not
//! add up; and what the plan asked (thresholds, judges), so that several workers' results are judged as one run without
//! the plan. No value of `-e`, no header and no body stands in it.

mod environment;
mod merge;
mod open;
mod read;
#[cfg(test)]
pub(in crate::report) mod tests;
mod thresholds;

pub use environment::Environment;
pub use merge::merge;
pub use open::Opened;
pub(crate) use open::Shown;
pub use read::{ResultError, read};
pub(crate) use thresholds::SavedThreshold;

use super::correlation::CorrelationReport;
use super::result::{CleanupReport, OutputReport, RunReport};
use super::summary::summary;
use super::verdict::{Exit, Verdict};
use crate::judge::{Fidelity, JudgeReport, SavedJudges};
use crate::measure::plain;
use crate::measure::{Course, SavedTotals};
use crate::semconv::RunId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// The version that is written. One is added where an older reader would misread what is written.
pub const VERSION: u32 = 1;
/// The outputs that there are.
const OUTPUTS: [&str; 4] = ["json", "influxdb", "prometheus-rw", "otlp"];
/// What tells a result from any other JSON.
pub(crate) const FORMAT: &str = "pacecar-result";

/// A run as a result file holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedRun {
    /// Always `pacecar-result`.
    pub(crate) format: String,
    /// The format's version.
    pub(crate) version: u32,
    /// The version of pacecar that wrote it.
    pub pacecar: String,
    /// Which run.
    pub run: SavedMeta,
    /// Who played it: one, or all that were merged.
    pub workers: Vec<Worker>,
    /// What the plan asks of it.
    #[serde(default)]
    pub(crate) thresholds: Vec<SavedThreshold>,
    /// What the judges were asked.
    #[serde(default)]
    pub(crate) judges: SavedJudges,
    /// What they came to.
    #[serde(default)]
    pub(crate) judge: JudgeReport,
    /// Whether the figures may be believed.
    #[serde(default)]
    pub(crate) fidelity: Fidelity,
    /// What correlation came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<CorrelationReport>,
    /// What cleanup did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cleanup: Option<CleanupReport>,
    /// What became of the points of each output: written and lost.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    outputs: BTreeMap<String, (u64, u64)>,
    /// `--summary-trend-stats` of the run.
    #[serde(default)]
    pub(crate) trend_stats: String,
    /// As `--summary-export` writes it, for other programs; never read again.
    #[serde(skip_deserializing)]
    summary: Value,
    /// All that was counted.
    pub(crate) totals: SavedTotals,
    /// The run over time, step by step.
    #[serde(default)]
    pub(crate) course: Course,
}

/// Which run, and what it came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedMeta {
    /// Its id; of merged ones the first's.
    pub id: RunId,
    /// The plan's name.
    pub plan: String,
    /// Of the plan's text, before anything was filled in.
    pub digest: String,
    /// What it came to.
    pub verdict: Verdict,
    /// The exit code.
    pub exit: u8,
    /// When it started.
    #[serde(with = "instant")]
    pub started: SystemTime,
    /// From its start to the end of its load; of merged ones the time in which any of them played.
    #[serde(rename = "duration_ms", with = "plain::ms")]
    pub duration: Duration,
    /// How much of that it was paused.
    #[serde(rename = "paused_ms", with = "plain::ms")]
    pub paused: Duration,
    /// What a person should read beside the figures.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Who played a run, or a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    /// The id under which it played.
    pub id: RunId,
    /// Which part, as `--execution-segment` has it.
    pub segment: String,
    /// When it started.
    #[serde(with = "instant")]
    pub started: SystemTime,
    /// For how long it played.
    #[serde(rename = "duration_ms", with = "plain::ms")]
    pub duration: Duration,
    /// What its part alone came to.
    pub verdict: Verdict,
    /// On what.
    #[serde(default)]
    pub environment: Environment,
}

/// What a run is kept with beside its report.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) digest: String,
    pub(crate) segment: String,
    pub(crate) environment: Environment,
    pub(crate) thresholds: Vec<SavedThreshold>,
    pub(crate) judges: SavedJudges,
    pub(crate) trend_stats: String,
    pub(crate) totals: SavedTotals,
    pub(crate) course: Course,
}

// === impl SavedRun ===

impl SavedRun {
    /// A run that just ended.
    pub(crate) fn new(report: &RunReport, kept: Kept, exit: Exit, problems: &[String]) -> Self {
        let meta = &report.run;
        let worker = Worker {
            id: meta.id,
            segment: kept.segment,
            started: meta.started,
            duration: meta.duration,
            verdict: meta.verdict,
            environment: kept.environment,
        };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            pacecar: env!("CARGO_PKG_VERSION").to_owned(),
            run: SavedMeta {
                id: meta.id,
                plan: meta.plan.clone(),
                digest: kept.digest,
                verdict: meta.verdict,
                exit: exit.code(),
                started: meta.started,
                duration: meta.duration,
                paused: meta.paused,
                problems: problems.to_vec(),
            },
            workers: vec![worker],
            thresholds: kept.thresholds,
            judges: kept.judges,
            judge: report.judge.clone(),
            fidelity: report.fidelity.clone(),
            correlation: report.correlation.clone(),
            cleanup: report.cleanup.clone(),
            outputs: report.outputs.iter().map(|it| (it.name.to_owned(), (it.written, it.lost))).collect(),
            trend_stats: kept.trend_stats,
            summary: summary(report),
            totals: kept.totals,
            course: kept.course,
        }
    }

    /// As it is written: one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be JSON: keys are texts and floats are finite or null.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// What became of the points of each output.
    fn outputs(&self) -> Vec<OutputReport> {
        // One that this version does not know is not told.
        let known = |name: &String| OUTPUTS.into_iter().find(|known| known == name);
        let of = |(name, (written, lost)): (&String, &(u64, u64))| {
            Some(OutputReport { name: known(name)?, written: *written, lost: *lost })
        };
        self.outputs.iter().filter_map(of).collect()
    }

    /// How the run ended.
    #[must_use]
    pub fn exit(&self) -> Exit {
        Exit::of(self.run.exit).unwrap_or_else(|| self.run.verdict.exit())
    }

    /// Whether it was put together from several.
    #[must_use]
    pub fn is_merged(&self) -> bool {
        self.workers.len() > 1
    }
}

/// RFC 3339, as the summary has it.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::borrow::Cow;
    use std::time::SystemTime;

    pub(super) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_nanos(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        humantime::parse_rfc3339_weak(&text).map_err(D::Error::custom)
    }
}
