//! A pattern of keys that cannot mean everything.

use super::glob;
use crate::semconv::RunId;
use std::fmt;

/// How many bytes of literal text a pattern begins with before its first `*`, `?` or `[`, at least.
pub(super) const SHORTEST_PREFIX: usize = 3;
/// The longest pattern, in bytes. Redis matches it against every key.
const LONGEST: usize = 1024;

/// A pattern of keys, as Redis' SCAN takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As the plan writes it: what the figures are called by.
    written: String,
    /// With `{{ run }}` filled in.
    filled: String,
    prefix: Vec<u8>,
    exact: bool,
}

/// Why a text is no pattern of test data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Too much could match.
    #[error("it begins with fewer than {SHORTEST_PREFIX} characters of literal text, so it could match what is real")]
    Everything,
    /// Too long.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// A `{{ … }}` that is not `{{ run }}`.
    #[error("only `{{{{ run }}}}` is filled in here")]
    Template,
    /// A NUL or line break.
    #[error("it holds a control character")]
    Control,
}

// === impl Pattern ===

impl Pattern {
    /// Reads a pattern; `{{ run }}` in it is the id of `run`.
    ///
    /// # Errors
    /// Where it is none, or could match everything.
    pub fn parse(text: &str, run: RunId) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(PatternError::Control);
        }
        let filled = fill(text, run)?;
        if filled.len() > LONGEST {
            return Err(PatternError::TooLong);
        }
        let (prefix, exact) = glob::literal_prefix(filled.as_bytes());
        // One key, named in full, can mean nothing else.
        if !exact && prefix.len() < SHORTEST_PREFIX {
            return Err(PatternError::Everything);
        }
        Ok(Self { written: text.to_owned(), filled, prefix, exact })
    }

    /// As the plan writes it.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// As it is sent.
    pub(super) fn filled(&self) -> &str {
        &self.filled
    }

    /// What every key that it matches begins with.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether it names one key.
    pub(super) const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Whether it holds `{{ run }}`.
    pub(super) fn is_per_run(&self) -> bool {
        self.written.contains("{{")
    }

    /// Whether a key is test data.
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix) && glob::matches(self.filled.as_bytes(), key)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Fills in `{{ run }}`.
fn fill(text: &str, run: RunId) -> Result<String, PatternError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").ok_or(PatternError::Template)?;
        if name.trim() != "run" {
            return Err(PatternError::Template);
        }
        out.push_str(before);
        out.push_str(&run.to_string());
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn of(text: &str) -> Result<Pattern, PatternError> {
        Pattern::parse(text, RunId::new(0x0123_4567_89ab_cdef))
    }

    #[test]
    fn what_could_match_everything_is_refused() {
        for text in ["*", "**", "?*", "*?", "[^x]*", "[a-z]*", "??*", "*session", "s*", "ab*", "\\a*", "\\**"] {
            assert_eq!(of(text), Err(PatternError::Everything), "{text}");
        }
        assert_eq!(of(""), Err(PatternError::Empty));
        assert_eq!(of("test-\0*"), Err(PatternError::Control));
        assert_eq!(of(&"x".repeat(2000)), Err(PatternError::TooLong));
        assert_eq!(of("test-{{ user }}*"), Err(PatternError::Template));
        assert_eq!(of("test-{{ run *"), Err(PatternError::Template));
    }

    #[test]
    fn what_begins_with_literal_text_is_one() {
        for text in ["session:test-*", "tst?", "x", "a\\*b*", "{{ run }}*"] {
            assert!(of(text).is_ok(), "{text}");
        }
        let pattern = of("cache:{{ run }}:*").unwrap();
        assert!(pattern.is_per_run() && !pattern.is_exact());
        assert!(pattern.matches(b"cache:0123456789abcdef:1") && !pattern.matches(b"cache:fedcba9876543210:1"));
        assert_eq!(pattern.written(), "cache:{{ run }}:*");
    }
}
