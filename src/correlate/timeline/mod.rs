//! What the API, its pool and its neighbours did over the time of the load.
//!
//! `timelines` is all of it and pure: what was sampled goes in with its instant, figures of a window come out. `source/`
//! polls. A source that is dead or slow delays nothing and is told once.

mod counter;
mod curve;
mod moved;
mod otel;
mod pool;
pub mod prometheus;
mod runtime;
mod series;
mod source;
mod timelines;
mod waits;

pub use curve::{Curve, Level, Window};
pub use moved::{Candidate, Failing, Moved, moved};
pub use pool::{PoolGauges, PoolReport, PoolSample, PoolSource, RESOLUTION, WaitReport, WaitSource};
pub use runtime::{RuntimeFigure, RuntimeReport};
pub use series::SeriesReport;
pub use source::{Sources, SourcesPlan, compile};
pub use timelines::{SlowStatement, TimelineReport, Timelines, TimelinesConfig, Told};
pub use waits::waits;
