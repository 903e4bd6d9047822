//! From the section `cleanup:` to a plan of cleanup, with every problem at once.

use super::name::TableName;
use super::predicate::Predicate;
use super::sweep::Database;
use crate::plan::{Cleanup, CleanupPostgres, Diagnostics, Ledger, Root, Severity, Span, When};
use crate::semconv::RunId;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// The most rows of one statement, whatever the plan says: a statement is a transaction.
const MAX_BATCH: u32 = 50_000;

/// What cleanup will do, judged as far as text can be.
#[derive(Clone, Debug)]
pub struct CleanupPlan {
    /// The run whose id `{{ run }}` is.
    pub run: RunId,
    /// When it runs.
    pub when: When,
    /// What is test data. At least one.
    pub roots: Vec<RootPlan>,
    pub(super) database: Database,
    pub(super) expected_database: Option<String>,
    /// Rows per statement.
    pub(super) batch: NonZeroUsize,
    pub(super) max_rows: u64,
    pub(super) max_rows_per_second: NonZeroU32,
    pub(super) settle: Duration,
}

/// One root.
#[derive(Clone, Debug)]
pub struct RootPlan {
    /// Where it stands in the plan.
    pub span: Span,
    /// Its table.
    pub table: TableName,
    /// What is test data there.
    pub predicate: Predicate,
    /// The largest share of the table that it may match.
    pub max_share: f64,
}

// === impl CleanupPlan ===

impl CleanupPlan {
    /// Only the roots with `{{ run }}`: what `--run ID` takes. None where there is none.
    #[must_use]
    pub fn only_of_its_run(mut self) -> Option<Self> {
        self.roots.retain(|root| root.predicate.is_per_run());
        (!self.roots.is_empty()).then_some(self)
    }
}

/// Compiles the section for the run `run`. None where cleanup is off, or wrong.
pub fn compile(section: &Cleanup, run: RunId, diagnostics: &mut Diagnostics) -> Option<CleanupPlan> {
    refuse_what_is_not_there_yet(section, diagnostics);
    let postgres = section.postgres.as_ref()?;
    let roots = compile_roots(&postgres.roots, run, diagnostics);
    let (batch, pace) = (compile_batch(postgres, diagnostics), compile_pace(postgres, diagnostics));

    let url = postgres.url.trim();
    if url.is_empty() {
        // Off: the plan's reader has said so.
        return None;
    }
    let database = Database::parse(url);
    if database.is_err() {
        let said = diagnostics.error(postgres.url.span, "the `url` of cleanup is no connection string of Postgres");
        said.hint("postgres://USER:PASSWORD@HOST:PORT/DATABASE, a special character in it percent-encoded");
    }
    if postgres.roots.is_empty() && postgres.ledger.value == Ledger::Off {
        let said = diagnostics.warning(postgres.span, "cleanup is off: it names no roots, so nothing is test data");
        said.hint("roots: [ { table: users, where: \"email LIKE 'test-%'\" } ]");
        return None;
    }
    let expected_database = postgres.database.as_ref().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    Some(CleanupPlan {
        run,
        when: section.when.value,
        roots: roots?,
        database: database.ok()?,
        expected_database,
        batch: batch?,
        max_rows: postgres.max_rows.value,
        max_rows_per_second: pace?,
        settle: section.settle.value,
    })
}

// === helpers ===

/// Compiles every root, so that every problem is told; none where one is wrong.
fn compile_roots(roots: &[Root], run: RunId, diagnostics: &mut Diagnostics) -> Option<Vec<RootPlan>> {
    let compiled: Vec<_> = roots.iter().map(|root| compile_root(root, run, diagnostics)).collect();
    compiled.into_iter().collect()
}

fn compile_root(root: &Root, run: RunId, diagnostics: &mut Diagnostics) -> Option<RootPlan> {
    let table = TableName::parse(&root.table);
    if let Err(error) = table {
        let said = diagnostics.error(root.table.span, format!("`{}` is no name of a table: {error}", *root.table));
        said.hint("`name` or `schema.name`; what needs quotes stands in \"double quotes\"");
    }
    let max_share = *root.max_share;
    let share_is_one = max_share > 0.0 && max_share <= 1.0;
    if !share_is_one {
        diagnostics.error(root.max_share.span, "`max_share` is a share of the table: above 0, at most 1");
    }
    let Some(where_) = &root.where_ else {
        let said = diagnostics.error(root.table.span, format!("the root `{}` has no predicate", *root.table));
        said.hint("without `where` all of the table would be test data; say which rows are");
        return None;
    };
    let predicate = Predicate::parse(where_, run);
    if let Err(error) = &predicate {
        let said = diagnostics.error(where_.span, format!("root `{}`: {error}", *root.table));
        said.hint("one SQL expression over the table's columns, such as email LIKE 'test-%'");
    }
    let (table, predicate) = (table.ok()?, predicate.ok()?);
    share_is_one.then_some(RootPlan { span: root.table.span, table, predicate, max_share })
}

fn compile_batch(postgres: &CleanupPostgres, diagnostics: &mut Diagnostics) -> Option<NonZeroUsize> {
    let batch = postgres.batch.value.min(MAX_BATCH);
    let batch = usize::try_from(batch).ok().and_then(NonZeroUsize::new);
    if batch.is_none() {
        diagnostics.error(postgres.batch.span, "`batch` is at least 1");
    }
    batch
}

fn compile_pace(postgres: &CleanupPostgres, diagnostics: &mut Diagnostics) -> Option<NonZeroU32> {
    let pace = NonZeroU32::new(postgres.max_rows_per_second.value);
    if pace.is_none() {
        diagnostics.error(postgres.max_rows_per_second.span, "`max_rows_per_second` is at least 1");
    }
    pace
}

/// Refuses what the format has and this version does not do, unless the reader of the plan already did.
fn refuse_what_is_not_there_yet(section: &Cleanup, diagnostics: &mut Diagnostics) {
    let mut refuse = |span: Span, what: &str| {
        let told = diagnostics.sorted().iter().any(|item| item.severity == Severity::Error && item.span == span);
        if !told {
            diagnostics.not_yet(span, what);
        }
    };
    if matches!(section.when.value, When::Every(_)) {
        refuse(section.when.span, "cleanup.when: every");
    }
    let Some(postgres) = &section.postgres else { return };
    if postgres.ledger.value != Ledger::Off {
        refuse(postgres.ledger.span, "cleanup.postgres.ledger");
    }
    if postgres.keep_roots.value {
        refuse(postgres.keep_roots.span, "cleanup.postgres.keep_roots");
    }
    for keep in &postgres.keep {
        refuse(keep.table.span, "cleanup.postgres.keep");
    }
    for age in postgres.roots.iter().filter_map(|root| root.age.as_ref()) {
        refuse(age.span, "cleanup.postgres.roots[].age");
    }
}
