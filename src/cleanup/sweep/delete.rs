//! Deletes fixed rows in batches, each a transaction of its own, at a bounded pace.

use super::catalog::{Action, Catalog};
use super::find::parameters;
use super::rows::{FixedRow, batches};
use super::session::{Session, timed};
use crate::cleanup::outcome::{Blocked, Blocker, RefusalCause};
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::error::{DbError, SqlState};

/// How often a batch that met a lock is tried again.
const TRIES: u32 = 3;
/// How long it waits before that.
const AGAIN: Duration = Duration::from_millis(200);
/// The largest ring of rows that is deleted in one statement.
const RING: usize = 50_000;

/// Deletes, and keeps count.
pub(super) struct Deleter<'a> {
    pub(super) session: &'a mut Session,
    pub(super) catalog: &'a Catalog,
    /// Rows per statement.
    pub(super) batch: usize,
    pub(super) pace: Pace,
    /// Rows deleted, by target.
    pub(super) deleted: Vec<u64>,
    /// What a foreign key kept that the look did not see.
    pub(super) blocked: Vec<Blocked>,
    /// Rows that may still be there.
    pub(super) stayed: Vec<FixedRow>,
}

/// Holds deletion to a number of rows a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    started: Instant,
    rows: u64,
    per_second: NonZeroU32,
}

/// How a statement ended.
enum Ended {
    /// So many rows are gone.
    Deleted(u64),
    /// A row outside refers to one of these.
    Referred(Blocker),
    /// Somebody else holds a lock, or it took too long.
    Busy(RefusalCause),
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { started: Instant::now(), rows: 0, per_second }
    }

    /// The most rows of one statement: no burst is longer than a second's worth.
    pub(super) fn limit(&self, batch: usize) -> usize {
        batch.min(usize::try_from(self.per_second.get()).unwrap_or(usize::MAX))
    }

    /// Counts `rows`, and waits until so many were allowed.
    async fn spend(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
        #[allow(clippy::cast_precision_loss, reason = "a fraction of a microsecond does not matter")]
        let seconds = self.rows as f64 / f64::from(self.per_second.get());
        let due = self.started + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX / 4);
        tokio::time::sleep_until(due).await;
    }
}

// === impl Deleter ===

