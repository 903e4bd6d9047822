//! What becomes of whole messages, without a socket.

use super::*;
use crate::correlate::otlp::Signal;
use crate::correlate::{Intake, MetricValue, ServerSpan, SpanKind, Taken};
use crate::semconv::SpanId;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, NumberDataPoint, Sum,
    number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use proptest::prelude::*;
use std::time::Duration;

fn items(incoming: &mut Incoming) -> Vec<Intake> {
    let mut items = Vec::new();
    while let Some(mut batch) = incoming.try_next() {
        items.extend(batch.drain());
    }
    items
}

fn points(message: Bytes) -> Vec<MetricValue> {
    let (taker, mut incoming, _) = taker();
    assert_eq!(taker.take(Signal::Metrics, message), Taken::Queued);
    let value = |item| match item {
        Intake::Metric(point) => point.value,
        Intake::Span(span) => panic!("{span:?}"),
    };
    items(&mut incoming).into_iter().map(value).collect()
}

#[tokio::test]
async fn a_span_of_the_run_is_read_whole() {
    let (taker, mut incoming, _) = taker();
    let sent = Span {
        parent_span_id: vec![9; 8],
        kind: 2,
        start_time_unix_nano: 1_000_000_001,
        end_time_unix_nano: 2_000_000_002,
        attributes: vec![
            text("http.route", "/x"),
            attribute("http.response.status_code", Value::IntValue(-200)),
            attribute("ratio", Value::DoubleValue(0.5)),
            attribute("ok", Value::BoolValue(true)),
            attribute("list", Value::ArrayValue(Default::default())),
        ],
        ..span(ours(5))
    };
    assert_eq!(taker.take(Signal::Traces, traces(vec![span(vec![1; 16]), sent])), Taken::Queued);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let expected = ServerSpan {
        trace: TraceId::of_run(RUN, 5),
        span: SpanId([7; 8]),
        parent: Some(SpanId([9; 8])),
        name: "GET /".to_owned(),
        scope: "scope".to_owned(),
        service: "api/pod-1".to_owned(),
        kind: SpanKind::Server,
        start: Duration::new(1, 1),
        end: Duration::new(2, 2),
        attributes: vec![
            pair("http.route", "/x"),
            pair("http.response.status_code", "-200"),
            pair("ratio", "0.5"),
            pair("ok", "true"),
        ],
    };
    assert_eq!(items(&mut incoming), [Intake::Span(Box::new(expected))]);
    let stats = taker.stats();
    assert_eq!((stats.spans, stats.foreign, stats.strayed, stats.rejected), (2, 1, 0, 0));
}

#[tokio::test]
async fn what_is_kept_of_a_span_is_bounded() {
    let (taker, mut incoming, _) = taker();
    let mut sent = span(ours(1));
    sent.name = "ä".repeat(1000);
    sent.attributes = (0..100).map(|at| text(&format!("k{at}"), &"é".repeat(500))).collect();
    assert_eq!(taker.take(Signal::Traces, traces(vec![sent])), Taken::Queued);
    let [Intake::Span(read)] = &items(&mut incoming)[..] else { panic!("not one span") };
    assert_eq!((read.attributes.len(), read.name.len()), (64, 256));
    assert!(read.attributes.iter().all(|(_, value)| value == &"é".repeat(128)));
}

#[tokio::test]
async fn a_server_that_begins_its_own_trace_is_noticed() {
    let server = |attributes, links| Span { kind: 2, attributes, links, ..span(vec![1; 16]) };
    let link = Link { trace_id: ours(3), span_id: vec![1; 8], ..Link::default() };
    let other_run = vec![text("user_agent.original", "pacecar/0.1.0"), text("pacecar.run", "00000000000000ff")];
    for (strayed, sent) in [
        (1, server(vec![text("user_agent.original", "pacecar/0.1.0")], vec![])),
        (1, server(vec![text("http.user_agent", "pacecar/9")], vec![])),
        (1, server(vec![text("pacecar.run", &RUN.to_string())], vec![])),
        (1, server(vec![], vec![link])),
        (0, server(vec![text("user_agent.original", "curl/8")], vec![])),
        (0, server(other_run, vec![])),
        (0, Span { kind: 3, ..server(vec![text("user_agent.original", "pacecar/0.1.0")], vec![]) }),
    ] {
        let (taker, _incoming, _) = taker();
        assert_eq!(taker.take(Signal::Traces, traces(vec![sent.clone()])), Taken::Queued);
        assert_eq!((taker.stats().foreign, taker.stats().strayed), (1, strayed), "{sent:?}");
    }
}

