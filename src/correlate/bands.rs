//! Bands of a step's latency, each with the mean parts of the requests in it, in bounded memory.
//!
//! Which requests belong to a band is known only at the end, so the sums are kept by bucket of latency (1.1 % wide)
//! and read off then: a band takes from each bucket as much as lies between its two percentiles.

use super::attribution::{Part, Parts};
use crate::semconv::TraceId;
use std::collections::BTreeMap;

/// A slice of a latency distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BandName {
    /// From p(45) to p(55).
    P50,
    /// From p(90) to p(99).
    P95,
    /// Above p(98).
    P99,
}

/// What the requests of a band waited for, as means.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Band {
    /// Which.
    pub band: BandName,
    /// The step.
    pub step: String,
    /// `http_req_duration` in ms: what the parts add up to.
    pub total_ms: f64,
    /// Each part in ms, in the order of [`Part::ALL`].
    pub parts_ms: [f64; Part::ALL.len()],
    /// Traces of some of its requests.
    pub exemplars: Vec<TraceId>,
}

/// The latencies of all steps.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Bands {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Step {
    name: String,
    buckets: BTreeMap<u16, Bucket>,
    requests: u64,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Bucket {
    /// All requests, attributed or not: percentiles are of all of them.
    requests: u64,
    joined: u64,
    /// In nanoseconds.
    sums: [u64; Part::ALL.len()],
    exemplars: [Option<TraceId>; 2],
}

/// Buckets in which a latency doubles.
const BUCKETS_AN_OCTAVE: f64 = 64.0;

/// The most traces that a band names.
const EXEMPLARS: usize = 3;

// === impl BandName ===

impl BandName {
    /// All bands, in the order in which they are told.
    pub const ALL: [Self; 3] = [Self::P50, Self::P95, Self::P99];

    /// Its name in the summary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
        }
    }

    /// Between which shares of the requests it lies.
    const fn shares(self) -> (f64, f64) {
        match self {
            Self::P50 => (0.45, 0.55),
            Self::P95 => (0.90, 0.99),
            Self::P99 => (0.98, 1.0),
        }
    }
}

// === impl Band ===

impl Band {
    /// A part in ms.
    #[must_use]
    pub fn part(&self, part: Part) -> f64 {
        self.parts_ms[part as usize]
    }

    /// The largest part, with its ms.
    #[must_use]
    pub fn largest(&self) -> (Part, f64) {
        let parts = Part::ALL.into_iter().map(|part| (part, self.part(part)));
        parts.max_by(|(_, one), (_, other)| one.total_cmp(other)).unwrap_or((Part::Unexplained, 0.0))
    }
}

// === impl Bands ===

impl Bands {
    /// A step's number. The same step of two scenarios is one.
    pub(crate) fn step(&mut self, name: &str) -> usize {
        self.steps.iter().position(|step| step.name == name).unwrap_or_else(|| {
            self.steps.push(Step { name: name.to_owned(), ..Step::default() });
            self.steps.len() - 1
        })
    }

    /// Counts a request of so many nanoseconds, and its parts where they are known.
    pub(crate) fn add(&mut self, step: usize, total: u64, known: Option<(&Parts, TraceId)>) {
        let Some(step) = self.steps.get_mut(step) else { return };
        step.requests += 1;
        let bucket = step.buckets.entry(bucket(total)).or_default();
        bucket.requests += 1;
        let Some((parts, trace)) = known else { return };
        for (sum, (_, value)) in bucket.sums.iter_mut().zip(parts.iter()) {
            *sum = sum.saturating_add(value);
        }
        bucket.exemplars[usize::from(bucket.joined % 2 == 1)] = Some(trace);
        bucket.joined += 1;
    }

    /// Adds what another worker joined.
    pub(crate) fn merge(&mut self, other: &Self) {
        for theirs in &other.steps {
            let at = self.step(&theirs.name);
            let Some(step) = self.steps.get_mut(at) else { continue };
            step.requests += theirs.requests;
            for (bucket, more) in &theirs.buckets {
                let bucket = step.buckets.entry(*bucket).or_default();
                bucket.requests += more.requests;
                bucket.joined += more.joined;
                bucket.sums.iter_mut().zip(more.sums).for_each(|(sum, more)| *sum = sum.saturating_add(more));
                for (known, other) in bucket.exemplars.iter_mut().zip(more.exemplars) {
                    *known = known.or(other);
                }
            }
        }
    }

