//! The receiver and the forwarder between two real OpenTelemetry Collectors: one that sends by the book, over gRPC
//! and over HTTP with gzip, and one that takes what pacecar forwards and exports.
//!
//! `make e2e` builds the collector from its Go modules and runs this.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pacecar::correlate::otlp::Signal;
use pacecar::correlate::{
    Bound, Collector, Forwarder, Intake, OwnSpan, OwnSpans, OwnValue, Prepared, ReceiverConfig, SpanKind, Taken, Taker,
    Tally, intake,
};
use pacecar::export::{self, Environment, Exported, Exports};
use pacecar::measure::{
    IterationSample, LayoutBuilder, Proto, Record, Recorder, RecorderHandle, RequestRecord, RequestSample, SiteTags,
    Thresholds, Timings,
};
use pacecar::plan::{Diagnostics, Spanned};
use pacecar::semconv::{RunId, SpanId, TraceId};
use prost::Message;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

const RUN: RunId = RunId::new(0x0123_4567_89ab_cdef);
/// For a collector to start, and for a span to pass through one. It takes well under a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector that is running; dropped, it dies.
struct Running {
    child: Child,
    http: SocketAddr,
    grpc: SocketAddr,
    written: PathBuf,
}

impl Running {
    /// Starts a collector that hands what comes in to `exporters`.
    async fn start(folder: &Path, name: &str, exporters: &str, used: &str) -> Self {
        let binary = std::env::var_os("PACECAR_COLLECTOR").expect("PACECAR_COLLECTOR: `make e2e` sets it");
        let (http, grpc) = (free(), free());
        let config = format!(
            "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: '{http}' }}, grpc: {{ endpoint: '{grpc}' }} }} }} }}\n\
             exporters: {exporters}\n\
             service: {{ pipelines: {{ traces: {{ receivers: [otlp], exporters: [{used}] }},\n\
             \x20 metrics: {{ receivers: [otlp], exporters: [{used}] }}, logs: {{ receivers: [otlp], exporters: [{used}] }} }} }}\n"
        );
        let file = folder.join(format!("{name}.yaml"));
        std::fs::write(&file, config).unwrap();
        let written = folder.join(format!("{name}.log"));
        let log = File::create(&written).unwrap();
        let child = Command::new(binary)
            .arg(format!("--config=file:{}", file.display()))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let running = Self { child, http, grpc, written };
        let up = async {
            while TcpStream::connect(http).await.is_err() || TcpStream::connect(grpc).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, up).await.is_ok(), "it does not start: {}", running.output());
        running
    }

    /// What it has written down.
    fn output(&self) -> String {
        std::fs::read_to_string(&self.written).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn span(name: &str) -> Vec<u8> {
    let attribute = KeyValue {
        key: "http.route".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue("/x".to_owned())) }),
        ..KeyValue::default()
    };
    let span = Span {
        trace_id: TraceId::of_run(RUN, 1).0.to_vec(),
        span_id: vec![7; 8],
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_050_000_000,
        attributes: vec![attribute],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[tokio::test]
#[ignore = "needs the real OpenTelemetry Collector: make e2e"]
async fn a_real_collector_takes_what_is_forwarded_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let last = Running::start(
        folder.path(),
        "last",
        "{ debug: { verbosity: detailed, use_internal_logger: false } }",
        "debug",
    )
    .await;

    // Over HTTP: what came in, as protobuf and as JSON, metrics and logs too, and pacecar's own spans.
    let collector = Collector::at(&format!("http://{}", last.http), &|name| {
        (name == "OTEL_EXPORTER_OTLP_COMPRESSION").then(|| "gzip".to_owned())
    });
    let forwarder = Forwarder::start(collector.unwrap(), RUN).unwrap();
    let (outgoing, _incoming) = intake();
    let taker = Taker::new(RUN, outgoing, Some(forwarder.handle()));
    assert_eq!(taker.take(Signal::Traces, span("as-protobuf").into()), Taken::Queued);
    let json = ExportTraceServiceRequest::decode(&*span("as-json")).unwrap();
    assert_eq!(taker.take_json(Signal::Traces, &serde_json::to_vec(&json).unwrap()), Taken::Queued);
    let metric = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"db.client.connection.count","gauge":
        {"dataPoints":[{"asInt":"5","timeUnixNano":"1700000000000000000"}]}}]}]}]}"#;
    assert_eq!(taker.take_json(Signal::Metrics, metric), Taken::Queued);
    let log = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a-log-line"}}]}]}]}"#;
    assert_eq!(taker.take_json(Signal::Logs, log), Taken::Queued);
    own(&forwarder, "own-over-http");
    let stats = forwarder.finish(PATIENCE).await;
    let tally = |acknowledged| Tally { acknowledged, lost: 0 };
    assert_eq!((stats.spans, stats.own, stats.others), (tally(2), tally(1), tally(2)));

    // Over gRPC: pacecar's own spans, as the variables ask.
    let endpoint = last.grpc.to_string();
    let collector = Collector::from_environment(&|name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
        "OTEL_EXPORTER_OTLP_PROTOCOL" => Some("grpc".to_owned()),
        _ => None,
    });
    let forwarder = Forwarder::start(collector.unwrap().unwrap(), RUN).unwrap();
    own(&forwarder, "own-over-grpc");
    assert_eq!(forwarder.finish(PATIENCE).await.own, tally(1));

    let output = last.output();
    for expected in [
        "as-protobuf",
        "as-json",
        "db.client.connection.count",
        "a-log-line",
        "own-over-http",
        "own-over-grpc",
        "service.name: Str(pacecar)",
        "user_agent.synthetic.type: Str(test)",
        "http.response.status_code: Int(200)",
        "Trace ID       : 0123456789abcdef0000000000000001",
    ] {
        assert!(output.contains(expected), "no {expected} in {output}");
    }
}

