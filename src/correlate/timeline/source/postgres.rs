//! Postgres seen from within, with no help from the API: who works, who waits and for what, and what the database did.
//!
//! One session, one look at a time, each of a few statements over the statistics views. Sessions that are not idle are
//! connections that the pool has given out: a lower bound of what is in use, because one that is given out may be idle.

use super::super::counter::Rate;
use super::super::pool::{PoolSample, PoolSource};
use super::super::timelines::{SlowStatement, Told};
use super::poll::Source;
use crate::postgres::{ConnectError, Database};
use std::collections::HashMap;
use std::time::Duration;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, Row};

/// Which Postgres, and whose sessions.
#[derive(Clone, Debug)]
pub(super) struct PostgresPlan {
    pub(super) database: Database,
    /// None is all of the database but pacecar's own.
    pub(super) application_name: Option<String>,
    pub(super) every: Duration,
}

/// Looks at it.
pub(super) struct Postgres {
    plan: PostgresPlan,
    session: Option<Session>,
    began: Instant,
    rates: HashMap<&'static str, Rate>,
    statements: Option<Statements>,
}

struct Session {
    client: Client,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

/// What `pg_stat_statements` had when the run began.
struct Statements {
    /// The view, with its schema, and the name of its column of time.
    view: String,
    time: &'static str,
    /// Calls and ms, by statement.
    before: HashMap<i64, (i64, f64)>,
}

/// Why a look failed. Shows no secret.
#[derive(Debug, Error)]
pub(in crate::correlate::timeline) enum PostgresTrouble {
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Query(String),
    #[error("it hides the state of other sessions: this user needs the role pg_read_all_stats")]
    Hidden,
}

/// Nothing that looks may hold up the database: each statement at most so long, and no write.
const SETTINGS: &str = "SET statement_timeout = '2s'; SET lock_timeout = '500ms'; \
     SET default_transaction_read_only = on; SET idle_in_transaction_session_timeout = '10s'";

/// Sessions by what they do. Those of pacecar itself are none of the API's.
const SESSIONS: &str = "SELECT coalesce(state, ''), coalesce(wait_event_type, ''), coalesce(wait_event, ''), count(*) \
     FROM pg_catalog.pg_stat_activity \
     WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() \
     AND CASE WHEN $1::text IS NULL THEN application_name <> 'pacecar' ELSE application_name = $1 END \
     GROUP BY 1, 2, 3";

/// What the database did since its statistics were reset.
const DATABASE: &str = "SELECT xact_commit::float8, xact_rollback::float8, blks_read::float8, blks_hit::float8, \
     deadlocks::float8, temp_bytes::float8, \
     (SELECT count(*) FROM pg_catalog.pg_locks WHERE NOT granted)::float8 \
     FROM pg_catalog.pg_stat_database WHERE datname = current_database()";

/// Where `pg_stat_statements` is installed, and whether its column has today's name.
const INSTALLED: &str = "SELECT format('%I.pg_stat_statements', n.nspname), \
     EXISTS (SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
     WHERE c.relname = 'pg_stat_statements' AND c.relnamespace = n.oid AND a.attname = 'total_exec_time') \
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'pg_stat_statements'";

/// Statements that are looked at.
const MOST_STATEMENTS: usize = 5_000;
/// Statements that are told.
const TOLD_STATEMENTS: usize = 5;
/// Characters of a statement that are told.
const TOLD_TEXT: usize = 160;
/// A statement that took less in all is not worth a word, in ms.
const WORTH_TELLING: f64 = 1.0;
/// How long the last look at statements may take.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// What may be told of a statement's text: the values of these are replaced by `$1`, those of others may stand in it.
const TELLABLE: [&str; 6] = ["select", "insert", "update", "delete", "with", "merge"];

// === impl Postgres ===

impl Postgres {
    pub(super) fn new(plan: &PostgresPlan) -> Self {
        Self { plan: plan.clone(), session: None, began: Instant::now(), rates: HashMap::new(), statements: None }
    }

    async fn connect(&mut self) -> Result<Session, PostgresTrouble> {
        let (client, driving) = self.plan.database.connect().await.map_err(|error| {
            PostgresTrouble::Connect(match error {
                ConnectError::Refused(source) => chain(&source),
                other => other.to_string(),
            })
        })?;
        let mut driver = JoinSet::new();
        driver.spawn(driving);
        client.batch_execute(SETTINGS).await.map_err(query)?;
        if self.statements.is_none() {
            // Not installed, not loaded, or not allowed: then nothing is told of statements.
            self.statements = Statements::begin(&client).await.ok().flatten();
        }
        Ok(Session { client, _driver: driver })
    }

