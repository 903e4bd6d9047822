//! What cleanup found, deleted and left, and why it would not start.

use super::lease::Left;
use super::name::TableName;
use super::redis::RedisRefusal;
use crate::plan::Span;
use std::fmt;
use std::time::Duration;

/// What a sweep, or a dry run of one, came to.
#[derive(Debug, Default)]
pub struct CleanupOutcome {
    /// By table, in the order of the roots; a partition counts under its topmost parent.
    pub tables: Vec<TableOutcome>,
    /// Rows that the roots match and that are still there, counted again. Blocked ones too.
    pub remaining: u64,
    /// Test rows that stay because a real row needs them.
    pub quarantined: u64,
    /// The real rows that need them: the first few by name.
    pub blocked: Vec<Blocked>,
    /// What the reader should know besides.
    pub notes: Vec<Note>,
    /// Why it did not start or did not finish.
    pub refused: Option<Refusal>,
    /// Whether nothing was to be deleted.
    pub dry_run: bool,
}

/// What one table came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOutcome {
    /// Its name as Postgres quotes it: `public."user"`.
    pub name: String,
    /// Test rows before, blocked ones too.
    pub found: u64,
    /// Test rows deleted.
    pub deleted: u64,
    /// Test rows still there, counted again. Blocked ones too.
    pub remaining: u64,
    /// Those of them that stay because a real row needs them.
    pub quarantined: u64,
}

/// A test row that stays, and who needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The table of the test row, as Postgres quotes it.
    pub table: String,
    /// Who needs it.
    pub by: Blocker,
}

/// Who needs a test row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// A real row.
    Row {
        /// Its table, as Postgres quotes it.
        table: String,
        /// Its key: `(id)=(17)`.
        key: String,
        /// The foreign key.
        constraint: String,
    },
    /// A row that stays as a fixture, because of `keep_roots`.
    Fixture {
        /// Its table, as Postgres quotes it.
        table: String,
        /// Its key: `(id)=(17)`.
        key: String,
        /// The foreign key.
        constraint: String,
    },
    /// Something that came while rows were deleted: only the foreign key is known.
    Constraint {
        /// The table that refers, where the database says.
        table: String,
        /// The foreign key.
        constraint: String,
    },
}

/// What the reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Rows outside the roots refer to test rows, and the plan says not to follow foreign keys.
    NotFollowed {
        /// The table of those rows, as Postgres quotes it.
        table: String,
        /// The root's table that they refer to.
        root: String,
        /// How many rows refer.
        rows: u64,
    },
    /// More rows need test rows than are told by name.
    MoreBlockers {
        /// How many more.
        rows: u64,
    },
    /// Test rows that stay for now: another live run holds their root, they are not old enough, or
    /// such a row needs them. They count neither as found nor as left.
    ForNow {
        /// Their table, as Postgres quotes it.
        table: String,
        /// How many.
        rows: u64,
    },
    /// It was the data of these runs, which were killed.
    OfKilled {
        /// Their ids.
        runs: Vec<String>,
    },
    /// A root, or a pattern of keys, that another live run holds too: the last one out sweeps it.
    Left {
        /// The root's table, or the pattern.
        table: String,
        /// The other run.
        run: String,
        /// Its plan's name.
        plan: String,
    },
}

/// How bad a [`Refusal`] is: which exit code it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The plan is wrong: 104.
    Invalid,
    /// It would delete what cannot be meant: 121.
    Guard,
    /// It cannot be done: 121 where a run is to start, 122 from the command `cleanup` and at the end of a run.
    Unable,
}

/// Why cleanup does not start, or did not finish.
#[derive(Debug)]
pub struct Refusal {
    /// The root's place in the plan; [`Span::NONE`] where it is about no root.
    pub span: Span,
    /// What it is.
    pub cause: RefusalCause,
}

