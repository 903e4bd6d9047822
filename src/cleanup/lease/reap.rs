//! Finishes what killed runs left.
//!
//! A lease that ran out is taken over: it is renewed from here on, under a new term, as one that
//! is being swept. So two reapers never work on the same run, a run that wakes up too late finds
//! its lease gone, and where the reaper is killed too the lease simply runs out again.

use super::claim::{compile_claim, has_keys};
use super::fence::{Fence, Term};
use super::hold::{Left, Part, Takes, finish, give_back, left_roots, part, share, shared_parts};
use super::keeper::{Hold, Keeper, open};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{CleanupOutcome, Note, Refusal, RefusalCause};
use crate::cleanup::redis;
use crate::cleanup::schema::{is_of_the_trusted, pass_gate};
use crate::cleanup::scope::Scope;
use crate::cleanup::scoped::sweep;
use crate::cleanup::sweep::{Progress, Session, expect_database, timed};
use crate::semconv::RunId;
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long is waited for another who finishes the same run.
const WAIT: Duration = Duration::from_secs(600);
/// How often is looked whether it is done.
const LOOK: Duration = Duration::from_millis(200);
/// The most leases that are finished in one go.
const MOST: i64 = 1_000;

/// What was left, and what became of it.
#[derive(Debug, Default)]
pub struct Reaped {
    /// The runs whose leases had run out.
    pub runs: Vec<String>,
    /// What was found and deleted, over all of them.
    pub outcome: CleanupOutcome,
}

// === impl Reaped ===

impl Reaped {
    /// The outcome, which says whose data it was.
    #[must_use]
    pub fn into_outcome(mut self) -> CleanupOutcome {
        if !self.runs.is_empty() {
            self.outcome.notes.insert(0, Note::OfKilled { runs: self.runs });
        }
        self.outcome
    }
}

/// A lease that ran out.
struct Expired {
    run: RunId,
    claim: Value,
}

/// What a killed run's claim comes to.
struct Work<'a> {
    plan: &'a CleanupPlan,
    takes: Takes,
    /// What runs share and was looked at for a run before.
    again: &'a [Part],
    /// Whether the claim is about keys in Redis too.
    keys: bool,
}

/// A lease that was taken over.
struct Taken {
    term: i32,
    left: Vec<Left>,
    keeper: tokio::task::JoinHandle<()>,
}

