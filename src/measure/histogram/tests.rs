//! The histogram against exact samples, k6's percentiles and an HDR histogram.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Held against exact sorted samples, and against an HDR histogram.

use super::{Histogram, index};
use proptest::prelude::*;

/// k6's `TrendSink.P` over all samples.
fn exact(sorted: &[f64], q: f64) -> f64 {
    let i = q * (sorted.len() - 1) as f64;
    let (j, k) = (sorted[i.floor() as usize], sorted[i.ceil() as usize]);
    j + (k - j) * (i - i.floor())
}

fn of(values: &[f64]) -> Histogram {
    let mut histogram = Histogram::new();
    values.iter().for_each(|value| histogram.record(*value));
    histogram
}

fn close(got: f64, want: f64, tolerance: f64) -> bool {
    (got - want).abs() <= tolerance * want.abs() + f64::MIN_POSITIVE
}

#[test]
fn a_boundary_belongs_to_the_bucket_below_it() {
    for (value, want) in [(1.0, -1), (2.0, 127), (4.0, 255), (0.5, -129), (1.0 + f64::EPSILON, 0)] {
        assert_eq!(index::index(value), want, "{value}");
    }
    // 2^(k/128) is irrational but for whole powers: the float below it is inside, the one above is past it.
    for k in 1..128 {
        let near = (f64::from(k) / 128.0).exp2();
        let (below, above) = (f64::from_bits(near.to_bits() - 2), f64::from_bits(near.to_bits() + 2));
        assert_eq!(index::index(below), k - 1, "below {k}");
        assert_eq!(index::index(above), k, "above {k}");
    }
}

#[test]
fn the_ends_of_the_range_have_buckets() {
    for value in [f64::MIN_POSITIVE, 5e-324, f64::MAX] {
        let histogram = of(&[value]);
        assert_eq!(histogram.quantile(0.5), Some(value));
        assert_eq!(histogram.positive().count(), 1);
    }
}

#[test]
fn nothing_counted_has_no_figures() {
    let histogram = Histogram::new();
    assert_eq!((histogram.quantile(0.5), histogram.min(), histogram.max(), histogram.mean()), (None, None, None, None));
}

#[test]
fn what_is_no_number_is_left_out() {
    let histogram = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0]);
    assert_eq!((histogram.count(), histogram.sum()), (1, 3.0));
}

#[test]
fn negatives_and_zero_keep_their_order() {
    let histogram = of(&[-100.0, -1.0, 0.0, 0.0, 5.0]);
    assert_eq!(histogram.quantile(0.0), Some(-100.0));
    assert!(close(histogram.quantile(0.25).unwrap(), -1.0, 0.0028));
    assert_eq!(histogram.quantile(0.5), Some(0.0));
    assert_eq!(histogram.quantile(1.0), Some(5.0));
}

#[test]
fn a_series_of_latencies_takes_a_few_kib() {
    let mut histogram = Histogram::new();
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..100_000 {
        histogram.record(20.0 * (1.0 + rng.f64()) * (1.0 + rng.f64()));
    }
    assert!(histogram.bytes() <= 5 * 1024, "{} bytes", histogram.bytes());
}

#[test]
fn values_of_every_size_do_not_make_it_grow_without_end() {
    let mut histogram = Histogram::new();
    for exponent in -1022..1023 {
        for part in 0..128 {
            histogram.record((f64::from(exponent) + f64::from(part) / 128.0).exp2());
        }
    }
    assert!(histogram.scale() < 7);
    assert!(histogram.bytes() <= 512 * 1024, "{} bytes", histogram.bytes());
    assert_eq!(histogram.positive().map(|(_, n)| n).sum::<u64>(), histogram.count());
}

