//! A run's lease: taken before the first request, watched while there is traffic, ended after the sweep.
//!
//! Before it takes its own, a run finishes what killed runs of its plan's name left. A lease that
//! is lost stops the traffic: another may begin to delete what this run makes.

use super::compile::Compiled;
use super::completed::{Findings, chain};
use super::explain;
use super::mode::Mode;
use super::sweeps::Sweeps;
use crate::cleanup::{
    self, CleanupOutcome, CleanupPlan, Fence, Hold, Lease, LeaseKind, LeaseTerms, LedgerFacts, LedgerScope,
    LedgerState, Left, Note, Part, Reaped, Refusal, RefusalCause, Scope, Takes,
};
use crate::guard::HostFilter;
use crate::load::{Stop, StopReason};
use crate::plan::{Cleanup, Ledger, When};
use crate::report::Exit;
use md5::{Digest, Md5};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long is waited at the end for a database that cannot be reached; never longer than the lease.
const AWAY: Duration = Duration::from_secs(15);
/// How often it is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// A lease, and what stops the traffic when it is lost.
pub(super) struct Tenure {
    lease: Lease,
    kept: bool,
    hold: watch::Receiver<Hold>,
    /// Ended by `Drop`.
    watcher: JoinHandle<()>,
    /// Those while traffic runs, where the plan asks for them.
    sweeps: Option<Sweeps>,
}

/// What is to be done when the traffic is over.
pub(super) enum Task {
    /// Sweep this, and leave those.
    Sweep(Scope, Vec<Left>),
    /// The rows stay until somebody asks for them.
    Keep,
    /// The lease was lost: take it over as another would, if that one was not faster.
    Reclaim,
}

/// A digest of a plan's text, before anything is filled in.
#[must_use]
pub fn digest(text: &[u8]) -> String {
    Md5::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

// === impl Compiled ===

impl Compiled {
    /// Proves that what the run will cause could be deleted. With `finish` what killed runs left is deleted first.
    pub(super) async fn judge_rows(
        &self,
        plan: &CleanupPlan,
        finish: bool,
        findings: &mut Findings,
    ) -> Result<(), Refusal> {
        if plan.has_ledger() {
            let missing = LedgerState::of(plan).await?.missing;
            if !missing.is_empty() {
                let tables = missing.join(", ");
                findings.note(format!("the ledger does not record {tables}: pacecar cleanup install PLAN adds them"));
            }
        }
        if plan.when == When::Never {
            return Ok(());
        }
        if finish {
            told_of(&cleanup::reap(plan, self.name(), false, |_| ()).await?, findings);
        }
        cleanup::preflight(plan, &Scope::all()).await
    }

    /// Takes the lease.
    pub(super) async fn begin(&self, plan: &CleanupPlan) -> Result<Tenure, Refusal> {
        let kept = plan.when == When::Never;
        let terms = LeaseTerms {
            holder: self.run,
            kind: if self.mode == Mode::Canary { LeaseKind::Canary } else { LeaseKind::Run },
            plan: self.name().to_owned(),
            digest: self.digest.clone(),
            takes: Takes::Own,
            kept,
        };
        let lease = Lease::take(plan, terms, self.fence.clone()).await?;
        let hold = lease.hold();
        let watcher = tokio::spawn(watch_over(hold.clone(), self.stop.clone()));
        Ok(Tenure { lease, kept, hold, watcher, sweeps: None })
    }
}

// === impl Tenure ===

impl Tenure {
    /// Whether the lease is held, now and whenever that changes.
    pub(super) fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.clone()
    }

    /// From here on sweeps what is old enough, where the plan asks for it.
    pub(super) fn sweep_while_traffic_runs(&mut self, plan: &CleanupPlan, name: &str) {
        self.sweeps = Sweeps::start(plan, name, self.hold());
    }

    /// No further sweep begins: the traffic is over.
    pub(super) fn rest(&self) {
        if let Some(sweeps) = &self.sweeps {
            sweeps.rest();
        }
    }

    /// What was swept while traffic ran, when the last of these sweeps is through.
    pub(super) async fn swept(&mut self, findings: &mut Findings) -> CleanupOutcome {
        match self.sweeps.take() {
            Some(sweeps) => sweeps.finish(findings).await,
            None => CleanupOutcome::default(),
        }
    }

    /// Decides who sweeps. What is left to others is told. A database that is away for a moment is waited for.
    pub(super) async fn settle(&self, plan: &CleanupPlan, findings: &mut Findings) -> Result<Task, Refusal> {
        let until = Instant::now() + plan.lease().min(AWAY);
        loop {
            match self.try_settle(plan, findings).await {
                Err(refusal) if is_away(&refusal) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
                settled => return settled,
            }
        }
    }

    async fn try_settle(&self, plan: &CleanupPlan, findings: &mut Findings) -> Result<Task, Refusal> {
        if plan.has_ledger() {
            told_by_ledger(&LedgerFacts::of(plan, plan.run).await?, findings);
        }
        if self.kept {
            findings.note(format!("the rows of run {} stay: pacecar cleanup --run {} PLAN", plan.run, plan.run));
            return Ok(Task::Keep);
        }
        if *self.hold.borrow() == Hold::Lost {
            return Ok(Task::Reclaim);
        }
        let left = match self.lease.settle().await {
            Err(Refusal { cause: RefusalCause::LeaseLost { .. }, .. }) => return Ok(Task::Reclaim),
            settled => settled?,
        };
        let root = |left: &Left| if let Part::Root(root) = left.part { Some(root) } else { None };
        let scope = Scope {
            left_alone: left.iter().filter_map(root).collect(),
            ledger: LedgerScope::Runs(vec![plan.run]),
            older_than: None,
            under: Some(self.lease.term()),
        };
        for left in &left {
            findings.note(format!("cleanup: {}", Note::from(left.clone())));
        }
        Ok(Task::Sweep(scope, left))
    }

    /// Ends the lease, and finishes what runs that died meanwhile left. `done`: the sweep went through, even where a
    /// real row kept something.
    pub(super) async fn end(self, plan: &CleanupPlan, name: &str, done: bool, findings: &mut Findings) {
        let kept = self.kept;
        self.watcher.abort();
        let ended = async {
            self.lease.end(done).await?;
            if done && !kept { cleanup::reap(plan, name, false, |_| ()).await } else { Ok(Reaped::default()) }
        };
        match ended.await {
            Ok(reaped) => told_of(&reaped, findings),
            // It runs out by itself, and the next start finds nothing of it.
            Err(refusal) => findings.note(format!("the lease could not be ended: {}", chain(&refusal))),
        }
    }

    /// Sweeps after the lease was lost: once it has run out, as anybody else would.
    pub(super) async fn reclaim(self, plan: &CleanupPlan, name: &str) -> CleanupOutcome {
        self.watcher.abort();
        drop(self.lease);
        let until = Instant::now() + AWAY;
        loop {
            match cleanup::reclaim(plan, name).await {
                Ok(reaped) => return reaped.outcome,
                Err(refusal) if is_away(&refusal) && Instant::now() < until => tokio::time::sleep(AGAIN).await,
                Err(refusal) => return CleanupOutcome { refused: Some(refusal), ..CleanupOutcome::default() },
            }
        }
    }
}

