//! Which figures of a trend the summary shows: k6's `--summary-trend-stats`.

use crate::measure::threshold::Aggregation;
use std::str::FromStr;
use thiserror::Error;

/// Figures of a trend, as they were asked for and in that order.
#[derive(Clone, Debug, PartialEq)]
pub struct TrendStats(Vec<(String, Aggregation)>);

/// Why a text is no list of figures.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrendStatError {
    /// No figure has this name.
    #[error("invalid trend stat '{0}', unknown format: it is one of avg, min, med, max, count, p(N)")]
    Unknown(String),
    /// The percentile is no number from 0 to 100.
    #[error("invalid percentile trend stat value '{0}', provide a number between 0 and 100")]
    Percentile(String),
}

// === impl TrendStats ===

impl TrendStats {
    /// The figures with what they are called.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Aggregation)> {
        self.0.iter().map(|(name, aggregation)| (name.as_str(), *aggregation))
    }
}

impl std::fmt::Display for TrendStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (name, _)) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl Default for TrendStats {
    /// k6's.
    fn default() -> Self {
        use Aggregation::{Avg, Max, Med, Min, Percentile};
        let stats = [Avg, Min, Med, Max, Percentile(90.0), Percentile(95.0)];
        Self(stats.into_iter().map(|stat| (stat.to_string(), stat)).collect())
    }
}

impl FromStr for TrendStats {
    type Err = TrendStatError;

    /// A list with commas. Nothing at all shows no figure, as in k6.
    fn from_str(text: &str) -> Result<Self, TrendStatError> {
        let read = |name: &str| {
            let name = name.trim();
            match name.parse() {
                Ok(Aggregation::Rate | Aggregation::Value) => Err(TrendStatError::Unknown(name.into())),
                Ok(stat) => Ok((name.to_owned(), stat)),
                Err(_) if name.starts_with("p(") => Err(TrendStatError::Percentile(name.into())),
                Err(_) => Err(TrendStatError::Unknown(name.into())),
            }
        };
        if text.trim().is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_keeps_its_order_and_its_names() {
        let stats: TrendStats = "avg, count,p(99.99),p(0),med,min,max".parse().unwrap();
        assert_eq!(
            stats.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["avg", "count", "p(99.99)", "p(0)", "med", "min", "max"]
        );
        assert_eq!(TrendStats::default(), "avg,min,med,max,p(90),p(95)".parse().unwrap());
    }

    #[test]
    fn what_is_no_figure_is_refused() {
        for text in ["avg,foo", "avg,", "rate", "p(101)", "p(x)", "p95", "AVG"] {
            assert!(text.parse::<TrendStats>().is_err(), "{text}");
        }
    }
}
