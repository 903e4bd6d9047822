//! The ledger of rows: which run inserted which row, recorded by triggers in the application's own transactions.
//!
//! **What stands in the database** (schema `pacecar`, made by `cleanup install`):
//! `ledger(seq, run, relation, key, hearsay, xid, at)`, a record for each row that a synthetic
//! transaction inserted. `relation` is the table that holds the row, of a partitioned one the
//! leaf (its `tableoid`). `key` is the primary key as `jsonb_build_object('column', column, …)`
//! gives it under `TimeZone = UTC`, `bytea_output = hex`, `extra_float_digits = 1` and
//! `IntervalStyle = postgres`; who compares, does so under these settings, or by the columns'
//! own types (`jsonb_populate_record`). An index serves `relation` with
//! `jsonb_hash_extended(key, 0)`. `hearsay` is a record whose only evidence is a SQL comment.
//!
//! **A transaction is synthetic** where `pacecar.run_id` names a run that has a lease, live or
//! ended, or where the statement carries a comment with a `traceparent` of a live run. Anything
//! else is nobody's: no error, no record.
//!
//! **A record never outlives its row, and follows its key.** Otherwise a key that is used again
//! would make a real row test data. So in *every* transaction, tagged or not, and in every
//! session (`ENABLE ALWAYS`): a DELETE drops the records of its rows, TRUNCATE those of its
//! table, and an UPDATE that changes a key moves the record, set against set, so that keys may
//! be swapped and rows move between partitions. Where which row became which cannot be told, or
//! anything fails, the records are dropped: the rows are then unproven, which is harmless. So
//! whoever sweeps need not delete records: deleting the rows does. A record without a row is
//! only left where the triggers were disabled; the sweep joins rows, so it says nothing.
//!
//! **Statement triggers with transition tables, on every level.** A statement fires those of the
//! table that it names and of no other, so each partition has its own, and none fires twice. A
//! row trigger would take a row that moves to another partition for an insert.
//!
//! **Nothing to gain for an attacker.** The functions are `SECURITY DEFINER` with a fixed
//! `search_path`, read one setting, compare it with the primary key of a table, and write into
//! tables of the schema `pacecar`, on which the application needs and has no rights.

mod facts;
mod install;
mod state;
mod tables;

pub use facts::LedgerFacts;
pub use install::{Installed, Ledger, Uninstalled};
pub use state::LedgerState;
