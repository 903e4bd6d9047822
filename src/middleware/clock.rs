//! The clock of the layers: the one place in the library that reads the system's own.
//!
//! tokio's clock, which tests can pause, is not there without tokio, and an API that embeds the layers does not pay
//! for tokio's sake. Whatever decides by time here takes the instant as a parameter, so tests need no pause.

use std::time::Instant;

/// Now.
#[inline]
pub(super) fn now() -> Instant {
    Instant::now()
}
