//! What the database says about the roots' tables and about what refers to them.

use super::session::{Session, timed};
use crate::cleanup::compile::{CleanupPlan, RootPlan};
use crate::cleanup::outcome::{Refusal, RefusalCause};
use std::collections::HashMap;
use tokio_postgres::Row;

/// One table, by whichever name a root calls it, with the partitions below it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The topmost parent's name as Postgres quotes it: what is reported.
    pub(super) name: String,
    /// What is deleted from: the root's own table, or the topmost parent where several roots share it.
    pub(super) access: String,
    /// Its roots, by number.
    pub(super) roots: Vec<usize>,
    /// The topmost parent.
    oid: u32,
}

/// A foreign key that leads into a target.
#[derive(Clone, Debug)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    /// The table that refers, as Postgres quotes it.
    pub(super) referrer: String,
    /// `ONLY` and the name: without the children that a foreign key does not speak of.
    pub(super) from_referrer: String,
    pub(super) from_referred: String,
    /// The target that refers; none where that is outside the roots.
    pub(super) from: Option<usize>,
    /// The target that is referred to.
    pub(super) to: usize,
    /// Pairs of columns, in quotes: (of who refers, of what is referred to).
    pub(super) columns: Vec<(String, String)>,
    pub(super) action: Action,
}

/// What the database does to who refers when the row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It refuses: no harm.
    Refuse,
    /// It changes or deletes rows that nobody counted.
    Change(&'static str),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Catalog {
    pub(super) targets: Vec<Target>,
    pub(super) keys: Vec<ForeignKey>,
    /// Which target a table, or a partition, belongs to.
    member: HashMap<u32, usize>,
}

// === impl Catalog ===

impl Catalog {
    /// Looks everything up, and whether this user may do what is to be done.
    pub(super) async fn load(session: &Session, plan: &CleanupPlan) -> Result<Self, Refusal> {
        let standby = "SELECT pg_catalog.pg_is_in_recovery()";
        let standby = timed("say what it is", session.client.query_one(standby, &[])).await.map_err(Refusal::new)?;
        if standby.get(0) {
            return Err(Refusal::new(RefusalCause::Standby));
        }
        let mut targets: Vec<Target> = Vec::new();
        for (number, root) in plan.roots.iter().enumerate() {
            let facts = table_facts(session, root).await?;
            match targets.iter_mut().find(|target| target.oid == facts.topmost) {
                Some(target) => {
                    target.access.clone_from(&facts.topmost_name);
                    target.roots.push(number);
                }
                None => targets.push(Target {
                    name: facts.topmost_name,
                    access: facts.name,
                    roots: vec![number],
                    oid: facts.topmost,
                }),
            }
        }
        let member = members(session, &targets).await.map_err(Refusal::new)?;
        refuse_rules(session, &member).await?;
        let keys = foreign_keys(session, &targets, &member).await?;
        Ok(Self { targets, keys, member })
    }

    /// The target that a table or a partition belongs to.
    pub(super) fn target_of(&self, relation: u32) -> Option<usize> {
        self.member.get(&relation).copied()
    }

    /// The foreign keys into a target.
    pub(super) fn keys_into(&self, target: usize) -> impl Iterator<Item = &ForeignKey> {
        self.keys.iter().filter(move |key| key.to == target)
    }
}

// === impl ForeignKey ===

impl ForeignKey {
    /// The condition that row `r` refers to row `t`.
    pub(super) fn join(&self) -> String {
        let pairs: Vec<_> = self.columns.iter().map(|(from, to)| format!("r.{from} = t.{to}")).collect();
        pairs.join(" AND ")
    }
}

// === helpers ===

struct TableFacts {
    /// As Postgres quotes it.
    name: String,
    topmost: u32,
    topmost_name: String,
}

/// Resolves the name of a root, and looks at what this user may do there.
async fn table_facts(session: &Session, root: &RootPlan) -> Result<TableFacts, Refusal> {
    const SQL: &str = "
        WITH RECURSIVE up(oid, level) AS (
            SELECT pg_catalog.to_regclass($1)::oid, 0
            UNION ALL
            SELECT i.inhparent, up.level + 1 FROM up
            JOIN pg_catalog.pg_class c ON c.oid = up.oid AND c.relispartition
            JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid)
        SELECT c.oid, c.relkind::text, n.nspname::text,
            pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
            pg_catalog.row_security_active(c.oid),
            pg_catalog.has_table_privilege(c.oid, 'SELECT'), pg_catalog.has_table_privilege(c.oid, 'DELETE'),
            c.relpersistence::text
        FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        ORDER BY up.level";
    let at = |cause| Refusal::at(root.span, cause);
    let name = root.table.to_string();
    let rows = timed("look the root's table up", session.client.query(SQL, &[&name])).await.map_err(at)?;
    let (Some(own), Some(topmost)) = (rows.first(), rows.last()) else {
        return Err(at(RefusalCause::UnknownTable(root.table.clone())));
    };
    let (kind, schema): (&str, &str) = (own.get(1), own.get(2));
    let own_schema = schema.starts_with("pg_") || matches!(schema, "information_schema" | "pacecar");
    if !matches!(kind, "r" | "p") || own_schema {
        return Err(at(RefusalCause::NotATable(root.table.clone())));
    }
    for row in [own, topmost] {
        let table = || row.get::<_, String>(3);
        if row.get(4) {
            return Err(at(RefusalCause::RowSecurity(table())));
        }
    }
    for (column, right) in [(5, "SELECT"), (6, "DELETE")] {
        if !own.get::<_, bool>(column) {
            return Err(at(RefusalCause::MissingRight { right, table: own.get(3) }));
        }
    }
    Ok(TableFacts { name: own.get(3), topmost: topmost.get(0), topmost_name: topmost.get(3) })
}