/// Finishes what runs of the plan's name `name` left whose lease ran out. With `dry_run` only says what that is.
///
/// # Errors
/// Where the leases cannot be read. What goes wrong with one run's data is told in the outcome, and tried again by
/// the next start.
pub async fn reap(
    plan: &CleanupPlan,
    name: &str,
    dry_run: bool,
    mut progress: impl FnMut(Progress),
) -> Result<Reaped, Refusal> {
    let mut session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
    expect_database(&session, plan).await?;
    let mut reaped = Reaped::default();
    reaped.outcome.dry_run = dry_run;
    if !super::exists(&session.client).await.map_err(Refusal::new)? {
        return Ok(reaped);
    }
    let trusted = is_of_the_trusted(&session.client, "pacecar.lease").await.map_err(Refusal::new)?;
    let mut done: Vec<String> = Vec::new();
    for Expired { run, claim } in expired(&session, name).await.map_err(Refusal::new)? {
        let takes = claim["takes"].as_str().and_then(Takes::parse);
        let whose = if let Some(Takes::Of(other)) = takes { other } else { run };
        let (Some(takes), Some(of_run)) = (takes, compile_claim(plan, &claim, whose)) else {
            reaped.runs.push(run.to_string());
            reaped.outcome.absorb(CleanupOutcome::refused(Refusal::new(RefusalCause::Claim { run: run.to_string() })));
            continue;
        };
        if !trusted && !same_claim(&claim, plan) {
            reaped.runs.push(run.to_string());
            let cause = RefusalCause::ClaimOfAnother { run: run.to_string() };
            reaped.outcome.absorb(CleanupOutcome::refused(Refusal::new(cause)));
            continue;
        }
        let mut scope = match takes {
            Takes::Own => Scope { left_alone: Vec::new(), ..Scope::of_run(&of_run) },
            Takes::All => Scope::all(),
            Takes::Of(_) => Scope::of_run(&of_run),
        };
        let mut shared = shared_parts(&session, &of_run).await?;
        if let Takes::Of(_) = takes {
            shared.fill(None);
        }
        // What was looked at for the run before is not looked at, and counted, again.
        let again: Vec<Part> = (0..shared.len())
            .filter(|number| shared[*number].as_ref().is_some_and(|name| done.contains(name)))
            .map(|number| part(&of_run, number))
            .collect();
        scope
            .left_alone
            .extend(again.iter().filter_map(|part| if let Part::Root(root) = part { Some(*root) } else { None }));
        done.extend(shared.iter().flatten().cloned());
        let work = Work { plan: &of_run, takes, again: &again, keys: has_keys(&claim) };
        if dry_run {
            reaped.runs.push(run.to_string());
            reaped.outcome.absorb(work.sweep(&scope, &[], true, |_| ()).await);
            continue;
        }
        let taken = take_over(&mut session, &of_run, run, &shared).await.map_err(Refusal::new)?;
        let Some(taken) = taken else { continue };
        reaped.runs.push(run.to_string());
        scope.left_alone.extend(left_roots(&taken.left));
        scope.under = Some(Term { run, term: taken.term });
        let outcome = work.sweep(&scope, &taken.left, false, &mut progress).await;
        // What a real row keeps was told; trying again would keep it again.
        let done = outcome.refused.is_none();
        reaped.outcome.absorb(outcome);
        reaped.outcome.notes.extend(taken.left.into_iter().map(Note::from));
        taken.keeper.abort();
        let (client, term) = (&session.client, taken.term);
        let ended = if done { finish(client, run, term).await } else { give_back(client, run, term).await };
        ended.map_err(Refusal::new)?;
    }
    Ok(reaped)
}

/// Sweeps what the plan's run made although its lease was lost: once it has run out, or whoever finished it is
/// through, as anybody else would. What its last requests wrote may have come after that one's last look.
///
/// # Errors
/// Where the database fails.
pub async fn reclaim(plan: &CleanupPlan, name: &str) -> Result<Reaped, Refusal> {
    const STATE: &str =
        "SELECT ended IS NOT NULL, expires > pg_catalog.clock_timestamp() FROM pacecar.lease WHERE run = $1";
    const REOPEN: &str =
        "UPDATE pacecar.lease SET ended = NULL, sweeping = false, expires = pg_catalog.clock_timestamp()
        WHERE run = $1 AND ended IS NOT NULL";
    let run = plan.run.to_string();
    let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
    expect_database(&session, plan).await?;
    let until = Instant::now() + WAIT;
    while super::exists(&session.client).await.map_err(Refusal::new)? {
        let state = timed("look at the lease", session.client.query_opt(STATE, &[&run])).await.map_err(Refusal::new)?;
        match state.map(|row| (row.get(0), row.get(1))) {
            Some((true, _)) => {
                timed("take the lease back", session.client.execute(REOPEN, &[&run])).await.map_err(Refusal::new)?;
                break;
            }
            Some((false, true)) if Instant::now() < until => tokio::time::sleep(LOOK).await,
            Some((false, true)) => return Err(Refusal::new(RefusalCause::BeingSwept { run })),
            Some((false, false)) | None => break,
        }
    }
    reap(plan, name, false, |_| ()).await
}

// === impl Work ===

impl Work<'_> {
    /// Rows first, then keys.
    async fn sweep(
        &self,
        scope: &Scope,
        left: &[Left],
        dry_run: bool,
        progress: impl FnMut(Progress),
    ) -> CleanupOutcome {
        let mut outcome = sweep(self.plan, scope, dry_run, progress).await;
        if !self.keys {
            return outcome;
        }
        if self.plan.keys.is_none() {
            let run = self.plan.run.to_string();
            outcome.absorb(CleanupOutcome::refused(Refusal::new(RefusalCause::KeysElsewhere { run })));
            return outcome;
        }
        let elsewhere = |part| left.iter().any(|left| left.part == part) || self.again.contains(&part);
        let keys = self.plan.keys.as_ref();
        let keys = keys.and_then(|keys| keys.plan.clone().only(|number| !elsewhere(Part::Keys(number))));
        let keys = if let Takes::Of(_) = self.takes { keys.and_then(redis::RedisPlan::only_of_its_run) } else { keys };
        if let Some(keys) = keys {
            outcome.absorb(if dry_run { redis::dry_run(&keys).await } else { redis::sweep(&keys, |_| ()).await });
        }
        outcome
    }
}

