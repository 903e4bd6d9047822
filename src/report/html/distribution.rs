//! How long requests took: a histogram over a logarithmic axis, those that failed apart.

use super::Drawn;
use crate::measure::{Histogram, MetricId, Selector};
use crate::report::chart::{Column, Columns, Ink, Marker, Unit};
use crate::report::saved::Opened;
use std::collections::BTreeMap;

/// The most columns: they are seen one by one, on a phone too.
const MOST: i32 = 56;
/// Columns that double a value, from fine to coarse, as powers of two.
const SCALES: [u8; 5] = [4, 3, 2, 1, 0];

/// The chart; none where nothing was answered.
pub(super) fn distribution(result: &Opened) -> Option<Drawn> {
    let end = result.report.run.duration;
    let of = |expected: &str| {
        let selector = Selector { tags: vec![("expected_response".to_owned(), expected.to_owned())] };
        result.totals.trend(MetricId::HTTP_REQ_DURATION, &selector, end)
    };
    let (good, bad) = (of("true"), of("false"));
    let all = result.totals.trend(MetricId::HTTP_REQ_DURATION, &Selector::default(), end);
    let columns = columns(good.finished(), bad.finished())?;
    let quantile = |q| all.quantile(q).map_or(0.0, |figure| figure.value);
    let markers = [(0.5, "median"), (0.95, "p(95)"), (0.99, "p(99)")]
        .map(|(q, name)| Marker { at: quantile(q), name: name.to_owned() })
        .into_iter()
        .filter(|marker| marker.at > 0.0)
        .collect();
    let description = format!(
        "Half of the requests took at most {}, 95 % at most {}, 99 % at most {}.",
        Unit::Time.told(quantile(0.5)),
        Unit::Time.told(quantile(0.95)),
        Unit::Time.told(quantile(0.99)),
    );
    let failed = bad.count() > 0;
    let title = "How long requests took".to_owned();
    let chart = Columns { title, description, unit: Unit::Time, columns, markers };
    let mut drawn = Drawn::new(|size| chart.svg(size));
    if failed {
        drawn.legend = vec![("as expected".to_owned(), "k-good"), ("failed".to_owned(), "k-bad")];
    }
    Some(drawn)
}

/// Both side by side, in columns as fine as there is room for.
fn columns(good: &Histogram, bad: &Histogram) -> Option<Vec<Column>> {
    let reach = |scale: u8| {
        let places = |histogram: &Histogram| -> Vec<i32> {
            histogram.positive().map(|(bucket, _)| bucket >> histogram.scale().saturating_sub(scale)).collect()
        };
        let both = [places(good), places(bad)].concat();
        Some(*both.iter().min()?..=*both.iter().max()?)
    };
    let finest = good.scale().min(bad.scale());
    let scale = SCALES
        .into_iter()
        .filter(|scale| *scale <= finest)
        .find(|scale| reach(*scale).is_some_and(|places| places.end() - places.start() < MOST))?;
    let mut counts: BTreeMap<i32, [u64; 2]> = BTreeMap::new();
    for (which, histogram) in [good, bad].into_iter().enumerate() {
        for (bucket, count) in histogram.positive() {
            counts.entry(bucket >> histogram.scale().saturating_sub(scale)).or_default()[which] += count;
        }
    }
    let edge = |place: i32| (f64::from(place) / f64::from(1_u32 << scale)).exp2();
    let column = |place: i32| {
        let [good, bad] = counts.get(&place).copied().unwrap_or_default();
        let counts = vec![(Ink::Good, good as f64), (Ink::Bad, bad as f64)];
        Column { low: edge(place), high: edge(place + 1), counts }
    };
    Some(reach(scale)?.map(column).collect())
}