#[tokio::test]
#[ignore = "needs the real OpenTelemetry Collector: make e2e"]
async fn a_real_collector_sends_and_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let config = ReceiverConfig { listen: Some("127.0.0.1:0".to_owned()), grpc: Some("127.0.0.1:0".to_owned()) };
    let bound = Bound::bind(&config).await.unwrap();
    let (http, grpc) = (bound.http().unwrap(), bound.grpc().unwrap());
    let (outgoing, mut incoming) = intake();
    let receiver = bound.start(Taker::new(RUN, outgoing, None));
    // Each of these is another way to send: packed or not, protobuf or JSON.
    let exporters = format!(
        "{{ otlp/packed: {{ endpoint: '{grpc}', tls: {{ insecure: true }}, compression: gzip }},\n\
         \x20 otlp/plain: {{ endpoint: '{grpc}', tls: {{ insecure: true }}, compression: none }},\n\
         \x20 otlphttp/packed: {{ endpoint: 'http://{http}' }},\n\
         \x20 otlphttp/json: {{ endpoint: 'http://{http}', encoding: json, compression: none }} }}"
    );
    let used = "otlp/packed, otlp/plain, otlphttp/packed, otlphttp/json";
    let first = Running::start(folder.path(), "first", &exporters, used).await;
    let collector = Collector::at(&format!("http://{}", first.http), &|_| None).unwrap();
    let forwarder = Forwarder::start(collector, RunId::new(1)).unwrap();
    let (elsewhere, _) = intake();
    let taker = Taker::new(RunId::new(1), elsewhere, Some(forwarder.handle()));
    assert_eq!(taker.take(Signal::Traces, span("through-it").into()), Taken::Queued);
    assert_eq!(forwarder.finish(PATIENCE).await.spans.acknowledged, 1);
    for way in 1..=4 {
        let next = tokio::time::timeout(PATIENCE, incoming.next()).await;
        let batch = next.unwrap_or_else(|_| panic!("way {way} does not arrive: {}", first.output())).unwrap();
        let [Intake::Span(span)] = batch.items() else { panic!("{batch:?}") };
        assert_eq!(
            (span.name.as_str(), span.kind, span.trace),
            ("through-it", SpanKind::Server, TraceId::of_run(RUN, 1))
        );
        assert_eq!(span.end - span.start, Duration::from_millis(50));
        assert_eq!(span.attributes, [("http.route".to_owned(), "/x".to_owned())]);
    }
    let stats = receiver.stop().await;
    assert_eq!((stats.spans, stats.rejected), (4, 0));
}

