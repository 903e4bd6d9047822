//! `thresholds:`: k6's grammar, kept as text until `measure` compiles it.

use super::Text;
use std::time::Duration;

/// One threshold of one metric.
#[derive(Clone, Debug)]
pub struct ThresholdDocument {
    /// `metric` or `metric{tag:value,…}`.
    pub metric: Text,
    /// `aggregation operator number`.
    pub expression: Text,
    /// Whether the run ends as soon as it fails. Default false.
    pub abort_on_fail: bool,
    /// How long it is not judged for abort. Default 0.
    pub delay_abort_eval: Duration,
    /// The part of the run it is judged over, from the run's start; none is all of it.
    pub during: Option<During>,
}

/// A part of a run, from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct During {
    /// From.
    pub from: Duration,
    /// To; none is the end.
    pub to: Option<Duration>,
}
