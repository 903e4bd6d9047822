//! Deletes the keys that a run caused in Redis: SCAN and UNLINK under a prefix, never FLUSHDB.
//!
//! What is test data is a **pattern** ([`Pattern`]) that begins with literal text: a pattern that could
//! mean everything is refused when the plan is read. A key is deleted by its name, and only after it was
//! held against the pattern here too: what a server or a proxy hands back proves nothing by itself.

mod compile;
mod error;
mod glob;
mod pattern;
mod session;
mod sweep;

pub use compile::{RedisPlan, compile};
pub use error::{RedisRefusal, Said};
pub use pattern::{Pattern, PatternError};
pub use sweep::{dry_run, preflight, sweep};
