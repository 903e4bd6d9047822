//! A lease that is held: taken before the first request, settled when the traffic is over, ended after the sweep.

use super::fence::{Fence, Term};
use super::keeper::{Hold, Keeper, open};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::schema::pass_gate;
use crate::cleanup::sweep::{Session, expect_database, timed};
use crate::semconv::RunId;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::{Row, Transaction};

/// How long a run waits for somebody who is sweeping one of its roots.
const WAIT: Duration = Duration::from_secs(600);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(200);
/// The term of who took a lease first.
pub(super) const FIRST: i32 = 1;
/// Which of the table's rows hold a run's own lock: a condition over `l`.
const IS_CONNECTED: &str = "('x' || l.run)::bit(64)::bigint";
/// Which of them are sweeping while their traffic runs.
const IS_AGING: &str = "~('x' || l.run)::bit(64)::bigint";

/// What holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseKind {
    /// A finite run.
    Run,
    /// A canary.
    Canary,
    /// The command `cleanup`.
    Cleanup,
}

/// What the holder of a lease will delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// What it makes itself.
    Own,
    /// All that the roots match.
    All,
    /// What this run left, and no root that runs share.
    Of(RunId),
}

/// What a lease says beside its claim.
#[derive(Clone, Debug)]
pub struct LeaseTerms {
    /// Who takes it.
    pub holder: RunId,
    /// What it is.
    pub kind: LeaseKind,
    /// The plan's name.
    pub plan: String,
    /// A digest of the plan's text.
    pub digest: String,
    /// What is taken.
    pub takes: Takes,
    /// Whether the rows are to stay until somebody asks for them: no reaper takes them.
    pub kept: bool,
}

/// A lease that is renewed while this lives. Dropping it leaves it to run out.
#[derive(Debug)]
pub struct Lease {
    plan: CleanupPlan,
    terms: LeaseTerms,
    hold: watch::Receiver<Hold>,
    /// Renews it; ended by `Drop`.
    keeper: JoinHandle<()>,
    /// By part, what it is called in the table where it is shared.
    shared: Vec<Option<String>>,
}

/// What runs may share: a root, or a pattern of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A root, by its number in the plan.
    Root(usize),
    /// A pattern of keys in Redis, by its number in the plan.
    Keys(usize),
}

/// What is left to another run, which is live and holds it too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it is.
    pub part: Part,
    /// The root's table, or the pattern: `redis:session:test-*`.
    pub name: String,
    /// The other run.
    pub run: String,
    /// Its plan's name.
    pub plan: String,
}

// === impl LeaseKind ===

impl LeaseKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Canary => "canary",
            Self::Cleanup => "cleanup",
        }
    }
}

// === impl Takes ===

impl Takes {
    fn name(self) -> String {
        match self {
            Self::Own => "own".to_owned(),
            Self::All => "all".to_owned(),
            Self::Of(run) => run.to_string(),
        }
    }

    /// Reads what a lease says. None where it says nothing of the kind.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "own" => Some(Self::Own),
            "all" => Some(Self::All),
            run => run.parse().ok().map(Self::Of),
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Takes a lease, and sets `fence` to how long it is good for. Waits while somebody sweeps what both share, at
    /// most 10 minutes.
    ///
    /// # Errors
    /// Where it may not or cannot be written.
    pub async fn take(plan: &CleanupPlan, terms: LeaseTerms, fence: Fence) -> Result<Self, Refusal> {
        let mut session = open(&plan.database, terms.holder).await.map_err(Refusal::new)?;
        expect_database(&session, plan).await?;
        let mut shared = shared_parts(&session, plan).await?;
        if let Takes::Of(_) = terms.takes {
            shared.fill(None);
        }
        let until = Instant::now() + WAIT;
        let renewed = loop {
            let sent = Instant::now();
            fence.good_for(plan.lease);
            match try_take(&mut session, plan, &terms, &shared).await.map_err(Refusal::new)? {
                None => break sent,
                Some(run) if Instant::now() > until => return Err(Refusal::new(RefusalCause::BeingSwept { run })),
                Some(run) => tracing::debug!(%run, "what both share is being swept: waiting"),
            }
            tokio::time::sleep(LOOK).await;
        };
        let (sender, hold) = watch::channel(Hold::Held);
        let keeper = Keeper {
            database: plan.database.clone(),
            run: terms.holder,
            term: FIRST,
            length: plan.lease,
            renewed,
            fence,
            hold: sender,
            session: Some(session),
        };
        Ok(Self { plan: plan.clone(), terms, hold, keeper: tokio::spawn(keeper.keep()), shared })
    }