/// All tables of each target: itself, its partitions, its children. A table belongs to one target only.
async fn members(session: &Session, targets: &[Target]) -> Result<HashMap<u32, usize>, RefusalCause> {
    const SQL: &str = "
        WITH RECURSIVE tree(root, oid) AS (
            SELECT t, t FROM pg_catalog.unnest($1::oid[]) t
            UNION
            SELECT tree.root, i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
        SELECT root, oid FROM tree";
    let oids: Vec<u32> = targets.iter().map(|target| target.oid).collect();
    let rows = timed("look partitions up", session.client.query(SQL, &[&oids])).await?;
    let mut member = HashMap::new();
    for row in rows {
        let (root, oid): (u32, u32) = (row.get(0), row.get(1));
        if let Some(target) = targets.iter().position(|target| target.oid == root) {
            // A child that is a target itself is its own.
            if root == oid || !oids.contains(&oid) {
                member.entry(oid).or_insert(target);
            }
        }
    }
    Ok(member)
}

/// Refuses a table of which a rule makes something else of a DELETE: it could take rows that nobody counted.
async fn refuse_rules(session: &Session, member: &HashMap<u32, usize>) -> Result<(), Refusal> {
    const SQL: &str = "
        SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
        FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE w.ev_type = '4' AND w.ev_enabled <> 'D' AND w.ev_class = ANY($1::oid[]) ORDER BY 1 LIMIT 1";
    let all: Vec<u32> = member.keys().copied().collect();
    let rule = timed("look rules up", session.client.query_opt(SQL, &[&all])).await.map_err(Refusal::new)?;
    rule.map_or(Ok(()), |row| Err(Refusal::new(RefusalCause::Rule(row.get(0)))))
}

/// The foreign keys that lead into the targets, as they were declared (not their copies in partitions).
async fn foreign_keys(
    session: &Session,
    targets: &[Target],
    member: &HashMap<u32, usize>,
) -> Result<Vec<ForeignKey>, Refusal> {
    const SQL: &str = "
        SELECT k.conname::text, k.conrelid, k.confrelid, k.confdeltype::text,
            pg_catalog.quote_ident(rn.nspname) || '.' || pg_catalog.quote_ident(r.relname), r.relkind::text,
            pg_catalog.quote_ident(tn.nspname) || '.' || pg_catalog.quote_ident(t.relname), t.relkind::text,
            ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(n, i)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.n ORDER BY c.i),
            ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY c(n, i)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.n ORDER BY c.i),
            pg_catalog.has_table_privilege(k.conrelid, 'SELECT'), pg_catalog.row_security_active(k.conrelid),
            pg_catalog.has_table_privilege(k.confrelid, 'UPDATE')
        FROM pg_catalog.pg_constraint k
        JOIN pg_catalog.pg_class r ON r.oid = k.conrelid JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
        JOIN pg_catalog.pg_class t ON t.oid = k.confrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
        WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY($1::oid[])
        ORDER BY k.oid";
    let all: Vec<u32> = member.keys().copied().collect();
    let rows = timed("look foreign keys up", session.client.query(SQL, &[&all])).await.map_err(Refusal::new)?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let (referrer, referred): (u32, u32) = (row.get(1), row.get(2));
        let Some(to) = member.get(&referred).copied() else { continue };
        let key = foreign_key(&row, member.get(&referrer).copied(), to);
        if row.get(11) {
            return Err(Refusal::new(RefusalCause::RowSecurity(key.referrer)));
        }
        if !row.get::<_, bool>(10) {
            return Err(Refusal::new(RefusalCause::MissingRight { right: "SELECT", table: key.referrer }));
        }
        // Rows are locked before they go where the database would change others with them.
        if matches!(key.action, Action::Change(_)) && !row.get::<_, bool>(12) {
            let table = targets[to].name.clone();
            return Err(Refusal::new(RefusalCause::MissingRight { right: "UPDATE", table }));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn foreign_key(row: &Row, from: Option<usize>, to: usize) -> ForeignKey {
    // A plain table's key does not speak of what inherits from it; a partitioned one's does.
    let only = |name: usize, kind: usize| match row.get::<_, &str>(kind) {
        "p" => row.get::<_, String>(name),
        _ => format!("ONLY {}", row.get::<_, &str>(name)),
    };
    let (of_referrer, of_referred): (Vec<String>, Vec<String>) = (row.get(8), row.get(9));
    ForeignKey {
        name: row.get(0),
        referrer: row.get(4),
        from_referrer: only(4, 5),
        from_referred: only(6, 7),
        from,
        to,
        columns: of_referrer.into_iter().zip(of_referred).collect(),
        action: match row.get::<_, &str>(3) {
            "c" => Action::Change("CASCADE"),
            "n" => Action::Change("SET NULL"),
            "d" => Action::Change("SET DEFAULT"),
            _ => Action::Refuse,
        },
    }
}
