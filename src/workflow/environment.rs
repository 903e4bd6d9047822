//! The values of `-e`, which steps read as `{{ env.NAME }}`.
//!
//! Their own type because they hold secrets: it never shows more than names.

use crate::plan::Text;
use std::collections::BTreeMap;
use std::fmt;

/// Values by name, for `{{ env.NAME }}`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

// === impl Environment ===

impl Environment {
    /// These values by name.
    #[must_use]
    pub const fn new(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// These values with a scenario's own over them.
    pub(crate) fn overlaid(&self, own: &[(Text, Text)]) -> Self {
        let mut all = self.0.clone();
        all.extend(own.iter().map(|(name, value)| (name.value.clone(), value.value.clone())));
        Self(all)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
