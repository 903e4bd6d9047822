//! Random schemas with random rows, roots and records, and what the contract makes of them by brute force.
//!
//! The model knows rows and references only. It is slow and obvious on purpose, and shares no code
//! with the sweep. `PACECAR_MODEL_CASES=2000` asks for more cases.

use super::*;
use crate::plan::Keep;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::collections::BTreeSet;

const ACTIONS: [&str; 5] = ["NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT"];

#[derive(Clone, Debug)]
struct Table {
    /// 0 one column, 1 two columns, 2 partitioned with two columns, 3 only a unique index.
    kind: u8,
    root: bool,
    keep: bool,
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// A root matches it, where its table has one.
    test: bool,
    /// `keep` matches it, where its table has one.
    keep: bool,
    record: Option<Record>,
}

/// What the ledger has of a row. It can have nothing of one without a primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Sure,
    Hearsay,
}

#[derive(Clone, Debug)]
struct Key {
    from: usize,
    to: usize,
    action: usize,
    deferrable: bool,
    /// By row of `from`: below 40 a NULL, 40 to 49 half a key, else which row.
    values: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Case {
    tables: Vec<Table>,
    keys: Vec<Key>,
    keep_roots: bool,
    follow: bool,
    ledger: Ledger,
    batch: u32,
}

type Id = (usize, usize);

// === impl Table ===

impl Table {
    const fn composite(&self) -> bool {
        matches!(self.kind, 1 | 2)
    }
}

// === impl Case ===

impl Case {
    fn sql(&self, schema: &str) -> String {
        let mut sql = format!("CREATE SCHEMA {schema}; SET search_path = {schema};");
        for (number, table) in self.tables.iter().enumerate() {
            let key = if table.composite() { "PRIMARY KEY (a, id)" } else { "PRIMARY KEY (id)" };
            let (key, partitions) = match table.kind {
                3 => ("UNIQUE (id)", ""),
                2 => (key, " PARTITION BY HASH (id)"),
                _ => (key, ""),
            };
            let mut columns = String::new();
            for (at, key) in self.keys.iter().enumerate().filter(|(_, key)| key.from == number) {
                let _ = key;
                columns.push_str(&format!(", k{at} int, k{at}a int"));
            }
            sql.push_str(&format!(
                "CREATE TABLE t{number} (a int NOT NULL, id int NOT NULL, test bool, keep bool{columns}, {key}){partitions};"
            ));
            if table.kind == 2 {
                for part in 0..2 {
                    sql.push_str(&format!(
                        "CREATE TABLE t{number}_{part} PARTITION OF t{number} FOR VALUES WITH (MODULUS 2, REMAINDER {part});"
                    ));
                }
            }
            for (row, Row { test, keep, .. }) in table.rows.iter().enumerate() {
                let mut values = format!("{}, {row}, {test}, {keep}", row * 10);
                for key in self.keys.iter().filter(|key| key.from == number) {
                    let refers = self.refers(key, row);
                    let half = (40..50).contains(&key.values[row]) && self.tables[key.to].composite();
                    let value = refers.map_or("NULL".to_owned(), |to| to.to_string());
                    let other = refers.map_or("NULL".to_owned(), |to| (to * 10).to_string());
                    let value = if half { "3".to_owned() } else { value };
                    values.push_str(&format!(", {value}, {other}"));
                }
                sql.push_str(&format!("INSERT INTO t{number} VALUES ({values});"));
            }
        }
        for (at, key) in self.keys.iter().enumerate() {
            let composite = self.tables[key.to].composite();
            let (own, other) = if composite { (format!("k{at}a, k{at}"), "a, id") } else { (format!("k{at}"), "id") };
            let deferrable = if key.deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
            sql.push_str(&format!(
                "ALTER TABLE t{} ADD FOREIGN KEY ({own}) REFERENCES t{} ({other}) ON DELETE {}{deferrable};",
                key.from, key.to, ACTIONS[key.action]
            ));
        }
        for (number, table) in self.tables.iter().enumerate() {
            let key = if table.composite() { "'a', t.a, 'id', t.id" } else { "'id', t.id" };
            for (row, record) in table.rows.iter().enumerate().filter_map(|(row, of)| Some((row, of.record?))) {
                let hearsay = record == Record::Hearsay;
                sql.push_str(&format!(
                    "INSERT INTO pacecar.ledger (run, relation, key, hearsay, xid)
                     SELECT '{RUN}', t.tableoid, jsonb_build_object({key}), {hearsay}, '1' FROM t{number} t WHERE id = {row};"
                ));
            }
        }
        sql
    }

