//! A distribution as it is read: what finished, and above it what never did.

use super::histogram::Histogram;

/// A distribution with the work that never finished in it.
#[derive(Clone, Debug, Default)]
pub struct Trend {
    finished: Histogram,
    /// Lower bounds and how many of each, rising; none below the slowest that finished.
    censored: Vec<(f64, u64)>,
    censored_count: u64,
}

/// A figure of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// Its value; a lower bound where `censored`.
    pub value: f64,
    /// Whether it rests on work that never finished: the true figure is at least this.
    pub censored: bool,
}

// === impl Trend ===

impl Trend {
    /// A distribution of what finished, and of work that was due so many milliseconds ago, `ages`, when the run ended.
    #[must_use]
    pub fn new(finished: Histogram, mut ages: Vec<(f64, u64)>) -> Self {
        // No percentile may improve because the slowest work was dropped.
        let floor = finished.max().unwrap_or(0.0);
        ages.iter_mut().for_each(|(age, _)| *age = age.max(floor));
        ages.sort_by(|a, b| a.0.total_cmp(&b.0));
        let censored_count = ages.iter().map(|(_, n)| n).sum();
        Self { finished, censored: ages, censored_count }
    }

    /// What finished.
    #[must_use]
    pub const fn finished(&self) -> &Histogram {
        &self.finished
    }

    /// The lower bounds of what never finished, rising, and how many of each.
    #[must_use]
    pub fn censored(&self) -> &[(f64, u64)] {
        &self.censored
    }

    /// How many values there are, those that never finished too.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.finished.count() + self.censored_count
    }

    /// How many of them never finished.
    #[must_use]
    pub const fn censored_count(&self) -> u64 {
        self.censored_count
    }

    /// The value below which the share `q` (0 to 1) lies, as k6 has it: between the two nearest ranks in
    /// proportion. None where there is no value.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        if self.censored_count == 0 {
            return self.finished.quantile(q).map(Quantile::exact);
        }
        let position = q.clamp(0.0, 1.0) * (self.count() - 1) as f64;
        let (low, high) = (position.floor(), position.ceil());
        let (from, to) = (self.at_rank(low as u64), self.at_rank(high as u64));
        Some(Quantile { value: from + (to - from) * (position - low), censored: high as u64 >= self.finished.count() })
    }

    /// The mean. None where there is no value.
    #[must_use]
    pub fn mean(&self) -> Option<Quantile> {
        let unfinished: f64 = self.censored.iter().map(|(value, n)| value * *n as f64).sum();
        let value = (self.finished.sum() + unfinished) / self.count() as f64;
        (self.count() > 0).then_some(Quantile { value, censored: self.censored_count > 0 })
    }

    /// The least. None where there is no value.
    #[must_use]
    pub fn min(&self) -> Option<Quantile> {
        let unfinished = self.censored.first().map(|(value, _)| Quantile { value: *value, censored: true });
        self.finished.min().map(Quantile::exact).or(unfinished)
    }

    /// The greatest. None where there is no value.
    #[must_use]
    pub fn max(&self) -> Option<Quantile> {
        let unfinished = self.censored.last().map(|(value, _)| Quantile { value: *value, censored: true });
        unfinished.or_else(|| self.finished.max().map(Quantile::exact))
    }

    fn at_rank(&self, rank: u64) -> f64 {
        let Some(mut rank) = rank.checked_sub(self.finished.count()) else { return self.finished.at_rank(rank) };
        for (value, count) in &self.censored {
            match rank.checked_sub(*count) {
                Some(left) => rank = left,
                None => return *value,
            }
        }
        self.censored.last().map_or(0.0, |(value, _)| *value)
    }
}

// === impl Quantile ===

impl Quantile {
    const fn exact(value: f64) -> Self {
        Self { value, censored: false }
    }
}
