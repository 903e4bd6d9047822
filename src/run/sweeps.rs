//! Sweeps while traffic runs: what is old enough goes at an interval, the rest at the end.
//!
//! On a thread of its own: what a sweep thinks about must not hold up the reporter, the control
//! address or the renewal of the lease, and nothing of it is in a request's way. Each sweep also
//! finishes what killed runs of the plan's name left, because a canary may be the only one that
//! ever starts. What fails is told and tried again at the next interval: the sweep at the end is
//! what decides.

use super::completed::{Findings, chain};
use super::lease::{lost, told_of};
use super::local;
use crate::cleanup::{self, CleanupOutcome, CleanupPlan, Hold, Reaped, Refusal};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// The most killed runs that are told by name.
const NAMED: usize = 20;

/// The sweeps of a run while its traffic runs. Dropping it ends them between two statements.
pub(super) struct Sweeps {
    /// True: none begins any more. Gone: the one under way ends too.
    resting: watch::Sender<bool>,
    done: JoinHandle<std::io::Result<Swept>>,
}

/// What they came to. It does not grow with their number.
#[derive(Debug, Default)]
struct Swept {
    /// How many went through.
    through: u64,
    /// How many did not, and why the last one did not.
    failed: u64,
    problem: Option<String>,
    outcome: CleanupOutcome,
    /// How often a shared root was left to a live run, by table, and to which run the last time.
    left: BTreeMap<String, (u64, String)>,
    /// What killed runs left.
    reaped: Reaped,
}

// === impl Sweeps ===

impl Sweeps {
    /// Starts them; none where the plan asks for none. The first is due after one interval.
    pub(super) fn start(plan: &CleanupPlan, name: &str, hold: watch::Receiver<Hold>) -> Option<Self> {
        let (every, keep_for) = plan.while_traffic_runs()?;
        let (resting, rests) = watch::channel(false);
        let (plan, name) = (plan.clone(), name.to_owned());
        let work = local::run("pacecar-cleanup", move || sweep_until(plan, name, every, keep_for, rests, hold));
        Some(Self { resting, done: tokio::spawn(work) })
    }

    /// No further one begins.
    pub(super) fn rest(&self) {
        self.resting.send_replace(true);
    }

    /// Waits for the one under way, tells what a person should know, and gives what was deleted.
    pub(super) async fn finish(self, findings: &mut Findings) -> CleanupOutcome {
        self.rest();
        let swept = match self.done.await {
            Ok(Ok(swept)) => swept,
            Ok(Err(error)) => {
                findings.note(format!("nothing was swept while traffic ran: {error}"));
                return CleanupOutcome::default();
            }
            Err(_) => return CleanupOutcome::default(),
        };
        swept.tell(findings);
        swept.outcome
    }
}

// === impl Swept ===

impl Swept {
    fn tell(&self, findings: &mut Findings) {
        if let Some(problem) = &self.problem {
            let all = self.through + self.failed;
            let failed = self.failed;
            findings.note(format!("{failed} of {all} sweeps while traffic ran failed, the last one: {problem}"));
        }
        for (table, (times, run)) in &self.left {
            findings.note(format!(
                "cleanup: while traffic ran {table} was left alone {times} times: run {run} is live and has it too"
            ));
        }
        told_of(&self.reaped, findings);
    }

    fn failed(&mut self, refusal: &Refusal) {
        let problem = chain(refusal);
        tracing::warn!(%problem, "a sweep while traffic runs failed");
        self.failed += 1;
        self.problem = Some(problem);
    }

    /// One sweep, and what killed runs left.
    async fn sweep(&mut self, plan: &CleanupPlan, name: &str, keep_for: Duration) {
        match cleanup::sweep_aged(plan, keep_for).await {
            Ok(cleanup::Aged { mut outcome, left }) => {
                for left in left {
                    let (times, run) = self.left.entry(left.name).or_default();
                    (*times, *run) = (*times + 1, left.run);
                }
                let (deleted, refused) = (outcome.deleted(), outcome.refused.take());
                self.outcome.absorb(outcome);
                match refused {
                    None => {
                        self.through += 1;
                        tracing::info!(deleted, "swept while traffic runs");
                    }
                    Some(refusal) => self.failed(&refusal),
                }
            }
            Err(refusal) => self.failed(&refusal),
        }
        match cleanup::reap(plan, name, false, |_| ()).await {
            Ok(reaped) => self.finished(reaped),
            Err(refusal) => self.failed(&refusal),
        }
    }

    /// Adds what killed runs left, without growing for ever.
    fn finished(&mut self, Reaped { runs, mut outcome }: Reaped) {
        if runs.is_empty() {
            return;
        }
        tracing::info!(runs = runs.join(", "), deleted = outcome.deleted(), "finished what killed runs left");
        let room = NAMED.saturating_sub(self.reaped.runs.len());
        self.reaped.runs.extend(runs.into_iter().take(room));
        outcome.blocked.truncate(NAMED.saturating_sub(self.reaped.outcome.blocked.len()));
        outcome.notes.truncate(NAMED.saturating_sub(self.reaped.outcome.notes.len()));
        self.reaped.outcome.absorb(outcome);
    }
}

// === helpers ===

async fn sweep_until(
    plan: CleanupPlan,
    name: String,
    every: Duration,
    keep_for: Duration,
    mut rests: watch::Receiver<bool>,
    hold: watch::Receiver<Hold>,
) -> Swept {
    let mut swept = Swept::default();
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    // One that took longer than the interval is not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = rests.wait_for(|rests| *rests) => return swept,
            () = lost(hold.clone()) => return swept,
            _ = ticks.tick() => {}
        }
        let mut gone = rests.clone();
        tokio::select! {
            biased;
            // Only where whoever waits is gone: resting lets it end in peace.
            Err(_) = gone.wait_for(|_| false) => return swept,
            () = swept.sweep(&plan, &name, keep_for) => {}
        }
    }
}
