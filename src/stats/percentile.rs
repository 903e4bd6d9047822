//! An interval of a percentile that is honest about autocorrelation.
//!
//! The requests of a run are no independent samples: while a queue stands, all are slow. So the unit here is a part of
//! the run, not a request. How many values lie at or below the percentile is counted per bin of time; the spread of
//! these counts over twenty batches of neighbouring bins says how far the whole share may be off, and so how many
//! independent values the run is worth. A score interval of that size stands around the percentile's rank; its
//! two ends are read off the run's own distribution (Woodruff 1952: an interval of a quantile is an interval of a share,
//! inverted).
//!
//! What it says: where the percentile would lie in a run of the same length under the same conditions.
//! It knows nothing of what differs **between** runs (another host, another cache), which is often more; that
//! takes several runs. It asks for a stationary run; over a ramp it is wider than need be. What is correlated
//! for longer than about a twentieth of the run is beyond it, as beyond every interval from one run.

use super::proportion::score;
use super::{lag_one, normal};

/// What one bin of time holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BinCount {
    /// Values at or below the percentile; of those equal to it only the part that makes the shares add up.
    pub below: f64,
    /// All values.
    pub count: f64,
}

/// Where a percentile lies, as shares of the distribution: read both off with the quantile function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankInterval {
    /// The share at the lower end, 0 to 1.
    pub low: f64,
    /// The share at the upper end, 0 to 1.
    pub high: f64,
    /// Whether next to nothing was seen above the upper end, so that what was seen is no bound: only the lower end holds.
    pub open: bool,
    /// How many independent values the run is worth for this percentile; never more than it has.
    pub effective: f64,
}

/// Batches into which a run is cut. Between 10 and 30 nothing is gained by more (Schmeiser, *Batch size effects in the
/// analysis of simulation output*, Operations Research 30, 1982).
const BATCHES: usize = 20;
/// With fewer the spread over them says too little.
const LEAST_BATCHES: usize = 8;
/// The most that neighbouring batches are believed to have to do with each other: twenty do not show it well.
const MOST_LEAN: f64 = 0.6;
/// With less than this above it, in independent values, the upper end is no bound.
const LEAST_ABOVE: f64 = 0.5;

/// The interval of the `p` quantile (0 to 1) of a run; `count` says what each of its bins holds at or below any other
/// quantile, in order of time. None where fewer than 8 bins hold values.
///
/// Of a tail a run shows few bursts, and where by luck it shows too few, their spread is too small as well: so
/// quantiles nearer the middle, of which it shows more, are asked too, and the least effective number is believed.
#[must_use]
pub fn rank_interval(p: f64, confidence: f64, count: impl Fn(f64) -> Vec<BinCount>) -> Option<RankInterval> {
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    let mut found = effective(p, &count(p))?;
    let (tail, upper) = (p.min(1.0 - p), p > 0.5);
    let mut wider = tail * 2.0;
    while tail > 0.0 && wider <= 0.5 {
        let nearer = if upper { 1.0 - wider } else { wider };
        found.number = found.number.min(effective(nearer, &count(nearer)).map_or(f64::INFINITY, |other| other.number));
        wider *= 2.0;
    }
    let n = found.number.max(1.0);
    let ends = score(p, n, normal::student(confidence, found.batches - 1.0));
    // Half a value on either side: ranks are whole (Newcombe, Statistics in Medicine 17, 1998).
    let (low, high) = ((ends.low - 0.5 / n).max(0.0), (ends.high + 0.5 / n).min(1.0));
    Some(RankInterval { low, high, open: (1.0 - high) * n < LEAST_ABOVE, effective: found.number })
}

/// How many independent values a run is worth, and over how many batches that was seen.
struct Effective {
    number: f64,
    batches: f64,
}