#[tokio::test]
async fn everything_goes_on_byte_for_byte() {
    let (taker, _incoming, forward) = taker();
    // With a field that nobody knows yet.
    let mut message = traces(vec![span(ours(1)), span(vec![2; 16])]).to_vec();
    message.extend_from_slice(&[0xba, 0x3e, 3, 1, 2, 3]);
    assert_eq!(taker.take(Signal::Traces, message.clone().into()), Taken::Queued);
    let gauge = metric("any.thing", "1", Data::Gauge(Gauge::default()));
    assert_eq!(taker.take(Signal::Metrics, gauge.clone()), Taken::Queued);
    let first = forward.batch(usize::MAX).await.unwrap();
    assert_eq!((first.len(), &first[0].body[..], first[0].count), (1, &message[..], 2));
    let second = forward.batch(usize::MAX).await.unwrap();
    assert_eq!((second[0].signal, &second[0].body), (Signal::Metrics, &gauge));
}

#[tokio::test]
async fn points_of_known_metrics_are_read_by_their_meaning() {
    let number = |value| NumberDataPoint {
        value: Some(value),
        time_unix_nano: 3,
        start_time_unix_nano: 2,
        ..NumberDataPoint::default()
    };
    let int = |value| number(number_data_point::Value::AsInt(value));
    let sum = |point, aggregation_temporality, is_monotonic| {
        Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic })
    };
    let start = Duration::from_nanos(2);
    for (data, expected) in [
        (Data::Gauge(Gauge { data_points: vec![int(-4)] }), MetricValue::Gauge(-4.0)),
        (sum(int(5), 2, false), MetricValue::Gauge(5.0)),
        (sum(int(5), 2, true), MetricValue::Sum { value: 5.0, cumulative: true, start }),
        (sum(int(5), 1, true), MetricValue::Sum { value: 5.0, cumulative: false, start }),
        (sum(int(-5), 1, false), MetricValue::Sum { value: -5.0, cumulative: false, start }),
    ] {
        assert_eq!(points(metric("db.client.connection.count", "{connection}", data)), [expected]);
    }
    let gone = NumberDataPoint { flags: 1, ..int(0) };
    assert_eq!(points(metric("process.cpu.time", "s", Data::Gauge(Gauge { data_points: vec![gone] }))), []);
    assert_eq!(points(metric("my.own", "s", Data::Gauge(Gauge { data_points: vec![int(1)] }))), []);
}

#[tokio::test]
async fn distributions_are_read_with_and_without_buckets() {
    let point = |bucket_counts, explicit_bounds| {
        let point =
            HistogramDataPoint { count: 6, sum: Some(1.5), bucket_counts, explicit_bounds, ..Default::default() };
        metric(
            "db.client.connection.wait_time",
            "s",
            Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality: 1 }),
        )
    };
    let value = |bounds, counts, cumulative| MetricValue::Histogram {
        count: 6,
        sum: 1.5,
        bounds,
        counts,
        cumulative,
        start: Duration::ZERO,
    };
    assert_eq!(points(point(vec![1, 2, 3], vec![0.1, 1.0])), [value(vec![0.1, 1.0], vec![1, 2, 3], false)]);
    assert_eq!(points(point(vec![], vec![])), [value(vec![], vec![6], false)]);
    assert_eq!(points(point(vec![1, 2], vec![0.1, 1.0])), [value(vec![], vec![6], false)], "counts that do not fit");
    assert_eq!(points(point(vec![1, 2, 3], vec![1.0, 0.1])), [value(vec![], vec![6], false)], "bounds that fall");
    let exponential = ExponentialHistogramDataPoint { count: 6, sum: Some(1.5), ..Default::default() };
    let data = ExponentialHistogram { data_points: vec![exponential], aggregation_temporality: 2 };
    let message = metric("http.server.request.duration", "s", Data::ExponentialHistogram(data));
    assert_eq!(points(message), [value(vec![], vec![6], true)]);
}

