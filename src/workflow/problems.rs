//! Diagnostics of this room: each once, though a workflow is compiled for every scenario that plays it.

use crate::plan::{Diagnostics, Span};
use std::collections::HashSet;

/// Collects problems and drops those already said at the same place.
pub(crate) struct Problems<'a> {
    diagnostics: &'a mut Diagnostics,
    said: HashSet<(Span, String)>,
    errors: usize,
}

// === impl Problems ===

impl<'a> Problems<'a> {
    pub(crate) fn new(diagnostics: &'a mut Diagnostics) -> Self {
        Self { diagnostics, said: HashSet::new(), errors: 0 }
    }

    /// Records an error, with a hint where there is one.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.errors += 1;
        let message = message.into();
        if self.said.insert((span, message.clone())) {
            let item = self.diagnostics.error(span, message);
            if let Some(hint) = hint {
                item.hint(hint);
            }
        }
    }

    /// Records a warning.
    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) {
        let message = message.into();
        if self.said.insert((span, message.clone())) {
            self.diagnostics.warning(span, message);
        }
    }

    /// Notes that something is wrong that the plan's reader has said already.
    pub(crate) const fn failed(&mut self) {
        self.errors += 1;
    }

    /// Whether any error was recorded.
    pub(crate) const fn has_errors(&self) -> bool {
        self.errors > 0
    }
}

/// A hint that names the candidate which is spelled most like `name`, where one is near.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}
