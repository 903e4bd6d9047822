//! Reading what is asked for in a text and in variables, without repeating what may be a secret.

use crate::correlate::Lookup;
use crate::plan::units;
use std::time::Duration;
use url::Url;

/// Why an output cannot be as it was asked for. It names keys and variables, never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: String,
    /// Whether it is something that the format has and that does not work yet.
    pub(super) not_yet: bool,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), not_yet: false }
    }

    pub(super) fn not_yet(what: impl Into<String>) -> Self {
        Self { problem: what.into(), not_yet: true }
    }
}

/// The value of a variable; an empty one is as if it were not set.
pub(super) fn variable(lookup: &Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Reads a variable, if it is set.
pub(super) fn read<T>(
    lookup: &Lookup<'_>,
    name: &str,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, Refusal> {
    variable(lookup, name).map(|value| parse(name, &value, read, expected)).transpose()
}

/// Reads a value that is called `name`.
pub(super) fn parse<T>(
    name: &str,
    value: &str,
    read: impl FnOnce(&str) -> Option<T>,
    expected: &str,
) -> Result<T, Refusal> {
    read(value).ok_or_else(|| Refusal::new(format!("{name}: not {expected}")))
}

/// `true` or `false`, as Go reads them.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A time that is not zero; a bare number is milliseconds, as in k6.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let milliseconds = text.parse().ok().and_then(|ms| units::milliseconds(ms).ok());
    milliseconds.or_else(|| units::duration(text).ok()).filter(|interval| !interval.is_zero())
}

/// A URL that can be pushed to.
pub(super) fn url(text: &str) -> Option<Url> {
    Url::parse(text.trim()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
