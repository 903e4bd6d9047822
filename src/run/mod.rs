//! The composition root: builds a run from a plan, drives it to its verdict.
//!
//! Everything that rooms must not know of each other meets here and nowhere else.

mod board;
mod compile;
mod completed;
mod correlate;
mod drive;
pub mod embed;
mod export;
mod fidelity;
mod guard;
mod handle;
mod kept;
pub mod lease;
mod local;
mod mode;
mod overrides;
mod progress;
mod recent;
mod redis;
mod reporter;
pub mod resources;
mod rows;
mod settings;
mod slo;
mod state;
mod sweeps;
mod timelines;
mod treasury;
mod tune;
mod undo;
mod webhook;

pub use crate::report::Verdict;
pub use board::{Family, Series, Snapshot, Stage};
pub use compile::{Compiled, check, compile};
pub use completed::{Completed, chain};
pub use drive::explain;
pub use embed::{Run, RunError, RunResult};
pub use handle::{Handle, Status};
pub use mode::Mode;
pub use overrides::Overrides;
pub use progress::{Phase, Progress, ScenarioProgress};
pub use recent::Pulse;
pub use settings::{Settings, Source};
pub use tune::{Leftover, News, TrialLoad, Tuned, Tuning};
pub use undo::{Leftovers, LeftoversError, UndoError, Undone};