    /// Whether the run may send requests, now and whenever that changes.
    #[must_use]
    pub fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.clone()
    }

    /// Under what a sweep of this run's data may look.
    #[must_use]
    pub const fn term(&self) -> Term {
        Term { run: self.terms.holder, term: FIRST }
    }

    /// Decides who sweeps which shared root and pattern: those that are answered are left to others, the rest is this
    /// run's to sweep. A lease whose run may be dead is waited for until it is renewed or has run out.
    ///
    /// # Errors
    /// Where the lease was lost, or the database fails.
    pub async fn settle(&self) -> Result<Vec<Left>, Refusal> {
        let mut session = Session::connect(&self.plan.database).await.map_err(Refusal::new)?;
        loop {
            match self.try_settle(&mut session).await.map_err(Refusal::new)? {
                Some(left) => return Ok(left),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Ends the lease. Where the sweep did not go through (`done` is false) it runs out at once instead, so that the
    /// next start tries again.
    ///
    /// # Errors
    /// Where the database fails: the lease then runs out, and the next start looks again.
    pub async fn end(self, done: bool) -> Result<(), Refusal> {
        let session = Session::connect(&self.plan.database).await.map_err(Refusal::new)?;
        let (client, run) = (&session.client, self.terms.holder);
        let ended = if done { finish(client, run, FIRST).await } else { give_back(client, run, FIRST).await };
        ended.map_err(Refusal::new)
    }

    /// None: somebody who may be dead is to be waited for.
    async fn try_settle(&self, session: &mut Session) -> Result<Option<Vec<Left>>, RefusalCause> {
        let connected = is_locked(IS_CONNECTED);
        let others = format!(
            "SELECT l.run, l.plan, l.shared, {connected} FROM pacecar.lease l
             WHERE l.run <> $1 AND l.ended IS NULL AND l.expires > pg_catalog.clock_timestamp()
                AND l.kind <> 'cleanup' AND NOT l.sweeping AND (l.shared && $2 OR (l.plan = $3 AND NOT l.kept))"
        );
        let own = self.terms.holder.to_string();
        let shared: Vec<&str> = self.shared.iter().flatten().map(String::as_str).collect();
        let transaction = timed("settle who sweeps", session.client.transaction()).await?;
        pass_gate(&transaction).await?;
        let rows = timed("settle who sweeps", transaction.query(&others, &[&own, &shared, &self.terms.plan])).await?;
        if rows.iter().any(|row| !row.get::<_, bool>(3)) {
            return Ok(None);
        }
        let (left, swept) = share(&self.plan, &self.shared, &rows);
        let sql = "UPDATE pacecar.lease SET sweeping = true, shared = $2
            WHERE run = $1 AND term = $3 AND ended IS NULL AND expires > pg_catalog.clock_timestamp()";
        let ours = timed("settle who sweeps", transaction.execute(sql, &[&own, &swept, &FIRST])).await?;
        timed("settle who sweeps", transaction.commit()).await?;
        if ours == 0 { Err(RefusalCause::LeaseLost { run: own }) } else { Ok(Some(left)) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

// === helpers ===

/// What each root and each pattern of keys is called in the table of leases where it is shared: a table's number and
/// the predicate, or where the keys are and the pattern.
pub(super) async fn shared_parts(session: &Session, plan: &CleanupPlan) -> Result<Vec<Option<String>>, Refusal> {
    let mut shared = Vec::with_capacity(plan.roots.len());
    for root in &plan.roots {
        if root.predicate.is_per_run() {
            shared.push(None);
            continue;
        }
        let sql = "SELECT pg_catalog.to_regclass($1)::oid";
        let row = timed("look a root's table up", session.client.query_one(sql, &[&root.table.to_string()])).await;
        let oid: Option<u32> = row.map_err(|cause| Refusal::at(root.span, cause))?.get(0);
        let oid = oid.ok_or_else(|| Refusal::at(root.span, RefusalCause::UnknownTable(root.table.clone())))?;
        shared.push(Some(format!("{oid} {}", root.predicate)));
    }
    shared.extend(plan.keys.iter().flat_map(|keys| keys.plan.shared()));
    Ok(shared)
}

/// What the name at `number` of [`shared_parts`] names.
pub(super) fn part(plan: &CleanupPlan, number: usize) -> Part {
    number.checked_sub(plan.roots.len()).map_or(Part::Root(number), Part::Keys)
}

/// Parts what is shared: what a row (run, plan, shared) of `holders` holds too, and the names of the others.
pub(super) fn share<'a>(
    plan: &CleanupPlan,
    shared: &'a [Option<String>],
    holders: &[Row],
) -> (Vec<Left>, Vec<&'a str>) {
    let (mut left, mut swept) = (Vec::new(), Vec::new());
    for (number, name) in shared.iter().enumerate() {
        let Some(name) = name.as_deref() else { continue };
        match holders.iter().find(|row| row.get::<_, Vec<&str>>(2).contains(&name)) {
            Some(holder) => {
                let part = part(plan, number);
                let name = match part {
                    Part::Root(root) => plan.roots[root].table.to_string(),
                    Part::Keys(keys) => plan.keys.as_ref().map(|all| all.plan.label(keys)).unwrap_or_default(),
                };
                left.push(Left { part, name, run: holder.get(0), plan: holder.get(1) });
            }
            None => swept.push(name),
        }
    }
    (left, swept)
}

/// The roots among what is left to others.
pub(super) fn left_roots(left: &[Left]) -> impl Iterator<Item = usize> {
    left.iter().filter_map(|left| match left.part {
        Part::Root(root) => Some(root),
        Part::Keys(_) => None,
    })
}

/// Whether somebody has the lock of this number: an SQL condition.
fn is_locked(number: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_locks k WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
            AND k.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
            AND (k.classid::bigint << 32) | k.objid::bigint = {number})"
    )
}

/// Ends a lease, unless another has taken it over.
pub(super) async fn finish(
    client: &impl tokio_postgres::GenericClient,
    run: RunId,
    term: i32,
) -> Result<(), RefusalCause> {
    const SQL: &str = "UPDATE pacecar.lease SET ended = pg_catalog.clock_timestamp()
        WHERE run = $1 AND term = $2 AND ended IS NULL";
    timed("end the lease", client.execute(SQL, &[&run.to_string(), &term])).await.map(drop)
}

/// Answers who is to be waited for.
async fn try_take(
    session: &mut Session,
    plan: &CleanupPlan,
    terms: &LeaseTerms,
    shared: &[Option<String>],
) -> Result<Option<String>, RefusalCause> {
    let sweeping = format!(
        "SELECT l.run FROM pacecar.lease l WHERE l.ended IS NULL AND l.expires > pg_catalog.clock_timestamp()
            AND l.shared && $1 AND (l.sweeping OR {}) LIMIT 1",
        is_locked(IS_AGING)
    );
    const TAKE: &str = "INSERT INTO pacecar.lease (run, plan, digest, kind, claim, shared, kept, sweeping, expires)
        VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, pg_catalog.clock_timestamp() + $9 * interval '1 second')";
    let shared: Vec<&str> = shared.iter().flatten().map(String::as_str).collect();
    let transaction = timed("take a lease", session.client.transaction()).await?;
    pass_gate(&transaction).await?;
    super::ensure(&transaction).await?;
    let cleanup = terms.kind == LeaseKind::Cleanup;
    if !cleanup && let Some(row) = timed("take a lease", transaction.query_opt(&sweeping, &[&shared])).await? {
        return Ok(Some(row.get(0)));
    }
    forget(&transaction).await?;
    let mut claim = plan.claim();
    claim["takes"] = terms.takes.name().into();
    let (run, claim, seconds) = (terms.holder.to_string(), claim.to_string(), plan.lease.as_secs_f64());
    let (kind, kept) = (terms.kind.name(), terms.kept);
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
        [&run, &terms.plan, &terms.digest, &kind, &claim, &shared, &kept, &cleanup, &seconds];
    timed("take a lease", transaction.execute(TAKE, &values)).await?;
    timed("take a lease", transaction.commit()).await?;
    Ok(None)
}

/// Forgets leases that ended a week ago, unless the ledger still speaks of them.
async fn forget(transaction: &Transaction<'_>) -> Result<(), RefusalCause> {
    const SQL: &str = "
        FROM pacecar.lease l WHERE l.run IN (SELECT o.run FROM pacecar.lease o
            WHERE coalesce(o.ended, CASE WHEN o.kept THEN o.expires END) < pg_catalog.clock_timestamp() - interval '7 days'
            LIMIT 1000)";
    let there = "SELECT pg_catalog.to_regclass('pacecar.ledger') IS NOT NULL";
    let ledger: bool = timed("look at the ledger", transaction.query_one(there, &[])).await?.get(0);
    let unless = if ledger { " AND NOT EXISTS (SELECT FROM pacecar.ledger r WHERE r.run = l.run)" } else { "" };
    if ledger {
        let updates = format!("DELETE FROM pacecar.updates u WHERE u.run IN (SELECT l.run {SQL}{unless})");
        timed("forget old leases", transaction.execute(&updates, &[])).await?;
    }
    timed("forget old leases", transaction.execute(&format!("DELETE {SQL}{unless}"), &[])).await.map(drop)
}

/// Lets a lease run out at once, unless another has taken it over: the next start tries again.
pub(super) async fn give_back(
    client: &impl tokio_postgres::GenericClient,
    run: RunId,
    term: i32,
) -> Result<(), RefusalCause> {
    const SQL: &str = "UPDATE pacecar.lease SET expires = pg_catalog.clock_timestamp(), sweeping = false
        WHERE run = $1 AND term = $2 AND ended IS NULL";
    timed("give a lease back", client.execute(SQL, &[&run.to_string(), &term])).await.map(drop)
}