/// What a [`Refusal`] is about. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum RefusalCause {
    /// No such table.
    #[error("there is no table {0}")]
    UnknownTable(TableName),
    /// A view, a sequence, a foreign table.
    #[error("{0} is no table of this database")]
    NotATable(TableName),
    /// The database does not take the predicate.
    #[error("the predicate of {table} is not one: {said}")]
    Predicate {
        /// The root's table.
        table: TableName,
        /// What the database says about the predicate.
        said: String,
    },
    /// Nothing in the predicate is a column of the table.
    #[error("the predicate of {0} names no column of it")]
    NamesNoColumn(TableName),
    /// The database says that every row matches.
    #[error("the predicate of {0} is constant: it is true of every row")]
    Constant(TableName),
    /// It would not say the same of a row each time, or would do more than say it.
    #[error("the predicate of {table} calls {function}, which Postgres knows as volatile: it may do more than look")]
    Volatile {
        /// The root's table.
        table: TableName,
        /// The function.
        function: String,
    },
    /// What a DELETE there does is not to delete.
    #[error("{0} has a rule ON DELETE: deleting there does something else, which nobody counts")]
    Rule(String),
    /// Another database than the plan means.
    #[error("this is the database `{actual}`, and the plan means `{expected}`")]
    WrongDatabase {
        /// What the plan says.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// More of a table than can be test data.
    #[error("the root {table} matches {matched} of {total} rows, more than its `max_share` of {max_share}")]
    MaxShare {
        /// The root's table.
        table: String,
        /// Rows that match.
        matched: u64,
        /// Rows there are.
        total: u64,
        /// The share that is allowed.
        max_share: f64,
    },
    /// More rows than are allowed.
    #[error("{matched} rows are matched, more than `max_rows` of {max_rows}")]
    MaxRows {
        /// Rows that match.
        matched: u64,
        /// What is allowed.
        max_rows: u64,
    },
    /// The column that should say how old a row is says no time, or is none.
    #[error("{column} is no column of {table} that says when a row was made")]
    Age {
        /// The root's table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// The plan asks for a ledger that was never made.
    #[error("this database has no ledger of rows")]
    NoLedger,
    /// Somebody else's rows might be hidden, or ours.
    #[error("row security hides rows of {0} from this user")]
    RowSecurity(String),
    /// A right is missing.
    #[error("this user may not {right} on {table}")]
    MissingRight {
        /// `SELECT` or `DELETE`.
        right: &'static str,
        /// The table.
        table: String,
    },
    /// A standby.
    #[error("the database is a standby and takes no writes")]
    Standby,
    /// No connection in time.
    #[error("cannot connect to the database within {0:?}")]
    ConnectTimeout(Duration),
    /// No connection.
    #[error("cannot connect to the database")]
    Connect(#[source] tokio_postgres::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS to the database: {0}")]
    Tls(String),
    /// The database did not answer in time.
    #[error("the database did not {operation} within {limit:?}")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// The database refused.
    #[error("the database could not {operation}")]
    Database {
        /// What was asked.
        operation: &'static str,
        /// What it said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Keys in Redis.
    #[error(transparent)]
    Redis(RedisRefusal),
    /// A schema of our name, and not ours.
    #[error("the schema `pacecar` of this database was not made by pacecar")]
    ForeignSchema,
    /// No right to make the schema.
    #[error("this user may not create the schema `pacecar` in this database")]
    MayNotCreate,
    /// Somebody sweeps a root that this run would fill, and does not end.
    #[error("run {run} is still being cleaned up")]
    BeingSwept {
        /// The run whose lease says so.
        run: String,
    },
    /// The lease under which this was to be done is another's, or ran out.
    #[error("the lease of run {run} was lost")]
    LeaseLost {
        /// The run.
        run: String,
    },
    /// A killed run's keys are in a Redis that the plan does not name.
    #[error("run {run} left keys in Redis, and this plan names no Redis")]
    KeysElsewhere {
        /// The run.
        run: String,
    },
    /// A lease in a table that somebody else can write to, with another claim than the plan's own.
    #[error("the lease of run {run} stands in a table of another user, and says something else than this plan")]
    ClaimOfAnother {
        /// The run.
        run: String,
    },
    /// Records of a table that is not the ledger's owner's.
    #[error("the owner of the ledger does not own {table}, so its records prove nothing there")]
    LedgerOfAnother {
        /// The table.
        table: String,
    },
    /// A journal that somebody else can write to.
    #[error("the journal of undo in this database is another user's")]
    JournalOfAnother,
    /// Something is still to be undone.
    #[error("{lines} lines of the journal of undo are not settled")]
    ToUndo {
        /// How many.
        lines: u64,
    },
    /// What a lease says cannot be read.
    #[error("what the lease of run {run} counts as its data cannot be read")]
    Claim {
        /// The run.
        run: String,
    },
    /// The ledger came with a copy of another database.
    #[error("the ledger of this database was copied from another: what it says of tables is wrong here")]
    CopiedLedger,
    /// A table whose triggers are not ours to make.
    #[error("this user does not own {table}, and only its owner can have its rows recorded")]
    NotOwner {
        /// The table.
        table: String,
    },
    /// A Postgres that lacks what the ledger asks of it.
    #[error("the ledger needs Postgres 13 or later, and this is {version}")]
    TooOld {
        /// The major version.
        version: i32,
    },
    /// Rows of runs are still there.
    #[error("{records} rows of runs are still recorded")]
    Recorded {
        /// How many.
        records: u64,
    },
    /// A run has not ended.
    #[error("run {run} has not ended, or was killed and its data was not cleaned up")]
    Unfinished {
        /// The run.
        run: String,
    },
    /// Rows stay, though nothing that is known keeps them.
    #[error("rows are still there after {rounds} rounds")]
    StillThere {
        /// How often it was tried.
        rounds: u32,
    },
}

// === impl CleanupOutcome ===

impl CleanupOutcome {
    /// An outcome of nothing but a reason.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { refused: Some(refusal), ..Self::default() }
    }

    /// Whether nothing is left: what exit code 122 is about.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.remaining == 0 && self.quarantined == 0 && self.refused.is_none()
    }

    /// Test rows found, over all tables.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.tables.iter().map(|table| table.found).sum()
    }

    /// Whether it ended because the lease was lost.
    #[must_use]
    pub const fn lost_its_lease(&self) -> bool {
        matches!(&self.refused, Some(Refusal { cause: RefusalCause::LeaseLost { .. }, .. }))
    }

    /// Adds what another sweep, or another run's data, came to.
    pub fn absorb(&mut self, other: Self) {
        for table in other.tables {
            match self.tables.iter_mut().find(|known| known.name == table.name) {
                Some(known) => {
                    known.found += table.found;
                    known.deleted += table.deleted;
                    known.remaining += table.remaining;
                    known.quarantined += table.quarantined;
                }
                None => self.tables.push(table),
            }
        }
        self.remaining += other.remaining;
        self.quarantined += other.quarantined;
        self.blocked.extend(other.blocked);
        self.notes.extend(other.notes);
        self.refused = self.refused.take().or(other.refused);
    }

    /// Test rows deleted, over all tables.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.tables.iter().map(|table| table.deleted).sum()
    }
}

