//! Sections whose keys are known and which are refused with 'not yet' where they are used.

use super::{CorrelateDocument, JudgeDocument};
use crate::plan::node::Node;

/// `judge` and `correlate`, and sections that do not work yet: those are read for their keys only.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// `judge:`
    pub judge: Option<JudgeDocument>,
    /// `correlate:`
    pub correlate: Option<CorrelateDocument>,
    /// `slo:`
    pub slo: Option<Node>,
    /// `tune:`
    pub tune: Option<Node>,
}