    /// The row that a row refers to by a key.
    fn refers(&self, key: &Key, row: usize) -> Option<usize> {
        let (value, rows) = (key.values[row], self.tables[key.to].rows.len());
        (value >= 50 && rows > 0).then(|| usize::from(value) % rows)
    }

    fn ids(&self) -> Vec<Id> {
        self.tables.iter().enumerate().flat_map(|(table, t)| (0..t.rows.len()).map(move |row| (table, row))).collect()
    }

    /// (who refers, to what, by a key between followed tables)
    fn references(&self) -> Vec<(Id, Id, bool)> {
        let mut followed: BTreeSet<usize> = (0..self.tables.len()).filter(|table| self.tables[*table].root).collect();
        for _ in 0..self.tables.len() {
            for key in &self.keys {
                if self.follow && followed.contains(&key.to) {
                    followed.insert(key.from);
                }
            }
        }
        let mut references = Vec::new();
        for key in &self.keys {
            for row in 0..self.tables[key.from].rows.len() {
                if let Some(to) = self.refers(key, row) {
                    let counts = followed.contains(&key.from) && followed.contains(&key.to);
                    references.push(((key.from, row), (key.to, to), counts));
                }
            }
        }
        references
    }

    /// (to be deleted, of them quarantined)
    fn truth(&self) -> (BTreeSet<Id>, BTreeSet<Id>) {
        let references = self.references();
        let kept = |(table, row): Id| self.tables[table].keep && self.tables[table].rows[row].keep;
        let rooted = |(table, row): Id| self.tables[table].root && self.tables[table].rows[row].test;
        let record = |(table, row): Id| self.tables[table].rows[row].record;
        let recorded = |id: Id| self.ledger == Ledger::Record && record(id) == Some(Record::Sure);
        let roots: BTreeSet<Id> = self.ids().into_iter().filter(|id| rooted(*id) && !kept(*id)).collect();
        // What needs nothing else to be test data.
        let seeds: BTreeSet<Id> =
            self.ids().into_iter().filter(|id| (rooted(*id) || recorded(*id)) && !kept(*id)).collect();
        let mut reached = roots;
        for _ in 0..self.ids().len() {
            for (from, to, counts) in &references {
                if self.follow && *counts && reached.contains(to) && !kept(*from) {
                    reached.insert(*from);
                }
            }
        }
        let mut test = reached;
        test.extend(&seeds);
        for _ in 0..self.ids().len() {
            let real: Vec<Id> = references
                .iter()
                .filter(|(from, to, counts)| *counts && !seeds.contains(from) && !test.contains(to))
                .map(|(from, ..)| *from)
                .collect();
            real.iter().for_each(|id| {
                test.remove(id);
            });
        }
        let agrees = |id: &Id| self.ledger != Ledger::TwoKey || record(*id).is_some();
        let goes: BTreeSet<Id> =
            test.into_iter().filter(|id| agrees(id) && !(self.keep_roots && rooted(*id))).collect();
        let mut needed: BTreeSet<Id> = BTreeSet::new();
        for _ in 0..=self.ids().len() {
            for (from, to, _) in &references {
                if goes.contains(to) && (!goes.contains(from) || needed.contains(from)) {
                    needed.insert(*to);
                }
            }
        }
        (goes, needed)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let table = (0..4_u8, any::<bool>(), 0..4_u8, proptest::collection::vec((0..3_u8, 0..8_u8, 0..8_u8), 0..7))
        .prop_map(|(kind, root, keep, rows)| Table {
            kind,
            root,
            keep: keep == 0,
            rows: rows
                .into_iter()
                .map(|(test, keep, record)| {
                    let record = match record {
                        _ if kind == 3 => None,
                        0..3 => None,
                        3..7 => Some(Record::Sure),
                        _ => Some(Record::Hearsay),
                    };
                    Row { test: test > 0, keep: keep == 0, record }
                })
                .collect(),
        });
    let tables = proptest::collection::vec(table, 1..6);
    let key = (0..60_usize, 0..60_usize, 0..5_usize, any::<bool>(), proptest::collection::vec(any::<u8>(), 7));
    let keys = proptest::collection::vec(key, 0..8);
    (tables, keys, 0..4_u8, 0..6_u8, 0..3_usize, 1..9_u32).prop_map(
        |(mut tables, keys, keep_roots, follow, ledger, batch)| {
            let ledger = [Ledger::Off, Ledger::Record, Ledger::TwoKey][ledger];
            tables[0].root = true;
            let count = tables.len();
            let keys = keys
                .into_iter()
                .map(|(from, to, action, deferrable, values)| {
                    // The database itself refuses these where the table is partitioned, or the key cannot be deferred.
                    let (from, to) = (from % count, to % count);
                    Key { from, to, action, deferrable, values }
                })
                .collect();
            Case { tables, keys, keep_roots: keep_roots == 0, follow: follow > 0, ledger, batch }
        },
    )
}

async fn dump(database: &Database, case: &Case) -> Vec<BTreeSet<(usize, String)>> {
    let mut all = Vec::new();
    for table in 0..case.tables.len() {
        let rows = database.client.query(&format!("SELECT id, t::text FROM t{table} t"), &[]).await.unwrap();
        all.push(rows.iter().map(|row| (usize::try_from(row.get::<_, i32>(0)).unwrap(), row.get(1))).collect());
    }
    all
}

async fn hold(database: &Database, case: &Case, schema: &str) -> Result<(), TestCaseError> {
    database.client.batch_execute(&case.sql(schema)).await.unwrap();
    let before = dump(database, case).await;
    let (goes, needed) = case.truth();
    let roots: Vec<(String, &str)> = (0..case.tables.len())
        .filter(|table| case.tables[*table].root)
        .map(|table| (format!("{schema}.t{table}"), "test"))
        .collect();
    let roots: Vec<(&str, &str)> = roots.iter().map(|(table, where_)| (table.as_str(), *where_)).collect();
    let plan = database.plan_with(&roots, |postgres| {
        postgres.keep_roots.value = case.keep_roots;
        postgres.follow.value = if case.follow { Follow::ForeignKeys } else { Follow::None };
        postgres.ledger.value = case.ledger;
        postgres.batch.value = case.batch;
        let kept = (0..case.tables.len()).filter(|table| case.tables[*table].keep);
        postgres.keep = kept
            .map(|table| Keep {
                table: Spanned::nowhere(format!("{schema}.t{table}")),
                where_: Spanned::nowhere("keep".to_owned()),
            })
            .collect();
    });
    let mut sweeper = Sweeper::connect(plan).await.unwrap();
    // As with an older Postgres, every other time.
    sweeper.session.ranges = case.batch.is_multiple_of(2);
    let dry = sweeper.dry_run().await;
    let outcome = sweeper.sweep(|_| ()).await;
    prop_assert!(outcome.refused.is_none(), "{:?}\n{}", outcome.refused, case.sql(schema));
    let after = dump(database, case).await;
    for (number, rows) in before.iter().enumerate() {
        let stays: BTreeSet<_> = rows
            .iter()
            .filter(|(row, _)| !goes.contains(&(number, *row)) || needed.contains(&(number, *row)))
            .cloned()
            .collect();
        prop_assert_eq!(&after[number], &stays, "t{} of {}", number, case.sql(schema));
        let found = goes.iter().filter(|(table, _)| *table == number).count() as u64;
        let kept = needed.iter().filter(|(table, _)| *table == number).count() as u64;
        let name = format!("{schema}.t{number}");
        let told = |outcome: &CleanupOutcome| {
            let table = outcome.tables.iter().find(|table| table.name == name);
            table.map_or((0, 0, 0, 0), |table| (table.found, table.deleted, table.remaining, table.quarantined))
        };
        prop_assert_eq!(told(&outcome), (found, found - kept, kept, kept), "t{} of {}", number, case.sql(schema));
        prop_assert_eq!(told(&dry), (found, 0, found, kept));
    }
    let count = needed.len() as u64;
    prop_assert_eq!((outcome.quarantined, outcome.remaining, outcome.blocked.is_empty()), (count, count, count == 0));
    prop_assert_eq!((dry.quarantined, dry.remaining), (count, goes.len() as u64));
    database.client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE; DELETE FROM pacecar.ledger")).await.unwrap();
    Ok(())
}

#[test]
fn what_the_sweep_finds_deletes_and_keeps_is_what_the_contract_says() {
    let cases_wanted = std::env::var("PACECAR_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As `cleanup install` makes it, without triggers: what it has of a row is part of the case.
    let ledger = format!("CREATE SCHEMA pacecar; {}", include_str!("../../ledger/objects.sql"));
    let database = runtime.block_on(Database::new(&ledger));
    let mut runner = TestRunner::new(Config { cases: cases_wanted, max_shrink_iters: 200, ..Config::default() });
    let number = std::cell::Cell::new(0);
    let ran = runner.run(&cases(), |case| {
        number.set(number.get() + 1);
        runtime.block_on(hold(&database, &case, &format!("m{}", number.get())))
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}
