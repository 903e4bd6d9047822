//! Judges, looks, deletes, and looks again until nothing is found.
//!
//! Nothing is deleted by predicate. A look fixes rows by identity, in one snapshot, judges which of
//! them are test data (`closure`), and takes out those that real rows need; only fixed rows are
//! deleted, who refers before what is referred to; then the next look says what is left. So a row
//! that becomes real in between stays, and what the database would delete by cascade is never
//! deleted uncounted.

mod catalog;
mod closure;
mod delete;
mod gentle;
mod judge;
mod keys;
mod look;
mod naming;
mod order;
mod parents;
mod places;
mod rounds;
mod rows;
mod seeds;
mod session;
mod standbys;
mod tables;

pub(super) use crate::postgres::Database;
pub(super) use judge::expect_database;
pub(super) use session::{Session, timed};

use super::compile::CleanupPlan;
use super::outcome::{CleanupOutcome, Refusal};
use super::scope::Scope;
pub use judge::{Preflight, TableShare};
use look::Look;
use rounds::{ROUNDS, Rounds, tell};

/// A session with the database that is to be swept.
#[derive(Debug)]
pub struct Sweeper {
    plan: CleanupPlan,
    scope: Scope,
    session: Session,
}

/// How far a sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Test rows found so far.
    pub found: u64,
    /// Test rows deleted so far.
    pub deleted: u64,
}

// === impl Sweeper ===

impl Sweeper {
    /// Connects, at most 5 s. A run connects before its first request for [`Self::preflight`], and
    /// anew at its end for [`Self::sweep`]: a session need not live as long as the run.
    ///
    /// # Errors
    /// Where there is no connection in time.
    pub async fn connect(plan: CleanupPlan) -> Result<Self, Refusal> {
        let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        Ok(Self { plan, scope: Scope::all(), session })
    }

    /// With a session that is there already.
    pub(super) const fn of(plan: CleanupPlan, scope: Scope, session: Session) -> Self {
        Self { plan, scope, session }
    }

    /// Narrows it to a part of the test data.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Judges whether cleanup can work and may do what it would: before the first request of a run,
    /// and at the start of the command `cleanup`. Reads only.
    ///
    /// # Errors
    /// Where it may not, or cannot.
    pub async fn preflight(&mut self) -> Result<Preflight, Refusal> {
        let catalog = judge::judge_meaning(&mut self.session, &self.plan, &self.scope).await?;
        let preflight = judge::judge_extent(&mut self.session, &self.plan, &self.scope).await?;
        let limit = Some(self.plan.max_rows);
        Look::look(&mut self.session, &self.plan, &self.scope, &catalog, &[], limit).await?;
        Ok(preflight)
    }

    /// Says what a sweep would find. Deletes nothing and creates nothing.
    pub async fn dry_run(&mut self) -> CleanupOutcome {
        let looked = async {
            let catalog = judge::judge_meaning(&mut self.session, &self.plan, &self.scope).await?;
            let found = Look::look(&mut self.session, &self.plan, &self.scope, &catalog, &[], None).await?;
            Ok((catalog, found))
        };
        match looked.await {
            Ok((catalog, mut found)) => {
                let mut outcome = CleanupOutcome { dry_run: true, ..CleanupOutcome::default() };
                tell(&mut outcome, &catalog, &mut found);
                outcome
            }
            Err(refusal) => CleanupOutcome { dry_run: true, ..CleanupOutcome::refused(refusal) },
        }
    }

    /// Deletes what is test data, until a look finds nothing more that may go. `max_share` and
    /// `max_rows` are not judged here: what a run itself added is not to be held against it.
    ///
    /// Dropping the future stops it between two statements; what is deleted stays deleted.
    pub async fn sweep(&mut self, progress: impl FnMut(Progress)) -> CleanupOutcome {
        tokio::time::sleep(self.plan.settle).await;
        let rounds = Rounds { session: &mut self.session, plan: &self.plan, scope: &self.scope, progress };
        rounds.run(ROUNDS).await
    }

    /// Deletes what one look finds, and does not look again: a sweep while more is being made.
    pub(super) async fn pass(&mut self) -> CleanupOutcome {
        let rounds = Rounds { session: &mut self.session, plan: &self.plan, scope: &self.scope, progress: |_| () };
        rounds.run(1).await
    }
}

#[cfg(test)]
mod tests;
