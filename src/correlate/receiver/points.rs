//! Metrics: reads the points of those that a timeline knows.

use super::attributes;
use super::intake::Items;
use super::spans::{last, messages};
use crate::correlate::otlp::{Field, Fields, Malformed, Value};
use crate::correlate::{Intake, MetricPoint, MetricValue};
use std::time::Duration;

/// How the names begin of metrics about pools, runtimes and servers, of new and old conventions.
const KNOWN: [&[u8]; 8] =
    [b"db.client.", b"db.sql.", b"nodejs.", b"v8js.", b"process.", b"tokio.", b"http.server.", b"jvm."];

/// The fields of `Metric` that hold its data.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;
const EXPONENTIAL: u32 = 10;
const SUMMARY: u32 = 11;

/// `AggregationTemporality` of a change since the last point.
const DELTA: u64 = 1;
/// The flag of a point that only says that there is no value any more.
const NO_VALUE: u64 = 1;

/// What is the same for all points of a metric.
#[derive(Clone, Copy, Debug)]
struct Metric<'a> {
    name: &'a [u8],
    unit: &'a [u8],
    service: &'a str,
    /// Which of the kinds above.
    kind: u32,
    cumulative: bool,
    monotonic: bool,
}

/// What the kinds of points have in common, as it is read.
#[derive(Debug, Default)]
struct Raw {
    attributes: Vec<(String, String)>,
    start: u64,
    at: u64,
    number: Option<f64>,
    count: u64,
    sum: f64,
    counts: Vec<u64>,
    bounds: Vec<f64>,
    flags: u64,
}

/// Looks through an `ExportMetricsServiceRequest`. Points of known metrics go to `items`.
pub(super) fn read(message: &[u8], items: &mut Items) -> Result<(), Malformed> {
    for resource_metrics in messages(message, 1) {
        let resource_metrics = resource_metrics?;
        let mut service = None;
        for scope_metrics in messages(resource_metrics, 2) {
            for metric in messages(scope_metrics?, 2) {
                let metric = metric?;
                let name = last(metric, 1)?.unwrap_or_default();
                if !KNOWN.iter().any(|known| name.starts_with(known)) {
                    continue;
                }
                let service = match &mut service {
                    Some(service) => service,
                    none => none.insert(attributes::service(last(resource_metrics, 1)?)?),
                };
                read_metric(metric, name, service, items)?;
            }
        }
    }
    Ok(())
}

fn read_metric(metric: &[u8], name: &[u8], service: &str, items: &mut Items) -> Result<(), Malformed> {
    let unit = last(metric, 3)?.unwrap_or_default();
    for field in Fields::of(metric) {
        let Field { number: kind, value } = field?;
        if !matches!(kind, GAUGE | SUM | HISTOGRAM | EXPONENTIAL | SUMMARY) {
            continue;
        }
        let data = value.bytes()?;
        let (mut temporality, mut monotonic) = (0, false);
        for field in Fields::of(data) {
            let Field { number, value } = field?;
            match number {
                2 if kind != GAUGE && kind != SUMMARY => temporality = value.varint()?,
                3 if kind == SUM => monotonic = value.varint()? != 0,
                _ => {}
            }
        }
        let metric = Metric { name, unit, service, kind, cumulative: temporality != DELTA, monotonic };
        for point in messages(data, 1) {
            if let Some(point) = metric.point(point?)? {
                items.push(Intake::Metric(point))?;
            }
        }
    }
    Ok(())
}

// === impl Metric ===

impl Metric<'_> {
    fn point(&self, encoded: &[u8]) -> Result<Option<MetricPoint>, Malformed> {
        let mut raw = Raw::default();
        for field in Fields::of(encoded) {
            self.field(&mut raw, field?)?;
        }
        let Some(value) = self.value(&mut raw) else { return Ok(None) };
        Ok(Some(MetricPoint {
            name: attributes::text(self.name),
            unit: attributes::text(self.unit),
            service: self.service.to_owned(),
            at: Duration::from_nanos(raw.at),
            attributes: raw.attributes,
            value,
        }))
    }

    fn field(&self, raw: &mut Raw, Field { number, value }: Field<'_>) -> Result<(), Malformed> {
        match (self.kind, number) {
            (_, 2) => raw.start = value.fixed64()?,
            (_, 3) => raw.at = value.fixed64()?,
            (GAUGE | SUM | SUMMARY, 7) | (HISTOGRAM, 9) | (EXPONENTIAL, 1) => {
                attributes::add(&mut raw.attributes, value.bytes()?)?;
            }
            (GAUGE | SUM, 4) => raw.number = Some(f64::from_bits(value.fixed64()?)),
            (GAUGE | SUM, 6) => raw.number = Some(value.fixed64()?.cast_signed() as f64),
            (HISTOGRAM | EXPONENTIAL | SUMMARY, 4) => raw.count = value.fixed64()?,
            (HISTOGRAM | EXPONENTIAL | SUMMARY, 5) => raw.sum = f64::from_bits(value.fixed64()?),
            (HISTOGRAM, 6) => eights(value, |bits| raw.counts.push(bits))?,
            (HISTOGRAM, 7) => eights(value, |bits| raw.bounds.push(f64::from_bits(bits)))?,
            (GAUGE | SUM | SUMMARY, 8) | (HISTOGRAM | EXPONENTIAL, 10) => raw.flags = value.varint()?,
            _ => {}
        }
        Ok(())
    }

    /// None where the point says that there is no value.
    fn value(&self, raw: &mut Raw) -> Option<MetricValue> {
        if raw.flags & NO_VALUE != 0 {
            return None;
        }
        let (cumulative, start) = (self.cumulative, Duration::from_nanos(raw.start));
        match self.kind {
            GAUGE => raw.number.map(MetricValue::Gauge),
            // The whole of what also falls is where it stands now.
            SUM if cumulative && !self.monotonic => raw.number.map(MetricValue::Gauge),
            SUM => raw.number.map(|value| MetricValue::Sum { value, cumulative, start }),
            _ => {
                let (mut bounds, mut counts) = (std::mem::take(&mut raw.bounds), std::mem::take(&mut raw.counts));
                let rising = bounds.windows(2).all(|pair| matches!(pair, [low, high] if low < high));
                // Without buckets there are still count and sum.
                if counts.len() != bounds.len() + 1 || !rising {
                    (bounds, counts) = (Vec::new(), vec![raw.count]);
                }
                Some(MetricValue::Histogram { count: raw.count, sum: raw.sum, bounds, counts, cumulative, start })
            }
        }
    }
}

/// The elements of a list of eight bytes each, packed or not.
fn eights(value: Value<'_>, mut take: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(bits) => take(bits),
        Value::Bytes(packed) => {
            let (elements, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed::Truncated);
            }
            elements.iter().for_each(|element| take(u64::from_le_bytes(*element)));
        }
        Value::Varint(_) | Value::Fixed32(_) => return Err(Malformed::WrongType),
    }
    Ok(())
}
