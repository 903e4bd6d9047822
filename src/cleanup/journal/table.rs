//! The journal in Postgres, where cleanup has one: it outlives the machine that the run was on.
//!
//! The same lines as in the file, but what is settled is deleted at once, so that it does not
//! grow. One task writes; who waits at the same time shares one statement. As the file is locked
//! while its run lives, so is the run's journal here, by a lock of the writer's session.

use super::record::{self, line_after, line_before};
use super::{Leftover, Place};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::lease;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::schema::{MARK, is_of_the_trusted, pass_gate};
use crate::cleanup::sweep::{Database, Session, expect_database, timed};
use crate::measure::{Creation, CreationLog, Fate};
use crate::semconv::RunId;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The table, and its schema is there.
const TABLE: &str = include_str!("journal.sql");
/// The most lines that share one statement.
const GROUP: usize = 1024;
/// How long one statement may take: the step waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most lines about fates that are kept for a database that is away. What is lost is undone once more.
const OWED: usize = 10_000;
/// The most lines that are read.
const MOST: i64 = 1_000_000;

/// An open journal. Clones write to the same one; its task ends with the last of them, or with [`Self::finish`].
///
/// The queue needs no bound of its own: whoever creates waits for his line.
#[derive(Clone, Debug)]
pub struct TableJournal {
    queue: mpsc::UnboundedSender<Message>,
}

type Answer = oneshot::Sender<io::Result<()>>;

#[derive(Debug)]
enum Message {
    Before(u64, String, Answer),
    After(u64, Fate),
    Finish(oneshot::Sender<()>),
}

/// What the task owns.
struct Writer {
    database: Database,
    run: RunId,
    plan: String,
    session: Option<Session>,
    /// (creation, line) of what was created.
    created: Vec<(i64, String)>,
    settled: Vec<i64>,
}

// === impl TableJournal ===

impl TableJournal {
    /// Opens the journal of the plan's run, which has its lease. Makes the table where there is none.
    ///
    /// # Errors
    /// Where the table cannot be made, or the database fails.
    pub async fn create(plan: &CleanupPlan, name: &str) -> Result<Self, Refusal> {
        let mut session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
        expect_database(&session, plan).await?;
        ensure(&mut session).await.map_err(Refusal::new)?;
        lock(&session, plan.run).await.map_err(Refusal::new)?;
        Ok(Self::write_to(plan, name, plan.run, session))
    }

    fn write_to(plan: &CleanupPlan, name: &str, run: RunId, session: Session) -> Self {
        let (queue, messages) = mpsc::unbounded_channel();
        let writer = Writer {
            database: plan.database.clone(),
            run,
            plan: name.to_owned(),
            session: Some(session),
            created: Vec::new(),
            settled: Vec::new(),
        };
        tokio::spawn(writer.run(messages));
        Self { queue }
    }

    /// Writes what is queued.
    pub async fn finish(self) {
        let (done, finished) = oneshot::channel();
        if self.queue.send(Message::Finish(done)).is_ok() {
            let _ = finished.await;
        }
    }
}

impl CreationLog for TableJournal {
    fn before(&self, creation: &Creation) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
        let (answer, written) = oneshot::channel();
        let gone = || io::Error::other("the journal's task has ended");
        let sent = self.queue.send(Message::Before(creation.id, line_before(creation), answer)).map_err(|_| gone());
        Box::pin(async move {
            sent?;
            written.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn after(&self, id: u64, fate: Fate) {
        // A task that has ended has told whoever creates; what is not settled is undone once more.
        let _ = self.queue.send(Message::After(id, fate));
    }
}

// === impl Writer ===

impl Writer {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut group = Vec::new();
        while messages.recv_many(&mut group, GROUP).await > 0 {
            let (mut ids, mut lines, mut waiting, mut finish) = (Vec::new(), Vec::new(), Vec::new(), None);
            for message in group.drain(..) {
                match message {
                    Message::Before(id, line, answer) => {
                        ids.push(number(id));
                        lines.push(line);
                        waiting.push(answer);
                    }
                    Message::After(id, fate @ Fate::Created { .. }) => {
                        self.created.push((number(id), line_after(id, &fate)));
                    }
                    Message::After(id, _) => self.settled.push(number(id)),
                    Message::Finish(done) => finish = Some(done),
                }
            }
            if !waiting.is_empty() {
                let written = self.write(&ids, &lines).await;
                for answer in waiting {
                    let _ = answer.send(written.clone().map_err(io::Error::other));
                }
            }
            self.pay().await;
            if let Some(done) = finish {
                drop(self.session);
                let _ = done.send(());
                return;
            }
        }
    }

    /// Writes lines, all or none of them.
    async fn write(&mut self, ids: &[i64], lines: &[String]) -> Result<(), String> {
        const SQL: &str = "INSERT INTO pacecar.journal (run, plan, id, line)
            SELECT $1, $2, l.id, l.line FROM ROWS FROM (pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::text[])) WITH ORDINALITY l(id, line, n)
            ORDER BY l.n";
        let (run, plan) = (self.run.to_string(), self.plan.clone());
        let written = async {
            let session = self.session().await?;
            timed("write the journal", session.client.execute(SQL, &[&run, &plan, &ids, &lines])).await
        };
        let written = match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => format!("the database did not write the journal within {PATIENCE:?}"),
        };
        // What an unfinished answer would mean is unknown: a new session.
        self.session = None;
        Err(written)
    }

    /// Writes down what became of creations. What cannot be written is tried again with the next.
    async fn pay(&mut self) {
        const SETTLED: &str = "DELETE FROM pacecar.journal WHERE run = $1 AND id = ANY ($2)";
        let (ids, lines): (Vec<i64>, Vec<String>) = std::mem::take(&mut self.created).into_iter().unzip();
        if !ids.is_empty() && self.write(&ids, &lines).await.is_err() {
            self.created = ids.into_iter().zip(lines).take(OWED).collect();
            return;
        }
        if self.settled.is_empty() {
            return;
        }
        let (run, settled) = (self.run.to_string(), std::mem::take(&mut self.settled));
        let paid = async {
            let session = self.session().await?;
            timed("settle the journal", session.client.execute(SETTLED, &[&run, &settled])).await
        };
        if !matches!(tokio::time::timeout(PATIENCE, paid).await, Ok(Ok(_))) {
            self.session = None;
            self.settled = settled;
            self.settled.truncate(OWED);
        }
    }

    async fn session(&mut self) -> Result<&Session, RefusalCause> {
        if self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            let session = Session::connect(&self.database).await?;
            lock(&session, self.run).await?;
            self.session = Some(session);
        }
        self.session.as_ref().ok_or(RefusalCause::ConnectTimeout(PATIENCE))
    }
}

