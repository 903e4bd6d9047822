//! Sections beside the run itself; `slo` is read for its keys only and refused where it is used.

use super::{CorrelateDocument, JudgeDocument, TuneDocument};
use crate::plan::node::Node;

/// `judge`, `correlate`, `tune`, and `slo`, which does not work yet and is read for its keys only.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// `judge:`
    pub judge: Option<JudgeDocument>,
    /// `correlate:`
    pub correlate: Option<CorrelateDocument>,
    /// `slo:`
    pub slo: Option<Node>,
    /// `tune:`
    pub tune: Option<TuneDocument>,
}
