//! Where something is compiled: the names known there, the place its checks are counted, and where problems go.

use super::names::{Names, Unknown};
use super::problems::Problems;
use crate::measure::{CheckId, LayoutBuilder, SiteId};
use crate::plan::Span;

/// Where something is compiled.
pub(crate) struct Site<'a, 'b> {
    pub(crate) names: Names<'a>,
    pub(crate) problems: &'a mut Problems<'b>,
    /// Where checks are counted; none outside of steps.
    pub(crate) counted: Option<(&'a mut LayoutBuilder, SiteId)>,
    /// Whether a missing variable is a failed check (it is none in a custom metric: that has no sample then).
    pub(crate) absence_fails: bool,
}

// === impl Site ===

impl Site<'_, '_> {
    /// The check `STEP KEY`.
    pub(crate) fn check(&mut self, key: &str) -> Option<CheckId> {
        let (layout, site) = self.counted.as_mut()?;
        Some(layout.check(*site, key))
    }

    /// The check that fails where `key` has no value.
    pub(crate) fn absent(&mut self, key: &str) -> Option<CheckId> {
        if self.absence_fails { self.check(key) } else { None }
    }

    /// Records an error.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<&str>) {
        self.problems.error(span, message, hint.map(str::to_owned));
    }

    /// Records a name that stands for nothing.
    pub(crate) fn unknown(&mut self, span: Span, unknown: Unknown) {
        self.problems.error(span, unknown.message, unknown.hint);
    }
}