// === helpers ===

/// Whether a section asks for a ledger in a database that is there.
pub(super) fn has_ledger(cleanup: &Cleanup) -> bool {
    cleanup.postgres.as_ref().is_some_and(|postgres| !postgres.url.is_empty() && postgres.ledger.value != Ledger::Off)
}

/// Whether the database could not be reached.
fn is_away(refusal: &Refusal) -> bool {
    // A connection that was made and then broke is told by its first question.
    let broke = |source: &tokio_postgres::Error| source.is_closed() || source.as_db_error().is_none();
    match &refusal.cause {
        RefusalCause::Connect(_) | RefusalCause::ConnectTimeout(_) => true,
        RefusalCause::Database { source, .. } => broke(source),
        _ => false,
    }
}

/// Lets a request go only where the guard allows, and only while the lease cannot be another's.
pub(super) fn fenced(hosts: HostFilter, fence: Fence) -> HostFilter {
    Arc::new(move |uri| fence.admits() && hosts(uri))
}

/// Waits until the lease is lost; for ever where it is not.
pub(super) async fn lost(mut hold: watch::Receiver<Hold>) {
    if hold.wait_for(|hold| *hold == Hold::Lost).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Stops the traffic where the lease is lost: gently while there is time, then at once. Ends with the lease.
async fn watch_over(mut hold: watch::Receiver<Hold>, stop: Stop) {
    if hold.wait_for(|hold| *hold != Hold::Held).await.is_ok() {
        stop.drain(StopReason::Lease);
    }
    if hold.wait_for(|hold| *hold == Hold::Lost).await.is_ok() {
        stop.now(StopReason::Lease);
    }
}

/// Tells what killed runs had left.
pub(super) fn told_of(reaped: &Reaped, findings: &mut Findings) {
    if reaped.runs.is_empty() {
        return;
    }
    let (runs, outcome) = (reaped.runs.join(", "), &reaped.outcome);
    let (found, deleted) = (outcome.found(), outcome.deleted());
    findings.note(format!("finished what killed runs left ({runs}): {found} rows found, {deleted} deleted"));
    if let Some(refusal) = &outcome.refused {
        findings.note(format!("what killed runs left could not be deleted: {}", explain(refusal)));
    }
    for blocked in &outcome.blocked {
        findings.note(format!("cleanup: {blocked}"));
    }
    for note in &outcome.notes {
        findings.note(format!("cleanup: {note}"));
    }
}

fn told_by_ledger(facts: &LedgerFacts, findings: &mut Findings) {
    if facts.recorded == 0 {
        findings.note("the ledger recorded nothing: does the API SET LOCAL pacecar.run_id? docs/cleanup.md shows how");
    }
    if facts.hearsay > 0 {
        let rows = facts.hearsay;
        findings.note(format!("the ledger has {rows} rows by hearsay: a SQL comment is all their evidence"));
    }
    for (table, rows) in &facts.updated {
        findings.note(format!("{rows} rows of {table} that were there before were updated: that cannot be undone"));
    }
}

/// What a lease that was not renewed in time means for the exit code.
pub(super) fn told_of_stop(findings: &mut Findings) {
    findings.add(Exit::CleanupUnfinished, "the lease could not be renewed in time, and the traffic stopped");
}

/// What a lost lease means for the exit code.
pub(super) fn told_of_loss(findings: &mut Findings) {
    findings.add(
        Exit::CleanupUnfinished,
        "the lease was lost: another pacecar may have deleted rows of this run meanwhile",
    );
}
