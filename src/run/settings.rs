//! What a run is given beside its plan.

use super::{Mode, Overrides, TrialLoad};
use crate::client;
use crate::plan::Variables;
use crate::report::TrendStats;
use crate::semconv::RunId;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The plan's text, and how it is called.
#[derive(Clone, Debug)]
pub struct Source {
    /// How messages call it: its path, or `-`.
    pub name: String,
    /// Its bytes; they need not be UTF-8.
    pub bytes: Vec<u8>,
    /// Where its data files are.
    pub directory: PathBuf,
}

/// What a run is given beside its plan.
#[derive(Clone)]
pub struct Settings {
    /// The run's id.
    pub run: RunId,
    /// What it is for.
    pub mode: Mode,
    /// What `${}` is filled from.
    pub variables: Variables,
    /// What flags change about the plan.
    pub overrides: Overrides,
    /// What flags change about the client.
    pub client: client::Overrides,
    /// `--tag`: tags of every sample.
    pub tags: Vec<(String, String)>,
    /// `--workers`; none is as many as cores.
    pub workers: Option<NonZeroUsize>,
    /// `--execution-segment A:B`.
    pub segment: Option<String>,
    /// `--execution-segment-sequence`.
    pub segment_sequence: Option<String>,
    /// `--summary-trend-stats`.
    pub trend_stats: TrendStats,
    /// Whether all that is counted is kept for a result or a report; `report:` in the plan asks for it, too.
    pub keep: bool,
    /// Where the run is a trial of a tune: what of the plan it drives, and how long.
    pub trial: Option<TrialLoad>,
}

// === impl Settings ===

impl Settings {
    /// A run of this id with nothing but variables: what no flag at all gives.
    #[must_use]
    pub fn new(run: RunId, variables: Variables) -> Self {
        Self {
            run,
            mode: Mode::default(),
            variables,
            overrides: Overrides::default(),
            client: client::Overrides::default(),
            tags: Vec::new(),
            workers: None,
            segment: None,
            segment_sequence: None,
            trend_stats: TrendStats::default(),
            keep: false,
            trial: None,
        }
    }
}
