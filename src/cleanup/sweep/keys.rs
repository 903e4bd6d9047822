//! Foreign keys, and the SQL that follows them.

use super::session::{Session, timed};
use super::tables::Classes;
use crate::cleanup::outcome::RefusalCause;

/// A foreign key as it was declared (not its copies in partitions).
#[derive(Clone, Debug, Default)]
pub(super) struct KeyFacts {
    pub(super) name: String,
    pub(super) referrer: u32,
    pub(super) referred: u32,
    /// `a`, `r`, `c`, `n`, `d`: what happens when the row that is referred to goes.
    action: String,
    /// Whether the database looks at it at all: triggers can be disabled.
    enforced: bool,
    /// The columns that refer, in quotes.
    columns: Vec<String>,
    /// The condition of each pair of columns, of who refers `r` and what is referred to `t`.
    conditions: Vec<String>,
}

/// A foreign key between two targets.
#[derive(Clone, Debug)]
pub(super) struct ForeignKey {
    pub(super) name: String,
    pub(super) referrer_oid: u32,
    pub(super) referred_oid: u32,
    /// `ONLY` and the name: without the children that a foreign key does not speak of.
    pub(super) from_referrer: String,
    pub(super) from_referred: String,
    /// The target that refers.
    pub(super) from: usize,
    /// The target that is referred to.
    pub(super) to: usize,
    /// Whether both are followed: then a reference that leads to no test data makes a row real.
    pub(super) counts: bool,
    pub(super) action: Action,
    columns: Vec<String>,
    conditions: Vec<String>,
    /// The tables and partitions that have it.
    relations: Vec<u32>,
}

/// What the database does when the row that is referred to goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It refuses.
    Refuse,
    /// It deletes or changes rows that nobody counted, or looks away.
    Otherwise,
}

// === impl ForeignKey ===

impl ForeignKey {
    pub(super) fn of(facts: KeyFacts, classes: &Classes, from: usize, to: usize, counts: bool) -> Self {
        // A plain table's key does not speak of what inherits from it; a partitioned one's does.
        let only = |oid: u32| match classes.get(oid) {
            Some(class) if class.partitioned => class.name.clone(),
            class => format!("ONLY {}", class.map_or("", |class| &class.name)),
        };
        let partitioned = classes.get(facts.referrer).is_some_and(|class| class.partitioned);
        let refuses = matches!(facts.action.as_str(), "a" | "r") && facts.enforced;
        Self {
            from_referrer: only(facts.referrer),
            from_referred: only(facts.referred),
            relations: if partitioned { classes.tree(facts.referrer) } else { vec![facts.referrer] },
            name: facts.name,
            referrer_oid: facts.referrer,
            referred_oid: facts.referred,
            from,
            to,
            counts,
            action: if refuses { Action::Refuse } else { Action::Otherwise },
            columns: facts.columns,
            conditions: facts.conditions,
        }
    }

    /// The condition that row `r` refers to row `t`.
    pub(super) fn join(&self) -> String {
        self.conditions.join(" AND ")
    }

    /// SQL for how many of `keys` a row `r` found by this one has without a NULL, of those that count.
    pub(super) fn open(&self, keys: &[Self]) -> String {
        let counted = keys.iter().filter(|key| key.counts && key.from == self.from).filter_map(|key| {
            let shared: Vec<u32> = key.relations.iter().filter(|oid| self.relations.contains(oid)).copied().collect();
            if shared.is_empty() {
                return None;
            }
            let columns: Vec<_> = key.columns.iter().map(|column| format!("r.{column}")).collect();
            let whole = format!("pg_catalog.num_nulls({}) = 0", columns.join(", "));
            if self.relations.iter().all(|oid| shared.contains(oid)) {
                return Some(format!("({whole})::int"));
            }
            let oids: Vec<_> = shared.iter().map(u32::to_string).collect();
            Some(format!("({whole} AND r.tableoid IN ({}))::int", oids.join(", ")))
        });
        let counted: Vec<_> = counted.collect();
        if counted.is_empty() { "0".to_owned() } else { counted.join(" + ") }
    }
}

// === helpers ===

/// Looks all foreign keys up.
pub(super) async fn load_keys(session: &Session) -> Result<Vec<KeyFacts>, RefusalCause> {
    // Compared as the foreign key itself compares: by its operators, under the collation of what is referred to.
    const SQL: &str = "
        SELECT k.conname::text, k.conrelid, k.confrelid, k.confdeltype::text,
            NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled IN ('D', 'R')),
            ARRAY(SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY c(n, i)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.n ORDER BY c.i),
            ARRAY(SELECT 't.' || pg_catalog.quote_ident(t.attname)
                    || CASE WHEN t.attcollation <> r.attcollation AND t.attcollation <> 0 THEN ' COLLATE '
                        || pg_catalog.quote_ident(ln.nspname) || '.' || pg_catalog.quote_ident(l.collname) ELSE '' END
                    || ' OPERATOR(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ') r.'
                    || pg_catalog.quote_ident(r.attname)
                FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conpfeqop))
                    WITH ORDINALITY c(r, t, o, i)
                JOIN pg_catalog.pg_attribute r ON r.attrelid = k.conrelid AND r.attnum = c.r
                JOIN pg_catalog.pg_attribute t ON t.attrelid = k.confrelid AND t.attnum = c.t
                JOIN pg_catalog.pg_operator o ON o.oid = c.o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
                LEFT JOIN pg_catalog.pg_collation l ON l.oid = t.attcollation
                LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace ORDER BY c.i)
        FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.oid";
    let rows = timed("look foreign keys up", session.client.query(SQL, &[])).await?;
    let facts = rows.iter().map(|row| KeyFacts {
        name: row.get(0),
        referrer: row.get(1),
        referred: row.get(2),
        action: row.get(3),
        enforced: row.get(4),
        columns: row.get(5),
        conditions: row.get(6),
    });
    Ok(facts.collect())
}