    /// The bands of all steps that have something attributed in them.
    pub(crate) fn read(&self) -> Vec<Band> {
        let bands = |step| BandName::ALL.into_iter().filter_map(move |band| Step::read(step, band));
        self.steps.iter().flat_map(bands).collect()
    }
}

// === impl Step ===

impl Step {
    #[allow(clippy::cast_precision_loss, reason = "means for people")]
    fn read(&self, band: BandName) -> Option<Band> {
        let (from, to) = band.shares();
        let (from, to) = (from * self.requests as f64, to * self.requests as f64);
        let mut parts_ms = [0.0; Part::ALL.len()];
        let (mut weights, mut below) = (0.0, 0.0);
        let mut found: Vec<(f64, TraceId)> = Vec::new();
        for bucket in self.buckets.values() {
            let above = below + bucket.requests as f64;
            let inside = (above.min(to) - below.max(from)).max(0.0);
            below = above;
            if bucket.joined == 0 || inside <= 0.0 {
                continue;
            }
            // Requests that nobody could attribute are taken to be as those beside them.
            let weight = inside / bucket.joined as f64;
            weights += inside;
            for (mean, sum) in parts_ms.iter_mut().zip(bucket.sums) {
                *mean += weight * sum as f64 / 1e6;
            }
            found.extend(bucket.exemplars.iter().flatten().map(|trace| (inside, *trace)));
        }
        if weights <= 0.0 {
            return None;
        }
        parts_ms.iter_mut().for_each(|mean| *mean /= weights);
        found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let exemplars = found.into_iter().take(EXEMPLARS).map(|(_, trace)| trace).collect();
        Some(Band { band, step: self.name.clone(), total_ms: parts_ms.iter().sum(), parts_ms, exemplars })
    }
}

