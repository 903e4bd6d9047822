//! How long the API's requests waited for a connection of its pool: from a metric, else from spans.

use super::counter::Counter;
use crate::correlate::attribution::{Role, Span};
use crate::correlate::{MetricPoint, MetricValue};
use std::collections::HashMap;
use std::time::Duration;

/// Turns points of a wait-time histogram into what is new in them.
#[derive(Debug, Default)]
pub(super) struct WaitTimes {
    /// Of each series: its buckets as they last were.
    known: HashMap<String, Known>,
}

#[derive(Debug, Default)]
struct Known {
    bounds: Vec<f64>,
    counts: Vec<u64>,
    start: Duration,
}

/// So many waits of about so many ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Waited {
    /// In ms.
    pub ms: f64,
    /// How many.
    pub count: u64,
}

/// A sum and a count of waits, where that is all a driver tells: otelsql's `wait_duration` and `wait`.
#[derive(Debug, Default)]
pub(super) struct WaitSums {
    sums: HashMap<String, Counter>,
    counts: HashMap<String, Counter>,
    /// In ms.
    sum: f64,
    count: f64,
}

/// The most series that are told apart.
const MOST_SERIES: usize = 64;
/// A bucket's values are spread over so many places within it.
const PLACES: u64 = 16;

// === impl WaitTimes ===

impl WaitTimes {
    /// The waits that a point adds. The first of a series is where counting begins; one that begins anew counts whole.
    /// `unit` is how many ms the metric's unit has.
    pub(super) fn take(&mut self, series: &str, point: &MetricPoint, unit: f64) -> Vec<Waited> {
        let MetricValue::Histogram { bounds, counts, cumulative, start, .. } = &point.value else { return Vec::new() };
        if !cumulative {
            return spread(bounds, counts, unit);
        }
        if let Some(known) = self.known.get_mut(series) {
            let smaller = known.counts.iter().zip(counts).any(|(before, now)| now < before);
            let anew = smaller || known.bounds != *bounds || *start > known.start;
            let new = if anew {
                counts.clone()
            } else {
                counts.iter().zip(&known.counts).map(|(now, before)| now - before).collect()
            };
            *known = Known { bounds: bounds.clone(), counts: counts.clone(), start: *start };
            return spread(bounds, &new, unit);
        }
        if self.known.len() < MOST_SERIES {
            let known = Known { bounds: bounds.clone(), counts: counts.clone(), start: *start };
            self.known.insert(series.to_owned(), known);
        }
        Vec::new()
    }
}

// === impl WaitSums ===

impl WaitSums {
    /// A whole sum of waits in ms.
    pub(super) fn sum(&mut self, series: &str, ms: f64) {
        if self.sums.len() < MOST_SERIES || self.sums.contains_key(series) {
            self.sum += self.sums.entry(series.to_owned()).or_default().whole(ms, None).unwrap_or(0.0);
        }
    }

    /// A whole number of waits.
    pub(super) fn count(&mut self, series: &str, count: f64) {
        if self.counts.len() < MOST_SERIES || self.counts.contains_key(series) {
            self.count += self.counts.entry(series.to_owned()).or_default().whole(count, None).unwrap_or(0.0);
        }
    }

    /// The mean of what was waited so far, in ms.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// The waits for a connection that the spans of a request tell of, in ms: each wait's span, less the opening of a
/// connection within it.
pub fn waits(spans: &[Span]) -> impl Iterator<Item = f64> + '_ {
    let pools = spans.iter().filter(|span| span.role == Role::Pool);
    pools.map(|pool| {
        let opening = spans.iter().filter(|span| span.role == Role::Connect && span.parent == Some(pool.id));
        // One connection is opened at a time; what reaches beyond its parent is cut.
        let opened: i64 = opening.map(|span| (span.end.min(pool.end) - span.start.max(pool.start)).max(0)).sum();
        ((pool.end - pool.start) - opened).max(0) as f64 / 1e6
    })
}

