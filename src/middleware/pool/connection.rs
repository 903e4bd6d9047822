//! One connection that was taken from the pool, and transactions that say whose they are.
//!
//! `SET LOCAL` ends with its transaction, whatever ends it: a commit, an error, or the ROLLBACK that is sent when a
//! handler is dropped half way, before the next user's first statement on the same connection. So the run's id cannot
//! stay behind, and a real transaction sets nothing and has nothing.

use super::permits::Permit;
use super::{Shared, clock};
use crate::middleware::Synthetic;
use deadpool_postgres::tokio_postgres::Error;
use deadpool_postgres::{ClientWrapper, Object, Transaction};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

/// A connection of the pool. Dropped, it goes back.
pub struct Connection {
    // Fields are dropped in their order: it is back before the next may have it.
    object: Object,
    _permit: Permit,
    taken: Instant,
    pool: Arc<Shared>,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(object: Object, permit: Permit, pool: Arc<Shared>) -> Self {
        Self { object, _permit: permit, taken: clock::now(), pool }
    }

    /// Begins a transaction of a synthetic request, or of a real one (none). What a synthetic one inserts is recorded,
    /// where the ledger is installed: `SET LOCAL pacecar.run_id` is the evidence.
    ///
    /// It takes one round trip more for a synthetic request, and none for a real one. Dropped without a commit, it is
    /// rolled back, as every transaction of `tokio_postgres`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn transaction_for(&mut self, synthetic: Option<&Synthetic>) -> Result<Transaction<'_>, Error> {
        let transaction = self.object.transaction().await?;
        if let Some(synthetic) = synthetic {
            // 16 hex digits: nothing that could end the literal.
            transaction.batch_execute(&format!("SET LOCAL pacecar.run_id = '{}'", synthetic.run)).await?;
        }
        Ok(transaction)
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.object
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.object
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.pool.metrics.used(clock::now().saturating_duration_since(self.taken));
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("taken", &self.taken).finish_non_exhaustive()
    }
}