#[tokio::test]
async fn what_is_full_says_later_and_nothing_is_counted_as_received() {
    let (taker, mut incoming, forward) = taker();
    let big = traces(vec![Span { trace_state: "x".repeat(4 << 20), ..span(ours(1)) }]);
    let mut queued = 0;
    while taker.take(Signal::Traces, big.clone()) == Taken::Queued {
        queued += 1;
        assert!(queued < 100, "never full");
    }
    let stats = taker.stats();
    assert_eq!((stats.spans, stats.later), (queued, 1));
    // What is joined came through all the same.
    assert_eq!(items(&mut incoming).len() as u64, queued + 1);
    // And there is room again once the collector has taken some.
    let parts = forward.batch(1).await.unwrap();
    forward.settle(&parts[0], 0);
    assert_eq!(taker.take(Signal::Traces, big), Taken::Queued);
}

#[tokio::test]
async fn what_nobody_joins_in_time_says_later() {
    let (outgoing, mut incoming) = intake();
    let taker = Taker::new(RUN, outgoing, None);
    let attributes = (0..64).map(|at| text(&format!("k{at}"), &"v".repeat(256))).collect::<Vec<_>>();
    let spans: Vec<_> = (0..100).map(|_| Span { attributes: attributes.clone(), ..span(ours(1)) }).collect();
    let message = traces(spans);
    let mut queued = 0;
    while taker.take(Signal::Traces, message.clone()) == Taken::Queued {
        queued += 1;
        assert!(queued < 100, "never full");
    }
    let batch = incoming.next().await.unwrap();
    assert_eq!(taker.take(Signal::Traces, message.clone()), Taken::Later, "its room is free only when it is dropped");
    drop(batch);
    assert_eq!(taker.take(Signal::Traces, message), Taken::Queued);
    // Traces of others need no room there.
    assert_eq!(taker.take(Signal::Traces, traces(vec![span(vec![1; 16])])), Taken::Queued);
}

#[tokio::test]
async fn more_spans_of_the_run_than_can_be_taken_at_once_are_refused() {
    let (taker, _incoming, _) = taker();
    let message = traces(vec![span(ours(1)); 150_000]);
    assert!(matches!(taker.take(Signal::Traces, message), Taken::Garbage(_)));
    assert_eq!(taker.stats().rejected, 1);
}

#[tokio::test]
async fn where_nobody_joins_everything_still_passes() {
    let (taker, incoming, _forward) = taker();
    drop(incoming);
    assert_eq!(taker.take(Signal::Traces, traces(vec![span(ours(1))])), Taken::Queued);
}

proptest! {
    /// Whatever comes, there is an answer; and what another implementation reads is not called garbage.
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let (taker, _incoming, _forward) = taker();
        for signal in Signal::ALL {
            let _ = taker.take(signal, bytes.clone().into());
            let _ = taker.take_json(signal, &bytes);
        }
    }

    /// A message that is cut off or damaged has an answer too.
    #[test]
    fn a_damaged_message_has_an_answer(at in 0usize..2000, value: u8, cut in 0usize..2000) {
        let sent = Span { attributes: vec![text("a", "b")], kind: 2, ..span(ours(1)) };
        let mut message = traces(vec![sent.clone(), span(vec![3; 16]), sent]).to_vec();
        let length = message.len();
        message[at % length] = value;
        message.truncate(cut % (length + 1));
        let (taker, _incoming, _forward) = taker();
        let taken = taker.take(Signal::Traces, message.clone().into());
        if ExportTraceServiceRequest::decode(&*message).is_ok_and(|read| {
            // An id of another length is no id: this alone is read more strictly here.
            let spans = read.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
            spans.into_iter().all(|span| {
                span.trace_id.len() == 16 && span.span_id.len() == 8 && matches!(span.parent_span_id.len(), 0 | 8)
            })
        }) {
            prop_assert_eq!(taken, Taken::Queued);
        }
    }

    /// A message cut off within its one list is refused.
    #[test]
    fn a_truncated_message_is_refused(cut in 1usize..2000) {
        let message = traces(vec![span(ours(1)), span(vec![3; 16])]);
        let (taker, _incoming, _forward) = taker();
        let cut = 1 + cut % (message.len() - 1);
        let taken = taker.take(Signal::Traces, message.slice(..cut));
        prop_assert!(matches!(taken, Taken::Garbage(_)), "{taken:?}");
        prop_assert_eq!(taker.stats().rejected, 1);
    }
}
