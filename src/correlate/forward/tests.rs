//! The forwarder against collectors of every temper, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::correlate::SpanKind;
use crate::correlate::otlp::Signal;
use crate::semconv::{RunId, SpanId, TraceId};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::convert::Infallible;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

const RUN: RunId = RunId::new(7);
const LONG: Duration = Duration::from_secs(30);

type Seen = Arc<Mutex<Vec<(http::request::Parts, Bytes)>>>;
type Reply = fn(usize, &Bytes) -> Response<Full<Bytes>>;

/// A collector over HTTP/1.1: answers the nth request with what `reply` says, and keeps what it saw.
async fn collector(reply: Reply) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let keep = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let keep = Arc::clone(&keep);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let keep = Arc::clone(&keep);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let mut keep = keep.lock().unwrap();
                        let answer = reply(keep.len(), &body);
                        keep.push((head, body));
                        Ok::<_, Infallible>(answer)
                    }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, seen)
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

fn forwarder(url: &str, variables: &[(&str, &str)]) -> Forwarder {
    let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Forwarder::start(Collector::at(url, &lookup).unwrap(), RUN).unwrap()
}

fn spans(body: &'static [u8], count: u64) -> Part {
    Part { signal: Signal::Traces, kind: Kind::Spans, body: Bytes::from_static(body), count }
}

#[tokio::test]
async fn what_is_handed_over_arrives_as_it_was_at_each_signals_path() {
    let (url, seen) = collector(|_, _| answer(200)).await;
    let url = url.replace("http://", "http://user:p%40ss@") + "/prefix/";
    let forwarder = forwarder(&url, &[("OTEL_EXPORTER_OTLP_HEADERS", "tenant=7")]);
    let forward = forwarder.handle();
    forward.push(spans(b"\x0a\x01a", 3)).unwrap();
    forward.push(spans(b"\x0a\x01b", 4)).unwrap();
    let metrics = Part { signal: Signal::Metrics, kind: Kind::Other, body: Bytes::from_static(b"m"), count: 1 };
    forward.push(metrics).unwrap();
    let stats = forwarder.finish(LONG).await;
    assert_eq!((stats.spans, stats.others), (Tally { acknowledged: 7, lost: 0 }, Tally { acknowledged: 1, lost: 0 }));
    let seen = seen.lock().unwrap();
    let traces: Vec<u8> = seen
        .iter()
        .filter(|(head, _)| head.uri.path().ends_with("traces"))
        .flat_map(|(_, body)| body.to_vec())
        .collect();
    assert_eq!(traces, b"\x0a\x01a\x0a\x01b", "one behind the other");
    let (head, body) = seen.last().unwrap();
    assert_eq!((head.uri.path(), &body[..]), ("/prefix/v1/metrics", &b"m"[..]));
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    assert_eq!(head.headers["authorization"], "Basic dXNlcjpwQHNz");
    assert_eq!(head.headers["tenant"], "7");
    assert_eq!(head.headers[FORWARDED_BY], RUN.to_string());
}

#[tokio::test]
async fn it_is_packed_where_that_is_asked_for() {
    let (url, seen) = collector(|_, _| answer(200)).await;
    let forwarder = forwarder(&url, &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")]);
    forwarder.handle().push(spans(b"unpacked", 1)).unwrap();
    assert_eq!(forwarder.finish(LONG).await.spans.acknowledged, 1);
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].0.headers["content-encoding"], "gzip");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&seen[0].1[..]).read_to_string(&mut unpacked).unwrap();
    assert_eq!(unpacked, "unpacked");
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let (url, seen) = collector(|nth, _| match nth {
        0 => answer(503),
        1 => {
            let mut later = answer(429);
            later.headers_mut().insert("retry-after", "0".parse().unwrap());
            later
        }
        _ => answer(202),
    })
    .await;
    let forwarder = forwarder(&url, &[]);
    forwarder.handle().push(spans(b"x", 5)).unwrap();
    assert_eq!(forwarder.finish(LONG).await.spans, Tally { acknowledged: 5, lost: 0 });
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bad_message_does_not_take_its_neighbours_with_it() {
    let (url, _) = collector(|_, body| answer(if body.contains(&b'!') { 400 } else { 200 })).await;
    let forwarder = forwarder(&url, &[]);
    let forward = forwarder.handle();
    for body in [&b"a"[..], b"b", b"!", b"c", b"d"] {
        forward.push(spans(body, 10)).unwrap();
    }
    assert_eq!(forwarder.finish(LONG).await.spans, Tally { acknowledged: 40, lost: 10 });
}