// === helpers ===

/// Whether a lease claims what the plan says, whatever of it is taken.
fn same_claim(claim: &Value, plan: &CleanupPlan) -> bool {
    let mut claim = claim.clone();
    if let Some(claim) = claim.as_object_mut() {
        claim.remove("takes");
    }
    claim == plan.claim()
}

async fn expired(session: &Session, name: &str) -> Result<Vec<Expired>, RefusalCause> {
    const SQL: &str = "SELECT run, claim::text FROM pacecar.lease
        WHERE plan = $1 AND ended IS NULL AND NOT kept AND expires <= pg_catalog.clock_timestamp()
        ORDER BY started LIMIT $2";
    let rows = timed("look for killed runs", session.client.query(SQL, &[&name, &MOST])).await?;
    let read = |row: &tokio_postgres::Row| {
        let run = row.get::<_, &str>(0).parse().ok()?;
        Some(Expired { run, claim: serde_json::from_str(row.get(1)).unwrap_or(Value::Null) })
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Takes a lease over that ran out. None where another did, and has finished.
async fn take_over(
    session: &mut Session,
    plan: &CleanupPlan,
    run: RunId,
    shared: &[Option<String>],
) -> Result<Option<Taken>, RefusalCause> {
    // Who is live and not sweeping itself keeps the roots that it holds too.
    const HOLDERS: &str = "SELECT run, plan, shared FROM pacecar.lease
        WHERE run <> $1 AND ended IS NULL AND expires > pg_catalog.clock_timestamp()
            AND kind <> 'cleanup' AND NOT sweeping AND shared && $2";
    const TAKE: &str = "UPDATE pacecar.lease SET term = term + 1, sweeping = true, shared = $2,
            expires = pg_catalog.clock_timestamp() + $3 * interval '1 second'
        WHERE run = $1 AND ended IS NULL AND expires <= pg_catalog.clock_timestamp() RETURNING term";
    const OPEN: &str = "SELECT 1 FROM pacecar.lease WHERE run = $1 AND ended IS NULL";
    let (own, seconds) = (run.to_string(), plan.lease.as_secs_f64());
    let names: Vec<&str> = shared.iter().flatten().map(String::as_str).collect();
    let until = Instant::now() + WAIT;
    loop {
        let sent = Instant::now();
        let transaction = timed("take a lease over", session.client.transaction()).await?;
        pass_gate(&transaction).await?;
        let holders = timed("take a lease over", transaction.query(HOLDERS, &[&own, &names])).await?;
        let (left, swept) = share(plan, shared, &holders);
        let taken = timed("take a lease over", transaction.query_opt(TAKE, &[&own, &swept, &seconds])).await?;
        let open_still = timed("take a lease over", transaction.query_opt(OPEN, &[&own])).await?.is_some();
        timed("take a lease over", transaction.commit()).await?;
        if let Some(row) = taken {
            let keeper = Keeper {
                database: plan.database.clone(),
                run,
                term: row.get(0),
                length: plan.lease,
                renewed: sent,
                fence: Fence::default(),
                hold: watch::Sender::new(Hold::Held),
                session: Some(open(&plan.database, run).await?),
            };
            return Ok(Some(Taken { term: keeper.term, left, keeper: tokio::spawn(keeper.keep()) }));
        }
        if !open_still {
            return Ok(None);
        }
        if Instant::now() > until {
            return Err(RefusalCause::BeingSwept { run: own });
        }
        tokio::time::sleep(LOOK).await;
    }
}
