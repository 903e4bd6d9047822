//! What is judged before anything is deleted: is it this database, are the predicates no more
//! than predicates, can what they match be meant. All of it reads only.

use super::catalog::Catalog;
use super::session::{Access, Session, timed};
use crate::cleanup::compile::{CleanupPlan, RootPlan};
use crate::cleanup::name::{TableName, quote};
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::predicate::Predicate;
use crate::cleanup::scope::Scope;
use crate::plan::Span;
use tokio_postgres::error::SqlState;

/// What the roots match before the first request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// By root, in the order of the plan.
    pub roots: Vec<TableShare>,
}

/// What one root matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShare {
    /// Its table as Postgres quotes it; a partition under its topmost parent.
    pub name: String,
    /// Rows that match.
    pub matched: u64,
    /// Rows there are.
    pub total: u64,
}

// === impl Preflight ===

impl Preflight {
    /// Rows that match, over all roots.
    #[must_use]
    pub fn matched(&self) -> u64 {
        self.roots.iter().map(|root| root.matched).sum()
    }
}

/// Judges database, tables and predicates. What stands there is not looked at yet.
pub(super) async fn judge_meaning(
    session: &mut Session,
    plan: &CleanupPlan,
    scope: &Scope,
) -> Result<Catalog, Refusal> {
    expect_database(session, plan).await?;
    let catalog = Catalog::load(session, plan, scope).await?;
    for root in &plan.roots {
        judge_predicate(session, root).await?;
        judge_age(session, root).await?;
    }
    for keep in &plan.keep {
        judge_condition(session, keep.span, &keep.table, &keep.predicate).await?;
    }
    Ok(catalog)
}

/// Refuses another database than the one that the plan means.
pub(in crate::cleanup) async fn expect_database(session: &Session, plan: &CleanupPlan) -> Result<(), Refusal> {
    if let Some(expected) = &plan.expected_database {
        let row = session.client.query_one("SELECT pg_catalog.current_database()::text", &[]);
        let actual: String = timed("say its name", row).await.map_err(Refusal::new)?.get(0);
        if actual != *expected {
            return Err(Refusal::new(RefusalCause::WrongDatabase { expected: expected.clone(), actual }));
        }
    }
    Ok(())
}

/// Judges how much of its table each root matches, in one snapshot.
pub(super) async fn judge_extent(
    session: &mut Session,
    plan: &CleanupPlan,
    scope: &Scope,
) -> Result<Preflight, Refusal> {
    session.begin(Access::Read).await.map_err(Refusal::new)?;
    let judged = judge_shares(session, plan, scope).await;
    session.end().await.map_err(Refusal::new)?;
    judged
}

async fn judge_shares(session: &Session, plan: &CleanupPlan, scope: &Scope) -> Result<Preflight, Refusal> {
    const NAME: &str = "
        SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
        FROM (SELECT coalesce(pg_catalog.pg_partition_root(t)::oid, t) AS oid FROM pg_catalog.to_regclass($1) r(t)) top
        JOIN pg_catalog.pg_class c ON c.oid = top.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let mut preflight = Preflight::default();
    for (number, root) in plan.roots.iter().enumerate() {
        if scope.left_alone.contains(&number) {
            continue;
        }
        let at = |cause| Refusal::at(root.span, cause);
        let name = timed("look a table up", session.client.query_one(NAME, &[&root.table.to_string()])).await;
        let sql = format!("SELECT count(*) FILTER (WHERE {}), count(*) FROM {}", root.predicate, root.table);
        let row = timed("count what the root matches", session.client.query_one(&sql, &[]));
        let row = row.await.map_err(|cause| at(blame_predicate(&root.table, cause)))?;
        let name = name.map_err(at)?.get(0);
        let share = TableShare { name, matched: count(row.get(0)), total: count(row.get(1)) };
        #[allow(clippy::cast_precision_loss, reason = "2^53 rows are out of reach")]
        if share.matched as f64 > root.max_share * share.total as f64 {
            let TableShare { name: table, matched, total } = share;
            return Err(at(RefusalCause::MaxShare { table, matched, total, max_share: root.max_share }));
        }
        preflight.roots.push(share);
    }
    let matched = preflight.matched();
    if matched > plan.max_rows {
        return Err(Refusal::new(RefusalCause::MaxRows { matched, max_rows: plan.max_rows }));
    }
    Ok(preflight)
}

// === helpers ===

