//! Deletes fixed rows in batches, each a transaction of its own, at a bounded pace.
//!
//! A batch with rows that are test data only by what they refer to is one statement, which deletes
//! nothing unless all of that is still what the look saw. Where it is not, or where the database
//! would do more than delete (`ON DELETE CASCADE`, `SET NULL`, `SET DEFAULT`), it is one
//! repeatable-read transaction: in its snapshot the references are looked at once more, both ways,
//! and then the rows go. What changed between look and snapshot is seen and left; what changes
//! between snapshot and deletion makes the database itself end the transaction, because a cascade
//! that meets a row which its snapshot does not have is an error.

use super::catalog::{Catalog, Relation};
use super::gentle::Pace;
use super::keys::Action;
use super::look::Found;
use super::places::Places;
use super::rows::{FixedRow, Tid, Xid, batches};
use super::session::{Access, Session, Value, timed};
use super::standbys::Standbys;
use crate::cleanup::outcome::{Blocked, Blocker, RefusalCause};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::Type;

/// How often a batch that met a lock is tried again.
const TRIES: u32 = 3;
/// How long it waits before that.
const AGAIN: Duration = Duration::from_millis(200);

/// What is said to have failed.
const DELETE: &str = "delete test rows";

/// Deletes, and keeps count.
pub(super) struct Deleter<'a> {
    pub(super) session: &'a mut Session,
    pub(super) catalog: &'a Catalog,
    pub(super) found: &'a Found,
    pub(super) pace: &'a mut Pace,
    pub(super) standbys: &'a mut Standbys,
    /// Rows deleted, by target.
    pub(super) deleted: Vec<u64>,
    /// What a foreign key kept that the look did not see.
    pub(super) blocked: Vec<Blocked>,
    /// Rows that may still be there.
    pub(super) stayed: Vec<FixedRow>,
}

/// How a transaction ended.
enum Ended {
    /// So many rows are gone, by target; these were left.
    Deleted(Vec<(usize, u64)>, Vec<FixedRow>),
    /// A row outside refers to one of these.
    Referred(Blocker),
    /// Somebody else holds a lock, or it took too long.
    Busy(RefusalCause),
}

// === impl Deleter ===

impl<'a> Deleter<'a> {
    /// Deletes rows that no other row that goes refers to from outside of them. `together` says that they
    /// refer to each other, so that they go in one statement or not at all.
    pub(super) async fn delete(&mut self, rows: &[FixedRow], together: bool) -> Result<(), RefusalCause> {
        let mut waiting = vec![rows];
        let mut tries = 0;
        while let Some(rows) = waiting.pop() {
            if rows.is_empty() {
                continue;
            }
            let started = Instant::now();
            match self.attempt(rows).await? {
                Ended::Deleted(gone, left) => {
                    let count = gone.iter().map(|(_, count)| count).sum();
                    // A ring of tables counts under the first of them: what a row of it takes is much the same.
                    let kind = gone.first().map_or(0, |(target, _)| *target);
                    for (target, count) in gone {
                        self.deleted[target] += count;
                    }
                    self.stayed.extend(left);
                    self.pace.spend(kind, count, started.elapsed()).await;
                    if self.standbys.wait(self.session).await {
                        self.pace.yield_to_others();
                    }
                    tries = 0;
                }
                Ended::Busy(_) if tries < TRIES => {
                    tries += 1;
                    waiting.push(rows);
                    self.pace.yield_to_others();
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Busy(cause) if rows.len() <= 1 || together => return Err(cause),
                Ended::Referred(by) if rows.len() <= 1 || together => {
                    self.stayed.extend(rows);
                    let targets: BTreeSet<usize> =
                        rows.iter().filter_map(|row| self.catalog.target_of(row.relation)).collect();
                    let table = |target: usize| self.catalog.targets[target].name.clone();
                    self.blocked.extend(targets.into_iter().map(|at| Blocked { table: table(at), by: by.clone() }));
                }
                Ended::Referred(_) | Ended::Busy(_) => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    // What was busy is not asked for again and again.
                    tries = 0;
                    waiting.extend([second, first]);
                }
            }
        }
        Ok(())
    }

    async fn attempt(&mut self, rows: &[FixedRow]) -> Result<Ended, RefusalCause> {
        let guarded = rows.iter().any(|row| {
            let guarded = |target| self.catalog.keys_into(target).any(|(_, key)| key.action == Action::Otherwise);
            self.catalog.target_of(row.relation).is_some_and(guarded)
        });
        let attempted = if guarded {
            self.checked(rows).await
        } else if rows.iter().any(FixedRow::is_followed) {
            self.unchanged(rows).await
        } else {
            self.plain(rows).await
        };
        match attempted {
            Ok(ended) => Ok(ended),
            Err(cause) => {
                self.session.end().await?;
                ended(cause)
            }
        }
    }

