//! The acting half of a tune: how values are set, and how a trial is made of a run.

mod ask;
mod capacity;
mod driver;
mod figures;
mod leftover;
mod load;
mod recovery;
mod settled;
mod trial;
mod tuning;

pub(super) use figures::{Figures, Goals};
pub use leftover::Leftover;
pub use load::TrialLoad;
pub use settled::Tuned;
pub(super) use tuning::check;
pub use tuning::{News, Tuning};
