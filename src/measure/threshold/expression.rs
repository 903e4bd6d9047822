//! `aggregation operator number`: k6's grammar.

use super::super::trend::{Quantile, Trend};
use crate::plan::MetricKind;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What is taken of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregation {
    /// The mean.
    Avg,
    /// The least.
    Min,
    /// The median.
    Med,
    /// The greatest.
    Max,
    /// A percentile, 0 to 100.
    Percentile(f64),
    /// How many values, or their sum for a counter.
    Count,
    /// A share, or a counter's sum per second.
    Rate,
    /// The latest value.
    Value,
}

/// How it must stand to the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `==` or `===`
    Equal,
    /// `!=`
    NotEqual,
}

/// A threshold's expression, read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expression {
    /// What is taken of the metric.
    pub aggregation: Aggregation,
    /// How it must stand to `bound`.
    pub operator: Operator,
    /// The bound, in the metric's unit.
    pub bound: f64,
}

/// Why a text is no threshold.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExpressionError {
    /// There is no operator, or nothing on one of its sides.
    #[error("malformed threshold expression {0:?}: not `aggregation operator number`")]
    Malformed(String),
    /// The left side is no aggregation.
    #[error("{0:?} is no aggregation")]
    Aggregation(String),
    /// The percentile is no number from 0 to 100.
    #[error("malformed percentile {0:?}: not a number between 0 and 100")]
    Percentile(String),
    /// The right side is no number.
    #[error("{0:?} is not a number")]
    Bound(String),
}

/// The longest first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 7] = [
    ("===", Operator::Equal),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

// === impl Aggregation ===

impl Aggregation {
    /// Whether a metric of this kind has it.
    #[must_use]
    pub const fn fits(self, kind: MetricKind) -> bool {
        match kind {
            MetricKind::Trend => !matches!(self, Self::Rate | Self::Value),
            MetricKind::Rate => matches!(self, Self::Rate),
            MetricKind::Counter => matches!(self, Self::Count | Self::Rate),
            MetricKind::Gauge => matches!(self, Self::Value),
        }
    }

    /// Its figure of a distribution. 0 where there is no value, as in k6's summary.
    #[must_use]
    pub fn of(self, trend: &Trend) -> Quantile {
        let figure = match self {
            Self::Avg => trend.mean(),
            Self::Min => trend.min(),
            Self::Med => trend.quantile(0.5),
            Self::Max => trend.max(),
            Self::Percentile(p) => trend.quantile(p / 100.0),
            Self::Count => Some(Quantile { value: trend.count() as f64, censored: false }),
            Self::Rate | Self::Value => None,
        };
        figure.unwrap_or_default()
    }
}

impl FromStr for Aggregation {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        Ok(match text {
            "avg" => Self::Avg,
            "min" => Self::Min,
            "med" => Self::Med,
            "max" => Self::Max,
            "count" => Self::Count,
            "rate" => Self::Rate,
            "value" => Self::Value,
            _ => {
                let inner = text.strip_prefix("p(").and_then(|rest| rest.strip_suffix(')'));
                let inner = inner.ok_or_else(|| ExpressionError::Aggregation(text.into()))?;
                let percent = number(inner).filter(|percent| (0.0..=100.0).contains(percent));
                Self::Percentile(percent.ok_or_else(|| ExpressionError::Percentile(text.into()))?)
            }
        })
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Avg => f.write_str("avg"),
            Self::Min => f.write_str("min"),
            Self::Med => f.write_str("med"),
            Self::Max => f.write_str("max"),
            Self::Percentile(p) => write!(f, "p({p})"),
            Self::Count => f.write_str("count"),
            Self::Rate => f.write_str("rate"),
            Self::Value => f.write_str("value"),
        }
    }
}

// === impl Operator ===

impl Operator {
    /// Whether `left` stands so to `right`.
    #[must_use]
    #[allow(clippy::float_cmp, reason = "k6 compares exactly, and `rate==0` means none at all")]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

// === impl Expression ===

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let malformed = || ExpressionError::Malformed(text.into());
        let at = text.find(['<', '>', '=', '!']).ok_or_else(malformed)?;
        let (left, rest) = text.split_at(at);
        let found = OPERATORS.iter().find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, right) = found.ok_or_else(malformed)?;
        let (left, right) = (left.trim(), right.trim());
        if left.is_empty() || right.is_empty() {
            return Err(malformed());
        }
        let bound = number(right).ok_or_else(|| ExpressionError::Bound(right.into()))?;
        Ok(Self { aggregation: left.parse()?, operator, bound })
    }
}

/// A finite decimal number.
fn number(text: &str) -> Option<f64> {
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|number: &f64| decimal && number.is_finite())
}
