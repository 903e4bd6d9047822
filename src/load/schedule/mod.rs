//! Schedules as values: the due times of an open model, the number of VUs of a closed one,
//! and how both are split. No clock, no I/O.
//!
//! What is decided here is tested here, without waiting for anything: a schedule is plain
//! data that yields offsets from its scenario's start, can be cloned in the middle and goes
//! on from there, and is split over machines and over threads by the same code.

mod arrivals;
mod intensity;
mod ramp;
mod ratio;
mod segment;
mod stripes;

pub use arrivals::{ArrivalSchedule, Due, Spacing};
pub use intensity::Intensity;
pub use ramp::{VuRamp, VuSpan, VuStage};
pub use segment::{Segment, SegmentError};
pub use stripes::Stripes;