    fn rate(&mut self, name: &'static str, at: Duration, whole: f64) -> Option<f64> {
        self.rates.entry(name).or_default().whole(at, whole, None)
    }

    /// What the rows of the two statements say.
    fn read(
        &mut self,
        sessions: &[Row],
        database: &Row,
        at: Duration,
    ) -> Result<(f64, Vec<(String, f64)>), PostgresTrouble> {
        let mut told = Sessions::default();
        for row in sessions {
            let text = |column| row.try_get::<_, &str>(column).unwrap_or_default();
            let count = row.try_get::<_, i64>(3).unwrap_or_default() as f64;
            told.add(text(0), text(1), text(2), count);
        }
        if told.all > 0.0 && told.hidden >= told.all {
            return Err(PostgresTrouble::Hidden);
        }
        let busy = told.busy;
        let mut values = told.values();
        let number = |column: usize| database.try_get::<_, f64>(column).unwrap_or_default();
        for (column, name) in [
            (0, "commits_per_second"),
            (1, "rollbacks_per_second"),
            (4, "deadlocks_per_second"),
            (5, "temp_bytes_per_second"),
        ] {
            values.extend(self.rate(name, at, number(column)).map(|rate| (name.to_owned(), rate)));
        }
        let (read, hit) = (self.rate("blocks_read", at, number(2)), self.rate("blocks_hit", at, number(3)));
        if let (Some(read), Some(hit)) = (read, hit)
            && read + hit > 0.0
        {
            values.push(("cache_hit_rate".to_owned(), hit / (read + hit)));
        }
        values.push(("locks_waiting".to_owned(), number(6)));
        Ok((busy, values))
    }
}

impl Source for Postgres {
    type Trouble = PostgresTrouble;

    fn name(&self) -> String {
        "correlate.postgres".to_owned()
    }

    async fn look(&mut self) -> Result<Vec<Told>, PostgresTrouble> {
        // Put back only when it has proven that it can be used again.
        let session = match self.session.take() {
            Some(session) if !session.client.is_closed() => session,
            _ => self.connect().await?,
        };
        let begun = Instant::now();
        let sessions = session.client.query(SESSIONS, &[&self.plan.application_name]).await.map_err(query)?;
        let at = begun + begun.elapsed() / 2;
        let database = session.client.query_one(DATABASE, &[]).await.map_err(query)?;
        self.session = Some(session);
        let since = at.saturating_duration_since(self.began);
        let (busy, values) = self.read(&sessions, &database, since)?;
        let sample = PoolSample { used: Some(busy), ..PoolSample::default() };
        Ok(vec![
            Told::Pool { source: PoolSource::Postgres, at, sample },
            Told::Figures { source: "postgres".to_owned(), at, values },
        ])
    }

    async fn farewell(&mut self) -> Vec<Told> {
        let (Some(session), Some(statements)) = (&self.session, &self.statements) else { return Vec::new() };
        let last = tokio::time::timeout(LAST_LOOK, statements.end(&session.client)).await;
        match last {
            Ok(Ok(slow)) if !slow.is_empty() => vec![Told::Statements(slow)],
            _ => Vec::new(),
        }
    }
}

/// Sessions of the API, by what they do.
#[derive(Debug, Default)]
struct Sessions {
    all: f64,
    busy: f64,
    idle_in_transaction: f64,
    hidden: f64,
    /// Of those that work: what they wait for.
    waiting: HashMap<String, f64>,
}

// === impl Sessions ===

impl Sessions {
    fn add(&mut self, state: &str, kind: &str, event: &str, count: f64) {
        self.all += count;
        match state {
            "idle" => return,
            "" | "disabled" => {
                self.hidden += count;
                return;
            }
            state if state.starts_with("idle in transaction") => self.idle_in_transaction += count,
            _ => {}
        }
        self.busy += count;
        // A client that is slow to ask is not waited for by a request; the rest is: locks, disk, other backends.
        if state == "active" && !kind.is_empty() && kind != "Client" {
            *self.waiting.entry(format!("waiting {kind}:{event}")).or_default() += count;
        }
    }

    fn values(self) -> Vec<(String, f64)> {
        let mut values = vec![
            ("sessions".to_owned(), self.all),
            ("busy_sessions".to_owned(), self.busy),
            ("idle_in_transaction".to_owned(), self.idle_in_transaction),
            ("waiting_sessions".to_owned(), self.waiting.values().sum()),
        ];
        values.extend(self.waiting);
        values
    }
}

