//! A histogram as plain data: what a result file holds, and back.
//!
//! Counts stand in runs, each `[first bucket, count, count, …]`: buckets that hold something are mostly neighbours.
//! What comes back from a file is not believed: counts must add up, and no bucket may lie where no float does.

use super::{Histogram, Pages, index};
use serde::{Deserialize, Serialize};

/// A histogram as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    count: u64,
    sum: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    zero: u64,
    /// Buckets an octave, as a power of two.
    scale: u8,
    #[serde(default)]
    runs: Vec<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    negative: Option<Negative>,
}

/// The buckets of negative values, by absolute value.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Negative {
    scale: u8,
    runs: Vec<Vec<i64>>,
}

/// So many empty buckets cost less than the beginning of another run.
const GAP: i32 = 3;
/// Beyond the buckets of any float at scale 7.
const FARTHEST: i64 = 1100 * 128;
/// Empty buckets within a run included: more than the bound on pages lets any histogram have.
const MOST_BUCKETS: usize = 1 << 17;

impl From<Histogram> for Saved {
    fn from(histogram: Histogram) -> Self {
        let negative = histogram.negative.as_ref().filter(|_| histogram.negative().next().is_some());
        Self {
            count: histogram.count,
            sum: histogram.sum,
            min: histogram.min(),
            max: histogram.max(),
            zero: histogram.zero,
            scale: histogram.scale(),
            runs: runs(histogram.positive()),
            negative: negative.map(|pages| Negative { scale: pages.scale(), runs: runs(pages.iter()) }),
        }
    }
}

impl TryFrom<Saved> for Histogram {
    type Error = &'static str;

    fn try_from(saved: Saved) -> Result<Self, Self::Error> {
        let mut histogram = Self::new();
        if saved.count == 0 {
            histogram.scale_down(saved.scale);
            return Ok(histogram);
        }
        let (Some(min), Some(max)) = (saved.min, saved.max) else { return Err("a histogram without its ends") };
        let mut counted = saved.zero;
        counted = counted.saturating_add(fill(&mut histogram.positive, saved.scale, &saved.runs)?);
        if let Some(Negative { scale, runs }) = &saved.negative {
            let mut pages = Pages::new();
            counted = counted.saturating_add(fill(&mut pages, *scale, runs)?);
            histogram.negative = Some(Box::new(pages));
        }
        if counted != saved.count || min > max {
            return Err("a histogram whose counts do not add up");
        }
        (histogram.count, histogram.zero, histogram.sum) = (saved.count, saved.zero, saved.sum);
        (histogram.min, histogram.max) = (min, max);
        Ok(histogram)
    }
}

fn runs(buckets: impl Iterator<Item = (i32, u64)>) -> Vec<Vec<i64>> {
    let mut runs: Vec<Vec<i64>> = Vec::new();
    let mut next = i32::MIN;
    for (bucket, count) in buckets {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match runs.last_mut() {
            Some(run) if bucket - next <= GAP => {
                run.extend((next..bucket).map(|_| 0));
                run.push(count);
            }
            _ => runs.push(vec![i64::from(bucket), count]),
        }
        next = bucket + 1;
    }
    runs
}

/// Fills empty pages; how many values that is.
fn fill(pages: &mut Pages, scale: u8, runs: &[Vec<i64>]) -> Result<u64, &'static str> {
    if scale > index::SCALE {
        return Err("a histogram finer than any");
    }
    if runs.iter().map(Vec::len).sum::<usize>() > MOST_BUCKETS {
        return Err("a histogram with too many buckets");
    }
    pages.scale_down(scale);
    let mut counted: u64 = 0;
    for run in runs {
        let Some((first, counts)) = run.split_first() else { return Err("an empty run of buckets") };
        for (at, count) in (0..).zip(counts) {
            let bucket = first.saturating_add(at);
            let count = u64::try_from(*count).map_err(|_| "a bucket with a negative count")?;
            let unscaled = bucket.saturating_mul(1 << (index::SCALE - scale));
            if !(-FARTHEST..=FARTHEST).contains(&unscaled) {
                return Err("a bucket beyond all values");
            }
            if count > 0 {
                pages.add(i32::try_from(unscaled).map_err(|_| "a bucket beyond all values")?, count);
                counted = counted.saturating_add(count);
            }
        }
    }
    Ok(counted)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn again(histogram: &Histogram) -> Histogram {
        serde_json::from_str(&serde_json::to_string(histogram).unwrap()).unwrap()
    }

    #[test]
    fn neighbours_share_a_run() {
        let mut histogram = Histogram::new();
        [1.5, 1.5, 1.51, 3000.0, 0.0].into_iter().for_each(|value| histogram.record(value));
        let written = serde_json::to_value(&histogram).unwrap();
        assert_eq!(written["runs"].as_array().unwrap().len(), 2, "{written}");
        assert_eq!((&written["count"], &written["zero"], &written["scale"]), (&5.into(), &1.into(), &7.into()));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let sound = r#"{"count":2,"sum":3.0,"min":1.0,"max":2.0,"scale":7,"runs":[[-1,1],[127,1]]}"#;
        assert!(serde_json::from_str::<Histogram>(sound).is_ok());
        for (what, with) in [
            (r#""count":2"#, r#""count":3"#),
            (r#""scale":7"#, r#""scale":8"#),
            ("[-1,1]", "[-1,-1,2]"),
            ("[127,1]", "[9223372036854775807,1]"),
            ("[127,1]", "[200000,1]"),
            ("[127,1]", "[]"),
            (r#""min":1.0,"#, ""),
        ] {
            let broken = sound.replace(what, with);
            assert!(serde_json::from_str::<Histogram>(&broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            values in prop::collection::vec(prop_oneof![-1e6..1e6_f64, Just(0.0), 1e-9..1e-3_f64], 0..300),
            scale in 0..=7_u8,
        ) {
            let mut histogram = Histogram::new();
            histogram.scale_down(scale);
            values.iter().for_each(|value| histogram.record(*value));
            let read = again(&histogram);
            prop_assert!(read.positive().eq(histogram.positive()) && read.negative().eq(histogram.negative()));
            prop_assert_eq!((read.count(), read.zero_count(), read.scale()), (histogram.count(), histogram.zero_count(), scale));
            prop_assert_eq!((read.sum(), read.min(), read.max()), (histogram.sum(), histogram.min(), histogram.max()));
        }
    }
}