impl Deleter<'_> {
    /// Deletes rows of one target that no row of `rows` refers to from another batch.
    pub(super) async fn delete(&mut self, target: usize, rows: &[FixedRow]) -> Result<(), RefusalCause> {
        for batch in batches(rows, self.pace.limit(self.batch)) {
            self.delete_batch(target, batch).await?;
        }
        Ok(())
    }

    /// Deletes a batch. Where a foreign key stands against it, it is halved until the rows that
    /// are referred to stand alone.
    async fn delete_batch(&mut self, target: usize, batch: &[FixedRow]) -> Result<(), RefusalCause> {
        let mut waiting = vec![batch];
        let mut tries = 0;
        while let Some(rows) = waiting.pop() {
            match self.try_delete(target, rows).await? {
                Ended::Deleted(count) => {
                    self.deleted[target] += count;
                    if count < rows.len() as u64 {
                        self.stayed.extend(rows);
                    }
                    self.pace.spend(count).await;
                    tries = 0;
                }
                Ended::Referred(by) if rows.len() <= 1 => {
                    self.stayed.extend(rows);
                    let table = self.catalog.targets[target].name.clone();
                    self.blocked.push(Blocked { table, by });
                }
                Ended::Busy(_) if tries < TRIES => {
                    tries += 1;
                    waiting.push(rows);
                    tokio::time::sleep(AGAIN).await;
                }
                Ended::Busy(cause) if rows.len() <= 1 => return Err(cause),
                Ended::Referred(_) | Ended::Busy(_) => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    waiting.extend([second, first]);
                }
            }
        }
        Ok(())
    }

    async fn try_delete(&mut self, target: usize, rows: &[FixedRow]) -> Result<Ended, RefusalCause> {
        let (relation, tids, xmins) = parameters(rows);
        let (condition, guarded) = self.condition(target);
        let access = &self.catalog.targets[target].access;
        let sql = format!("DELETE FROM {access} t WHERE {condition}");
        if !guarded {
            let client = &self.session.client;
            return ended(timed("delete test rows", client.execute(&sql, &[&relation, &tids, &xmins])).await);
        }
        // Who wants to refer to a row must wait from here on; who already did is seen by the DELETE.
        let lock = format!(
            "SELECT 1 FROM {access} t WHERE t.tableoid = $1 AND t.ctid = ANY($2) AND t.xmin = ANY($3) FOR UPDATE"
        );
        let transaction = timed("delete test rows", self.session.client.transaction()).await?;
        let result = async {
            timed("lock test rows", transaction.execute(&lock, &[&relation, &tids, &xmins])).await?;
            let count = timed("delete test rows", transaction.execute(&sql, &[&relation, &tids, &xmins])).await?;
            timed("delete test rows", transaction.commit()).await?;
            Ok(count)
        };
        ended(result.await)
    }

    /// The rows of a batch; and, where the database would change rows with them that nobody
    /// counted, only those that nothing refers to.
    fn condition(&self, target: usize) -> (String, bool) {
        let mut condition = "t.tableoid = $1 AND t.ctid = ANY($2) AND t.xmin = ANY($3)".to_owned();
        let mut guarded = false;
        for key in self.catalog.keys_into(target).filter(|key| key.action != Action::Refuse) {
            guarded = true;
            let itself =
                if key.from == Some(target) { " AND (r.tableoid, r.ctid) <> (t.tableoid, t.ctid)" } else { "" };
            let exists =
                format!(" AND NOT EXISTS (SELECT 1 FROM {} r WHERE {}{itself})", key.from_referrer, key.join());
            condition.push_str(&exists);
        }
        (condition, guarded)
    }

    /// Deletes rows that refer to each other in rings: one statement for all of them, because its
    /// foreign keys are looked at when it ends. `rows` are by target.
    pub(super) async fn delete_ring(&mut self, rows: &[(usize, Vec<FixedRow>)]) -> Result<(), RefusalCause> {
        let all: usize = rows.iter().map(|(_, rows)| rows.len()).sum();
        if all == 0 {
            return Ok(());
        }
        let guarded = rows.iter().any(|(target, _)| self.condition(*target).1);
        if all > RING || guarded {
            for (target, rows) in rows {
                let table = self.catalog.targets[*target].name.clone();
                self.blocked.push(Blocked { table, by: Blocker::Ring });
                self.stayed.extend(rows);
            }
            return Ok(());
        }
        // One part a relation, each with its own three parameters.
        let parts: Vec<_> = rows
            .iter()
            .flat_map(|(target, rows)| batches(rows, usize::MAX).map(|part| (*target, parameters(part))))
            .collect();
        let mut with = Vec::new();
        let mut values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = Vec::new();
        for (number, (target, (relation, tids, xmins))) in parts.iter().enumerate() {
            let (a, b, c) = (number * 3 + 1, number * 3 + 2, number * 3 + 3);
            with.push(format!(
                "d{number} AS (DELETE FROM {} t WHERE t.tableoid = ${a} AND t.ctid = ANY(${b}) AND t.xmin = ANY(${c}) RETURNING 1)",
                self.catalog.targets[*target].access
            ));
            let part: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [relation, tids, xmins];
            values.extend(part);
        }
        let counts: Vec<_> = (0..parts.len()).map(|number| format!("(SELECT count(*) FROM d{number})")).collect();
        let sql = format!("WITH {} SELECT {}", with.join(", "), counts.join(", "));
        match timed("delete a ring of test rows", self.session.client.query_one(&sql, &values)).await {
            Ok(row) => {
                for (number, (target, _)) in parts.iter().enumerate() {
                    let count = super::judge::count(row.get(number));
                    self.deleted[*target] += count;
                    self.pace.spend(count).await;
                }
            }
            Err(cause) => match ended(Err(cause))? {
                Ended::Busy(cause) => return Err(cause),
                Ended::Referred(by) => {
                    for (target, rows) in rows {
                        let table = self.catalog.targets[*target].name.clone();
                        self.blocked.push(Blocked { table, by: by.clone() });
                        self.stayed.extend(rows);
                    }
                }
                Ended::Deleted(_) => {}
            },
        }
        Ok(())
    }
}

// === helpers ===

/// Tells a foreign key and a lock from what ends the sweep.
fn ended(result: Result<u64, RefusalCause>) -> Result<Ended, RefusalCause> {
    let cause = match result {
        Ok(count) => return Ok(Ended::Deleted(count)),
        Err(cause) => cause,
    };
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_held() {
        let mut pace = Pace::new(NonZeroU32::new(1_000).unwrap());
        assert_eq!(pace.limit(5_000), 1_000);
        let started = Instant::now();
        for _ in 0..5 {
            pace.spend(500).await;
        }
        assert_eq!(started.elapsed(), Duration::from_millis(2_500));
    }
}
