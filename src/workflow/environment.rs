//! What steps know that stands in no plan: the values of `-e`, read as `{{ env.NAME }}`; in the request that sets them
//! the values of knobs, read as `{{ knobs.NAME }}`; and where dice come from.
//!
//! Its own type because it holds secrets: it never shows more than names.

use crate::plan::Text;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What steps know that stands in no plan.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, String>,
    knobs: Option<Map<String, Value>>,
    seed: Option<u64>,
}

// === impl Environment ===

impl Environment {
    /// These values of `-e` by name, and nothing else.
    #[must_use]
    pub const fn new(values: BTreeMap<String, String>) -> Self {
        Self { values, knobs: None, seed: None }
    }

    /// The same with values of knobs.
    #[must_use]
    pub fn with_knobs(self, knobs: Map<String, Value>) -> Self {
        Self { knobs: Some(knobs), ..self }
    }

    /// The same with dice that fall as those of every other program of this seed, instead of the run's own.
    #[must_use]
    pub fn with_seed(self, seed: Option<u64>) -> Self {
        Self { seed, ..self }
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// These values with a scenario's own over them.
    pub(crate) fn overlaid(&self, own: &[(Text, Text)]) -> Self {
        let mut all = self.clone();
        all.values.extend(own.iter().map(|(name, value)| (name.value.clone(), value.value.clone())));
        all
    }

    /// The values of knobs, where there are any to know.
    pub(crate) const fn knobs(&self) -> Option<&Map<String, Value>> {
        self.knobs.as_ref()
    }

    /// Where dice come from; none: from the run.
    pub(crate) const fn seed(&self) -> Option<u64> {
        self.seed
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}