/// The bucket of a latency in nanoseconds.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4096")]
fn bucket(total: u64) -> u16 {
    ((total.max(1) as f64).log2() * BUCKETS_AN_OCTAVE) as u16
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::semconv::RunId;

    fn trace(n: u64) -> TraceId {
        TraceId::of_run(RunId::new(1), n)
    }

    fn of(db: u64, app: u64) -> Parts {
        let mut parts = Parts::default();
        (parts[Part::Db], parts[Part::App]) = (db * 1_000_000, app * 1_000_000);
        parts
    }

    #[test]
    fn a_band_is_the_mean_of_the_requests_between_its_percentiles() {
        let mut bands = Bands::default();
        let agent = bands.step("agent");
        assert_eq!(bands.step("agent"), agent);
        // 1 to 1,000 ms: up to 900 ms it is the application, beyond that the database.
        for n in 1..=1_000_u64 {
            let parts = if n <= 900 { of(0, n) } else { of(n - 10, 10) };
            bands.add(agent, parts.total(), Some((&parts, trace(n))));
        }
        let read = bands.read();
        assert_eq!(read.iter().map(|band| band.band).collect::<Vec<_>>(), BandName::ALL);
        for (band, mean) in read.iter().zip([500.5, 945.5, 990.5]) {
            assert!((band.total_ms - mean).abs() < mean * 0.005, "{band:?}");
            assert!((band.parts_ms.iter().sum::<f64>() - band.total_ms).abs() < 1e-9);
        }
        assert_eq!(read[0].largest().0, Part::App);
        // A bucket that lies across p(90) holds a few requests of below.
        assert!(read[1].part(Part::App) < 30.0 && read[1].largest().0 == Part::Db, "{:?}", read[1]);
        assert!(read[2].exemplars.len() == EXEMPLARS);
    }

    #[test]
    fn percentiles_are_of_all_requests_and_parts_of_those_that_are_known() {
        let mut bands = Bands::default();
        let step = bands.step("a");
        for n in 0..100 {
            let slow = of(100, 0);
            let known = (n < 5).then_some((&slow, trace(n)));
            bands.add(step, if n < 10 { 100_000_000 } else { 1_000_000 }, known);
        }
        let read = bands.read();
        let names: Vec<_> = read.iter().map(|band| band.band).collect();
        assert_eq!(names, [BandName::P95, BandName::P99], "nobody knows the quick ones");
        assert!((read[0].total_ms - 100.0).abs() < 1e-9);
    }

    /// The mean of what `of` says of the requests from one share of them to another, a request that lies across a
    /// border by its part: the definition, on the raw data.
    fn by_hand(requests: &[Parts], (from, to): (f64, f64), of: impl Fn(&Parts) -> u64) -> f64 {
        let mut sorted: Vec<&Parts> = requests.iter().collect();
        sorted.sort_by_key(|parts| parts.total());
        let (from, to) = (from * sorted.len() as f64, to * sorted.len() as f64);
        let weight = |at: usize| ((at as f64 + 1.0).min(to) - (at as f64).max(from)).max(0.0);
        let sum: f64 = sorted.iter().enumerate().map(|(at, parts)| weight(at) * of(parts) as f64 / 1e6).sum();
        sum / (to - from)
    }

    proptest::proptest! {
        #[test]
        fn bands_are_what_the_raw_data_says(requests in proptest::collection::vec(
            (1_000_u64..300_000_000, 0.0..1.0_f64), 1..400)) {
            let requests: Vec<Parts> = requests.into_iter().map(|(total, share)| {
                let mut parts = Parts::default();
                parts[Part::Db] = (total as f64 * share) as u64;
                parts[Part::App] = total - parts[Part::Db];
                parts
            }).collect();
            let mut bands = Bands::default();
            let step = bands.step("a");
            for (n, parts) in requests.iter().enumerate() {
                bands.add(step, parts.total(), Some((parts, trace(n as u64))));
            }
            for (band, shares) in bands.read().iter().zip([(0.45, 0.55), (0.90, 0.99), (0.98, 1.0)]) {
                // A bucket is 1.1 % wide, and of one that lies across a border the mean stands for its requests.
                let total = by_hand(&requests, shares, Parts::total);
                proptest::prop_assert!((band.total_ms - total).abs() <= 0.011 * total, "{band:?} {total}");
                proptest::prop_assert!((band.parts_ms.iter().sum::<f64>() - band.total_ms).abs() < 1e-9 * (1.0 + total));
                proptest::prop_assert!(band.parts_ms.iter().all(|part| *part >= 0.0));
            }
            // Where each bucket lies within or without, the parts are exact: as here, where all are one request.
            let one = &requests[0];
            let mut alike = Bands::default();
            let step = alike.step("a");
            (0..requests.len()).for_each(|n| alike.add(step, one.total(), Some((one, trace(n as u64)))));
            for band in alike.read() {
                let db = by_hand(&vec![*one; requests.len()], (0.0, 1.0), |parts| parts[Part::Db]);
                proptest::prop_assert!((band.part(Part::Db) - db).abs() <= 1e-9 * (1.0 + db), "{band:?} {db}");
            }
        }
    }

    #[test]
    fn parts_of_many_requests_are_what_the_raw_data_says() {
        let mut bands = Bands::default();
        let step = bands.step("a");
        let mut requests = Vec::new();
        // 1 to 200 ms in steps of 10 us, in an order of their own; the database's share grows with the latency.
        for n in 0..20_000_u64 {
            let total = 1_000_000 + (n * 7_919 % 20_000) * 10_000;
            let mut parts = Parts::default();
            parts[Part::Db] = total / 1_000 * (total / 250_000).min(1_000);
            parts[Part::App] = total - parts[Part::Db];
            bands.add(step, parts.total(), Some((&parts, trace(n))));
            requests.push(parts);
        }
        for (band, shares) in bands.read().iter().zip([(0.45, 0.55), (0.90, 0.99), (0.98, 1.0)]) {
            for part in [Part::Db, Part::App] {
                let expected = by_hand(&requests, shares, |parts| parts[part]);
                assert!((band.part(part) - expected).abs() <= 0.01 * band.total_ms, "{band:?}: {part:?} is {expected}");
            }
        }
    }

    #[test]
    fn one_request_is_all_bands() {
        let mut bands = Bands::default();
        let step = bands.step("a");
        bands.add(step, 3_000_000, Some((&of(1, 2), trace(1))));
        assert_eq!(bands.read().len(), 3);
        assert!(Bands::default().read().is_empty());
    }
}
