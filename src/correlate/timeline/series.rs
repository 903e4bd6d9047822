//! Any other figure over time, by name: what endpoints, Redis and Postgres tell.

use super::curve::{Curve, Level, Window};
use std::collections::BTreeMap;
use std::time::Duration;

/// Named figures over time.
#[derive(Debug, Default)]
pub(super) struct SeriesTimeline {
    curves: BTreeMap<(String, String), Curve>,
    /// Figures that found no room.
    lost: u64,
}

/// One figure in the time of the load.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SeriesReport {
    /// Who tells it: `llm`, `redis`, `postgres`.
    pub source: String,
    /// Its name.
    pub name: String,
    /// What it was.
    pub level: Level,
}

/// The most figures that are told apart.
const MOST: usize = 256;

// === impl SeriesTimeline ===

impl SeriesTimeline {
    /// Adds a sample.
    pub(super) fn add(&mut self, source: &str, name: &str, at: Duration, value: f64) {
        let key = (source.to_owned(), name.to_owned());
        if self.curves.len() >= MOST && !self.curves.contains_key(&key) {
            self.lost += 1;
            return;
        }
        self.curves.entry(key).or_default().add(at, value);
    }

    /// What each figure was in a part of the run; what was not sampled in it is absent.
    #[must_use]
    pub(super) fn report(&self, window: Window) -> Vec<SeriesReport> {
        let of = |((source, name), curve): (&(String, String), &Curve)| {
            Some(SeriesReport { source: source.clone(), name: name.clone(), level: curve.level(window)? })
        };
        self.curves.iter().filter_map(of).collect()
    }

    /// The curves, by source and name.
    pub(super) fn curves(&self) -> impl Iterator<Item = (&str, &str, &Curve)> {
        self.curves.iter().map(|((source, name), curve)| (source.as_str(), name.as_str(), curve))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_what_the_load_did_not_see_is_absent() {
        let mut series = SeriesTimeline::default();
        for name in 0..1_000 {
            series.add("llm", &name.to_string(), Duration::from_secs(1), 1.0);
        }
        let during = Window { from: Duration::ZERO, to: Duration::from_secs(2) };
        assert_eq!((series.report(during).len(), series.lost), (MOST, 744));
        let after = Window { from: Duration::from_secs(2), to: Duration::from_secs(3) };
        assert!(series.report(after).is_empty());
    }
}
