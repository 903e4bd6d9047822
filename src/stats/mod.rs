//! Pure mathematics: intervals, trends, fits. Numbers in, numbers out, nothing of this crate.
//!
//! Figures of a load test are autocorrelated (a queue remembers) and heavy-tailed, so the textbook's
//! interval for independent samples is wrong by several times its width. What is here says of each
//! interval which kind it is, and a test measures its coverage on data of that sort.

pub mod bootstrap;
pub mod exponential;
pub mod normal;
pub mod paired;
pub mod percentile;
pub mod proportion;
pub mod rank;
pub mod scalability;
pub mod spacing;
pub mod steady;
pub mod trend;
pub mod welch;

pub use exponential::{ExponentialFit, exponential};
pub use paired::Differences;
pub use percentile::{BinCount, RankInterval, rank_interval};
pub use proportion::{rule_of_three, wilson};
pub use scalability::{LoadPoint, Scalability};
pub use spacing::{Spacing, spacing, spacing_around};
pub use steady::{Geweke, geweke, mser};
pub use trend::{Trend, trend};
pub use welch::welch;

/// Where a figure lies, with a confidence that the function which made it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// Not below this.
    pub low: f64,
    /// Not above this.
    pub high: f64,
}

// === impl Interval ===

impl Interval {
    /// Whether a figure lies in it, ends included.
    #[must_use]
    pub fn contains(&self, figure: f64) -> bool {
        (self.low..=self.high).contains(&figure)
    }

    /// How wide it is.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// The mean. None of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The value below which the share `q` (0 to 1) of rising `sorted` lies, between the two nearest ranks in
/// proportion (type 7 of Hyndman and Fan 1996). None of nothing.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let position = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted.get(position.floor() as usize)?, sorted.get(position.ceil() as usize)?);
    Some(low + (high - low) * position.fract())
}

/// The median of values in any order. None of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The lag-1 autocorrelation of values around their mean, −1 to 1; 0 where they do not vary.
///
/// Box and Jenkins, *Time Series Analysis* (1976), 2.1.6.
#[must_use]
pub fn lag_one(values: &[f64]) -> f64 {
    let Some(mean) = mean(values) else { return 0.0 };
    let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let joint: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if spread > 0.0 { joint / spread } else { 0.0 }
}

#[cfg(test)]
pub(crate) mod series;
