//! When iterations start, and who plays them.
//!
//! [`schedule`] says what is due, as values; the [`Pacer`] waits for it; the executors hand
//! it to VUs; [`start`] puts all of it on worker threads. What an iteration *is* this room
//! does not know: it makes VUs through a `tower::Service<VuId>`, and each VU is a
//! `tower::Service<Arrival>` that takes one call at a time.

mod compile;
mod control;
mod error;
mod executor;
mod metronome;
mod pacer;
mod plan;
mod progress;
pub mod schedule;
mod stop;
mod workers;

pub use compile::{Allow, MAX_DURATION, MAX_RATE, MAX_VUS, MIN_DURATION, compile};
pub use control::{Control, ControlError, Held, HeldBy, Scale};
pub use error::{BoxError, LoadError};
pub use executor::MakeVu;
pub use pacer::{Pacer, Pause};
pub use plan::{LoadPlan, ScenarioPlan};
pub use progress::{Progress, ScenarioProgress};
pub use schedule::{Segment, SegmentError, Stripes};
pub use stop::{Phase, Stop, StopReason};
pub use workers::{Ended, Handover, Reporter, ScenarioEnded, WorkerContext, Workers, start};
