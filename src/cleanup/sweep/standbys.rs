//! How far standbys are behind, so that a sweep does not outrun them.
//!
//! What a sweep deletes, each standby deletes once more, with one process. One that falls behind
//! shows its readers old rows, and the primary keeps the log for it. Who is not a member of
//! `pg_monitor` sees no standby's figures; then nothing is known, and only the rate bounds a sweep.

use super::session::{Session, timed};
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How often in a row a sweep waits for them before it goes on at its slowest.
const PATIENCE: u32 = 30;
/// A standby that is behind by more than this, in seconds, is waited for.
const LATE: f64 = 1.0;
/// So is one with more bytes of log than this before it: 64 MiB.
const BEHIND: i64 = 64 << 20;

/// How far the standby is that is furthest behind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lag {
    seconds: Option<f64>,
    bytes: Option<i64>,
}

/// The standbys of a database, looked at now and then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standbys {
    looked: Option<Instant>,
}

// === impl Lag ===

impl Lag {
    fn is_large(self) -> bool {
        self.seconds.is_some_and(|seconds| seconds > LATE) || self.bytes.is_some_and(|bytes| bytes > BEHIND)
    }

    /// What the database says; nothing where it does not say.
    async fn of(session: &Session) -> Self {
        const SQL: &str = "
            SELECT pg_catalog.max(extract(epoch FROM replay_lag)::float8),
                pg_catalog.max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn))::int8
            FROM pg_catalog.pg_stat_replication WHERE state = 'streaming'";
        match timed("look at standbys", session.client.query_typed_one(SQL, &[])).await {
            Ok(row) => Self { seconds: row.get(0), bytes: row.get(1) },
            Err(error) => {
                // Some that call themselves Postgres have no log to speak of.
                tracing::debug!(%error, "how far standbys are behind is not known");
                Self::default()
            }
        }
    }
}

// === impl Standbys ===

impl Standbys {
    /// Waits while one is far behind. Says whether one was.
    pub(super) async fn wait(&mut self, session: &Session) -> bool {
        if self.looked.is_some_and(|looked| looked.elapsed() < EVERY) {
            return false;
        }
        for waited in 0..=PATIENCE {
            let lag = Lag::of(session).await;
            self.looked = Some(Instant::now());
            if !lag.is_large() {
                return waited > 0;
            }
            tracing::debug!(?lag, "a standby is behind");
            tokio::time::sleep(EVERY).await;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_standby_that_is_late_or_far_behind_is_waited_for_and_an_idle_or_hidden_one_is_not() {
        let lag = |seconds, bytes| Lag { seconds, bytes }.is_large();
        assert!(lag(Some(1.5), Some(0)) && lag(None, Some(65 << 20)) && lag(Some(2.0), None));
        assert!(!lag(None, None) && !lag(None, Some(1_000)) && !lag(Some(0.2), Some(1 << 20)));
    }
}
