//! A batch of fixed rows as the condition of a statement.
//!
//! The database reaches rows by their places in two ways: one after the other, or page after page of
//! a range (since Postgres 14). Where the batch has a row on each page of its range or more, the range
//! is read once instead of once per row. Which rows of it are meant is asked either way.
//!
//! The question stands in a `CASE` where the planner would make too little of it: it takes range and
//! places for independent, so that of a million rows that all match it would expect ten, and join
//! them as if they were ten.

use super::rows::{FixedRow, Tid, Xid};
use super::session::Value;
use tokio_postgres::types::{ToSql, Type};

/// The rows of a batch, all of one relation.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) relation: u32,
    tids: Vec<Tid>,
    xmins: Vec<Xid>,
    /// First and last, where the rows lie close.
    range: Option<(Tid, Tid)>,
}

// === impl Places ===

impl Places {
    /// Rows of one relation. `ranges`: whether the database reads ranges of places.
    pub(super) fn of(batch: &[FixedRow], ranges: bool) -> Self {
        let tids: Vec<Tid> = batch.iter().map(|row| row.tid).collect();
        let mut xmins: Vec<Xid> = batch.iter().map(|row| row.xmin).collect();
        xmins.sort_unstable();
        xmins.dedup();
        let range = tids.iter().min().copied().zip(tids.iter().max().copied());
        let close = |(first, last): &(Tid, Tid)| (last.block() - first.block()) as usize <= tids.len();
        let range = range.filter(|range| ranges && close(range));
        Self { relation: batch.first().map_or(0, |row| row.relation), tids, xmins, range }
    }

    /// The condition that a row lies at one of these places; `prefix` (`t.`) stands before its columns. Its parameters
    /// are numbered from `first`.
    pub(super) fn condition(&self, prefix: &str, first: usize) -> String {
        let (oid, tids, least, most) = (first, first + 1, first + 2, first + 3);
        match self.range {
            None => format!("{prefix}tableoid = ${oid} AND {prefix}ctid = ANY(${tids})"),
            Some(_) => format!(
                "{prefix}tableoid = ${oid} AND {prefix}ctid >= ${least} AND {prefix}ctid <= ${most} \
                 AND CASE WHEN {prefix}ctid = ANY(${tids}) THEN true ELSE false END"
            ),
        }
    }

    /// The values of [`Self::condition`]'s parameters.
    pub(super) fn values(&self) -> Vec<Value<'_>> {
        let mut values: Vec<Value<'_>> = vec![(&self.relation, Type::OID), (&self.tids, Type::TID_ARRAY)];
        if let Some((first, last)) = &self.range {
            values.extend([(first as &(dyn ToSql + Sync), Type::TID), (last, Type::TID)]);
        }
        values
    }

    /// As [`Self::condition`], and that it is the row which was fixed there.
    pub(super) fn identity(&self, prefix: &str, first: usize) -> String {
        let xmins = first + self.values().len();
        format!("{} AND CASE WHEN {prefix}xmin = ANY(${xmins}) THEN true ELSE false END", self.condition(prefix, first))
    }

    /// The values of [`Self::identity`]'s parameters.
    pub(super) fn identities(&self) -> Vec<Value<'_>> {
        let mut values = self.values();
        values.push((&self.xmins, Type::XID_ARRAY));
        values
    }
}