/// What dead runs of the plan's name `name` left in the journal; only `run`'s where one is given. A run is dead where
/// nobody writes to its journal and, unless `leases_or_not`, its lease ran out or ended too.
///
/// # Errors
/// Where the database fails, or somebody else can write into the journal.
pub async fn leftovers_in(
    plan: &CleanupPlan,
    name: &str,
    run: Option<RunId>,
    leases_or_not: bool,
) -> Result<Vec<Leftover>, Refusal> {
    const DEAD: &str = "SELECT DISTINCT j.run FROM pacecar.journal j
        WHERE j.plan = $1 AND ($2::text IS NULL OR j.run = $2) AND ($3 OR NOT EXISTS (SELECT FROM pacecar.lease l
            WHERE l.run = j.run AND l.ended IS NULL AND l.expires > pg_catalog.clock_timestamp())) ORDER BY j.run";
    let session = Session::connect(&plan.database).await.map_err(Refusal::new)?;
    expect_database(&session, plan).await?;
    if !exists(&session.client).await.map_err(Refusal::new)? {
        return Ok(Vec::new());
    }
    if !is_of_the_trusted(&session.client, "pacecar.journal").await.map_err(Refusal::new)? {
        return Err(Refusal::new(RefusalCause::JournalOfAnother));
    }
    let only = run.map(|run| run.to_string());
    let rows = timed("look at the journal", session.client.query(DEAD, &[&name, &only, &leases_or_not])).await;
    let mut found = Vec::new();
    for row in rows.map_err(Refusal::new)? {
        if let Ok(run) = row.get::<_, &str>(0).parse() {
            found.extend(open(plan, name, run).await.map_err(Refusal::new)?);
        }
    }
    Ok(found)
}

/// How many lines are not settled; none where there is no journal.
pub(in crate::cleanup) async fn lines(
    client: &impl tokio_postgres::GenericClient,
) -> Result<Option<u64>, RefusalCause> {
    if !exists(client).await? {
        return Ok(None);
    }
    let sql = "SELECT pg_catalog.count(*) FROM pacecar.journal";
    let count: i64 = timed("look at the journal", client.query_one(sql, &[])).await?.get(0);
    Ok(Some(u64::try_from(count).unwrap_or(0)))
}

// === helpers ===

/// None where its run lives, somebody else undoes it, or all is settled.
async fn open(plan: &CleanupPlan, name: &str, run: RunId) -> Result<Option<Leftover>, RefusalCause> {
    const LINES: &str = "SELECT line FROM pacecar.journal WHERE run = $1 ORDER BY seq LIMIT $2";
    let session = Session::connect(&plan.database).await?;
    if !lock(&session, run).await? {
        return Ok(None);
    }
    let rows = timed("read the journal", session.client.query(LINES, &[&run.to_string(), &MOST])).await?;
    let text: String = rows.iter().map(|row| row.get::<_, &str>(0)).collect();
    let (entries, torn) = record::read(&text);
    if entries.is_empty() {
        return Ok(None);
    }
    let journal = TableJournal::write_to(plan, name, run, session);
    let entries = entries.into_values().collect();
    Ok(Some(Leftover { run, entries, torn, place: Place::Table(journal) }))
}

/// Whether there is a journal.
async fn exists(client: &impl tokio_postgres::GenericClient) -> Result<bool, RefusalCause> {
    let sql = "SELECT pg_catalog.to_regclass('pacecar.journal') IS NOT NULL";
    Ok(timed("look for a journal", client.query_one(sql, &[])).await?.get(0))
}

/// Makes the table of the journal, where there is none.
async fn ensure(session: &mut Session) -> Result<(), RefusalCause> {
    let transaction = timed("make the journal", session.client.transaction()).await?;
    pass_gate(&transaction).await?;
    lease::ensure(&transaction).await?;
    if !exists(&transaction).await? {
        let sql = format!("{TABLE}; COMMENT ON TABLE pacecar.journal IS '{MARK}'");
        timed("make the journal", transaction.batch_execute(&sql)).await?;
    }
    timed("make the journal", transaction.commit()).await
}

/// Locks a run's journal for as long as the session lives. False: somebody has it.
async fn lock(session: &Session, run: RunId) -> Result<bool, RefusalCause> {
    // "journal" in ASCII, so that it is another lock than the run's own.
    const JOURNAL: u64 = 0x006a_6f75_726e_616c;
    let key = (run.bits() ^ JOURNAL).cast_signed();
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1)";
    Ok(timed("lock the journal", session.client.query_one(sql, &[&key])).await?.get(0))
}

fn number(id: u64) -> i64 {
    id.cast_signed()
}
