//! Fixes what the roots match, and takes out what real rows need. In one snapshot, reading only.

use super::catalog::{Catalog, ForeignKey};
use super::judge::blame_predicate;
use super::rows::{Fixed, FixedRow, Tid, batches};
use super::session::{Session, timed};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{Blocked, Blocker, Note, Refusal, RefusalCause};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row, Transaction};

/// How many rows come from the database at once.
const PAGE: i32 = 20_000;
/// How many fixed rows are asked about at once.
const ASK: usize = 20_000;
/// How many real rows are told by name.
const NAMED: usize = 20;

/// What a look at the database found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By target.
    pub(super) fixed: Vec<Fixed>,
    /// The real rows that need test rows, the first few of them.
    pub(super) blocked: Vec<Blocked>,
    pub(super) notes: Vec<Note>,
    /// Of the tables that refer to each other or to themselves: (who refers, to what).
    pub(super) references: Vec<Reference>,
}

/// One test row refers to another: (target, position) of both.
pub(super) type Reference = ((usize, usize), (usize, usize));

// === impl Found ===

impl Found {
    /// Test rows that are there, over all tables.
    pub(super) fn rows(&self) -> u64 {
        self.fixed.iter().map(Fixed::len).sum()
    }

    /// Those that must stay.
    pub(super) fn quarantined(&self) -> u64 {
        self.fixed.iter().map(Fixed::blocked).sum()
    }
}

/// Looks. `before` are rows that an earlier look found and that may still be there: a predicate that
/// looks at other tables may have ceased to match them. `ordered` says of which foreign keys the
/// references between test rows are wanted.
pub(super) async fn look(
    session: &mut Session,
    plan: &CleanupPlan,
    catalog: &Catalog,
    before: &[FixedRow],
    ordered: impl Fn(&ForeignKey) -> bool,
) -> Result<Found, Refusal> {
    let builder = session.client.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    let transaction = timed("begin to look", builder.start()).await.map_err(Refusal::new)?;
    let mut found = Found { fixed: fix(&transaction, plan, catalog, before).await?, ..Found::default() };
    let mut fresh = Vec::new();
    for key in &catalog.keys {
        let blocked = look_along(&transaction, catalog, key, ordered(key), &mut found).await.map_err(Refusal::new)?;
        fresh.extend(blocked);
    }
    spread(&transaction, catalog, &mut found, fresh).await.map_err(Refusal::new)?;
    Ok(found)
}

// === helpers ===

/// Fixes the rows that the roots match now, and those of `before` that are still there.
async fn fix(
    transaction: &Transaction<'_>,
    plan: &CleanupPlan,
    catalog: &Catalog,
    before: &[FixedRow],
) -> Result<Vec<Fixed>, Refusal> {
    let mut rows: Vec<Vec<FixedRow>> = vec![Vec::new(); catalog.targets.len()];
    let mut keep = |target: usize, row: &Row| {
        let relation = row.get(0);
        if catalog.target_of(relation) == Some(target) {
            rows[target].push(FixedRow { relation, tid: row.get(1), xmin: row.get(2), blocked: false });
        }
    };
    for (number, target) in catalog.targets.iter().enumerate() {
        for root in target.roots.iter().map(|root| &plan.roots[*root]) {
            let sql = format!("SELECT tableoid, ctid, xmin FROM {} WHERE {}", root.table, root.predicate);
            let page = |row: &Row| keep(number, row);
            let paged = pages(transaction, "find what the root matches", &sql, &[], page).await;
            paged.map_err(|cause| Refusal::at(root.span, blame_predicate(root, cause)))?;
        }
    }
    for batch in batches(before, ASK) {
        let Some(target) = batch.first().and_then(|row| catalog.target_of(row.relation)) else { continue };
        let (relation, tids, xmins) = parameters(batch);
        let sql = format!(
            "SELECT t.tableoid, t.ctid, t.xmin FROM {} t WHERE t.tableoid = $1 AND t.ctid = ANY($2) AND t.xmin = ANY($3)",
            catalog.targets[target].access
        );
        let page = |row: &Row| keep(target, row);
        let paged = pages(transaction, "look for rows that stayed", &sql, &[&relation, &tids, &xmins], page).await;
        paged.map_err(Refusal::new)?;
    }
    Ok(rows.into_iter().map(Fixed::new).collect())
}

