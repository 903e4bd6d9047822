//! The metrics that always exist, and what tells them apart when a sample is placed.

use super::layout::{Contains, MetricId};
use super::outcome::FailureKind;
use crate::plan::MetricKind;
use crate::semconv::metric as names;

/// What is known of a metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: MetricKind,
    /// How its values are to be read.
    pub contains: Contains,
    pub(crate) scope: Scope,
}

/// What a metric's samples belong to, and so which tags they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One request.
    Request,
    /// One step of one iteration.
    Group,
    /// A custom metric, of a step.
    Custom,
    /// One iteration, or what belongs to a scenario.
    Scenario,
    /// One check.
    Check,
    /// All of the run.
    Run,
    /// What the target tells of itself, joined from other sources.
    Target,
}

/// How many of the metrics are trends of requests; their ids come first.
pub(crate) const REQUEST_TRENDS: usize = 8;
/// How many trends an iteration has.
pub(crate) const ITERATION_TRENDS: usize = 3;

use MetricKind::{Counter, Gauge, Rate, Trend};

macro_rules! metrics {
    ($($id:ident = $number:literal: $kind:ident $contains:ident $scope:ident),* $(,)?) => {
        impl MetricId {
            $(#[doc = concat!("`", stringify!($id), "`, in lower case: see [`crate::semconv::metric`].")]
            pub const $id: Self = Self($number);)*
        }

        pub(crate) const BUILT_IN: &[(&str, MetricKind, Contains, Scope)] =
            &[$((names::$id, $kind, Contains::$contains, Scope::$scope)),*];

        #[cfg(test)]
        const NUMBERS: &[u16] = &[$($number),*];
    };
}

metrics! {
    HTTP_REQ_DURATION = 0: Trend Time Request,
    HTTP_REQ_BLOCKED = 1: Trend Time Request,
    HTTP_REQ_CONNECTING = 2: Trend Time Request,
    HTTP_REQ_TLS_HANDSHAKING = 3: Trend Time Request,
    HTTP_REQ_SENDING = 4: Trend Time Request,
    HTTP_REQ_WAITING = 5: Trend Time Request,
    HTTP_REQ_RECEIVING = 6: Trend Time Request,
    HTTP_REQ_RESPONSE_TIME = 7: Trend Time Request,
    HTTP_REQS = 8: Counter Default Request,
    HTTP_REQ_FAILED = 9: Rate Default Request,
    CONNECTION_RESET = 10: Counter Default Request,
    CONNECTION_REFUSED = 11: Counter Default Request,
    TIMEOUT = 12: Counter Default Request,
    GROUP_DURATION = 13: Trend Time Group,
    ITERATION_DURATION = 14: Trend Time Scenario,
    ITERATION_RESPONSE_TIME = 15: Trend Time Scenario,
    ITERATION_LAG = 16: Trend Time Scenario,
    ITERATIONS = 17: Counter Default Scenario,
    DROPPED_ITERATIONS = 18: Counter Default Scenario,
    DATA_SENT = 19: Counter Data Scenario,
    DATA_RECEIVED = 20: Counter Data Scenario,
    CHECKS = 21: Rate Default Check,
    VUS = 22: Gauge Default Run,
    VUS_MAX = 23: Gauge Default Run,
    LLM_TTFT = 24: Trend Time Custom,
    LLM_TOKEN_GAP = 25: Trend Time Custom,
    POOL_UTILIZATION = 26: Gauge Default Target,
    POOL_USED = 27: Gauge Default Target,
    POOL_PENDING = 28: Gauge Default Target,
    POOL_WAIT = 29: Trend Time Target,
    HTTP_REQS_SHED = 30: Counter Default Request,
}

/// Built-in metrics that a step counts as a custom one: the first cells of each site.
pub(crate) const CUSTOM_BUILT_IN: [MetricId; 2] = [MetricId::LLM_TTFT, MetricId::LLM_TOKEN_GAP];

/// The kinds of failure, in the order of their counters.
pub(crate) const FAILURES: [FailureKind; 10] = [
    FailureKind::Reset,
    FailureKind::Refused,
    FailureKind::Timeout,
    FailureKind::Tls,
    FailureKind::Dns,
    FailureKind::Protocol,
    FailureKind::TooLarge,
    FailureKind::InvalidRequest,
    FailureKind::Forbidden,
    FailureKind::Connect,
];

// === impl MetricId ===

impl MetricId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Where a custom metric stands among the cells of a site.
    pub(crate) fn custom_slot(self) -> Option<usize> {
        let built_in = CUSTOM_BUILT_IN.iter().position(|id| *id == self);
        built_in.or_else(|| self.index().checked_sub(BUILT_IN.len()).map(|n| n + CUSTOM_BUILT_IN.len()))
    }

    /// The failure that this counter counts.
    pub(crate) const fn failure(self) -> Option<FailureKind> {
        match self {
            Self::CONNECTION_RESET => Some(FailureKind::Reset),
            Self::CONNECTION_REFUSED => Some(FailureKind::Refused),
            Self::TIMEOUT => Some(FailureKind::Timeout),
            _ => None,
        }
    }
}

impl MetricId {
    /// The counter of this failure; none where it has none of its own.
    pub(crate) const fn of_failure(kind: FailureKind) -> Option<Self> {
        match kind {
            FailureKind::Reset => Some(Self::CONNECTION_RESET),
            FailureKind::Refused => Some(Self::CONNECTION_REFUSED),
            FailureKind::Timeout => Some(Self::TIMEOUT),
            _ => None,
        }
    }
}

/// The place of a failure's counter.
pub(crate) const fn failure_index(kind: FailureKind) -> usize {
    match kind {
        FailureKind::Reset => 0,
        FailureKind::Refused => 1,
        FailureKind::Timeout => 2,
        FailureKind::Tls => 3,
        FailureKind::Dns => 4,
        FailureKind::Protocol => 5,
        FailureKind::TooLarge => 6,
        FailureKind::InvalidRequest => 7,
        FailureKind::Forbidden => 8,
        FailureKind::Connect => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_places_in_the_table() {
        assert!(NUMBERS.iter().enumerate().all(|(i, n)| i == usize::from(*n)));
        assert!(FAILURES.iter().enumerate().all(|(i, kind)| failure_index(*kind) == i));
    }
}