/// The values of a histogram's buckets, evenly within each. The last bucket has no upper end: its values stand at its
/// lower one, which is where they are at least.
fn spread(bounds: &[f64], counts: &[u64], unit: f64) -> Vec<Waited> {
    let mut found = Vec::new();
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let low = index.checked_sub(1).and_then(|before| bounds.get(before)).copied().unwrap_or(0.0).max(0.0);
        let high = bounds.get(index).copied().unwrap_or(low).max(low);
        let places = if high > low { PLACES.min(*count) } else { 1 };
        for place in 0..places {
            let share = (place as f64 + 0.5) / places as f64;
            let count = count / places + u64::from(place < count % places);
            found.push(Waited { ms: (low + (high - low) * share) * unit, count });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::semconv::SpanId;

    fn point(counts: [u64; 3], start: u64, cumulative: bool) -> MetricPoint {
        let value = MetricValue::Histogram {
            count: counts.iter().sum(),
            sum: 0.0,
            bounds: vec![0.01, 0.1],
            counts: counts.to_vec(),
            cumulative,
            start: Duration::from_secs(start),
        };
        MetricPoint {
            name: "db.client.connection.wait_time".to_owned(),
            unit: "s".to_owned(),
            service: String::new(),
            at: Duration::ZERO,
            attributes: Vec::new(),
            value,
        }
    }

    fn total(found: &[Waited]) -> u64 {
        found.iter().map(|waited| waited.count).sum()
    }

    #[test]
    fn only_what_is_new_counts_and_a_restart_counts_whole() {
        let mut times = WaitTimes::default();
        assert!(times.take("a", &point([5, 5, 5], 1, true), 1e3).is_empty(), "from before");
        assert_eq!(total(&times.take("a", &point([5, 9, 6], 1, true), 1e3)), 5);
        assert_eq!(total(&times.take("a", &point([5, 9, 6], 1, true), 1e3)), 0);
        assert_eq!(total(&times.take("a", &point([1, 0, 1], 9, true), 1e3)), 2, "anew");
        assert_eq!(total(&times.take("b", &point([1, 2, 3], 1, false), 1e3)), 6, "changes are new by themselves");
    }

    #[test]
    fn values_stand_within_their_bucket() {
        let mut times = WaitTimes::default();
        let found = times.take("a", &point([10, 1_000, 3], 1, false), 1e3);
        let within = |low: f64, high: f64| {
            let of = found.iter().filter(|waited| low < waited.ms && waited.ms < high);
            of.map(|waited| waited.count).sum::<u64>()
        };
        assert_eq!((within(0.0, 10.0), within(10.0, 100.0)), (10, 1_000));
        assert_eq!(found.last(), Some(&Waited { ms: 100.0, count: 3 }));
    }

    #[test]
    fn sums_alone_give_a_mean() {
        let mut sums = WaitSums::default();
        assert_eq!(sums.mean(), None);
        for (sum, count) in [(100.0, 10.0), (160.0, 12.0), (10.0, 1.0)] {
            sums.sum("a", sum);
            sums.count("a", count);
        }
        assert_eq!(sums.mean(), Some(70.0 / 3.0), "60 of 2, and 10 of 1 after a restart");
    }

    #[test]
    fn a_wait_is_what_is_left_of_its_span_without_the_opening() {
        let span = |id, parent, role, start, end| Span {
            id: SpanId::new(id),
            parent: Some(SpanId::new(parent)),
            service: 0,
            role,
            start,
            end,
        };
        let spans = [
            span(1, 9, Role::Pool, 0, 5_000_000),
            span(2, 9, Role::Pool, 10_000_000, 40_000_000),
            span(3, 2, Role::Connect, 12_000_000, 50_000_000),
            span(4, 9, Role::Connect, 0, 1_000_000),
            span(5, 9, Role::Db, 40_000_000, 60_000_000),
        ];
        assert_eq!(waits(&spans).collect::<Vec<_>>(), [5.0, 2.0]);
    }
}
