//! From the section `cleanup:` to a plan of cleanup, with every problem at once.

use super::lease;
use super::name::{TableName, column};
use super::predicate::Predicate;
use super::redis::{self, RedisPlan};
use super::sweep::Database;
use crate::plan::{
    Cleanup, CleanupPostgres, CleanupRedis, Diagnostics, Follow, Keep, Ledger, Root, Span, Spanned, When,
};
use crate::semconv::RunId;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// The most rows of one statement, whatever the plan says: a statement is a transaction.
const MAX_BATCH: u32 = 50_000;

/// In place of a `url`, which may hold a secret: a connection string that leads nowhere.
const ELSEWHERE: &str = "postgres://elsewhere.invalid/elsewhere";

/// What cleanup will do, judged as far as text can be.
#[derive(Clone, Debug)]
pub struct CleanupPlan {
    /// The run whose id `{{ run }}` is.
    pub run: RunId,
    /// When it runs.
    pub when: When,
    /// What is test data. At least one, or a ledger.
    pub roots: Vec<RootPlan>,
    /// Whose records prove that a row is test data.
    pub ledger: Ledger,
    /// Whether the roots' rows stay.
    pub(super) keep_roots: bool,
    /// What is real whatever it refers to.
    pub(super) keep: Vec<KeepPlan>,
    /// Whether what refers to the roots is test data too.
    pub(super) follow: Follow,
    pub(super) database: Database,
    pub(super) expected_database: Option<String>,
    /// Rows per statement.
    pub(super) batch: NonZeroUsize,
    pub(super) max_rows: u64,
    pub(super) max_rows_per_second: NonZeroU32,
    pub(super) settle: Duration,
    /// How long a lease is good for without being renewed.
    pub(super) lease: Duration,
    /// How old a row must be to be swept while traffic runs.
    pub(super) keep_for: Duration,
    /// The section it was compiled from, without its `url`: what the lease keeps.
    pub(super) section: CleanupPostgres,
    /// The keys in Redis beside the rows: the lease holds them too.
    pub(super) keys: Option<KeysPlan>,
}

/// Keys in Redis, and what they were compiled from.
#[derive(Clone, Debug)]
pub(super) struct KeysPlan {
    pub(super) plan: RedisPlan,
    pub(super) section: CleanupRedis,
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
    /// The column that says since when a row is there, as the catalog spells it.
    pub age: Option<String>,
}

/// What is real, whatever it refers to and whatever a root says.
#[derive(Clone, Debug)]
pub(super) struct KeepPlan {
    pub(super) span: Span,
    pub(super) table: TableName,
    pub(super) predicate: Predicate,
}

// === impl CleanupPlan ===

impl CleanupPlan {
    /// Whether anything tells one run's data from another's: a root with `{{ run }}`, or the ledger.
    #[must_use]
    pub fn tells_runs_apart(&self) -> bool {
        self.has_ledger() || self.roots.iter().any(|root| root.predicate.is_per_run())
    }

    /// Whether rows are recorded by run.
    #[must_use]
    pub fn has_ledger(&self) -> bool {
        self.ledger != Ledger::Off
    }

    /// How long a lease is good for without being renewed.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        self.lease
    }

    /// How often, and from which age on, rows are swept while traffic runs; none where they are not.
    #[must_use]
    pub const fn while_traffic_runs(&self) -> Option<(Duration, Duration)> {
        match self.when {
            When::Every(every) => Some((every, self.keep_for)),
            When::End | When::Never => None,
        }
    }

    /// The keys in Redis beside the rows, but for what is left to others.
    #[must_use]
    pub fn keys_but(&self, left: &[lease::Left]) -> Option<RedisPlan> {
        let kept = |number| !left.iter().any(|left| left.part == lease::Part::Keys(number));
        self.keys.as_ref()?.plan.clone().only(kept)
    }

    /// The same without keys: they are not to be touched.
    #[must_use]
    pub fn without_keys(self) -> Self {
        Self { keys: None, ..self }
    }

    /// What counts as a run's data, as its lease keeps it.
    pub(super) fn claim(&self) -> serde_json::Value {
        lease::claim(&self.section, self.keys.as_ref().map(|keys| &keys.section))
    }
}

