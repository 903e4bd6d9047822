//! JSON made into protobuf, held against another's reading of OTLP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Malformed, Signal, transcode};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

fn traces(json: &serde_json::Value) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(&*transcode(Signal::Traces, json.to_string().as_bytes()).unwrap()).unwrap()
}

/// A request whose one span has this key.
fn span_with(key: &str, value: serde_json::Value) -> serde_json::Value {
    json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{ key: value }] }] }] })
}

#[test]
fn the_example_of_the_specification_is_read_field_for_field() {
    let json = json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "my.service" } }] },
        "scopeSpans": [{
            "scope": { "name": "my.library", "version": "1.0.0", "attributes": [
                { "key": "my.scope.attribute", "value": { "stringValue": "some scope attribute" } }] },
            "spans": [{
                "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
                "parentSpanId": "EEE19B7EC3C1B173", "name": "I'm a server span",
                "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000", "kind": 2,
                "flags": 257, "status": { "code": 2, "message": "no" }, "droppedEventsCount": 3,
                "events": [{ "timeUnixNano": "5", "name": "e" }],
                "links": [{ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174" }],
                "attributes": [
                    { "key": "text", "value": { "stringValue": "some" } },
                    { "key": "number", "value": { "intValue": "-9223372036854775808" } },
                    { "key": "bare", "value": { "intValue": 7 } },
                    { "key": "zero", "value": { "intValue": 0 } },
                    { "key": "real", "value": { "doubleValue": 1.5 } },
                    { "key": "nan", "value": { "doubleValue": "NaN" } },
                    { "key": "no", "value": { "boolValue": false } },
                    { "key": "bytes", "value": { "bytesValue": "AQID" } },
                    { "key": "list", "value": { "arrayValue": { "values": [{ "intValue": "1" }, {}] } } },
                    { "key": "map", "value": { "kvlistValue": { "values": [{ "key": "k", "value": { "boolValue": true } }] } } }
                ]
            }]
        }]
    }]});
    let read = traces(&json);
    let resource = &read.resource_spans[0];
    assert_eq!(resource.resource.as_ref().unwrap().attributes[0].key, "service.name");
    let scope = &resource.scope_spans[0];
    assert_eq!(scope.scope.as_ref().unwrap().version, "1.0.0");
    let span = &scope.spans[0];
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.parent_span_id[7], 0x73);
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1544712660000000000, 1544712661000000000));
    assert_eq!((span.kind, span.flags, span.dropped_events_count), (2, 257, 3));
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "no"));
    assert_eq!((span.events[0].time_unix_nano, span.links[0].trace_id.len()), (5, 16));
    let value = |at: usize| span.attributes[at].value.as_ref().and_then(|value| value.value.clone()).unwrap();
    assert_eq!(value(1), Value::IntValue(i64::MIN));
    assert_eq!(value(2), Value::IntValue(7));
    assert_eq!(value(3), Value::IntValue(0), "a value that is zero is still a value");
    assert_eq!(value(4), Value::DoubleValue(1.5));
    assert!(matches!(value(5), Value::DoubleValue(nan) if nan.is_nan()));
    assert_eq!(value(6), Value::BoolValue(false));
    assert_eq!(value(7), Value::BytesValue(vec![1, 2, 3]));
    assert!(matches!(value(8), Value::ArrayValue(list) if list.values.len() == 2));
    assert!(matches!(value(9), Value::KvlistValue(map) if map.values[0].key == "k"));
}

#[test]
fn every_kind_of_metric_is_read() {
    let json = json!({ "resource_metrics": [{ "scope_metrics": [{ "metrics": [
        { "name": "g", "unit": "s", "gauge": { "dataPoints": [{ "asDouble": 0.5, "timeUnixNano": "9" }] } },
        { "name": "s", "sum": { "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE", "isMonotonic": true,
            "dataPoints": [{ "asInt": "-3", "startTimeUnixNano": 4 }] } },
        { "name": "h", "histogram": { "aggregationTemporality": 1, "dataPoints": [
            { "count": "6", "sum": 12, "bucketCounts": ["1", 2, "3"], "explicitBounds": [0.1, 1], "min": 0, "max": 5 }] } },
        { "name": "e", "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": [
            { "count": 3, "scale": -2, "zeroCount": "1", "positive": { "offset": -5, "bucketCounts": ["1", "1"] } }] } },
        { "name": "q", "summary": { "dataPoints": [{ "count": "1", "quantileValues": [{ "quantile": 0.5, "value": 2 }] }] } }
    ] }] }] });
    let encoded = transcode(Signal::Metrics, json.to_string().as_bytes()).unwrap();
    let read = ExportMetricsServiceRequest::decode(&*encoded).unwrap();
    let metrics = &read.resource_metrics[0].scope_metrics[0].metrics;
    let data: Vec<_> = metrics.iter().map(|metric| metric.data.clone().unwrap()).collect();
    let Data::Gauge(gauge) = &data[0] else { panic!("{data:?}") };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(0.5)));
    let Data::Sum(sum) = &data[1] else { panic!("{data:?}") };
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(-3)));
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    let Data::Histogram(histogram) = &data[2] else { panic!("{data:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[1, 2, 3][..], &[0.1, 1.0][..]));
    assert_eq!((point.count, point.sum, point.min, point.max), (6, Some(12.0), Some(0.0), Some(5.0)));
    let Data::ExponentialHistogram(histogram) = &data[3] else { panic!("{data:?}") };
    let point = &histogram.data_points[0];
    let positive = point.positive.as_ref().unwrap();
    assert_eq!((point.scale, positive.offset, &positive.bucket_counts[..]), (-2, -5, &[1, 1][..]));
    assert!(matches!(&data[4], Data::Summary(summary) if summary.data_points[0].quantile_values[0].value == 2.0));
}

#[test]
fn logs_are_read() {
    let json = json!({ "resourceLogs": [{ "scopeLogs": [{ "logRecords": [{
        "timeUnixNano": "7", "severityNumber": "SEVERITY_NUMBER_WARN", "body": { "stringValue": "b" }, "traceId": "" }] }] }] });
    let encoded = transcode(Signal::Logs, json.to_string().as_bytes()).unwrap();
    let read = ExportLogsServiceRequest::decode(&*encoded).unwrap();
    let record = &read.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.time_unix_nano, record.severity_number), (7, 13));
    assert_eq!(record.body.as_ref().unwrap().value, Some(Value::StringValue("b".to_owned())));
}

