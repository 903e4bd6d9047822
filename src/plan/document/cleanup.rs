//! `cleanup:`: what is test data, and how it is deleted.

use super::Text;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// What is test data, and how it is deleted.
#[derive(Clone, Debug)]
pub struct Cleanup {
    /// Where the section stands.
    pub span: Span,
    /// Rows in Postgres.
    pub postgres: Option<CleanupPostgres>,
    /// Keys in Redis.
    pub redis: Option<CleanupRedis>,
    /// When it runs. Nowhere where the plan does not say: then [`When::End`], or what
    /// [`Cleanup::decide_when`] makes of it.
    pub when: Spanned<When>,
    /// A run that has not renewed its lease for so long is dead. Default 60 s.
    pub lease: Spanned<Duration>,
    /// How long to wait for stragglers before the sweep. Default 0.
    pub settle: Spanned<Duration>,
    /// How old a row must be to be swept while traffic runs. Default 0. At the end everything goes.
    pub keep_for: Spanned<Duration>,
}

/// When cleanup runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the end of the run. The default.
    End,
    /// Not at all.
    Never,
    /// Again and again, at this interval.
    Every(Duration),
}

/// Rows in Postgres.
#[derive(Clone, Debug)]
pub struct CleanupPostgres {
    /// Where the section stands.
    pub span: Span,
    /// The connection string; empty is off, with a warning.
    pub url: Text,
    /// The database it must be.
    pub database: Option<Text>,
    /// What is test data.
    pub roots: Vec<Root>,
    /// Whether the roots' rows stay. Default false.
    pub keep_roots: Spanned<bool>,
    /// What is real whatever it refers to.
    pub keep: Vec<Keep>,
    /// Whether what refers to the roots is test data too. Default [`Follow::ForeignKeys`].
    pub follow: Spanned<Follow>,
    /// Default [`Ledger::Off`].
    pub ledger: Spanned<Ledger>,
    /// Rows per statement. Default 1,000.
    pub batch: Spanned<u32>,
    /// The most rows that may match. Default 1,000,000.
    pub max_rows: Spanned<u64>,
    /// The most rows deleted in a second. Default 20,000.
    pub max_rows_per_second: Spanned<u32>,
}

/// A predicate that says what is test data.
#[derive(Clone, Debug)]
pub struct Root {
    /// The table: `name` or `schema.name`, quoted as Postgres quotes.
    pub table: Text,
    /// The predicate; `{{ run }}` is this run's id.
    pub where_: Option<Text>,
    /// The largest share of its table that it may match. Default 0.5.
    pub max_share: Spanned<f64>,
    /// The column that says how old a row is.
    pub age: Option<Text>,
}

/// What is real whatever it refers to.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The table.
    pub table: Text,
    /// The predicate.
    pub where_: Text,
}

/// Whether what refers to the roots is test data too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The roots only.
    None,
    /// Also all that refers to the roots.
    ForeignKeys,
}

/// The record of rows by run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// None.
    Off,
    /// Per run, by triggers.
    Record,
    /// Ledger and roots must agree.
    TwoKey,
}

/// Keys in Redis.
#[derive(Clone, Debug)]
pub struct CleanupRedis {
    /// Where the section stands.
    pub span: Span,
    /// The address; empty is off, with a warning.
    pub url: Text,
    /// Patterns of keys.
    pub patterns: Vec<Text>,
    /// The most keys that one pattern may match. Default 1,000,000.
    pub max_keys: Spanned<u64>,
    /// The most keys deleted in a second. Default 20,000.
    pub max_keys_per_second: Spanned<u32>,
}

// === impl When ===

impl When {
    /// How often an endless use sweeps where the plan does not say.
    const ENDLESS: Duration = Duration::from_secs(600);

    /// When cleanup runs where the plan does not say: at the end, or, where there is none (a canary), every 10 minutes.
    #[must_use]
    pub const fn default_of(endless: bool) -> Self {
        if endless { Self::Every(Self::ENDLESS) } else { Self::End }
    }
}

// === impl Cleanup ===

impl Cleanup {
    /// Decides when it runs where neither the plan nor a flag says so.
    pub fn decide_when(&mut self, endless: bool) {
        if self.when.span == Span::NONE && self.when.value == When::End {
            self.when.value = When::default_of(endless);
        }
    }
}
