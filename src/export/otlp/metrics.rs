//! Metrics as OTLP has them: sums, gauges, exponential histograms with exemplars.
//!
//! Names, units and attributes are those of k6's own output: `ms`, `By`; a rate is one counter with the attribute
//! `condition`, `zero` or `nonzero`.

use super::super::series::{Cell, Exemplar, Series, Value};
use super::super::tags::{Tagging, Tags};
use crate::correlate::otlp::Writer;
use crate::correlate::{OwnValue, attribute, nanoseconds, scope};
use crate::measure::{Contains, Histogram, WallClock};
use crate::plan::MetricKind;
use std::sync::Arc;
use tokio::time::Instant;

/// Makes messages of metrics.
pub(super) struct Metrics {
    metrics: Vec<Named>,
    delta: bool,
    clock: WallClock,
    /// Since when sums count that are not of a part of the time.
    start: Instant,
    /// Encoded.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

struct Named {
    name: String,
    unit: &'static str,
    kind: MetricKind,
}

/// The times of a data point, since the Unix epoch in ns.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// Bytes of a message at most, nearly: a collector's gRPC takes 4 MiB.
const MOST_BYTES: usize = 1 << 20;
/// The most buckets on one side of zero: 16 octaves of the full resolution. Past it neighbours are joined.
const MOST_BUCKETS: i32 = 2048;
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(tagging: &Arc<Tagging>, delta: bool, clock: WallClock, resource: Vec<u8>) -> Self {
        let named = tagging.layout().metrics().map(|(_, metric)| Named {
            name: metric.name.clone(),
            unit: match metric.contains {
                Contains::Time => "ms",
                Contains::Data => "By",
                Contains::Default => "",
            },
            kind: metric.kind,
        });
        Self { metrics: named.collect(), delta, clock, start: Instant::now(), resource, scope: scope() }
    }

    /// What changed, as messages, and how many values each has of.
    pub(super) fn encode(&self, series: &mut Series, now: Instant) -> Vec<(Vec<u8>, u64)> {
        let mut messages = Vec::new();
        let (mut writer, mut values) = (Writer::default(), 0);
        for (index, named) in self.metrics.iter().enumerate() {
            let of_it = |cell: &&Cell| usize::from(cell.metric.0) == index && cell.changed;
            let mut points = Writer::default();
            for group in series.groups() {
                for cell in group.cells.iter().filter(of_it) {
                    self.point(&mut points, &group.tags, cell, now);
                    values += cell.fresh;
                }
            }
            let points = points.take();
            if !points.is_empty() {
                writer.message(2, |writer| self.metric(writer, named, &points));
            }
            if writer.len() >= MOST_BYTES {
                messages.push((self.message(&writer.take()), std::mem::take(&mut values)));
            }
        }
        if writer.len() > 0 {
            messages.push((self.message(&writer.take()), values));
        }
        series.cells_mut().filter(|cell| cell.changed).for_each(|cell| cell.settle(now, self.delta));
        messages
    }

    /// An `ExportMetricsServiceRequest`.
    fn message(&self, metrics: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.message(1, |writer| {
            writer.raw(&self.resource);
            writer.message(2, |writer| {
                writer.raw(&self.scope);
                writer.raw(metrics);
            });
        });
        writer.take()
    }

    /// A `Metric` with these data points.
    fn metric(&self, writer: &mut Writer, named: &Named, points: &[u8]) {
        let temporality = if self.delta { DELTA } else { CUMULATIVE };
        writer.bytes(1, named.name.as_bytes());
        writer.bytes(3, named.unit.as_bytes());
        match named.kind {
            MetricKind::Gauge => writer.message(5, |writer| writer.raw(points)),
            MetricKind::Counter | MetricKind::Rate => writer.message(7, |writer| {
                writer.raw(points);
                writer.varint(2, temporality);
                writer.varint(3, 1);
            }),
            MetricKind::Trend => writer.message(10, |writer| {
                writer.raw(points);
                writer.varint(2, temporality);
            }),
        }
    }

    /// The data points of a series.
    fn point(&self, writer: &mut Writer, tags: &Tags, cell: &Cell, now: Instant) {
        let since = if self.delta { cell.sent.unwrap_or(self.start) } else { self.start };
        let span = Span { start: self.nanoseconds(since), end: self.nanoseconds(now) };
        match &cell.value {
            Value::Counter(value) | Value::Gauge(value) => number(writer, tags, None, span, *value),
            Value::Rate { zero, nonzero } => {
                for (condition, count) in [("zero", *zero), ("nonzero", *nonzero)] {
                    if count > 0 {
                        number(writer, tags, Some(condition), span, count as f64);
                    }
                }
            }
            Value::Trend(histogram) => writer.message(1, |writer| {
                attributes(writer, 1, tags);
                writer.fixed64(2, span.start);
                writer.fixed64(3, span.end);
                distribution(writer, histogram);
                self.exemplars(writer, &cell.exemplars);
            }),
        }
    }

