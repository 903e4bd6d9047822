//! What is measured, and how it is counted: outcomes, timings, histograms, cells,
//! thresholds. Bounded memory: never a list of samples.

pub mod arrival;
mod cells;
pub mod context;
mod creation;
mod dues;
pub mod exchange;
mod gate;
pub mod histogram;
pub mod layout;
pub mod metric;
pub mod outcome;
pub mod recorder;
pub mod selector;
mod starts;
pub mod stream;
mod target;
#[cfg(test)]
mod tests;
pub mod threshold;
pub mod timeline;
pub mod timings;
pub mod totals;
pub mod traffic;
pub mod trend;
pub mod wall;

pub use arrival::{Arrival, Finished, VuId};
pub use cells::{Range, Share};
pub use context::RequestContext;
pub use creation::{Creation, CreationLog, CreationPhase, Fate};
pub use exchange::{Exchange, Hop};
pub use gate::{Gate, Probe};
pub use histogram::Histogram;
pub use layout::{CheckId, Contains, Layout, LayoutBuilder, MetricId, ScenarioId, SeriesId, SiteId, SiteTags};
pub use metric::Metric;
pub use outcome::{Failure, FailureKind, Proto, TlsVersion};
pub use recorder::{IterationSample, Recorder, RecorderHandle, RequestSample};
pub use selector::Selector;
pub use starts::Start;
pub use stream::{Batch, CutOffRecord, IterationOutcome, IterationRecord, Record, RequestRecord};
pub use threshold::{ThresholdResult, Thresholds};
pub use timeline::{Part, Timeline, TimelineId};
pub use timings::Timings;
pub use totals::{Errors, IterationCounts, Reading, Totals};
pub use traffic::Traffic;
pub use trend::{Quantile, Trend};
pub use wall::WallClock;
