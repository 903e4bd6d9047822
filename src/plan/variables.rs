//! What `${NAME}` is filled from: `-e` first, then the process environment.
//!
//! Keys are filled as values are. What is filled in is never YAML and never filled again; a
//! `{{ … }}` in it is a template like any other, so that a whole template can be given.
//!
//! A plain value, so that reading a plan touches no process state and tests need none.

use std::collections::BTreeMap;

/// What `${NAME}` is filled from.
#[derive(Clone, Default)]
pub struct Variables {
    /// `-e NAME=VALUE`: asked first.
    pub given: BTreeMap<String, String>,
    /// The process environment: asked second.
    pub environment: BTreeMap<String, String>,
}

// === impl Variables ===

impl Variables {
    /// Variables from `-e` and from the environment.
    pub fn new(
        given: impl IntoIterator<Item = (String, String)>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self { given: given.into_iter().collect(), environment: environment.into_iter().collect() }
    }

    /// The value of a name, where it is set. One that `-e` sets to nothing is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.get(name).or_else(|| self.environment.get(name)).map(String::as_str)
    }
}

impl std::fmt::Debug for Variables {
    /// The names only: the values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables")
            .field("given", &self.given.keys())
            .field("environment", &self.environment.len())
            .finish()
    }
}
