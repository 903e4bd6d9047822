//! Deletes the rows that a run caused, and proves that it did.
//!
//! What is test data is declared before the first request: a **root** is a table with a
//! predicate. Judging comes before acting: a predicate that is no more than a predicate
//! ([`Predicate`]), a database that is the one meant, a share of the table that can be meant
//! ([`Sweeper::preflight`]); then what the roots match is fixed, with what foreign keys and the
//! ledger prove to be test data too; what a real row refers to is taken out, and the rest is
//! deleted in an order which foreign keys allow ([`Sweeper::sweep`]). What cannot be proven is
//! reported, not deleted.

mod compile;
pub mod journal;
mod lease;
mod ledger;
mod name;
mod outcome;
mod predicate;
pub mod redis;
mod schema;
mod scope;
mod scoped;
mod shelf;
mod sweep;

pub use compile::{CleanupPlan, RootPlan, compile};
pub use lease::{
    Aged, Fence, Hold, Lease, LeaseKind, LeaseTerms, Left, Part, Reaped, Takes, Term, reap, reclaim, sweep_aged,
    sweep_everything, sweep_run,
};
pub use ledger::{Installed, Ledger, LedgerFacts, LedgerState, Uninstalled};
pub use name::{NameError, TableName};
pub use outcome::{Blocked, Blocker, CleanupOutcome, Note, Refusal, RefusalCause, RefusalKind, TableOutcome};
pub use predicate::{Predicate, PredicateError};
pub use scope::{LedgerScope, Scope};
pub use scoped::{preflight, sweep};
pub use shelf::{Shelf, Shelved};
pub use sweep::{Preflight, Progress, Sweeper, TableShare};