#[test]
fn cleared_it_keeps_its_memory_and_none_of_its_counts() {
    let mut histogram = of(&[1.0, 2.0, -3.0]);
    histogram.clear();
    assert_eq!((histogram.count(), histogram.positive().count(), histogram.negative().count()), (0, 0, 0));
    histogram.record(7.0);
    assert_eq!((histogram.min(), histogram.max()), (Some(7.0), Some(7.0)));
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    // Over 18 orders of magnitude, and tiny counts as often as large ones.
    let value = (-9.0..9.0_f64).prop_map(|exponent| 10f64.powf(exponent));
    prop_oneof![
        prop::collection::vec(value.clone(), 1..6),
        prop::collection::vec(value, 1..400),
        prop::collection::vec(10.0..200.0_f64, 1..400),
        prop::collection::vec((0..50_u32).prop_map(f64::from), 1..100),
    ]
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_logarithm(exponent in -300.0..300.0_f64) {
        let value = 10f64.powf(exponent);
        let want = (value.log2() * 128.0).ceil() - 1.0;
        // The logarithm itself may be off by one at a boundary.
        prop_assert!((f64::from(index::index(value)) - want).abs() <= 1.0);
        let bounds = (index::lower_bound(index::index(value), 7), index::lower_bound(index::index(value) + 1, 7));
        prop_assert!(bounds.0 < value * (1.0 + 1e-12) && value <= bounds.1 * (1.0 + 1e-12));
    }

    #[test]
    fn percentiles_are_within_three_in_a_thousand_of_k6s(values in values(), q in 0.0..=1.0_f64) {
        let histogram = of(&values);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for q in [q, 0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
            let (got, want) = (histogram.quantile(q).unwrap(), exact(&sorted, q));
            prop_assert!(close(got, want, 0.003), "p({}) of {}: {got} for {want}", q * 100.0, sorted.len());
        }
        prop_assert_eq!(histogram.min(), sorted.first().copied());
        prop_assert_eq!(histogram.max(), sorted.last().copied());
    }

    #[test]
    fn merged_parts_are_the_whole(values in values(), at in 0.0..1.0_f64) {
        let (a, b) = values.split_at((values.len() as f64 * at) as usize);
        let (mut merged, whole) = (of(a), of(&values));
        merged.merge(&of(b));
        prop_assert_eq!(merged.count(), whole.count());
        prop_assert!(close(merged.sum(), whole.sum(), 1e-9));
        prop_assert_eq!((merged.min(), merged.max()), (whole.min(), whole.max()));
        prop_assert!(merged.positive().eq(whole.positive()));
    }

    #[test]
    fn scaled_down_it_holds_the_same_counts(values in values(), scale in 0..7_u8) {
        let (mut coarse, fine) = (of(&values), of(&values));
        coarse.scale_down(scale);
        prop_assert_eq!(coarse.scale(), scale);
        let mut want = std::collections::BTreeMap::new();
        fine.positive().for_each(|(i, n)| *want.entry(i >> (7 - scale)).or_insert(0) += n);
        prop_assert!(coarse.positive().eq(want));
        let mut both = of(&values);
        both.merge(&coarse);
        prop_assert_eq!(both.scale(), scale);
        prop_assert_eq!(both.count(), 2 * fine.count());
    }

    #[test]
    fn it_agrees_with_an_hdr_histogram(values in prop::collection::vec(1..10_000_000_u64, 1000..2000)) {
        let mut oracle = hdrhistogram::Histogram::<u64>::new(4).unwrap();
        values.iter().for_each(|value| oracle.record(*value).unwrap());
        let histogram = of(&values.iter().map(|value| *value as f64).collect::<Vec<_>>());
        let mut sorted = values;
        sorted.sort_unstable();
        for q in [0.5, 0.9, 0.99] {
            let got = histogram.quantile(q).unwrap();
            // The oracle gives the rank at or above; ours lies between that rank's neighbours.
            let rank = (q * sorted.len() as f64) as usize;
            let low = sorted[rank.saturating_sub(2)] as f64 * 0.997;
            let high = (oracle.value_at_quantile(q) as f64).max(sorted[(rank + 1).min(sorted.len() - 1)] as f64) * 1.003;
            prop_assert!(low <= got && got <= high, "{low} {got} {high}");
        }
    }
}
