//! Remote write's message: protobuf, packed with snappy.
//!
//! A native histogram is the exponential histogram that is counted into anyway: bucket `i` of ours is `i + 1` there,
//! because Prometheus counts buckets by their upper bounds.

use super::super::series::{Cell, Series, Value};
use super::super::tags::{Tagging, Tags};
use super::config::{Figure, Trends};
use crate::correlate::otlp::Writer;
use crate::measure::{Contains, Histogram, Trend};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes messages.
pub(super) struct Encoder {
    metrics: Vec<Named>,
    trends: Trends,
}

/// A metric's names.
struct Named {
    /// `k6_NAME`
    name: String,
    /// The end of a native histogram's name.
    unit: &'static str,
}

/// What of a series is sent.
enum Sample<'a> {
    Number(f64),
    Native(&'a Histogram),
}

/// Bytes of a message before it is packed. Prometheus takes more; what stands before it may not.
const MOST_BYTES: usize = 1 << 20;
/// Empty buckets between two that are written as such: a span costs more.
const GAP: i32 = 2;
/// Prometheus' NaN that says that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(tagging: &Arc<Tagging>, trends: Trends) -> Self {
        let named = tagging.layout().metrics().map(|(_, metric)| Named {
            name: format!("k6_{}", proper(&metric.name)),
            unit: match metric.contains {
                Contains::Time => "_seconds",
                Contains::Data => "_bytes",
                Contains::Default => "",
            },
        });
        Self { metrics: named.collect(), trends }
    }

    /// The series that `chosen` takes, at `time` in ms since the Unix epoch: packed messages.
    pub(super) fn encode(&self, series: &Series, time: i64, chosen: impl Fn(&Cell) -> bool) -> Vec<Bytes> {
        let mut messages = Messages::default();
        self.each(series, chosen, |labels, sample| {
            messages.add(labels, |writer| match sample {
                Sample::Number(value) => number(writer, value.to_bits(), time),
                Sample::Native(histogram) => native(writer, histogram, time),
            })
        });
        messages.finish()
    }

    /// Says of all series that they have ended.
    pub(super) fn stale(&self, series: &Series, time: i64) -> Vec<Bytes> {
        let mut messages = Messages::default();
        self.each(
            series,
            |cell| cell.sent.is_some(),
            |labels, _| messages.add(labels, |writer| number(writer, STALE, time)),
        );
        messages.finish()
    }

    /// Tells each series with its labels.
    fn each(
        &self,
        series: &Series,
        chosen: impl Fn(&Cell) -> bool,
        mut tell: impl FnMut(&BTreeMap<String, String>, Sample<'_>),
    ) {
        for group in series.groups() {
            let mut labels = labels(&group.tags);
            for cell in group.cells.iter().filter(|cell| chosen(cell)) {
                let Some(named) = self.metrics.get(usize::from(cell.metric.0)) else { continue };
                let mut told = |end: &str, sample: Sample<'_>| {
                    labels.insert("__name__".to_owned(), format!("{}{end}", named.name));
                    tell(&labels, sample);
                };
                match (&cell.value, &self.trends) {
                    (Value::Counter(sum), _) => told("_total", Sample::Number(*sum)),
                    (Value::Gauge(value), _) => told("", Sample::Number(*value)),
                    (Value::Rate { zero, nonzero }, _) => {
                        told("_rate", Sample::Number(*nonzero as f64 / (zero + nonzero).max(1) as f64));
                    }
                    (Value::Trend(histogram), Trends::Native) => told(named.unit, Sample::Native(histogram)),
                    (Value::Trend(histogram), Trends::Gauges(figures)) => {
                        let trend = Trend::new((**histogram).clone(), Vec::new());
                        for (end, figure) in figures {
                            let value = match figure {
                                Figure::Sum => histogram.sum(),
                                Figure::Of(aggregation) => aggregation.of(&trend).value,
                            };
                            told(&format!("_{end}"), Sample::Number(value));
                        }
                    }
                }
            }
        }
    }
}

/// Messages that are being made.
#[derive(Default)]
struct Messages {
    writer: Writer,
    packed: Vec<Bytes>,
}

// === impl Messages ===