#[tokio::test]
async fn what_the_collector_refuses_of_a_message_is_lost() {
    let (url, _) = collector(|_, _| {
        let partial = ExportTracePartialSuccess { rejected_spans: 3, error_message: "no".to_owned() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        Response::new(Full::from(body))
    })
    .await;
    let forwarder = forwarder(&url, &[]);
    forwarder.handle().push(spans(b"x", 10)).unwrap();
    assert_eq!(forwarder.finish(LONG).await.spans, Tally { acknowledged: 7, lost: 3 });
}

#[tokio::test]
async fn a_dead_a_silent_and_a_babbling_collector_lose_what_there_is_and_hold_nobody_up() {
    // Nobody listens on port 1.
    let dead_url = "http://127.0.0.1:1".to_owned();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let babbling = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let babbling_url = format!("http://{}", babbling.local_addr().unwrap());
    let babble = tokio::spawn(async move {
        loop {
            let (mut stream, _) = babbling.accept().await.unwrap();
            let _ = stream.write_all(&[b'x'; 100_000]).await;
        }
    });
    for url in [dead_url, silent_url, babbling_url] {
        let forwarder = forwarder(&url, &[]);
        let forward = forwarder.handle();
        forward.push(spans(b"x", 2)).unwrap();
        forward.push(spans(b"y", 3)).unwrap();
        let ended = tokio::time::timeout(LONG, forwarder.finish(Duration::from_millis(300))).await;
        assert_eq!(ended.expect("it hangs").spans, Tally { acknowledged: 0, lost: 5 }, "{url}");
        assert!(forward.push(spans(b"z", 1)).is_err(), "it takes more after its end");
    }
    babble.abort();
}

#[tokio::test]
async fn a_full_queue_hands_back_and_one_big_message_fits_in_it() {
    let (url, _) = collector(|_, _| answer(200)).await;
    let forwarder = forwarder(&url, &[]);
    let forward = forwarder.handle();
    let part =
        |length: usize| Part { signal: Signal::Traces, kind: Kind::Spans, body: vec![0; length].into(), count: 1 };
    // Nothing is sent before this test waits: there is one thread.
    let taken = (0..100).take_while(|_| forward.push(part(8 << 20)).is_ok()).count();
    assert!((1..=4).contains(&taken), "{taken} of 8 MiB");
    let stats = forwarder.finish(LONG).await;
    assert_eq!(stats.spans, Tally { acknowledged: taken as u64, lost: 0 });
}

#[tokio::test]
async fn own_spans_are_what_another_implementation_reads() {
    let (url, seen) = collector(|_, _| answer(200)).await;
    let forwarder = forwarder(&url, &[]);
    let mut own = OwnSpans::new(RUN, &[("k8s.pod.name", OwnValue::Text("pod"))], forwarder.handle());
    let prepared = Prepared::new(&[("http.request.method", OwnValue::Text("GET"))]);
    let span = OwnSpan {
        trace: TraceId::of_run(RUN, 1),
        span: SpanId::new(2),
        parent: Some(SpanId::new(3)),
        name: "GET /x",
        kind: SpanKind::Client,
        start: Duration::new(5, 6),
        end: Duration::new(7, 8),
        error: Some("500"),
        prepared: &prepared,
        attributes: &[("http.response.status_code", OwnValue::Number(500)), ("ok", OwnValue::Truth(false))],
    };
    own.push(&span);
    own.push(&OwnSpan { parent: None, error: None, kind: SpanKind::Internal, end: Duration::ZERO, ..span });
    own.flush();
    assert_eq!(forwarder.finish(LONG).await.own, Tally { acknowledged: 2, lost: 0 });
    let seen = seen.lock().unwrap();
    let read = ExportTraceServiceRequest::decode(seen[0].1.clone()).unwrap();
    let resource = &read.resource_spans[0];
    let keys = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| -> Vec<String> {
        attributes.iter().map(|attribute| attribute.key.clone()).collect()
    };
    assert_eq!(
        keys(&resource.resource.as_ref().unwrap().attributes),
        ["service.name", "service.version", "k8s.pod.name"]
    );
    assert_eq!(resource.scope_spans[0].scope.as_ref().unwrap().name, "pacecar");
    let [first, second] = &resource.scope_spans[0].spans[..] else { panic!("not two spans") };
    assert_eq!(
        (first.trace_id.as_slice(), first.parent_span_id.as_slice()),
        (&span.trace.0[..], &SpanId::new(3).0[..])
    );
    assert_eq!((first.kind, first.status.as_ref().unwrap().code), (3, 2));
    assert_eq!((first.start_time_unix_nano, first.end_time_unix_nano), (5_000_000_006, 7_000_000_008));
    assert_eq!(
        keys(&first.attributes),
        [
            "user_agent.synthetic.type",
            "pacecar.run",
            "http.request.method",
            "http.response.status_code",
            "ok",
            "error.type"
        ]
    );
    assert!(second.parent_span_id.is_empty() && second.status.is_none() && second.kind == 1);
    assert_eq!(second.end_time_unix_nano, second.start_time_unix_nano, "never ends before it begins");
}

#[tokio::test]
async fn over_grpc_the_receiver_takes_what_the_forwarder_sends() {
    use crate::correlate::{Bound, ReceiverConfig, Taker, intake};
    let config = ReceiverConfig { grpc: Some("127.0.0.1:0".to_owned()), ..ReceiverConfig::default() };
    let bound = Bound::bind(&config).await.unwrap();
    let endpoint = bound.grpc().unwrap().to_string();
    let (outgoing, _incoming) = intake();
    let receiver = bound.start(Taker::new(RunId::new(8), outgoing, None));
    for compression in ["none", "gzip"] {
        let lookup = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("grpc".to_owned()),
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
            "OTEL_EXPORTER_OTLP_COMPRESSION" => Some(compression.to_owned()),
            _ => None,
        };
        let forwarder = Forwarder::start(Collector::from_environment(&lookup).unwrap().unwrap(), RUN).unwrap();
        let mut own = OwnSpans::new(RUN, &[], forwarder.handle());
        own.push(&OwnSpan {
            trace: TraceId::of_run(RUN, 1),
            span: SpanId::new(2),
            parent: None,
            name: "x",
            kind: SpanKind::Client,
            start: Duration::ZERO,
            end: Duration::ZERO,
            error: None,
            prepared: &Prepared::default(),
            attributes: &[],
        });
        drop(own);
        assert_eq!(forwarder.finish(LONG).await.own, Tally { acknowledged: 1, lost: 0 }, "{compression}");
    }
    assert_eq!(receiver.stop().await.spans, 2);
}

#[test]
fn an_address_of_pacecars_own_is_refused() {
    let collector = Collector::at("http://localhost:4318/x", &|_| None).unwrap();
    let error = collector.refuse_own("correlate.traces.forward", &["127.0.0.1:4317", "127.0.0.1:4318"]).unwrap_err();
    assert_eq!(error.to_string(), "correlate.traces.forward is an address of pacecar's own (127.0.0.1:4318)");
    assert!(collector.refuse_own("x", &["127.0.0.1:4317"]).is_ok());
}
