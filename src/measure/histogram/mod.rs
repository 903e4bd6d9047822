//! The one histogram: base-2 exponential over `f64`, scale 7.
//!
//! Buckets are 0.54 % wide and a bucket's value stands in its middle, so a percentile is at
//! most 0.27 % off. Integers are no special case (a cost of 0.002 is 0.002), and it is OTLP's
//! exponential histogram and Prometheus' native one, so export and merge lose nothing.

mod index;
mod pages;
mod saved;
mod since;
#[cfg(test)]
mod tests;

use pages::Pages;

/// A distribution of values in bounded memory. Count, sum, least and greatest are exact.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(into = "saved::Saved", try_from = "saved::Saved")]
pub struct Histogram {
    count: u64,
    zero: u64,
    sum: f64,
    min: f64,
    max: f64,
    positive: Pages,
    /// Rare enough to stand apart: no time and no size is negative.
    negative: Option<Box<Pages>>,
}

// === impl Histogram ===

impl Histogram {
    /// Nothing counted, nothing allocated.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            zero: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            positive: Pages::new(),
            negative: None,
        }
    }

    /// Counts a value. What is not finite is no value and is left out.
    #[inline]
    pub fn record(&mut self, value: f64) {
        self.record_n(value, 1);
    }

    /// Counts a value `n` times.
    #[inline]
    pub fn record_n(&mut self, value: f64, n: u64) {
        if !value.is_finite() || n == 0 {
            return;
        }
        self.count += n;
        self.sum += value * n as f64;
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
        if value > 0.0 {
            self.positive.add(index::index(value), n);
        } else if value == 0.0 {
            self.zero += n;
        } else {
            self.negative.get_or_insert_with(|| Box::new(Pages::new())).add(index::index(-value), n);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.count += other.count;
        self.zero += other.zero;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.positive.merge(&other.positive);
        if let Some(negative) = &other.negative {
            self.negative.get_or_insert_with(|| Box::new(Pages::new())).merge(negative);
        }
    }

    /// Forgets what was counted and keeps the memory, to be counted into again.
    pub fn clear(&mut self) {
        if self.count == 0 {
            return;
        }
        (self.count, self.zero, self.sum) = (0, 0, 0.0);
        (self.min, self.max) = (f64::INFINITY, f64::NEG_INFINITY);
        self.positive.clear();
        if let Some(negative) = &mut self.negative {
            negative.clear();
        }
    }

    /// Joins neighbouring buckets until there are at most 2^`scale` an octave.
    pub fn scale_down(&mut self, scale: u8) {
        self.positive.scale_down(scale);
        if let Some(negative) = &mut self.negative {
            negative.scale_down(scale);
        }
    }

    /// How many values were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are zero.
    #[must_use]
    pub const fn zero_count(&self) -> u64 {
        self.zero
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The least, exactly; none where nothing was counted.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest, exactly; none where nothing was counted.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean; none where nothing was counted.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The scale of the buckets of positive values.
    #[must_use]
    pub const fn scale(&self) -> u8 {
        self.positive.scale()
    }

    /// Buckets of positive values that hold something, as (index, count) in rising order: bucket `i`
    /// holds (b^i, b^(i+1)] with b = 2^(2^−scale).
    pub fn positive(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        self.positive.iter()
    }

    /// The scale of the buckets of negative values.
    #[must_use]
    pub fn negative_scale(&self) -> u8 {
        self.negative.as_ref().map_or(index::SCALE, |pages| pages.scale())
    }

    /// As [`Histogram::positive`], by absolute value.
    pub fn negative(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> + '_ {
        self.negative.iter().flat_map(|pages| pages.iter())
    }

    /// The value below which the share `q` (0 to 1) of values lies, as k6 has it: between the two
    /// nearest ranks in proportion. None where nothing was counted.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let position = q.clamp(0.0, 1.0) * (self.count - 1) as f64;
        let below = position.floor();
        let [low, high] = self.at_ranks([below as u64, position.ceil() as u64]);
        Some(low + (high - low) * (position - below))
    }

    /// The value of rank `rank`, from 0, in rising order; the greatest past the end.
    pub(crate) fn at_rank(&self, rank: u64) -> f64 {
        let [value, _] = self.at_ranks([rank, rank]);
        value
    }

    /// The memory it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let negative = self.negative.as_ref().map_or(0, |pages| size_of::<Pages>() + pages.bytes());
        size_of::<Self>() + self.positive.bytes() + negative
    }

    /// The values of two ranks, the first not above the second, in one pass.
    fn at_ranks(&self, ranks: [u64; 2]) -> [f64; 2] {
        let mut found = [self.max; 2];
        let mut seen = 0;
        let mut next = 0;
        for (value, count) in self.values() {
            seen += count;
            while next < 2 && ranks[next] < seen {
                found[next] = if ranks[next] == 0 { self.min } else { value.clamp(self.min, self.max) };
                next += 1;
            }
            if next == 2 {
                break;
            }
        }
        // The greatest is known exactly; its bucket only knows it to 0.27 %.
        for (value, rank) in found.iter_mut().zip(ranks) {
            if rank + 1 >= self.count {
                *value = self.max;
            }
        }
        found
    }

    /// What each bucket stands for and its count, in rising order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let scale = self.negative_scale();
        let negative = self.negative().rev().map(move |(i, n)| (-middle(i, scale), n));
        let zero = (self.zero > 0).then_some((0.0, self.zero));
        let scale = self.scale();
        negative.chain(zero).chain(self.positive().map(move |(i, n)| (middle(i, scale), n)))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The value with the least relative error over its bucket: the harmonic mean of the bounds.
fn middle(index: i32, scale: u8) -> f64 {
    let (low, high) = (index::lower_bound(index, scale), index::lower_bound(index + 1, scale));
    // Not 2·low·high / (low + high), which leaves the range of f64 near its ends.
    low * (2.0 / (1.0 + low / high))
}
