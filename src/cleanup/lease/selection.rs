//! What the command `cleanup` takes beside what a run takes of itself: everything, or one run.

use super::claim::compile_claim;
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{CleanupOutcome, Refusal, RefusalCause};
use crate::cleanup::redis::{self, RedisPlan};
use crate::cleanup::scope::{LedgerScope, Scope};
use crate::cleanup::scoped::sweep;
use crate::cleanup::sweep::{Progress, Session, timed};
use crate::semconv::RunId;

/// The most runs that are asked about one by one.
const MOST: i64 = 1_000;

/// Sweeps all that the roots and the patterns of keys match, whoever made it, leases or not: with `{{ run }}` for each run that has a lease and
/// whose data was not swept. Where that went through, the leases of dead runs end.
pub async fn sweep_everything(
    plan: &CleanupPlan,
    name: &str,
    dry_run: bool,
    mut progress: impl FnMut(Progress),
) -> CleanupOutcome {
    let mut outcome = sweep(plan, &Scope::all(), dry_run, &mut progress).await;
    sweep_keys(plan.keys_but(&[]), dry_run, &mut outcome, &mut progress).await;
    if outcome.refused.is_some() {
        return outcome;
    }
    let rest = async {
        let session = Session::connect(&plan.database).await?;
        if !super::exists(&session.client).await? {
            return Ok(());
        }
        let rows = plan.roots.iter().any(|root| root.predicate.is_per_run());
        let keys = plan.keys.as_ref().is_some_and(|keys| keys.plan.clone().only_of_its_run().is_some());
        if rows || keys {
            for run in unswept(&session, name).await? {
                let Some(of_run) = compile_claim(plan, &plan.claim(), run) else { continue };
                if rows {
                    let scope = Scope { ledger: LedgerScope::None, ..Scope::of_run(&of_run) };
                    outcome.absorb(sweep(&of_run, &scope, dry_run, &mut progress).await);
                }
                let keys = of_run.keys_but(&[]).and_then(RedisPlan::only_of_its_run);
                sweep_keys(keys, dry_run, &mut outcome, &mut progress).await;
            }
        }
        if !dry_run && outcome.refused.is_none() {
            // Only those whose data was what this plan says.
            const END: &str = "UPDATE pacecar.lease SET ended = pg_catalog.clock_timestamp()
                WHERE plan = $1 AND ended IS NULL AND expires <= pg_catalog.clock_timestamp()
                    AND claim - 'takes' = $2::text::jsonb";
            let claim = plan.claim().to_string();
            timed("end the leases of dead runs", session.client.execute(END, &[&name, &claim])).await?;
        }
        Ok(())
    };
    let rest: Result<(), RefusalCause> = rest.await;
    if let Err(cause) = rest {
        outcome.refused = Some(Refusal::new(cause));
    }
    outcome
}

/// Sweeps what one run left: what the ledger has of it, roots with `{{ run }}`, and keys with it.
pub async fn sweep_run(plan: &CleanupPlan, dry_run: bool, mut progress: impl FnMut(Progress)) -> CleanupOutcome {
    let mut outcome = sweep(plan, &Scope::of_run(plan), dry_run, &mut progress).await;
    let keys = plan.keys_but(&[]).and_then(RedisPlan::only_of_its_run);
    sweep_keys(keys, dry_run, &mut outcome, &mut progress).await;
    if dry_run || outcome.refused.is_some() {
        return outcome;
    }
    let ended = async {
        // A root that it shares with others may still have rows of it: the lease then waits for --expired.
        const END: &str = "UPDATE pacecar.lease SET ended = pg_catalog.clock_timestamp()
            WHERE run = $1 AND ended IS NULL AND expires <= pg_catalog.clock_timestamp() AND (kept OR shared = '{}')";
        let session = Session::connect(&plan.database).await?;
        if super::exists(&session.client).await? {
            timed("end the lease", session.client.execute(END, &[&plan.run.to_string()])).await?;
        }
        Ok(())
    };
    let ended: Result<(), RefusalCause> = ended.await;
    if let Err(cause) = ended {
        outcome.refused = Some(Refusal::new(cause));
    }
    outcome
}

// === helpers ===

/// Adds what the keys come to, if there are any. Whether rows went well makes no difference to them.
async fn sweep_keys(
    keys: Option<RedisPlan>,
    dry_run: bool,
    outcome: &mut CleanupOutcome,
    progress: &mut impl FnMut(Progress),
) {
    let Some(keys) = keys else { return };
    let (found, before) = (outcome.found(), outcome.deleted());
    let tell = |deleted| progress(Progress { found: found + deleted, deleted: before + deleted });
    outcome.absorb(if dry_run { redis::dry_run(&keys).await } else { redis::sweep(&keys, tell).await });
}

/// Runs of the plan's name whose data may be there: those that have not ended, and those that keep it.
async fn unswept(session: &Session, name: &str) -> Result<Vec<RunId>, RefusalCause> {
    const SQL: &str = "SELECT run FROM pacecar.lease WHERE plan = $1 AND (ended IS NULL OR kept) AND kind <> 'cleanup'
        ORDER BY started DESC LIMIT $2";
    let rows = timed("look at the leases", session.client.query(SQL, &[&name, &MOST])).await?;
    Ok(rows.iter().filter_map(|row| row.get::<_, &str>(0).parse().ok()).collect())
}
