//! When synthetic requests are to yield: a question that is asked for each of them, and answered at once.

use std::fmt;
use std::sync::Arc;

/// Says whether the API is under pressure. Asked for each synthetic request, so it must answer at once and without I/O;
/// for real requests it is never asked.
///
/// A closure that answers `bool` is one. [`InFlight`](super::InFlight) and
#[cfg_attr(feature = "deadpool-postgres", doc = "[`Pool`](super::pool::Pool)")]
#[cfg_attr(not(feature = "deadpool-postgres"), doc = "`Pool` (feature `deadpool-postgres`)")]
/// make others.
pub trait Pressure: Send + Sync + 'static {
    /// Why synthetic requests are turned away now, as one word of visible ASCII for the answer's marker; none while
    /// there is room.
    fn reason(&self) -> Option<&'static str>;
}

/// Several sources: the first that says so counts.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<[Arc<dyn Pressure>]>);

impl<F: Fn() -> bool + Send + Sync + 'static> Pressure for F {
    fn reason(&self) -> Option<&'static str> {
        self().then_some("pressure")
    }
}

// === impl Sources ===

impl Sources {
    pub(super) fn with(&self, source: impl Pressure) -> Self {
        Self(self.0.iter().cloned().chain([Arc::new(source) as Arc<dyn Pressure>]).collect())
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.0.iter().find_map(|source| source.reason())
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").field("count", &self.0.len()).finish()
    }
}