impl Messages {
    /// Adds a series: its labels, sorted by name, and what `sample` writes.
    fn add(&mut self, labels: &BTreeMap<String, String>, sample: impl FnOnce(&mut Writer)) {
        self.writer.message(1, |writer| {
            for (name, value) in labels {
                writer.message(1, |writer| {
                    writer.bytes(1, name.as_bytes());
                    writer.bytes(2, value.as_bytes());
                });
            }
            sample(writer);
        });
        if self.writer.len() >= MOST_BYTES {
            self.pack();
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.pack();
        self.packed
    }

    fn pack(&mut self) {
        let message = self.writer.take();
        // It fails only for more than 4 GB.
        if let (false, Ok(packed)) = (message.is_empty(), snap::raw::Encoder::new().compress_vec(&message)) {
            self.packed.push(packed.into());
        }
    }
}

/// A `Sample`.
fn number(writer: &mut Writer, bits: u64, time: i64) {
    writer.message(2, |writer| {
        writer.fixed64(1, bits);
        writer.varint(2, time.cast_unsigned());
    });
}

/// A `Histogram`.
fn native(writer: &mut Writer, histogram: &Histogram, time: i64) {
    let scale = histogram.scale().min(histogram.negative_scale());
    let coarse = (histogram.scale() != scale || histogram.negative_scale() != scale).then(|| {
        let mut coarse = histogram.clone();
        coarse.scale_down(scale);
        coarse
    });
    let histogram = coarse.as_ref().unwrap_or(histogram);
    writer.message(4, |writer| {
        writer.varint(1, histogram.count());
        writer.fixed64(3, histogram.sum().to_bits());
        writer.varint(4, zigzag(i64::from(scale)));
        writer.varint(6, histogram.zero_count());
        buckets(writer, 8, histogram.negative());
        buckets(writer, 11, histogram.positive());
        writer.varint(15, time.cast_unsigned());
    });
}

/// Spans as field `number`, and as the next one the counts, each as its difference from the one before.
fn buckets(writer: &mut Writer, number: u32, buckets: impl Iterator<Item = (i32, u64)>) {
    let mut spans: Vec<(i32, u32)> = Vec::new();
    let mut deltas = Writer::default();
    let (mut next, mut before) = (0, 0);
    let mut count = |deltas: &mut Writer, count: u64| {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.number(zigzag(count - before));
        before = count;
    };
    for (index, counted) in buckets {
        let index = index + 1;
        let gap = index - next;
        match spans.last_mut() {
            Some((_, length)) if gap <= GAP => {
                (0..gap).for_each(|_| count(&mut deltas, 0));
                *length += gap.unsigned_abs() + 1;
            }
            _ => spans.push((gap, 1)),
        }
        count(&mut deltas, counted);
        next = index + 1;
    }
    for (offset, length) in spans {
        writer.message(number, |writer| {
            writer.varint(1, zigzag(i64::from(offset)));
            writer.varint(2, u64::from(length));
        });
    }
    let deltas = deltas.take();
    if !deltas.is_empty() {
        writer.bytes(number + 1, &deltas);
    }
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Tags as labels: empty ones are none.
fn labels(tags: &Tags) -> BTreeMap<String, String> {
    tags.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (proper(name), value.clone())).collect()
}

/// A name as Prometheus takes it.
fn proper(name: &str) -> String {
    let mut proper: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if proper.starts_with(|c: char| c.is_ascii_digit()) || proper.is_empty() {
        proper.insert(0, '_');
    }
    proper
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    /// Remote write's messages as prost reads them: another's reading of ours.
    #[derive(Clone, PartialEq, prost::Message)]
    struct NativeHistogram {
        #[prost(uint64, tag = "1")]
        count: u64,
        #[prost(double, tag = "3")]
        sum: f64,
        #[prost(sint32, tag = "4")]
        schema: i32,
        #[prost(uint64, tag = "6")]
        zero: u64,
        #[prost(message, repeated, tag = "8")]
        negative_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "9")]
        negative_deltas: Vec<i64>,
        #[prost(message, repeated, tag = "11")]
        positive_spans: Vec<Span>,
        #[prost(sint64, repeated, tag = "12")]
        positive_deltas: Vec<i64>,
        #[prost(int64, tag = "15")]
        timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct Span {
        #[prost(sint32, tag = "1")]
        offset: i32,
        #[prost(uint32, tag = "2")]
        length: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct TimeSeries {
        #[prost(message, optional, tag = "4")]
        histogram: Option<NativeHistogram>,
    }

    /// Buckets by Prometheus' index, with their counts; as Prometheus unfolds them.
    fn unfold(spans: &[Span], deltas: &[i64]) -> Vec<(i32, u64)> {
        let (mut index, mut count, mut at) = (0, 0, 0);
        let mut buckets = Vec::new();
        for span in spans {
            index += span.offset;
            for _ in 0..span.length {
                count += deltas[at];
                at += 1;
                buckets.push((index, u64::try_from(count).unwrap()));
                index += 1;
            }
        }
        assert_eq!(at, deltas.len());
        buckets.retain(|(_, count)| *count > 0);
        buckets
    }

    proptest! {
        #[test]
        fn a_native_histogram_holds_what_ours_does(values in prop::collection::vec(-50.0..5000.0_f64, 0..200)) {
            let mut ours = Histogram::new();
            values.iter().for_each(|value| ours.record((value * 4.0).round() / 4.0));
            let mut writer = Writer::default();
            native(&mut writer, &ours, 77);
            let read = <TimeSeries as prost::Message>::decode(&*writer.take()).unwrap().histogram.unwrap();
            prop_assert_eq!((read.count, read.sum, read.zero, read.timestamp), (ours.count(), ours.sum(), ours.zero_count(), 77));
            prop_assert_eq!(read.schema, i32::from(ours.scale()));
            let wanted: Vec<_> = ours.positive().map(|(index, count)| (index + 1, count)).collect();
            prop_assert_eq!(unfold(&read.positive_spans, &read.positive_deltas), wanted);
            let wanted: Vec<_> = ours.negative().map(|(index, count)| (index + 1, count)).collect();
            prop_assert_eq!(unfold(&read.negative_spans, &read.negative_deltas), wanted);
        }
    }

    #[test]
    fn names_are_prometheus_own() {
        for (name, wanted) in [("a-b.c", "a_b_c"), ("1x", "_1x"), ("", "_"), ("Ok_1", "Ok_1")] {
            assert_eq!(proper(name), wanted);
        }
    }
}
