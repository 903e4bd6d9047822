//! The identity of a row: where it lies and which transaction put it there.
//!
//! A row is fixed as (table, `ctid`, `xmin`), for any table, with or without a key. It cannot
//! come to mean another row. One that is updated gets a new place; and where a place is used
//! again, the new row's `xmin` is of a transaction that was not yet visible when the rows were
//! fixed, so it equals none that was fixed. With what a look knows of it a row takes 20 bytes,
//! and 8 to 16 more in the index by place.

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

/// One fixed row, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FixedRow {
    /// The table it lies in, a partition where there are some.
    pub(super) relation: u32,
    pub(super) tid: Tid,
    pub(super) xmin: Xid,
    /// References into followed tables that are not yet known to lead to test data.
    pub(super) open: u16,
    pub(super) marks: Marks,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(u16);

/// The fixed rows of one table, each once, in the order they were found.
#[derive(Clone, Debug, Default)]
pub(super) struct Fixed {
    rows: Vec<FixedRow>,
    /// Positions by place, an open table: a power of two, at most half full.
    slots: Vec<u32>,
}

/// A free slot.
const FREE: u32 = u32::MAX;

// === impl Marks ===

impl Marks {
    /// A root matches it, or an earlier look said so.
    pub(super) const ROOT: Self = Self(1);
    /// A root or record in scope takes it.
    pub(super) const TAKEN: Self = Self(1 << 1);
    /// Its age is known to be above what is asked.
    pub(super) const OLD: Self = Self(1 << 2);
    /// Its age is known to be below that.
    pub(super) const YOUNG: Self = Self(1 << 3);
    /// The ledger has it.
    pub(super) const RECORDED: Self = Self(1 << 4);
    /// The ledger has it by hearsay only.
    pub(super) const HEARSAY: Self = Self(1 << 5);
    /// `keep` matches it.
    pub(super) const KEPT: Self = Self(1 << 6);
    /// It refers to a root's row, or to one that was reached.
    pub(super) const REACHED: Self = Self(1 << 7);
    /// It refers to a row that may go.
    pub(super) const REFERS: Self = Self(1 << 8);
    /// It refers to a row that goes now, or stays as a fixture.
    pub(super) const BELOW: Self = Self(1 << 9);
    /// What roots and foreign keys alone make test data.
    pub(super) const PROVEN: Self = Self(1 << 10);
    /// It is test data.
    pub(super) const TEST: Self = Self(1 << 11);
    /// It is to go now.
    pub(super) const GOES: Self = Self(1 << 12);
    /// A row that stays for good needs it.
    pub(super) const QUARANTINED: Self = Self(1 << 13);
    /// A row that stays for now needs it.
    pub(super) const HELD: Self = Self(1 << 14);
    /// It is test data by what it refers to alone.
    pub(super) const FOLLOWED: Self = Self(1 << 15);

    pub(super) const fn none() -> Self {
        Self(0)
    }

    pub(super) const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// `marks` where `so`, else nothing.
    pub(super) const fn when(so: bool, marks: Self) -> Self {
        if so { marks } else { Self(0) }
    }

    /// Whether it has any of `marks`.
    pub(super) const fn has(self, marks: Self) -> bool {
        self.0 & marks.0 != 0
    }

    pub(super) fn set(&mut self, marks: Self) {
        self.0 |= marks.0;
    }
}

// === impl FixedRow ===

impl FixedRow {
    /// Whether it is deleted: it goes, and nothing that stays needs it.
    pub(super) const fn is_free(&self) -> bool {
        self.marks.has(Marks::GOES) && !self.marks.has(Marks::QUARANTINED.and(Marks::HELD))
    }

    /// Whether it stays although it is to go, because a row that stays for good needs it.
    pub(super) const fn is_quarantined(&self) -> bool {
        self.marks.has(Marks::GOES) && self.marks.has(Marks::QUARANTINED)
    }

    /// Whether it counts as found: it is to go, now or when nothing needs it any more.
    pub(super) const fn is_found(&self) -> bool {
        self.is_free() || self.is_quarantined()
    }

