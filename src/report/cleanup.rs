//! Cleanup's outcome as the figures of a report, and as its section CLEANUP.

use super::result::{CleanupReport, TableReport};
use super::text::{CYAN, FAINT, GREEN, Page, RED, YELLOW, width};
use crate::cleanup::{CleanupOutcome, TableOutcome};

// === impl CleanupReport ===

impl CleanupReport {
    /// Adds what was cleaned elsewhere: keys beside rows, say.
    pub fn add(&mut self, other: Self) {
        self.tables.extend(other.tables);
        self.blocked.extend(other.blocked);
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
            blocked: outcome.blocked.iter().map(ToString::to_string).collect(),
            dry_run: outcome.dry_run,
        }
    }
}

// === impl TableReport ===

impl TableReport {
    /// Rows that are deleted, and rows that remain then; of a dry run those that a sweep would come to, so that both
    /// print the same.
    fn ended(&self, dry_run: bool) -> (u64, u64) {
        if dry_run {
            (self.remaining.saturating_sub(self.quarantined), self.quarantined)
        } else {
            (self.deleted, self.remaining)
        }
    }
}

impl From<&TableOutcome> for TableReport {
    fn from(table: &TableOutcome) -> Self {
        Self {
            table: table.name.clone(),
            found: table.found,
            deleted: table.deleted,
            remaining: table.remaining,
            quarantined: table.quarantined,
        }
    }
}

// === impl Page ===

impl Page {
    pub(super) fn cleanup(&mut self, cleanup: &CleanupReport) {
        self.title("CLEANUP");
        let (deleted, left) = (cleanup.tables.iter().map(|table| table.deleted).sum::<u64>(), cleanup.remaining);
        let rows = |count: u64| format!("{count} row{}", if count == 1 { "" } else { "s" });
        let (line, colour) = if cleanup.dry_run {
            let would = left.saturating_sub(cleanup.quarantined);
            (format!("dry run: {} would be deleted, as below; nothing was", rows(would)), YELLOW)
        } else if left == 0 && cleanup.quarantined == 0 {
            (format!("✓ {} deleted, nothing left", rows(deleted)), GREEN)
        } else {
            (format!("✗ {} deleted, {} left", rows(deleted), rows(left)), RED)
        };
        let line = self.paint(&line, colour);
        self.line(format_args!("    {line}"));
        if cleanup.quarantined > 0 {
            let needed = format!("↳  {} quarantined: real rows need them", rows(cleanup.quarantined));
            let line = self.paint(&needed, RED);
            self.line(format_args!("      {line}"));
        }
        self.blank();
        self.cleaned_tables(cleanup);
        if !cleanup.blocked.is_empty() {
            for blocked in &cleanup.blocked {
                self.line(format_args!("    {blocked}"));
            }
            self.blank();
        }
        self.blank();
    }

    /// A line for each table, its figures below each other.
    fn cleaned_tables(&mut self, cleanup: &CleanupReport) {
        let longest = cleanup.tables.iter().map(|table| width(&table.table)).max().unwrap_or(0);
        let figures = |table: &TableReport| {
            let (deleted, remaining) = table.ended(cleanup.dry_run);
            [("found", table.found), ("deleted", deleted), ("remaining", remaining), ("quarantined", table.quarantined)]
        };
        let mut digits = [0; 4];
        for table in &cleanup.tables {
            for (digits, (_, count)) in digits.iter_mut().zip(figures(table)) {
                *digits = count.to_string().len().max(*digits);
            }
        }
        for table in &cleanup.tables {
            let dots = self.paint(&format!("{}:", ".".repeat(longest - width(&table.table) + 3)), FAINT);
            let figures = figures(table).into_iter().zip(digits);
            let figures: Vec<String> = figures
                .map(|((name, count), digits)| format!("{name}={}", self.paint(&format!("{count:digits$}"), CYAN)))
                .collect();
            self.line(format_args!("    {}{dots} {}", table.table, figures.join("  ")));
        }
        if !cleanup.tables.is_empty() {
            self.blank();
        }
    }
}