/// Compiles the section for the run `run`. None where cleanup is off, or wrong.
pub fn compile(section: &Cleanup, run: RunId, diagnostics: &mut Diagnostics) -> Option<CleanupPlan> {
    let postgres = section.postgres.as_ref()?;
    let roots = compile_roots(&postgres.roots, run, diagnostics);
    let keep: Vec<_> = postgres.keep.iter().map(|keep| compile_keep(keep, run, diagnostics)).collect();
    let keep: Option<Vec<_>> = keep.into_iter().collect();
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
    warn_of_no_age(section, postgres, diagnostics);
    let keys = section.redis.as_ref().and_then(|section| {
        // What is wrong with it is told where it is compiled for itself.
        let plan = redis::compile(section, run, &mut Diagnostics::new("cleanup.redis"))?;
        Some(KeysPlan { plan, section: section.clone() })
    });
    let expected_database = postgres.database.as_ref().map(|name| name.value.clone()).filter(|name| !name.is_empty());
    Some(CleanupPlan {
        run,
        when: section.when.value,
        roots: roots?,
        ledger: postgres.ledger.value,
        keep_roots: postgres.keep_roots.value,
        keep: keep?,
        follow: postgres.follow.value,
        database: database.ok()?,
        expected_database,
        batch: batch?,
        max_rows: postgres.max_rows.value,
        max_rows_per_second: pace?,
        settle: section.settle.value,
        lease: section.lease.value,
        keep_for: section.keep_for.value,
        keys,
        section: CleanupPostgres { url: Spanned::nowhere(ELSEWHERE.to_owned()), ..postgres.clone() },
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
    let age = root.age.as_ref().map(|age| {
        let named = column(age);
        if let Err(error) = named {
            diagnostics.error(age.span, format!("`{}` is no name of a column: {error}", **age));
        }
        named
    });
    let age = age.transpose();
    let (table, predicate, age) = (table.ok()?, predicate.ok()?, age.ok()?);
    share_is_one.then_some(RootPlan { span: root.table.span, table, predicate, max_share, age })
}

fn compile_keep(keep: &Keep, run: RunId, diagnostics: &mut Diagnostics) -> Option<KeepPlan> {
    let table = TableName::parse(&keep.table);
    if let Err(error) = table {
        diagnostics.error(keep.table.span, format!("`{}` is no name of a table: {error}", *keep.table));
    }
    let predicate = Predicate::parse_any(&keep.where_, run);
    if let Err(error) = &predicate {
        diagnostics.error(keep.where_.span, format!("`keep` of `{}`: {error}", *keep.table));
    }
    Some(KeepPlan { span: keep.table.span, table: table.ok()?, predicate: predicate.ok()? })
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

/// Says what a plan that wants rows to be swept while traffic runs, or kept for a while, will not get.
fn warn_of_no_age(section: &Cleanup, postgres: &CleanupPostgres, diagnostics: &mut Diagnostics) {
    let every = matches!(section.when.value, When::Every(_));
    let known = postgres.ledger.value != Ledger::Off || postgres.roots.iter().any(|root| root.age.is_some());
    if every && !known {
        let span = if section.when.span == Span::NONE { postgres.span } else { section.when.span };
        diagnostics
            .warning(span, "nothing is swept while traffic runs: no root has an `age`, and there is no ledger")
            .hint(
                "name the column that says since when a row is there: age: created_at; without it all goes at the end",
            );
    }
    if !every && !section.keep_for.value.is_zero() {
        diagnostics
            .warning(section.keep_for.span, "`keep_for` keeps nothing here: at the end all test data goes")
            .hint("it says how old rows must be for `when: every …`, which sweeps while traffic runs");
    }
}