#[test]
fn unknown_keys_and_nulls_are_passed_over() {
    let read = traces(&json!({ "future": [{ "a": 1 }], "resourceSpans": [{ "scopeSpans": [{ "spans": [
        { "name": "x", "brandNew": { "deep": [1, 2] }, "parentSpanId": null, "events": null }] }] }] }));
    assert_eq!(read.resource_spans[0].scope_spans[0].spans[0].name, "x");
}

#[test]
fn what_is_not_otlp_is_refused() {
    for (key, value) in [
        ("traceId", json!("5b8efff798038103d269b633813fc6")),
        ("traceId", json!("5b8efff798038103d269b633813fc60g")),
        ("traceId", json!("5b8efff798038103é269b633813fc60")),
        ("traceId", json!(7)),
        ("startTimeUnixNano", json!("-1")),
        ("startTimeUnixNano", json!(1.5)),
        ("startTimeUnixNano", json!("18446744073709551616")),
        ("flags", json!(4294967296u64)),
        ("kind", json!("SPAN_KIND_ODD")),
        ("name", json!({})),
        ("name", json!(true)),
        ("attributes", json!({})),
        ("attributes", json!([3])),
        ("status", json!("bad")),
    ] {
        let json = span_with(key, value).to_string();
        assert!(matches!(transcode(Signal::Traces, json.as_bytes()), Err(Malformed::Json(_))), "{json}");
    }
    for text in ["", "[]", "{", "{} {}", "nul", "\u{feff}{}", "{\"resourceSpans\":[{]}"] {
        assert!(transcode(Signal::Traces, text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn depth_is_bounded_and_a_message_tells_nothing_long() {
    // Below a key that nobody knows it is walked over without recursion.
    let deep = format!("{}1{}", "{\"a\":[".repeat(100_000), "]}".repeat(100_000));
    assert_eq!(transcode(Signal::Traces, deep.as_bytes()), Ok(Vec::new()));
    let nested = "{\"arrayValue\":{\"values\":[".repeat(50_000);
    let json = format!("{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"value\":{nested}");
    assert!(transcode(Signal::Traces, json.as_bytes()).is_err());
    let long = span_with("kind", json!("x".repeat(1 << 20)));
    let Err(error) = transcode(Signal::Traces, long.to_string().as_bytes()) else { panic!("taken") };
    assert!(error.to_string().len() < 1000);
}

proptest! {
    /// What another implementation writes as JSON becomes what it writes as protobuf.
    #[test]
    fn anothers_json_becomes_the_same_message(
        name in ".{0,200}", trace: [u8; 16], span: [u8; 8], start: u64, end: u64, kind in 0..6i32, number: i64,
        real in -1e9..1e9f64, text in ".{0,40}", dropped: u32, truth: bool,
    ) {
        use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
        use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
        let attribute = |key: &str, value| KeyValue {
            key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default()
        };
        let request = ExportTraceServiceRequest { resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans { spans: vec![Span {
                trace_id: trace.to_vec(), span_id: span.to_vec(), name, kind, dropped_attributes_count: dropped,
                start_time_unix_nano: start, end_time_unix_nano: end,
                attributes: vec![
                    attribute("i", Value::IntValue(number)), attribute("d", Value::DoubleValue(real)),
                    attribute("s", Value::StringValue(text)), attribute("b", Value::BoolValue(truth)),
                ],
                ..Default::default()
            }], ..Default::default() }],
            ..Default::default()
        }] };
        let json = serde_json::to_vec(&request).unwrap();
        let encoded = transcode(Signal::Traces, &json).unwrap();
        prop_assert_eq!(ExportTraceServiceRequest::decode(&*encoded).unwrap(), request);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        for signal in Signal::ALL {
            let _ = transcode(signal, &bytes);
        }
    }

    /// Text that is cut off anywhere is refused.
    #[test]
    fn json_cut_short_is_refused(at in 0usize..100) {
        let json = span_with("name", json!("x")).to_string();
        let at = at.min(json.len() - 1);
        prop_assert!(transcode(Signal::Traces, &json.as_bytes()[..at]).is_err());
    }
}
