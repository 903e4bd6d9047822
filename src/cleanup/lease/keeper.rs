//! Renews a lease while its run lives, and says when it may no longer be relied on.

use super::fence::{self, Fence};
use crate::cleanup::outcome::RefusalCause;
use crate::cleanup::sweep::{Database, Session, timed};
use crate::semconv::RunId;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// Whether a run may send requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// The lease is held.
    Held,
    /// It was not renewed for two thirds of its time: nothing new may start.
    Late,
    /// It is lost, or about to run out: what is under way must be cut off now.
    Lost,
}

/// What is renewed, and from where.
pub(super) struct Keeper {
    pub(super) database: Database,
    pub(super) run: RunId,
    pub(super) term: i32,
    pub(super) length: Duration,
    /// When the last renewal that succeeded was sent: by then at the latest the database's time began to run.
    pub(super) renewed: Instant,
    /// Until when requests may be sent.
    pub(super) fence: Fence,
    pub(super) hold: watch::Sender<Hold>,
    pub(super) session: Option<Session>,
}

/// How one renewal ended.
enum Renewal {
    Renewed,
    /// It ran out, or somebody took it over or ended it.
    Gone,
}

// === impl Keeper ===

impl Keeper {
    /// Renews at a third of the lease's time, until the task is aborted or the lease is lost.
    pub(super) async fn keep(mut self) {
        loop {
            tokio::time::sleep_until(self.renewed + self.length / 3).await;
            let (late, lost) = (self.renewed + self.length * 2 / 3, self.renewed + self.length * 5 / 6);
            let renewal = match timeout_at(late, self.renew()).await {
                Ok(renewal) => Ok(renewal),
                Err(_) => {
                    tracing::warn!(run = %self.run, "the lease was not renewed in time: nothing new starts");
                    self.hold.send_replace(Hold::Late);
                    timeout_at(lost, self.renew()).await
                }
            };
            match renewal {
                // Once late, it stays late: the run is ending.
                Ok(Renewal::Renewed) => {}
                Ok(Renewal::Gone) | Err(_) => {
                    tracing::warn!(run = %self.run, "the lease is lost");
                    self.hold.send_replace(Hold::Lost);
                    return;
                }
            }
        }
    }

    /// Tries until it is renewed or gone. Dropping it stops it.
    async fn renew(&mut self) -> Renewal {
        // Several tries fit between a third and two thirds.
        let patience = (self.length / 8).clamp(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let (sent, clock) = (Instant::now(), fence::now());
            match timeout(patience, self.try_renew()).await {
                Ok(Ok(renewal)) => {
                    if let Renewal::Renewed = renewal {
                        self.renewed = sent;
                        self.fence.until(clock, self.length);
                    }
                    return renewal;
                }
                Ok(Err(error)) => tracing::debug!(%error, run = %self.run, "the lease could not be renewed"),
                Err(_) => tracing::debug!(run = %self.run, "the lease could not be renewed in time"),
            }
            // What an unfinished answer would mean is unknown: a new session.
            self.session = None;
            tokio::time::sleep(patience / 4).await;
        }
    }

    async fn try_renew(&mut self) -> Result<Renewal, RefusalCause> {
        const SQL: &str = "UPDATE pacecar.lease
            SET heartbeat = pg_catalog.clock_timestamp(), expires = pg_catalog.clock_timestamp() + $2 * interval '1 second'
            WHERE run = $1 AND term = $3 AND ended IS NULL AND expires > pg_catalog.clock_timestamp()";
        let session = match self.session.take() {
            Some(session) => session,
            None => open(&self.database, self.run).await?,
        };
        let (run, seconds) = (self.run.to_string(), self.length.as_secs_f64());
        let renewed = timed("renew the lease", session.client.execute(SQL, &[&run, &seconds, &self.term])).await?;
        self.session = Some(session);
        Ok(if renewed == 0 { Renewal::Gone } else { Renewal::Renewed })
    }
}

// === helpers ===

/// A session that has the run's own lock for as long as it lives.
pub(super) async fn open(database: &Database, run: RunId) -> Result<Session, RefusalCause> {
    let session = Session::connect(database).await?;
    // After a reconnect the old session may still have it for a while: no matter.
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1)";
    timed("lock the run", session.client.query_one(sql, &[&alive(run)])).await?;
    Ok(session)
}

/// The key of a run's own lock.
pub(super) const fn alive(run: RunId) -> i64 {
    run.bits().cast_signed()
}
