//! `judge:`: what the spike, stress and soak tests ask, as verdicts.

use super::{During, Text};
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// What the spike, stress and soak tests ask.
#[derive(Clone, Debug)]
pub struct JudgeDocument {
    /// Where the section stands.
    pub span: Span,
    /// Whether, and how fast, the target recovers after a spike.
    pub recovery: Option<RecoveryDocument>,
    /// The load at which the target breaks, and how.
    pub breaking_point: Option<BreakingPointDocument>,
    /// Whether a figure creeps up.
    pub drift: Option<DriftDocument>,
}

/// Which figure of which metric is meant. Both are text until `judge` compiles them.
#[derive(Clone, Debug)]
pub struct FigureDocument {
    /// `metric` or `metric{tag:value,…}`. Default `http_req_response_time`.
    pub metric: Text,
    /// Its statistic, as an aggregation of a threshold: `p(95)`, which is the default of a trend.
    pub stat: Option<Text>,
}

/// Whether, and how fast, the target recovers after a spike.
#[derive(Clone, Debug)]
pub struct RecoveryDocument {
    /// Where it stands.
    pub span: Span,
    /// The calm that it is compared with. None: until the load's first rise.
    pub before: Option<Spanned<During>>,
    /// When the spike is over, from the run's start. None: when the load falls from its highest.
    pub after: Option<Spanned<Duration>>,
    /// Which figure.
    pub figure: FigureDocument,
    /// How soon after that it must be back. Default 30 s.
    pub within: Spanned<Duration>,
    /// How far above the calm still counts as back. Default 1.2.
    pub factor: Spanned<f64>,
}

/// The load at which the target breaks.
#[derive(Clone, Debug)]
pub struct BreakingPointDocument {
    /// Where it stands.
    pub span: Span,
    /// Which figure.
    pub figure: FigureDocument,
    /// Above this it is broken, in the metric's unit. Default 10,000.
    pub limit: Spanned<f64>,
    /// A share of failed requests above which it is broken. Default 0.1.
    pub failed: Spanned<f64>,
}

/// Whether a figure creeps up.
#[derive(Clone, Debug)]
pub struct DriftDocument {
    /// Where it stands.
    pub span: Span,
    /// Which figure.
    pub figure: FigureDocument,
    /// The share by which it may rise in an hour. Default 0.05.
    pub per_hour: Spanned<f64>,
}