/// A count of rows, which is never negative.
pub(super) fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// Lets the database itself judge a predicate: it must be one with the table, none without it, and
/// something must be left of it when constants are folded. Nothing is executed.
async fn judge_predicate(session: &Session, root: &RootPlan) -> Result<(), Refusal> {
    let at = |cause| Refusal::at(root.span, cause);
    judge_condition(session, root.span, &root.table, &root.predicate).await?;
    let without_table = format!("SELECT 1 WHERE {}", root.predicate);
    match timed("judge the predicate", session.client.prepare(&without_table)).await {
        Ok(_) => return Err(at(RefusalCause::NamesNoColumn(root.table.clone()))),
        // It misses the table, as it should.
        Err(RefusalCause::Database { ref source, .. }) if source.as_db_error().is_some() => {}
        Err(cause) => return Err(at(cause)),
    }

    let explain = format!("EXPLAIN (FORMAT JSON, COSTS OFF) SELECT 1 FROM {} WHERE {}", root.table, root.predicate);
    let read_only = "BEGIN READ ONLY";
    timed("judge the predicate", session.client.batch_execute(read_only)).await.map_err(at)?;
    let plan = timed("judge the predicate", session.client.simple_query(&explain)).await;
    timed("judge the predicate", session.client.batch_execute("ROLLBACK")).await.map_err(at)?;
    let plan = plan.map_err(|cause| at(blame_predicate(&root.table, cause)))?;
    let conditions = plan.iter().any(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            row.get(0).is_some_and(|text| text.contains("Filter\":") || text.contains("Cond\":"))
        }
        _ => false,
    });
    if conditions { Ok(()) } else { Err(at(RefusalCause::Constant(root.table.clone()))) }
}

/// Lets the database judge whether a condition is one over its table, and calls nothing volatile.
async fn judge_condition(
    session: &Session,
    span: Span,
    table: &TableName,
    predicate: &Predicate,
) -> Result<(), Refusal> {
    let sql = format!("SELECT 1 FROM {table} WHERE {predicate}");
    let prepared = timed("judge the predicate", session.client.prepare(&sql)).await;
    prepared.map_err(|cause| Refusal::at(span, blame_predicate(table, cause)))?;
    judge_functions(session, span, table, predicate).await
}

/// Whether the column that says how old a row is says so.
async fn judge_age(session: &Session, root: &RootPlan) -> Result<(), Refusal> {
    let Some(age) = &root.age else { return Ok(()) };
    let sql = format!("SELECT {} < pg_catalog.now() - interval '1 s' FROM {}", quote(age), root.table);
    match timed("judge the age", session.client.prepare(&sql)).await {
        Ok(_) => Ok(()),
        Err(RefusalCause::Database { source, .. }) if source.as_db_error().is_some() => {
            Err(Refusal::at(root.span, RefusalCause::Age { table: root.table.clone(), column: age.clone() }))
        }
        Err(cause) => Err(Refusal::at(root.span, cause)),
    }
}

/// Refuses what is volatile: it may say something else of a row each time it is asked, so that looking
/// again and again would take every row at last; and all that does something is volatile.
async fn judge_functions(
    session: &Session,
    span: Span,
    table: &TableName,
    predicate: &Predicate,
) -> Result<(), Refusal> {
    // Without a `(` it is a function only where it stands behind a row, as `users.is_test`.
    const SQL: &str = "
        SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        LEFT JOIN pg_catalog.pg_type t ON p.pronargs = 1 AND t.oid = p.proargtypes[0]
        WHERE p.provolatile = 'v' AND p.prokind = 'f'
          AND (pg_catalog.pg_function_is_visible(p.oid) OR n.nspname::text = ANY($2))
          AND (p.proname::text = ANY($1) OR (p.proname::text = ANY($2) AND (t.typtype = 'c' OR t.typtype = 'p')))
        ORDER BY 1 LIMIT 1";
    let names = predicate.names();
    let called: Vec<&str> = names.iter().filter(|(_, called)| *called).map(|(name, _)| name.as_str()).collect();
    let all: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let found = timed("judge the predicate", session.client.query_opt(SQL, &[&called, &all])).await;
    match found.map_err(|cause| Refusal::at(span, cause))? {
        Some(row) => {
            let cause = RefusalCause::Volatile { table: table.clone(), function: row.get(0) };
            Err(Refusal::at(span, cause))
        }
        None => Ok(()),
    }
}

/// Tells what the predicate itself is to blame for (no such column, no such function, not boolean, a
/// cast that fails) from what is not.
pub(super) fn blame_predicate(table: &TableName, cause: RefusalCause) -> RefusalCause {
    let RefusalCause::Database { source, .. } = &cause else { return cause };
    let Some(error) = source.as_db_error() else { return cause };
    let class = error.code().code().get(..2).unwrap_or_default();
    let wrong = matches!(class, "42" | "22" | "0A") && *error.code() != SqlState::INSUFFICIENT_PRIVILEGE;
    // It would have written: a predicate reads.
    if wrong || *error.code() == SqlState::READ_ONLY_SQL_TRANSACTION {
        RefusalCause::Predicate { table: table.clone(), said: error.message().to_owned() }
    } else {
        cause
    }
}