    /// Whether it is test data.
    pub(super) const fn is_test(&self) -> bool {
        self.marks.has(Marks::TEST.and(Marks::PROVEN))
    }

    /// Whether it is test data only by what it refers to.
    pub(super) const fn is_followed(&self) -> bool {
        self.marks.has(Marks::FOLLOWED)
    }

    /// Whether a root matches it. Only such a row is looked for again by its identity: the others are found
    /// again by the ledger and by what they refer to, or they have become real.
    pub(super) const fn is_root(&self) -> bool {
        self.marks.has(Marks::ROOT)
    }

    /// What batches are made by.
    pub(super) const fn place(&self) -> (u32, Tid) {
        (self.relation, self.tid)
    }
}

// === impl Fixed ===

impl Fixed {
    /// Adds a row, or its marks to the one of the same place. Gives its position, and whether it is new.
    pub(super) fn insert(&mut self, row: FixedRow) -> (usize, bool) {
        if (self.rows.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(row.relation, row.tid);
        match self.slots[slot] {
            FREE => {
                // A table of 2^32 test rows would be 80 GB of them: out of reach.
                self.slots[slot] = u32::try_from(self.rows.len()).unwrap_or(FREE);
                self.rows.push(row);
                (self.rows.len() - 1, true)
            }
            position => {
                self.rows[position as usize].marks.set(row.marks);
                (position as usize, false)
            }
        }
    }

    pub(super) fn rows(&self) -> &[FixedRow] {
        &self.rows
    }

    pub(super) fn row(&mut self, position: usize) -> &mut FixedRow {
        &mut self.rows[position]
    }

    /// Where the row of this place stands among the fixed ones.
    pub(super) fn position(&self, relation: u32, tid: Tid) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.slot(relation, tid)] {
            FREE => None,
            position => Some(position as usize),
        }
    }

    pub(super) fn count(&self, which: impl Fn(&FixedRow) -> bool) -> u64 {
        self.rows.iter().filter(|row| which(row)).count() as u64
    }

    /// The slot that has the place, or where it would stand.
    fn slot(&self, relation: u32, tid: Tid) -> usize {
        let place = (u64::from(tid.block) << 16 | u64::from(tid.offset)) ^ (u64::from(relation) << 40);
        // Fibonacci hashing: the high bits of a product with the golden ratio.
        let spread = place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(spread).unwrap_or_default() & mask;
        while let Some(row) = self.rows.get(self.slots[slot] as usize) {
            if row.place() == (relation, tid) {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        self.slots = vec![FREE; size];
        for position in 0..self.rows.len() {
            let (relation, tid) = self.rows[position].place();
            let slot = self.slot(relation, tid);
            self.slots[slot] = u32::try_from(position).unwrap_or(FREE);
        }
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

impl Tid {
    /// The page of the table.
    pub(super) const fn block(self) -> u32 {
        self.block
    }
}

// === impl Xid ===

impl Xid {
    /// The part of a transaction's number that stands in rows.
    pub(super) fn of(full: u64) -> Self {
        Self(u32::try_from(full & u64::from(u32::MAX)).unwrap_or_default())
    }
}

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
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn row(relation: u32, block: u32) -> FixedRow {
        let tid = Tid { block, offset: 1 };
        FixedRow { relation, tid, xmin: Xid(7), open: 0, marks: Marks::none() }
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

    proptest! {
        #[test]
        fn a_row_is_fixed_once_and_found_again(places in proptest::collection::vec((0..3_u32, 0..200_u32), 0..400)) {
            let (mut fixed, mut model) = (Fixed::default(), HashMap::new());
            for &(relation, block) in &places {
                let next = model.len();
                let expected = *model.entry((relation, block)).or_insert(next);
                let (position, new) = fixed.insert(row(relation, block));
                prop_assert_eq!((position, new), (expected, expected == next));
            }
            for relation in 0..3 {
                for block in 0..200 {
                    let position = fixed.position(relation, Tid { block, offset: 1 });
                    prop_assert_eq!(position, model.get(&(relation, block)).copied());
                }
            }
        }
    }
}