    /// Deletes rows in one statement where all that they refer to is still what the look saw, and looks closer where
    /// it is not.
    async fn unchanged(&mut self, rows: &[FixedRow]) -> Result<Ended, RefusalCause> {
        let Some(relation) = self.goes_alone(rows) else { return self.checked(rows).await };
        let started = Instant::now();
        let places = Places::of(rows, self.session.ranges);
        let parents = self.parents(relation.target, rows);
        let mut values = places.identities();
        let mut sql = format!("DELETE FROM {} t WHERE {}", relation.access, places.identity("t.", 1));
        for (from, count, parents) in &parents {
            let same = parents.identity("p.", values.len() + 1);
            sql.push_str(&format!(" AND (SELECT pg_catalog.count(*) FROM {from} p WHERE {same}) = {count}"));
            values.extend(parents.identities());
        }
        let gone = timed(DELETE, self.session.client.execute_typed(&sql, &values)).await?;
        if gone == rows.len() as u64 {
            return Ok(Ended::Deleted(vec![(relation.target, gone)], Vec::new()));
        }
        self.deleted[relation.target] += gone;
        self.pace.spend(relation.target, gone, started.elapsed()).await;
        self.checked(rows).await
    }

    /// Where rows lie, if one statement can judge them: they are of one table, and it refers to others only.
    fn goes_alone(&self, rows: &[FixedRow]) -> Option<&'a Relation> {
        let relation = self.catalog.relation(rows.first()?.relation)?;
        let one = rows.iter().all(|row| row.relation == rows[0].relation);
        let outwards = self.catalog.keys_of(relation.target).all(|(_, key)| !self.catalog.together(key));
        (one && outwards).then_some(relation)
    }

    /// What rows of a target refer to by the keys that count, each once: the table, how many rows of it, and which.
    fn parents(&self, target: usize, rows: &[FixedRow]) -> Vec<(&'a str, usize, Places)> {
        let (catalog, found) = (self.catalog, self.found);
        let positions = rows.iter().filter_map(|row| found.fixed[target].position(row.relation, row.tid));
        let positions: Vec<usize> = positions.collect();
        let mut all = Vec::new();
        for (number, key) in catalog.keys_of(target).filter(|(_, key)| key.counts) {
            let mut to: Vec<usize> = positions.iter().filter_map(|from| found.parents.of(number, *from)).collect();
            to.sort_unstable();
            to.dedup();
            let mut parents: Vec<FixedRow> = to.into_iter().map(|row| found.fixed[key.to].rows()[row]).collect();
            parents.sort_unstable_by_key(FixedRow::place);
            let batches = batches(&parents, usize::MAX);
            all.extend(
                batches.map(|batch| (key.from_referred.as_str(), batch.len(), Places::of(batch, self.session.ranges))),
            );
        }
        all
    }

    /// Looks once more at what the rows refer to and what refers to them, then deletes: one snapshot.
    async fn checked(&mut self, rows: &[FixedRow]) -> Result<Ended, RefusalCause> {
        self.session.begin(Access::Write).await?;
        let mut left: HashSet<(u32, Tid)> = HashSet::new();
        self.leave_what_is_real_now(rows, &mut left).await?;
        self.leave_what_is_needed(rows, &mut left).await?;
        let go: Vec<FixedRow> = rows.iter().filter(|row| !left.contains(&row.place())).copied().collect();
        let ended = self.plain(&go).await?;
        self.session.commit().await?;
        let stay = rows.iter().filter(|row| left.contains(&row.place())).copied();
        Ok(match ended {
            Ended::Deleted(gone, mut remained) => {
                // What became real by its parents is not fixed as test data any more; the next look says.
                remained.extend(stay.filter(|row| !row.is_followed()));
                Ended::Deleted(gone, remained)
            }
            other => other,
        })
    }

    /// A row that is test data by what it refers to: is all of that still the same?
    async fn leave_what_is_real_now(
        &mut self,
        rows: &[FixedRow],
        left: &mut HashSet<(u32, Tid)>,
    ) -> Result<(), RefusalCause> {
        let followed: Vec<FixedRow> = rows.iter().filter(|row| row.is_followed()).copied().collect();
        let (catalog, found) = (self.catalog, self.found);
        for batch in batches(&followed, usize::MAX) {
            let places = Places::of(batch, self.session.ranges);
            let oid = places.relation;
            let Some(target) = catalog.target_of(oid) else { continue };
            for (_, key) in catalog.keys_of(target).filter(|(_, key)| key.counts) {
                let mut values = places.values();
                let mut newer = String::new();
                if let Some(horizon) = &found.horizon {
                    values.push((horizon, Type::XID));
                    newer = format!(" AND pg_catalog.age(t.xmin) <= pg_catalog.age(${}::xid)", values.len());
                }
                let sql = format!(
                    "SELECT r.ctid, t.tableoid, t.ctid, t.xmin FROM {} r JOIN {} t ON {} WHERE {}{newer}",
                    key.from_referrer,
                    key.from_referred,
                    key.join(),
                    places.condition("r.", 1)
                );
                let see = |row: &tokio_postgres::Row| {
                    let fixed = &found.fixed[key.to];
                    let same = fixed.position(row.get(1), row.get(2)).map(|position| fixed.rows()[position]);
                    let same = same.is_some_and(|fixed| fixed.xmin == row.get::<_, Xid>(3) && fixed.is_test());
                    if !same {
                        left.insert((oid, row.get(0)));
                    }
                };
                self.session.each_row("look again at what test rows refer to", &sql, &values, see).await?;
            }
        }
        Ok(())
    }

    /// Rows that something outside of `rows` refers to, where the database would not refuse; and all that
    /// they need of `rows`.
    async fn leave_what_is_needed(
        &mut self,
        rows: &[FixedRow],
        left: &mut HashSet<(u32, Tid)>,
    ) -> Result<(), RefusalCause> {
        let all: HashSet<(u32, Tid)> = rows.iter().map(FixedRow::place).collect();
        let catalog = self.catalog;
        let mut references: Vec<((u32, Tid), (u32, Tid))> = Vec::new();
        for batch in batches(rows, usize::MAX) {
            let places = Places::of(batch, self.session.ranges);
            let Some(target) = catalog.target_of(places.relation) else { continue };
            for (_, key) in catalog.keys_into(target).filter(|(_, key)| key.action == Action::Otherwise) {
                let sql = format!(
                    "SELECT t.tableoid, t.ctid, r.tableoid, r.ctid FROM {} t JOIN {} r ON {} WHERE {}",
                    key.from_referred,
                    key.from_referrer,
                    key.join(),
                    places.condition("t.", 1)
                );
                let see = |row: &tokio_postgres::Row| {
                    let (to, from) = ((row.get(0), row.get(1)), (row.get(2), row.get(3)));
                    if all.contains(&from) {
                        references.push((from, to));
                    } else {
                        left.insert(to);
                    }
                };
                self.session.each_row("look again at what refers to test rows", &sql, &places.values(), see).await?;
            }
        }
        loop {
            let before = left.len();
            let more: Vec<_> = references.iter().filter(|(from, _)| left.contains(from)).map(|(_, to)| *to).collect();
            left.extend(more);
            if left.len() == before {
                return Ok(());
            }
        }
    }

    /// Deletes rows by their identity, in one statement: foreign keys are looked at when it ends.
    async fn plain(&mut self, rows: &[FixedRow]) -> Result<Ended, RefusalCause> {
        let parts: Vec<Places> =
            batches(rows, usize::MAX).map(|batch| Places::of(batch, self.session.ranges)).collect();
        let mut values: Vec<Value<'_>> = Vec::new();
        let mut deletes = Vec::new();
        let mut targets = Vec::new();
        for places in &parts {
            let Some(relation) = self.catalog.relation(places.relation) else { continue };
            let same = places.identity("t.", values.len() + 1);
            deletes.push(format!("DELETE FROM {} t WHERE {same}", relation.access));
            values.extend(places.identities());
            targets.push(relation.target);
        }
        let gone: Vec<(usize, u64)> = match (deletes.as_slice(), targets.as_slice()) {
            ([], _) => Vec::new(),
            ([sql], [target]) => {
                vec![(*target, timed(DELETE, self.session.client.execute_typed(sql, &values)).await?)]
            }
            _ => {
                let with: Vec<_> =
                    deletes.iter().enumerate().map(|(n, sql)| format!("d{n} AS ({sql} RETURNING 1)")).collect();
                let counts: Vec<_> = (0..deletes.len()).map(|n| format!("(SELECT count(*) FROM d{n})")).collect();
                let sql = format!("WITH {} SELECT {}", with.join(", "), counts.join(", "));
                let row = timed(DELETE, self.session.client.query_typed_one(&sql, &values)).await?;
                targets.iter().enumerate().map(|(n, target)| (*target, super::judge::count(row.get(n)))).collect()
            }
        };
        let whole = gone.iter().map(|(_, count)| count).sum::<u64>() == rows.len() as u64;
        Ok(Ended::Deleted(gone, if whole { Vec::new() } else { rows.to_vec() }))
    }
}