// === impl Statements ===

impl Statements {
    async fn begin(client: &Client) -> Result<Option<Self>, tokio_postgres::Error> {
        let Some(row) = client.query_opt(INSTALLED, &[]).await? else { return Ok(None) };
        let (view, today): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        let mut this =
            Self { view, time: if today { "total_exec_time" } else { "total_time" }, before: HashMap::new() };
        let rows = this.rows(client).await?;
        this.before = rows.into_iter().map(|(id, _, calls, ms)| (id, (calls, ms))).collect();
        Ok(Some(this))
    }

    /// What took most of the time since the beginning.
    async fn end(&self, client: &Client) -> Result<Vec<SlowStatement>, tokio_postgres::Error> {
        let rows = self.rows(client).await?;
        let grown = rows.into_iter().filter_map(|(id, query, calls, ms)| {
            // Fewer calls than before: the statistics were reset, and all of it is new.
            let before = self.before.get(&id).copied().filter(|(before, _)| *before <= calls).unwrap_or((0, 0.0));
            let (calls, total_ms) = (u64::try_from(calls - before.0).unwrap_or(0), ms - before.1);
            // What looks at the statistics is pacecar itself.
            let own = query.contains("pg_catalog.pg_stat_");
            (!own && calls > 0 && total_ms >= WORTH_TELLING).then(|| SlowStatement {
                query: short(&query),
                calls,
                total_ms,
            })
        });
        let mut slow: Vec<_> = grown.collect();
        slow.sort_by(|one, other| other.total_ms.total_cmp(&one.total_ms));
        slow.truncate(TOLD_STATEMENTS);
        Ok(slow)
    }

    async fn rows(&self, client: &Client) -> Result<Vec<(i64, String, i64, f64)>, tokio_postgres::Error> {
        let Self { view, time, .. } = self;
        let sql = format!(
            "SELECT queryid, min(left(query, 1000)), sum(calls)::int8, sum({time})::float8 FROM {view} \
             WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
             AND queryid IS NOT NULL GROUP BY queryid ORDER BY 4 DESC LIMIT {MOST_STATEMENTS}"
        );
        let rows = client.query(&sql, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))).collect()
    }
}

/// A statement in a line. Of what is no query only its first word: a password may stand in it.
fn short(query: &str) -> String {
    let mut line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = line.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty()).unwrap_or_default();
    if !TELLABLE.contains(&first.to_ascii_lowercase().as_str()) {
        return first.to_owned();
    }
    if let Some((end, _)) = line.char_indices().nth(TOLD_TEXT) {
        line.truncate(end);
        line.push('…');
    }
    line
}

fn query(error: tokio_postgres::Error) -> PostgresTrouble {
    PostgresTrouble::Query(chain(&error))
}

/// What the database says; its address and password are in none of it.
fn chain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => {
            let source = std::error::Error::source(error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_not_idle_are_in_use() {
        let mut sessions = Sessions::default();
        sessions.add("idle", "Client", "ClientRead", 5.0);
        sessions.add("active", "", "", 2.0);
        sessions.add("active", "Lock", "transactionid", 3.0);
        sessions.add("idle in transaction", "Client", "ClientRead", 1.0);
        sessions.add("idle in transaction (aborted)", "Client", "ClientRead", 1.0);
        assert_eq!((sessions.all, sessions.busy, sessions.idle_in_transaction), (12.0, 7.0, 2.0));
        let values = sessions.values();
        let of = |name: &str| values.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
        assert_eq!((of("waiting_sessions"), of("waiting Lock:transactionid")), (Some(3.0), Some(3.0)));
    }

    #[test]
    fn what_a_user_may_not_see_is_not_taken_for_idle() {
        let mut sessions = Sessions::default();
        sessions.add("", "", "", 4.0);
        assert_eq!((sessions.all, sessions.hidden, sessions.busy), (4.0, 4.0, 0.0));
    }

    #[test]
    fn of_a_statement_that_is_no_query_only_its_first_word_is_told() {
        assert_eq!(short("ALTER ROLE api PASSWORD 'hidden'"), "ALTER");
        assert_eq!(short("/* x */ DO $$ secret $$"), "x");
        assert_eq!(short("select *\n  from  users where id = $1"), "select * from users where id = $1");
        assert_eq!(short(&"select ä".repeat(100)).chars().count(), TOLD_TEXT + 1);
        assert_eq!(short(""), "");
    }
}
