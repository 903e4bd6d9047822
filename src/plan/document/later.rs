//! Sections whose keys are known and which are refused with 'not yet' where they are used.

use super::JudgeDocument;
use crate::plan::node::Node;

/// Sections that do not work yet; all but `judge` are read for their keys only.
#[derive(Clone, Debug, Default)]
pub struct Later {
    /// `judge:`
    pub judge: Option<JudgeDocument>,
    /// `correlate:`
    pub correlate: Option<Node>,
    /// `slo:`
    pub slo: Option<Node>,
    /// `tune:`
    pub tune: Option<Node>,
}