// === helpers ===

/// Tells a foreign key and a lock from what ends the sweep.
fn ended(cause: RefusalCause) -> Result<Ended, RefusalCause> {
    let code = match &cause {
        RefusalCause::Database { source, .. } => source.as_db_error().map(DbError::code),
        // The database itself ended a statement that took too long: fewer rows may do.
        RefusalCause::Timeout { limit, .. } if *limit < super::session::ANSWER => return Ok(Ended::Busy(cause)),
        _ => None,
    };
    let busy = [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::T_R_DEADLOCK_DETECTED, &SqlState::T_R_SERIALIZATION_FAILURE];
    match code {
        Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION => {
            let RefusalCause::Database { source, .. } = &cause else { return Err(cause) };
            let error = source.as_db_error();
            let text = |part: Option<&str>| part.unwrap_or("another table").to_owned();
            let table = match error.and_then(|error| Some((error.schema()?, error.table()?))) {
                Some((schema, table)) => format!("{schema}.{table}"),
                None => text(error.and_then(DbError::table)),
            };
            Ok(Ended::Referred(Blocker::Constraint { table, constraint: text(error.and_then(DbError::constraint)) }))
        }
        Some(code) if busy.contains(&code) => Ok(Ended::Busy(cause)),
        _ => Err(cause),
    }
}
