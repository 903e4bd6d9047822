//! Connections to Postgres, for the rooms that need one: cleanup deletes there, correlate looks.
//!
//! It stands below both, because rooms do not import each other, and what `sslmode` means must be one thing.

mod database;
mod tls;

pub(crate) use database::{ConnectError, Database};
