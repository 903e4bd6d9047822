//! Cleanup's outcome as the figures of a report.

use super::result::{CleanupReport, TableReport};
use crate::cleanup::{CleanupOutcome, TableOutcome};

// === impl CleanupReport ===

impl CleanupReport {
    /// Adds what was cleaned elsewhere: keys beside rows, say.
    pub fn add(&mut self, other: Self) {
        self.tables.extend(other.tables);
        self.remaining += other.remaining;
        self.quarantined += other.quarantined;
        self.dry_run |= other.dry_run;
    }
}

impl From<&CleanupOutcome> for CleanupReport {
    fn from(outcome: &CleanupOutcome) -> Self {
        Self {
            tables: outcome.tables.iter().map(TableReport::from).collect(),
            remaining: outcome.remaining,
            quarantined: outcome.quarantined,
            dry_run: outcome.dry_run,
        }
    }
}

impl From<&TableOutcome> for TableReport {
    fn from(table: &TableOutcome) -> Self {
        Self { table: table.name.clone(), found: table.found, deleted: table.deleted }
    }
}