fn effective(p: f64, bins: &[BinCount]) -> Option<Effective> {
    let bins: Vec<&BinCount> = bins.iter().filter(|bin| bin.count > 0.0).collect();
    let batches = bins.len().min(BATCHES);
    if batches < LEAST_BATCHES {
        return None;
    }
    let (below, count) = bins.iter().fold((0.0, 0.0), |(b, n), bin| (b + bin.below, n + bin.count));
    let share = below / count;
    let mut sums = vec![0.0; batches];
    for (i, bin) in bins.iter().enumerate() {
        if let Some(sum) = sums.get_mut(i * batches / bins.len()) {
            *sum += bin.below - share * bin.count;
        }
    }
    let k = batches as f64;
    let spread = k / (k - 1.0) * sums.iter().map(|sum| sum * sum).sum::<f64>();
    // Batches that still lean on their neighbours hide a part of the spread.
    let lean = lag_one(&sums).clamp(0.0, MOST_LEAN);
    let spread = spread * (1.0 + lean) / (1.0 - lean);
    let independent = p * (1.0 - p) * count;
    let number = if spread > independent { count * independent / spread } else { count };
    Some(Effective { number, batches: k })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stats::{Interval, quantile, series};
    use proptest::prelude::*;

    /// A run's values in bins of time, and all of them sorted.
    struct Run {
        bins: Vec<Vec<f64>>,
        sorted: Vec<f64>,
    }

    impl Run {
        fn new(bins: Vec<Vec<f64>>) -> Self {
            let mut sorted: Vec<f64> = bins.iter().flatten().copied().collect();
            sorted.sort_unstable_by(f64::total_cmp);
            Self { bins, sorted }
        }

        fn at(&self, q: f64) -> f64 {
            quantile(&self.sorted, q).unwrap()
        }

        /// The interval in the values' own unit.
        fn interval(&self, p: f64) -> Interval {
            let counts = |p: f64| {
                let at = self.at(p);
                let below = |bin: &Vec<f64>| bin.iter().filter(|value| **value <= at).count() as f64;
                self.bins.iter().map(|bin| BinCount { below: below(bin), count: bin.len() as f64 }).collect()
            };
            let ranks = rank_interval(p, 0.95, counts).unwrap();
            Interval { low: self.at(ranks.low), high: if ranks.open { f64::INFINITY } else { self.at(ranks.high) } }
        }

        /// What a textbook has for independent samples.
        fn naive(&self, p: f64) -> Interval {
            let ranks = score(p, self.sorted.len() as f64, normal::quantile(0.975));
            Interval { low: self.at(ranks.low), high: self.at(ranks.high) }
        }
    }

    /// How often the truth is covered over 400 runs, of each percentile: by this interval, and by the naive one.
    fn coverage(truth: &[(f64, f64)], make: impl Fn(u64) -> Vec<Vec<f64>>) -> Vec<(f64, f64)> {
        let mut hits = vec![(0.0, 0.0); truth.len()];
        for seed in 0..400 {
            let run = Run::new(make(seed));
            for ((p, truth), hits) in truth.iter().zip(&mut hits) {
                hits.0 += f64::from(u8::from(run.interval(*p).contains(*truth))) / 400.0;
                hits.1 += f64::from(u8::from(run.naive(*p).contains(*truth))) / 400.0;
            }
        }
        hits
    }

    /// A latency whose level wanders: log-normal, each request an AR(1) step after the one before it.
    fn wandering(seed: u64) -> Vec<Vec<f64>> {
        series::ar1(6000, 0.97, seed).chunks(30).map(|bin| bin.iter().map(|x| (0.5 * x).exp()).collect()).collect()
    }

    #[test]
    fn it_covers_the_truth_where_latency_wanders_and_the_naive_one_does_not() {
        let truth = [0.5, 0.95].map(|p| (p, (0.5 * normal::quantile(p)).exp()));
        for (ours, naive) in coverage(&truth, wandering) {
            assert!(ours >= 0.92, "{ours}");
            assert!(naive < 0.60, "the naive interval should fail here: {naive}");
        }
    }

    #[test]
    fn it_covers_the_truth_where_a_queue_stands_now_and_then_and_the_naive_one_does_not() {
        let long = Run::new(series::on_off_queue(300, 5000, 99));
        let truth = [0.5, 0.9, 0.95].map(|p| (p, long.at(p)));
        for (ours, naive) in coverage(&truth, |seed| series::on_off_queue(300, 40, seed)) {
            assert!(ours >= 0.92, "{ours}");
            assert!(naive < 0.60, "the naive interval should fail here: {naive}");
        }
    }

    #[test]
    fn on_independent_values_it_is_hardly_wider_than_need_be() {
        let bins = |seed| -> Vec<Vec<f64>> {
            let mut random = fastrand::Rng::with_seed(seed);
            (0..200).map(|_| (0..20).map(|_| series::exponential(&mut random)).collect()).collect()
        };
        let (ours, _) = coverage(&[(0.95, 20.0_f64.ln())], bins)[0];
        assert!(ours >= 0.92, "{ours}");
        let runs = (0..100).map(|seed| Run::new(bins(seed)));
        let mean = runs.map(|run| run.interval(0.95).width() / run.naive(0.95).width()).sum::<f64>() / 100.0;
        assert!(mean < 1.6, "{mean}");
    }

    /// A run of equal bins, each with so many values spread evenly.
    fn even(bins: usize, count: f64) -> impl Fn(f64) -> Vec<BinCount> {
        move |p| vec![BinCount { below: p * count, count }; bins]
    }

    #[test]
    fn too_few_bins_say_nothing() {
        assert_eq!(rank_interval(0.9, 0.95, even(7, 10.0)), None);
        assert_eq!(rank_interval(0.9, 0.95, even(100, 0.0)), None);
        assert_eq!(rank_interval(1.1, 0.95, even(100, 10.0)), None);
        assert!(rank_interval(0.9, 0.95, even(8, 10.0)).is_some());
    }

    #[test]
    fn a_tail_of_which_too_little_was_seen_is_open() {
        assert!(rank_interval(0.99, 0.95, even(10, 10.0)).unwrap().open);
        assert!(rank_interval(1.0, 0.95, even(10, 10.0)).unwrap().open);
        assert!(!rank_interval(0.5, 0.95, even(10, 10.0)).unwrap().open);
        assert!(!rank_interval(0.99, 0.95, even(100, 100.0)).unwrap().open);
    }

    proptest! {
        #[test]
        fn the_percentile_lies_inside_and_more_values_than_there_are_are_never_claimed(
            bins in prop::collection::vec((0_u32..50, 0_u32..50), 8..300), p in 0.0..=1.0_f64,
        ) {
            let bins: Vec<BinCount> = bins
                .into_iter()
                .map(|(below, above)| BinCount { below: f64::from(below), count: f64::from(below + above) })
                .collect();
            if let Some(ranks) = rank_interval(p, 0.95, |_| bins.clone()) {
                prop_assert!(ranks.low <= p && p <= ranks.high && ranks.low >= 0.0 && ranks.high <= 1.0);
                prop_assert!(ranks.effective <= bins.iter().map(|bin| bin.count).sum::<f64>());
            }
        }
    }
}