#[tokio::test]
#[ignore = "needs the real OpenTelemetry Collector: make e2e"]
async fn a_real_collector_takes_what_the_output_otlp_sends() {
    let folder = tempfile::tempdir().unwrap();
    let exporters = "{ debug: { verbosity: detailed, use_internal_logger: false } }";
    let collector = Running::start(folder.path(), "outputs", exporters, "debug").await;
    let mut layout = LayoutBuilder::new(Vec::new());
    let scenario = layout.scenario("main", &[]);
    let tags = SiteTags { step: "login".into(), method: "GET".into(), url: "/login".into() };
    let site = layout.site(scenario, tags, 1.0);
    layout.points();
    let layout = layout.build();
    let now = tokio::time::Instant::now();
    let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), now));
    let ended = now + Duration::from_millis(20);
    let sample = RequestSample {
        due: now,
        ended,
        timings: Timings { waiting: Duration::from_millis(20), ..Timings::default() },
        status: 200,
        expected: true,
        failure: None,
        proto: Some(Proto::Http11),
        tls: None,
        tenant: 0,
    };
    recorder.request(site, &sample);
    let (trace, span) = (TraceId::of_run(RUN, 1), SpanId::new(2));
    recorder
        .tell(|| Record::Request(RequestRecord { site, trace, span, hop: 0, last: true, sample, server_timing: None }));
    recorder.iteration(scenario, &IterationSample { due: now, started: now, ended });
    let batch = Arc::new(recorder.swap(Recorder::new(Arc::clone(&layout), now)).take_stream());
    let run = Exported { run: RUN, plan: "a-plan", layout: &layout, planned: 1, thresholds: &Thresholds::default() };
    for (protocol, address) in [("http/protobuf", collector.http), ("grpc", collector.grpc)] {
        let variable = ("OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(), protocol.to_owned());
        let mut diagnostics = Diagnostics::new("plan");
        let texts = [Spanned::nowhere(format!("otlp=http://{address}"))];
        let outputs = export::compile(&texts, &Environment::from([variable]), &mut diagnostics);
        let mut exports = Exports::open(&outputs, &run).await.unwrap();
        exports.begin();
        exports.record(&batch);
        exports.close();
        // Points, one span, one event.
        let figures = exports.finish().await;
        assert_eq!(
            (figures[0].name, figures[0].written, figures[0].lost),
            ("otlp", batch.points() + 2, 0),
            "{protocol}"
        );
    }
    let output = collector.output();
    for expected in [
        "DataType: ExponentialHistogram",
        "-> Name: http_req_duration",
        "-> Unit: ms",
        "Trace ID: 0123456789abcdef0000000000000001",
        "-> Name: http_reqs",
        "pacecar.run.start",
        "pacecar.plan: Str(a-plan)",
        "Name           : GET /login",
    ] {
        assert!(output.contains(expected), "no {expected} in {output}");
    }
}

fn own(forwarder: &Forwarder, name: &str) {
    let mut own = OwnSpans::new(RUN, &[], forwarder.handle());
    own.push(&OwnSpan {
        trace: TraceId::of_run(RUN, 1),
        span: SpanId::new(2),
        parent: None,
        name,
        kind: SpanKind::Client,
        start: Duration::from_secs(1_700_000_000),
        end: Duration::from_secs(1_700_000_001),
        error: None,
        prepared: &Prepared::new(&[("http.request.method", OwnValue::Text("GET"))]),
        attributes: &[("http.response.status_code", OwnValue::Number(200))],
    });
}
