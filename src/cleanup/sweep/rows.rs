//! The identity of a row: where it lies and which transaction put it there.
//!
//! What the roots match is fixed as (table, `ctid`, `xmin`): 20 bytes a row, for any table, with
//! or without a key. It cannot come to mean another row. One that is updated gets a new place;
//! and where a place is used again, the new row's `xmin` is of a transaction that was not yet
//! visible when the rows were fixed, so it equals none that was fixed.

use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A row's place in its table: `ctid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Tid {
    block: u32,
    offset: u16,
}

/// The transaction that put the row there: `xmin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Xid(u32);

/// One fixed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FixedRow {
    /// The table it lies in, a partition where there are some.
    pub(super) relation: u32,
    pub(super) tid: Tid,
    pub(super) xmin: Xid,
    /// Whether it must stay. Last, so that it does not matter for the order of two rows.
    pub(super) blocked: bool,
}

/// The fixed rows of one table, sorted by place, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixed {
    rows: Vec<FixedRow>,
}

// === impl Fixed ===

impl Fixed {
    pub(super) fn new(mut rows: Vec<FixedRow>) -> Self {
        rows.sort_unstable();
        rows.dedup_by_key(|row| (row.relation, row.tid));
        Self { rows }
    }

    pub(super) fn rows(&self) -> &[FixedRow] {
        &self.rows
    }

    /// Where the row of this place stands among the fixed ones.
    pub(super) fn position(&self, relation: u32, tid: Tid) -> Option<usize> {
        self.rows.binary_search_by_key(&(relation, tid), |row| (row.relation, row.tid)).ok()
    }

    /// Marks a row as one that stays; says whether that is new.
    pub(super) fn block(&mut self, position: usize) -> bool {
        !std::mem::replace(&mut self.rows[position].blocked, true)
    }

    pub(super) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    pub(super) fn blocked(&self) -> u64 {
        self.rows.iter().filter(|row| row.blocked).count() as u64
    }
}

/// Splits rows into batches of one relation each, at most `size` rows long.
pub(super) fn batches<'a>(rows: &'a [FixedRow], size: usize) -> impl Iterator<Item = &'a [FixedRow]> + use<'a> {
    rows.chunk_by(|a, b| a.relation == b.relation).flat_map(move |same| same.chunks(size.max(1)))
}

// === impl Tid ===

impl<'a> FromSql<'a> for Tid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let [b0, b1, b2, b3, o0, o1] = raw else { return Err("a ctid is 6 bytes".into()) };
        Ok(Self { block: u32::from_be_bytes([*b0, *b1, *b2, *b3]), offset: u16::from_be_bytes([*o0, *o1]) })
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TID
    }
}

impl ToSql for Tid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u32(self.block);
        out.put_u16(self.offset);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TID
    }

    to_sql_checked!();
}

// === impl Xid ===

impl<'a> FromSql<'a> for Xid {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(u32::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::XID
    }
}

impl ToSql for Xid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_u32(self.0);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::XID
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn row(relation: u32, block: u32) -> FixedRow {
        FixedRow { relation, tid: Tid { block, offset: 1 }, xmin: Xid(7), blocked: false }
    }

    #[test]
    fn a_row_is_fixed_once_and_found_again() {
        let mut fixed = Fixed::new(vec![row(2, 1), row(1, 9), row(2, 1), row(1, 3)]);
        assert_eq!(fixed.len(), 3);
        let position = fixed.position(2, Tid { block: 1, offset: 1 }).unwrap();
        assert!(fixed.block(position) && !fixed.block(position));
        assert_eq!(fixed.blocked(), 1);
        assert_eq!(fixed.position(2, Tid { block: 1, offset: 2 }), None);
    }

    #[test]
    fn a_batch_is_of_one_relation() {
        let rows: Vec<_> =
            [(1, 1), (1, 2), (1, 3), (2, 1)].iter().map(|(relation, block)| row(*relation, *block)).collect();
        let sizes: Vec<_> = batches(&rows, 2).map(<[FixedRow]>::len).collect();
        assert_eq!(sizes, [2, 1, 1]);
    }

    #[test]
    fn a_row_takes_twenty_bytes() {
        assert!(size_of::<FixedRow>() <= 20);
    }
}
