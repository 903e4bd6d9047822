//! The application's tables, and the DDL that gives one of them its triggers.

use crate::cleanup::outcome::RefusalCause;
use crate::cleanup::sweep::timed;
use tokio_postgres::GenericClient;

/// The functions of one table.
const FUNCTIONS: &str = include_str!("functions.sql");
/// Its triggers.
const TRIGGERS: &str = include_str!("triggers.sql");
/// The triggers of a table, by name.
pub(super) const NAMES: [&str; 4] = ["pacecar_inserted", "pacecar_updated", "pacecar_deleted", "pacecar_truncated"];

/// A table of the application.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    /// As Postgres quotes it.
    pub(super) name: String,
    /// Whether its rows are in partitions.
    partitioned: bool,
    /// Whether tables inherit from it that are no partitions: a key may stand in several of them.
    inherited: bool,
    /// The columns of its primary key: (as a literal, as an identifier). Empty: none.
    key: Vec<(String, String)>,
    /// Whether all its triggers are there, always fire, and are about its key and name of now.
    pub(super) complete: bool,
}

// === impl Table ===

impl Table {
    /// All tables of the application: not the database's own, not pacecar's, not an extension's.
    pub(super) async fn all(client: &impl GenericClient) -> Result<Vec<Self>, RefusalCause> {
        const SQL: &str = "
            SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
                c.relkind = 'p', c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid),
                ARRAY(SELECT pg_catalog.quote_literal(a.attname) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(n, i)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.n ORDER BY u.i),
                ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(n, i)
                    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.n ORDER BY u.i),
                (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
                    JOIN pg_catalog.pg_namespace s ON s.oid = p.pronamespace
                    WHERE t.tgrelid = c.oid AND t.tgname::text = ANY ($1) AND t.tgenabled = 'A' AND s.nspname = 'pacecar') = 4,
                (SELECT p.prosrc FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
                    WHERE t.tgrelid = c.oid AND t.tgname = 'pacecar_inserted')
            FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
            WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
                AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'pacecar')
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            ORDER BY 2";
        let names: Vec<&str> = NAMES.to_vec();
        let rows = timed("look tables up", client.query(SQL, &[&names])).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let (literals, identifiers): (Vec<String>, Vec<String>) = (row.get(4), row.get(5));
                let mut table = Self {
                    oid: row.get(0),
                    name: row.get(1),
                    partitioned: row.get(2),
                    inherited: row.get(3),
                    key: literals.into_iter().zip(identifiers).collect(),
                    complete: row.get(6),
                };
                // A key that was changed since, or a table that was renamed: its functions would fail.
                table.complete &= row.get::<_, Option<String>>(7) == table.first_body();
                table
            })
            .collect())
    }

    /// Whether a row of it can be named.
    pub(super) const fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Makes the functions, or makes them anew: the key may be another one since.
    pub(super) fn functions(&self) -> String {
        let mut sql = String::new();
        let mut rest = FUNCTIONS;
        while let Some((before, behind)) = rest.split_once("<body>") {
            let (body, behind) = behind.split_once("</body>").unwrap_or((behind, ""));
            sql.push_str(&self.named(before));
            sql.push_str(&literal(&self.body(body)));
            rest = behind;
        }
        sql + &self.named(rest)
    }

    /// What the function says that records what is inserted.
    fn first_body(&self) -> Option<String> {
        let (_, rest) = FUNCTIONS.split_once("<body>")?;
        rest.split_once("</body>").map(|(body, _)| self.body(body))
    }

    /// Makes the triggers; those that are there already are replaced.
    pub(super) fn triggers(&self) -> String {
        let drop = NAMES.map(|name| format!("DROP TRIGGER IF EXISTS {name} ON {};\n", self.name)).concat();
        drop + &self.named(TRIGGERS)
    }

    fn named(&self, sql: &str) -> String {
        let function = |what: &str| format!("{what}_{}", self.oid);
        // Rows below it have other tables' numbers.
        let concern = if self.partitioned || self.inherited { "NULL".to_owned() } else { self.oid.to_string() };
        fill(
            sql,
            &[
                ("<inserted>", &function("inserted")),
                ("<updated>", &function("updated")),
                ("<deleted>", &function("deleted")),
                ("<table>", &self.name),
                ("<concern>", &concern),
            ],
        )
    }

    fn body(&self, body: &str) -> String {
        let key = |row: &str| {
            let pairs: Vec<_> = self.key.iter().map(|(name, column)| format!("{name}, {row}.{column}")).collect();
            format!("pg_catalog.jsonb_build_object({})", pairs.join(", "))
        };
        let same: Vec<_> = self.key.iter().map(|(_, column)| format!("t.{column} = n.{column}")).collect();
        let (name, same) = (&self.name, same.join(" AND "));
        // Where a row of a partitioned table is, only the table itself says.
        let (leaf, rows, leaf_of_row) = if self.partitioned {
            (
                "t.tableoid",
                format!("new_rows n JOIN {name} t ON {same}"),
                format!("(SELECT t.tableoid FROM {name} t WHERE {same})"),
            )
        } else {
            ("TG_RELID", "new_rows n".to_owned(), "NULL::oid".to_owned())
        };
        fill(
            body,
            &[
                ("<movable>", if self.inherited { "false" } else { "true" }),
                ("<leaf of n>", &leaf_of_row),
                ("<leaf>", leaf),
                ("<new rows>", &rows),
                ("<key of n>", &key("n")),
                ("<key of o>", &key("o")),
                ("<key of r>", &key("r")),
            ],
        )
    }
}

// === helpers ===

/// A text as an SQL literal; the session has `standard_conforming_strings`.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Fills a template in one pass: what is filled in is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(at) = rest.find('<') {
        let (before, here) = rest.split_at(at);
        filled.push_str(before);
        let (value, name) = match values.iter().find(|(name, _)| here.starts_with(name)) {
            Some((name, value)) => (*value, name.len()),
            None => ("<", 1),
        };
        filled.push_str(value);
        rest = &here[name..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::cleanup::name::quote;

    #[test]
    fn every_placeholder_is_filled_and_nothing_that_was_filled_in() {
        for partitioned in [false, true] {
            let key = vec![(literal("<leaf>'"), quote("<leaf>'"))];
            let name = r#"public."<deleted>""#.to_owned();
            let table = Table { oid: 7, name, partitioned, inherited: false, key, complete: false };
            let sql = table.functions() + &table.triggers();
            for left in ["<inserted>", "<updated>", "<leaf of", "<new rows>", "<key of", "<body>", "<table>"] {
                assert!(!sql.contains(left), "{left} in {sql}");
            }
            assert!(sql.contains(r#"AFTER DELETE ON public."<deleted>" REFERENCING"#), "{sql}");
            // The column's name is a literal within a literal; quotes are doubled once for each.
            assert!(
                sql.contains(r#"jsonb_build_object(QQ<leaf>QQQQQQ, n."<leaf>QQ")"#.replace('Q', "'").as_str()),
                "{sql}"
            );
        }
    }
}