/// Looks at every row that refers to a fixed row by `key`: one that is no test row blocks it. Gives
/// what is newly blocked.
async fn look_along(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    key: &ForeignKey,
    ordered: bool,
    found: &mut Found,
) -> Result<Vec<(usize, usize)>, RefusalCause> {
    let sql = format!(
        "SELECT t.tableoid, t.ctid, r.tableoid, r.ctid FROM {} t JOIN {} r ON {} WHERE t.tableoid = $1 AND t.ctid = ANY($2)",
        key.from_referred,
        key.from_referrer,
        key.join()
    );
    // Places of real rows that refer, with the position of the row they need.
    let (mut newly, mut named, mut referring) = (Vec::new(), Vec::new(), 0_u64);
    let mut needed = Vec::new();
    for batch in batches(found.fixed[key.to].rows(), ASK) {
        let (relation, tids, _) = parameters(batch);
        pages(transaction, "look for what refers to test rows", &sql, &[&relation, &tids], |row| {
            let Some(to) = found.fixed[key.to].position(row.get(0), row.get(1)) else { return };
            let (relation, tid): (u32, Tid) = (row.get(2), row.get(3));
            let from = key.from.and_then(|from| Some((from, found.fixed[from].position(relation, tid)?)));
            match from {
                Some(from) if ordered => found.references.push((from, (key.to, to))),
                Some(_) => {}
                None => {
                    referring += 1;
                    needed.push(to);
                    if named.len() < NAMED {
                        named.push((relation, tid));
                    }
                }
            }
        })
        .await?;
    }
    for position in needed {
        if found.fixed[key.to].block(position) {
            newly.push((key.to, position));
        }
    }
    let root = &catalog.targets[key.to].name;
    for (relation, tid) in named {
        if found.blocked.len() < NAMED {
            let row_key = name_row(transaction, key, relation, tid).await?;
            let by = Blocker::Row { table: key.referrer.clone(), key: row_key, constraint: key.name.clone() };
            found.blocked.push(Blocked { table: root.clone(), by });
        }
    }
    if key.from.is_none() && referring > 0 {
        found.notes.push(Note::NotFollowed { table: key.referrer.clone(), root: root.clone(), rows: referring });
    }
    Ok(newly)
}

/// A row that stays needs the test rows that it refers to: they stay too, and so on.
async fn spread(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    found: &mut Found,
    mut fresh: Vec<(usize, usize)>,
) -> Result<(), RefusalCause> {
    while !fresh.is_empty() {
        let mut next = Vec::new();
        for key in &catalog.keys {
            let Some(from) = key.from else { continue };
            let mut staying: Vec<FixedRow> = fresh
                .iter()
                .filter(|(target, _)| *target == from)
                .map(|(_, row)| found.fixed[from].rows()[*row])
                .collect();
            staying.sort_unstable();
            let sql = format!(
                "SELECT t.tableoid, t.ctid FROM {} r JOIN {} t ON {} WHERE r.tableoid = $1 AND r.ctid = ANY($2)",
                key.from_referrer,
                key.from_referred,
                key.join()
            );
            for batch in batches(&staying, ASK) {
                let (relation, tids, _) = parameters(batch);
                pages(transaction, "look for what a row that stays needs", &sql, &[&relation, &tids], |row| {
                    if let Some(position) = found.fixed[key.to].position(row.get(0), row.get(1))
                        && found.fixed[key.to].block(position)
                    {
                        next.push((key.to, position));
                    }
                })
                .await?;
            }
        }
        fresh = next;
    }
    Ok(())
}

/// The key of a real row: `(id)=(17)`; its place where the table has no key.
async fn name_row(
    transaction: &Transaction<'_>,
    key: &ForeignKey,
    relation: u32,
    tid: Tid,
) -> Result<String, RefusalCause> {
    const COLUMNS: &str = "
        SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_index i
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = $1 AND i.indisprimary ORDER BY pg_catalog.array_position(i.indkey::int2[], a.attnum)";
    let columns = timed("look a row's key up", transaction.query(COLUMNS, &[&relation])).await?;
    let mut columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    if columns.is_empty() {
        columns.push("ctid".to_owned());
    }
    let values: Vec<_> = columns.iter().map(|column| format!("r.{column}::text")).collect();
    let sql = format!(
        "SELECT pg_catalog.concat_ws(', ', {}) FROM {} r WHERE r.tableoid = $1 AND r.ctid = $2",
        values.join(", "),
        key.from_referrer
    );
    let row = timed("look a row's key up", transaction.query_one(&sql, &[&relation, &tid])).await?;
    Ok(format!("({})=({})", columns.join(", "), row.get::<_, &str>(0)))
}

/// Runs a query and sees its rows page by page, so that memory does not grow with their number.
async fn pages(
    transaction: &Transaction<'_>,
    operation: &'static str,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
    mut see: impl FnMut(&Row),
) -> Result<(), RefusalCause> {
    let statement = timed(operation, transaction.prepare(sql)).await?;
    let portal = timed(operation, transaction.bind(&statement, parameters)).await?;
    loop {
        let rows = timed(operation, transaction.query_portal(&portal, PAGE)).await?;
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter().for_each(&mut see);
    }
}

/// A batch as a statement's parameters: its relation, places and transactions.
pub(super) fn parameters(batch: &[FixedRow]) -> (u32, Vec<Tid>, Vec<super::rows::Xid>) {
    let mut xmins: Vec<_> = batch.iter().map(|row| row.xmin).collect();
    xmins.sort_unstable();
    xmins.dedup();
    (batch.first().map_or(0, |row| row.relation), batch.iter().map(|row| row.tid).collect(), xmins)
}