// === impl Refusal ===

impl Refusal {
    /// One that is about no root.
    pub(super) const fn new(cause: RefusalCause) -> Self {
        Self { span: Span::NONE, cause }
    }

    /// One about the root at `span`.
    pub(super) const fn at(span: Span, cause: RefusalCause) -> Self {
        Self { span, cause }
    }

    /// How bad it is.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        use RefusalCause as Cause;
        match &self.cause {
            Cause::Redis(refusal) => refusal.kind(),
            Cause::UnknownTable(_)
            | Cause::NotATable(_)
            | Cause::Predicate { .. }
            | Cause::NamesNoColumn(_)
            | Cause::Constant(_)
            | Cause::Volatile { .. }
            | Cause::Age { .. } => RefusalKind::Invalid,
            Cause::WrongDatabase { .. } | Cause::MaxShare { .. } | Cause::MaxRows { .. } => RefusalKind::Guard,
            Cause::RowSecurity(_)
            | Cause::NoLedger
            | Cause::Rule(_)
            | Cause::MissingRight { .. }
            | Cause::Standby
            | Cause::ConnectTimeout(_)
            | Cause::Connect(_)
            | Cause::Tls(_)
            | Cause::Timeout { .. }
            | Cause::Database { .. }
            | Cause::ForeignSchema
            | Cause::MayNotCreate
            | Cause::BeingSwept { .. }
            | Cause::LeaseLost { .. }
            | Cause::KeysElsewhere { .. }
            | Cause::ClaimOfAnother { .. }
            | Cause::LedgerOfAnother { .. }
            | Cause::JournalOfAnother
            | Cause::ToUndo { .. }
            | Cause::Claim { .. }
            | Cause::CopiedLedger
            | Cause::NotOwner { .. }
            | Cause::TooOld { .. }
            | Cause::Recorded { .. }
            | Cause::Unfinished { .. }
            | Cause::StillThere { .. } => RefusalKind::Unable,
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        use RefusalCause as Cause;
        match &self.cause {
            Cause::Redis(refusal) => refusal.hint(),
            Cause::UnknownTable(_) | Cause::NotATable(_) => {
                "name a table of this database, with its schema where it needs one"
            }
            Cause::Predicate { .. } => "mend `where`; it is one SQL expression over the columns of its table",
            Cause::NamesNoColumn(_) | Cause::Constant(_) => {
                "say by a column which rows are test data: email LIKE 'test-%'"
            }
            Cause::Volatile { .. } => {
                "use columns and functions that are STABLE or IMMUTABLE; ALTER FUNCTION says which"
            }
            Cause::Rule(_) => "drop the rule, or leave this table out; triggers run as always",
            Cause::WrongDatabase { .. } => "look at `url` and `database`: one of them means another database",
            Cause::MaxShare { .. } => {
                "look at the predicate; where so large a share is right, raise the root's `max_share`"
            }
            Cause::MaxRows { .. } => "look at the predicates; where so many rows are right, raise `max_rows`",
            Cause::Age { .. } => "`age` names a column of type timestamptz, timestamp or date",
            Cause::NoLedger => "pacecar cleanup install PLAN",
            Cause::RowSecurity(_) => {
                "connect as the tables' owner or with BYPASSRLS, or what is hidden cannot be counted"
            }
            Cause::MissingRight { .. } => {
                "GRANT USAGE on the schema; SELECT and DELETE on what may hold test data, SELECT on what refers to it"
            }
            Cause::Standby => "let `url` name the primary",
            Cause::ConnectTimeout(_) | Cause::Connect(_) => {
                "look at `url`, and whether the database runs and can be reached"
            }
            Cause::Tls(_) => "look at `sslmode` and `sslrootcert` in `url`",
            Cause::Timeout { .. } => "something may hold a lock, or an index on the predicate's column is missing",
            Cause::Database { .. } => "what it said stands above; run `pacecar cleanup` again when that is mended",
            Cause::ForeignSchema => "pacecar keeps its leases there: rename the other one, or use another database",
            Cause::MayNotCreate => {
                "GRANT CREATE ON DATABASE, or let its owner: CREATE SCHEMA pacecar AUTHORIZATION the_user"
            }
            Cause::BeingSwept { .. } => "try again when that is done",
            Cause::LeaseLost { .. } => "another may have finished it meanwhile; run `pacecar cleanup` to be sure",
            Cause::KeysElsewhere { .. } => {
                "give `cleanup.redis` the `url` that it had, then pacecar cleanup --expired PLAN"
            }
            Cause::ClaimOfAnother { .. } => "run this as that user, or `pacecar cleanup` with the plan of that run",
            Cause::JournalOfAnother => "run this as that user",
            Cause::ToUndo { .. } => "pacecar cleanup PLAN undoes it",
            Cause::LedgerOfAnother { .. } => "install the ledger as the owner of the tables",
            Cause::Claim { .. } => "it was written by another version of pacecar: clean up with that one",
            Cause::CopiedLedger => "pacecar cleanup uninstall PLAN, then pacecar cleanup install PLAN",
            Cause::NotOwner { .. } => "connect as the owner of the tables",
            Cause::TooOld { .. } => "leave `ledger` off; roots work with every version",
            Cause::Recorded { .. } => "pacecar cleanup PLAN deletes them; what stays there is needed by real rows",
            Cause::Unfinished { .. } => "wait for its end, or: pacecar cleanup --expired PLAN",
            Cause::StillThere { .. } => {
                "a trigger or new traffic keeps rows there; look, then run `pacecar cleanup` again"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The cause speaks through `Display`; what is behind it comes next.
        std::error::Error::source(&self.cause)
    }
}

// === impl Blocked ===

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Blocker::Row { table, key, constraint } => {
                write!(f, "a row of {} stays: the real row {table} {key} refers to it ({constraint})", self.table)
            }
            Blocker::Constraint { table, constraint } => {
                write!(f, "a row of {} stays: {table} refers to it ({constraint})", self.table)
            }
            Blocker::Fixture { table, key, constraint } => {
                write!(f, "a row of {} stays: the fixture {table} {key} refers to it ({constraint})", self.table)
            }
        }
    }
}

// === impl Note ===

impl From<Left> for Note {
    fn from(left: Left) -> Self {
        let Left { name, run, plan, .. } = left;
        Self::Left { table: name, run, plan }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFollowed { table, root, rows } => write!(
                f,
                "{rows} rows of {table} refer to test rows of {root}, and `follow` is `none`: make {table} a root, or follow foreign keys"
            ),
            Self::MoreBlockers { rows } => write!(f, "{rows} more rows need test rows; only the first are named"),
            Self::ForNow { table, rows } => {
                write!(f, "{rows} test rows of {table} stay for now: a live run holds them, or they are too young")
            }
            Self::OfKilled { runs } => write!(f, "killed runs had left it: {}", runs.join(", ")),
            Self::Left { table, run, plan } => write!(
                f,
                "{table} is left to run {run} of {plan}, which is live and has it too: the last one out sweeps"
            ),
        }
    }
}