    fn exemplars(&self, writer: &mut Writer, [latest, greatest]: &[Option<Exemplar>; 2]) {
        let different = greatest.filter(|greatest| latest.is_none_or(|latest| latest.span != greatest.span));
        for exemplar in latest.iter().chain(&different) {
            writer.message(11, |writer| {
                writer.fixed64(2, self.nanoseconds(exemplar.at));
                writer.fixed64(3, exemplar.value.to_bits());
                writer.bytes(4, &exemplar.span.0);
                writer.bytes(5, &exemplar.trace.0);
            });
        }
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        nanoseconds(self.clock.unix(at))
    }
}

/// A `NumberDataPoint`.
fn number(writer: &mut Writer, tags: &Tags, condition: Option<&str>, span: Span, value: f64) {
    writer.message(1, |writer| {
        writer.fixed64(2, span.start);
        writer.fixed64(3, span.end);
        writer.fixed64(4, value.to_bits());
        attributes(writer, 7, tags);
        if let Some(condition) = condition {
            attribute(writer, 7, "condition", OwnValue::Text(condition));
        }
    });
}

/// What of an `ExponentialHistogramDataPoint` is the distribution.
fn distribution(writer: &mut Writer, histogram: &Histogram) {
    let scale = scale(histogram);
    let coarse = (histogram.scale() != scale || histogram.negative_scale() != scale).then(|| {
        let mut coarse = histogram.clone();
        coarse.scale_down(scale);
        coarse
    });
    let histogram = coarse.as_ref().unwrap_or(histogram);
    writer.fixed64(4, histogram.count());
    writer.fixed64(5, histogram.sum().to_bits());
    writer.varint(6, u64::from(scale) << 1);
    writer.fixed64(7, histogram.zero_count());
    buckets(writer, 8, histogram.positive());
    buckets(writer, 9, histogram.negative());
    if let (Some(min), Some(max)) = (histogram.min(), histogram.max()) {
        writer.fixed64(12, min.to_bits());
        writer.fixed64(13, max.to_bits());
    }
}

/// The finest scale at which neither side has too many buckets: a message has the empty ones between, too.
fn scale(histogram: &Histogram) -> u8 {
    let mut scale = histogram.scale().min(histogram.negative_scale());
    let fits = |scale: u8| {
        let width = |buckets: &mut dyn DoubleEndedIterator<Item = (i32, u64)>, of: u8| {
            let (first, last) = (buckets.next(), buckets.next_back());
            let first = first.map(|(index, _)| index >> (of - scale));
            let last = last.map(|(index, _)| index >> (of - scale));
            last.zip(first).map_or(1, |(last, first)| last - first + 1)
        };
        width(&mut histogram.positive(), histogram.scale()) <= MOST_BUCKETS
            && width(&mut histogram.negative(), histogram.negative_scale()) <= MOST_BUCKETS
    };
    while scale > 0 && !fits(scale) {
        scale -= 1;
    }
    scale
}

/// `Buckets` as field `number`: all from the first to the last.
fn buckets(writer: &mut Writer, number: u32, buckets: impl Iterator<Item = (i32, u64)>) {
    let mut counts = Writer::default();
    let (mut offset, mut next) = (None, 0);
    for (index, count) in buckets {
        offset.get_or_insert(index);
        if counts.len() > 0 {
            (next..index).for_each(|_| counts.number(0));
        }
        counts.number(count);
        next = index + 1;
    }
    let Some(offset) = offset else { return };
    writer.message(number, |writer| {
        writer.varint(1, u64::from(((offset << 1) ^ (offset >> 31)).cast_unsigned()));
        writer.bytes(2, &counts.take());
    });
}

/// Tags as attributes: empty ones are none.
fn attributes(writer: &mut Writer, number: u32, tags: &Tags) {
    for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
        attribute(writer, number, name, OwnValue::Text(value));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;
    use proptest::prelude::*;
    use prost::Message as _;

    proptest! {
        #[test]
        fn a_distribution_is_another_readers_too(values in prop::collection::vec(-50.0..1e6_f64, 0..300)) {
            let mut ours = Histogram::new();
            values.iter().for_each(|value| ours.record((value * 4.0).round() / 4.0));
            let mut writer = Writer::default();
            distribution(&mut writer, &ours);
            let read = ExponentialHistogramDataPoint::decode(&*writer.take()).unwrap();
            prop_assert_eq!((read.count, read.sum, read.zero_count), (ours.count(), Some(ours.sum()), ours.zero_count()));
            prop_assert_eq!((read.min, read.max), (ours.min(), ours.max()));
            let mut coarse = ours.clone();
            coarse.scale_down(u8::try_from(read.scale).unwrap());
            let sides = [(read.positive, coarse.positive().collect::<Vec<_>>()), (read.negative, coarse.negative().collect())];
            for (read, wanted) in sides {
                let read = read.unwrap_or_default();
                prop_assert!(read.bucket_counts.len() <= 2048);
                let read: Vec<_> =
                    (read.offset..).zip(read.bucket_counts).filter(|(_, count)| *count > 0).collect();
                prop_assert_eq!(read, wanted);
            }
        }
    }
}
