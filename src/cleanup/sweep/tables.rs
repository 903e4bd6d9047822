//! The tables of a database: names, partitions, children, rights.

use super::session::{Session, timed};
use crate::cleanup::name::TableName;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::plan::Span;
use std::collections::HashMap;

/// All ordinary and partitioned tables of the application.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    by_oid: HashMap<u32, Class>,
    children: HashMap<u32, Vec<u32>>,
}

/// One of them.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact of the catalog")]
pub(super) struct Class {
    /// As Postgres quotes it.
    pub(super) name: String,
    /// Whether its rows lie in its partitions.
    pub(super) partitioned: bool,
    pub(super) may_use: bool,
    pub(super) may_select: bool,
    pub(super) may_delete: bool,
    row_security: bool,
    topmost: u32,
}

// === impl Classes ===

impl Classes {
    pub(super) fn get(&self, oid: u32) -> Option<&Class> {
        self.by_oid.get(&oid)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Class)> {
        self.by_oid.iter().map(|(oid, class)| (*oid, class))
    }

    /// As Postgres quotes it.
    pub(super) fn name(&self, oid: u32) -> String {
        self.by_oid.get(&oid).map(|class| class.name.clone()).unwrap_or_default()
    }

    /// The parent of all partitions that a table is one of; itself where it is none.
    pub(super) fn topmost(&self, oid: u32) -> u32 {
        self.by_oid.get(&oid).map_or(oid, |class| class.topmost)
    }

    /// A table and all that lies below it, partitions and children.
    pub(super) fn tree(&self, oid: u32) -> Vec<u32> {
        let (mut tree, mut at) = (vec![oid], 0);
        while let Some(next) = tree.get(at) {
            let below: Vec<u32> = self.children.get(next).into_iter().flatten().copied().collect();
            tree.extend(below.iter().filter(|oid| !tree.contains(oid)).copied().collect::<Vec<_>>());
            at += 1;
        }
        tree
    }

    /// The topmost parents of a table and of all that inherits from it.
    pub(super) fn with_children(&self, oid: u32) -> Vec<u32> {
        self.tree(oid).into_iter().map(|oid| self.topmost(oid)).collect()
    }
}

// === impl Class ===

impl Class {
    /// Whether all its rows can be read, and deleted where `deletes`.
    pub(super) fn refuse_missing_rights(&self, deletes: bool) -> Result<(), RefusalCause> {
        let rights = [("USAGE", self.may_use), ("SELECT", self.may_select), ("DELETE", self.may_delete || !deletes)];
        match rights.into_iter().find(|(_, may)| !may) {
            Some((right, _)) => Err(RefusalCause::MissingRight { right, table: self.name.clone() }),
            None if self.row_security => Err(RefusalCause::RowSecurity(self.name.clone())),
            None => Ok(()),
        }
    }
}

// === helpers ===

/// Looks all tables up that are not the database's own.
pub(super) async fn load_classes(session: &Session) -> Result<Classes, RefusalCause> {
    const TABLES: &str = "
        SELECT c.oid, c.relkind = 'p', coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid),
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
            pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.has_table_privilege(c.oid, 'SELECT'),
            pg_catalog.has_table_privilege(c.oid, 'DELETE'), pg_catalog.row_security_active(c.oid)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    const CHILDREN: &str = "SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits";
    let mut classes = Classes::default();
    for row in timed("look tables up", session.client.query(TABLES, &[])).await? {
        let class = Class {
            partitioned: row.get(1),
            topmost: row.get(2),
            name: row.get(3),
            may_use: row.get(4),
            may_select: row.get(5),
            may_delete: row.get(6),
            row_security: row.get(7),
        };
        classes.by_oid.insert(row.get(0), class);
    }
    for row in timed("look partitions up", session.client.query(CHILDREN, &[])).await? {
        classes.children.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(classes)
}

/// The table that a name of the plan means.
pub(super) async fn resolve(
    session: &Session,
    classes: &Classes,
    span: Span,
    table: &TableName,
) -> Result<u32, Refusal> {
    const SQL: &str = "SELECT pg_catalog.to_regclass($1)::oid";
    let at = |cause| Refusal::at(span, cause);
    let found = timed("look a table up", session.client.query_one(SQL, &[&table.to_string()])).await;
    let found = match found {
        Ok(row) => row.get::<_, Option<u32>>(0),
        // A schema that this user may not use hides its tables.
        Err(RefusalCause::Database { source, .. })
            if source.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            return Err(at(RefusalCause::MissingRight { right: "USAGE", table: table.to_string() }));
        }
        Err(cause) => return Err(at(cause)),
    };
    let oid = found.ok_or_else(|| at(RefusalCause::UnknownTable(table.clone())))?;
    // What pacecar itself keeps there is no test data.
    let ours = |class: &Class| class.name.starts_with("pacecar.");
    let theirs = classes.get(oid).is_some_and(|class| !ours(class));
    if theirs { Ok(oid) } else { Err(at(RefusalCause::NotATable(table.clone()))) }
}

/// Refuses a table of which a rule makes something else of a DELETE: it could take rows that nobody counted.
pub(super) async fn refuse_rules(session: &Session, tables: &[u32]) -> Result<(), Refusal> {
    const SQL: &str = "
        SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
        FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE w.ev_type = '4' AND w.ev_enabled <> 'D' AND w.ev_class = ANY($1::oid[]) ORDER BY 1 LIMIT 1";
    let rule = timed("look rules up", session.client.query_opt(SQL, &[&tables])).await.map_err(Refusal::new)?;
    rule.map_or(Ok(()), |row| Err(Refusal::new(RefusalCause::Rule(row.get(0)))))
}
