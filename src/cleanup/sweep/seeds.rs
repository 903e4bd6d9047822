//! Fixes what the roots match and what the ledger has, and marks what `keep` matches.

use super::judge::blame_predicate;
use super::look::Look;
use super::places::Places;
use super::rows::{FixedRow, Marks, batches};
use super::session::Value;
use crate::cleanup::name::quote;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::scope::LedgerScope;
use crate::plan::Ledger;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How many fixed rows are asked about at once.
pub(super) const ASK: usize = 50_000;

// === impl Look ===

impl Look<'_> {
    /// Fixes the rows that the roots match now, and those of `before` that are still there: a predicate
    /// that looks at other tables may have ceased to match them.
    pub(super) async fn fix_roots(&mut self, before: &[FixedRow]) -> Result<(), Refusal> {
        let (plan, scope) = (self.plan, self.scope);
        let age = scope.older_than.map(|age| age.as_secs_f64());
        for (number, root) in plan.roots.iter().enumerate() {
            let taken = Marks::when(!scope.left_alone.contains(&number), Marks::TAKEN);
            let columns = match (&root.age, age) {
                (Some(column), Some(_)) => {
                    format!(", {} < pg_catalog.now() - pg_catalog.make_interval(secs => $1)", quote(column))
                }
                _ => String::new(),
            };
            let sql = format!("SELECT tableoid, ctid, xmin{columns} FROM {} WHERE {}", root.table, root.predicate);
            let judges_age = !columns.is_empty();
            let parameters: Vec<Value<'_>> = if judges_age { vec![(&age, Type::FLOAT8)] } else { Vec::new() };
            let (catalog, fixed) = (self.catalog, &mut self.fixed);
            let found = self.session.each_row("find what the root matches", &sql, &parameters, |row| {
                let age = if judges_age { row.get::<_, Option<bool>>(3) } else { None };
                let age = age.map_or(Marks::none(), |old| if old { Marks::OLD } else { Marks::YOUNG });
                let row = fixed_row(row, Marks::ROOT.and(taken).and(age));
                if let Some(target) = catalog.target_of(row.relation) {
                    fixed[target].insert(row);
                }
            });
            found.await.map_err(|cause| Refusal::at(root.span, blame_predicate(&root.table, cause)))?;
            self.refuse_too_many()?;
        }
        for batch in batches(before, ASK) {
            let Some(relation) = batch.first().and_then(|row| self.catalog.relation(row.relation)) else { continue };
            let places = Places::of(batch, self.session.ranges);
            let (from, same) = (&relation.access, places.identity("t.", 1));
            let sql = format!("SELECT t.tableoid, t.ctid, t.xmin FROM {from} t WHERE {same}");
            let fixed = &mut self.fixed[relation.target];
            let marks = Marks::ROOT.and(Marks::TAKEN).and(Marks::OLD);
            let values = places.identities();
            let looked = self.session.each_row("look for rows that stayed", &sql, &values, |row| {
                fixed.insert(fixed_row(row, marks));
            });
            looked.await.map_err(Refusal::new)?;
        }
        Ok(())
    }

    /// Fixes the rows that the ledger has, by their primary keys.
    pub(super) async fn fix_recorded(&mut self) -> Result<(), Refusal> {
        let (plan, scope, catalog) = (self.plan, self.scope, self.catalog);
        let runs: Option<Vec<String>> = match &scope.ledger {
            LedgerScope::None => return Ok(()),
            LedgerScope::Runs(runs) => Some(runs.iter().map(ToString::to_string).collect()),
            LedgerScope::All => None,
        };
        let old = scope.older_than.map(|age| age.as_secs_f64());
        for oid in &catalog.recorded {
            let Some(relation) = catalog.relation(*oid) else { continue };
            let key = self.primary_key(*oid).await.map_err(Refusal::new)?;
            if key.is_empty() {
                continue;
            }
            let pairs: Vec<_> = key.iter().map(|column| format!("t.{column} = k.{column}")).collect();
            // Hearsay alone never deletes.
            let strong = if plan.ledger == Ledger::Record { " AND NOT l.hearsay" } else { "" };
            let sql = format!(
                "SELECT t.tableoid, t.ctid, t.xmin, pg_catalog.bool_and(l.hearsay),
                    pg_catalog.bool_or($2::text[] IS NULL OR l.run = ANY($2)),
                    pg_catalog.max(l.at) < pg_catalog.now() - pg_catalog.make_interval(secs => $3)
                 FROM pacecar.ledger l CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::{}, l.key) k
                 JOIN {} t ON {} WHERE l.relation = $1 AND t.tableoid = $1{strong} GROUP BY 1, 2, 3",
                relation.name,
                relation.access,
                pairs.join(" AND ")
            );
            let fixed = &mut self.fixed[relation.target];
            let values: [Value<'_>; 3] = [(oid, Type::OID), (&runs, Type::TEXT_ARRAY), (&old, Type::FLOAT8)];
            let read = self.session.each_row("read the ledger", &sql, &values, |row| {
                let hearsay = Marks::when(row.get(3), Marks::HEARSAY);
                let taken = Marks::when(row.get(4), Marks::TAKEN);
                let age = row.get::<_, Option<bool>>(5);
                let age = age.map_or(Marks::none(), |old| if old { Marks::OLD } else { Marks::YOUNG });
                fixed.insert(fixed_row(row, Marks::RECORDED.and(hearsay).and(taken).and(age)));
            });
            read.await.map_err(Refusal::new)?;
            self.refuse_too_many()?;
        }
        Ok(())
    }

    /// Marks what `keep` matches among the rows of a target from position `from` on.
    pub(super) async fn mark_kept(&mut self, target: usize, from: usize) -> Result<(), Refusal> {
        let catalog = self.catalog;
        for keep in catalog.keeps[target].iter().map(|number| &self.plan.keep[*number]) {
            let mut rows = self.fixed[target].rows()[from..].to_vec();
            rows.sort_unstable_by_key(FixedRow::place);
            for batch in batches(&rows, ASK) {
                let places = Places::of(batch, self.session.ranges);
                // Without an alias: the predicate may name the table.
                let (table, there) = (&keep.table, places.condition("", 1));
                let sql = format!("SELECT tableoid, ctid FROM {table} WHERE {there} AND {}", keep.predicate);
                let fixed = &mut self.fixed[target];
                let values = places.values();
                let looked = self.session.each_row("find what is kept", &sql, &values, |row| {
                    if let Some(position) = fixed.position(row.get(0), row.get(1)) {
                        fixed.row(position).marks.set(Marks::KEPT);
                    }
                });
                looked.await.map_err(|cause| Refusal::at(keep.span, blame_predicate(&keep.table, cause)))?;
            }
        }
        Ok(())
    }

    /// The columns of a table's primary key, in quotes; none where it has none.
    pub(super) async fn primary_key(&mut self, relation: u32) -> Result<Vec<String>, RefusalCause> {
        const COLUMNS: &str = "
            SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
            WHERE i.indrelid = $1 AND i.indisprimary ORDER BY pg_catalog.array_position(i.indkey::int2[], a.attnum)";
        let mut columns = Vec::new();
        let look = |row: &Row| columns.push(row.get(0));
        self.session.each_row("look a row's key up", COLUMNS, &[(&relation, Type::OID)], look).await?;
        Ok(columns)
    }
}

// === helpers ===

/// A row from its first three columns.
fn fixed_row(row: &Row, marks: Marks) -> FixedRow {
    FixedRow { relation: row.get(0), tid: row.get(1), xmin: row.get(2), open: 0, marks }
}
