//! Sections beside the run itself; `slo` is read for its keys only and refused where it is used.

use super::{CorrelateDocument, JudgeDocument, SloDocument, TuneDocument};

/// `judge`, `correlate`, `slo` and `tune`.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// `judge:`
    pub judge: Option<JudgeDocument>,
    /// `correlate:`
    pub correlate: Option<CorrelateDocument>,
    /// `slo:`
    pub slo: Vec<SloDocument>,
    /// `tune:`
    pub tune: Option<TuneDocument>,
}
