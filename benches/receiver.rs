//! Spans per CPU-second through the receiver: taken off a socket, looked through, joined with the requests that they
//! answer and attributed, and sent on to a collector that acknowledges them.
//!
//! Not criterion's: what counts is the CPU time of the one thread that receives and forwards, while other threads
//! make the load and play the collector. Each case runs for about two seconds.

#![allow(missing_docs, clippy::expect_used, clippy::print_stdout)]

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use pacecar::correlate::{
    Bound, Collector, Forwarder, Intake, JoinConfig, Joiner, ReceiverConfig, SpanKind, Taker, intake,
};
use pacecar::measure::{
    self, IterationOutcome, IterationRecord, LayoutBuilder, Record, RequestRecord, RequestSample, ScenarioId, SiteId,
    SiteTags, Timings, WallClock,
};
use pacecar::semconv::{RunId, Sampling, SpanId, TraceId};
use prost::Message;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::time::Instant;

const RUN: RunId = RunId::new(0x0123_4567_89ab_cdef);
/// What an SDK sends at once.
const SPANS: usize = 512;
/// Spans of one request, in the case where they are joined.
const TREE: usize = 4;
/// When the spans of that case are about, since the Unix epoch.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);
const TRIAL: Duration = Duration::from_secs(2);

fn main() {
    // `cargo test --benches` wants to know that it starts, no more.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for (name, ours) in [("foreign traces", 0), ("one span in five of ours", 5), ("all ours", 1)] {
        let (spans, seconds) = trial(ours);
        println!("{name:<26} {:>9.0} spans per CPU-second ({spans} spans, {seconds:.2} s)", spans as f64 / seconds);
    }
    let (spans, seconds) = joined();
    println!(
        "{:<26} {:>9.0} spans per CPU-second ({spans} spans, {seconds:.2} s)",
        "joined and attributed",
        spans as f64 / seconds
    );
    let before = peak();
    let answers = hostile();
    println!(
        "hostile senders, dead collector: {answers} answers; resident at most {} MB, {} MB before",
        peak() / 1024,
        before / 1024
    );
}

/// Sends all that is known to hurt, at once, for two seconds, while the collector is dead and the queue to it fills
/// up. The senders' own memory counts too: it is a few megabytes.
fn hostile() -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = std::sync::mpsc::channel();
    let stopped = Arc::clone(&stop);
    let receiving = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let config = ReceiverConfig { listen: Some("127.0.0.1:0".to_owned()), grpc: None };
            let bound = Bound::bind(&config).await.expect("a port");
            tell.send(bound.http().expect("an address")).expect("somebody listens");
            let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
            let collector = Collector::at(&format!("http://{dead}"), &|_| None).expect("a collector");
            let forwarder = Forwarder::start(collector, RUN).expect("a forwarder");
            // Nobody joins either: that queue fills up as well.
            let (outgoing, _incoming) = intake();
            let receiver = bound.start(Taker::new(RUN, outgoing, Some(forwarder.handle())));
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            receiver.stop().await;
            forwarder.finish(Duration::from_millis(100)).await;
        });
    });
    let address = told.recv().expect("an address");
    let gzip = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).and_then(|()| packer.finish()).expect("packed")
    };
    let head = |headers: &str, length: usize| {
        format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n").into_bytes()
    };
    let (protobuf, json) = ("content-type: application/x-protobuf\r\n", "content-type: application/json\r\n");
    let packed = format!("{protobuf}content-encoding: gzip\r\n");
    let bomb = gzip(&vec![0; 64 << 20]);
    let tiny =
        [&b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{}"[..], &b",{}".repeat(2 << 20), b"]}]}]}"].concat();
    // Spans of ours, as many as fit into what a message may unpack to.
    let many = gzip(&message(1).repeat((8 << 20) / message(1).len()));
    let cases = [
        [head(&packed, bomb.len()), bomb].concat(),
        [head(protobuf, 7 << 20), vec![0xff; 7 << 20]].concat(),
        [head(json, tiny.len()), tiny].concat(),
        [head(&packed, many.len()), many].concat(),
        head(protobuf, 100 << 20),
        [head(protobuf, 8 << 20), vec![0x0a; 4 << 20]].concat(),
        b"POST /v1/traces HTTP/1.1\r\nx: ".iter().copied().chain(std::iter::repeat_n(b'y', 1 << 20)).collect(),
    ];
    let senders: Vec<_> = cases
        .into_iter()
        .map(Arc::new)
        .flat_map(|case| std::iter::repeat_n(case, 4))
        .map(|case| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
                    let _ = stream.set_write_timeout(Some(Duration::from_millis(500)));
                    let _ = stream.write_all(&case);
                    answers += u64::from(stream.read(&mut [0; 64]).is_ok_and(|read| read > 0));
                }
                answers
            })
        })
        .collect();
    thread::sleep(TRIAL);
    stop.store(true, Ordering::Relaxed);
    let answers = senders.into_iter().map(|sender| sender.join().expect("a sender")).sum();
    receiving.join().expect("the receiver");
    answers
}

/// Spans received and acknowledged by the collector, and what that took of the receiving thread.
fn trial(ours: usize) -> (u64, f64) {
    let collector = collector();
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = std::sync::mpsc::channel();
    let stopped = Arc::clone(&stop);
    let receiving = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let config = ReceiverConfig { listen: Some("127.0.0.1:0".to_owned()), grpc: None };
            let bound = Bound::bind(&config).await.expect("a port");
            tell.send(bound.http().expect("an address")).expect("somebody listens");
            let collector = Collector::at(&format!("http://{collector}"), &|_| None).expect("a collector");
            let forwarder = Forwarder::start(collector, RUN).expect("a forwarder");
            let (outgoing, mut incoming) = intake();
            let receiver = bound.start(Taker::new(RUN, outgoing, Some(forwarder.handle())));
            let before = cpu();
            let joining = tokio::spawn(async move { while incoming.next().await.is_some() {} });
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let received = receiver.stop().await;
            let forwarded = forwarder.finish(Duration::from_secs(10)).await;
            joining.await.expect("joined");
            assert_eq!(received.spans, forwarded.spans.acknowledged, "spans were lost");
            (received.spans, cpu() - before)
        })
    });
    let address = told.recv().expect("an address");
    let body = message(ours);
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (body, stop) = (body.clone(), Arc::clone(&stop));
            thread::spawn(move || send(address, &body, &stop))
        })
        .collect();
    thread::sleep(TRIAL);
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    receiving.join().expect("the receiver")
}

/// As [`trial`], where the receiving thread also joins each span with its request and attributes it: spans received,
/// joined, and acknowledged by the collector, and what that took.
fn joined() -> (u64, f64) {
    let collector = collector();
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, told) = std::sync::mpsc::channel();
    let stopped = Arc::clone(&stop);
    let receiving = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let config = ReceiverConfig { listen: Some("127.0.0.1:0".to_owned()), grpc: None };
            let bound = Bound::bind(&config).await.expect("a port");
            tell.send(bound.http().expect("an address")).expect("somebody listens");
            let collector = Collector::at(&format!("http://{collector}"), &|_| None).expect("a collector");
            let forwarder = Forwarder::start(collector, RUN).expect("a forwarder");
            let (outgoing, mut incoming) = intake();
            let receiver = bound.start(Taker::new(RUN, outgoing, Some(forwarder.handle())));
            let mut layout = LayoutBuilder::new(Vec::new());
            let scenario = layout.scenario("main", &[]);
            let tags = SiteTags { step: "profile".into(), method: "GET".into(), url: "/api/user/profile".into() };
            let site = layout.site(scenario, tags, 1.0);
            let config = JoinConfig {
                sampling: Sampling::ALL,
                linger: Duration::from_millis(5),
                longest: Duration::from_secs(60),
                clock: WallClock::new(Instant::now(), EPOCH),
                local: true,
            };
            let mut joiner = Joiner::new(config, &layout.build());
            let before = cpu();
            let joining = tokio::spawn(async move {
                while let Some(mut batch) = incoming.next().await {
                    let now = Instant::now();
                    let mut records = Vec::with_capacity(2 * SPANS / TREE);
                    for item in batch.drain() {
                        let Intake::Span(span) = item else { continue };
                        joiner.span(&span, now);
                        if let (SpanKind::Server, Some(client)) = (span.kind, span.parent) {
                            records.push(request(site, span.trace, client, now));
                            records.push(iteration(scenario, span.trace, now));
                        }
                    }
                    joiner.take(&measure::Batch { records, ..measure::Batch::default() }, now);
                }
                joiner.finish()
            });
            while !stopped.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let received = receiver.stop().await;
            let forwarded = forwarder.finish(Duration::from_secs(10)).await;
            let report = joining.await.expect("joined");
            assert_eq!(received.spans, forwarded.spans.acknowledged, "spans were lost");
            let requests = received.spans / TREE as u64;
            assert_eq!((report.counts.joined, report.counts.expected), (requests, requests), "{:?}", report.counts);
            (received.spans, cpu() - before)
        })
    });
    let address = told.recv().expect("an address");
    let senders: Vec<_> = (0..2_u64)
        .map(|sender| {
            let stop = Arc::clone(&stop);
            // The same traces come again when they have long been joined and forgotten.
            let bodies: Vec<_> = (0..64).map(|number| trees(sender * 64 + number)).collect();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).expect("a connection");
                let mut answer = [0; 1024];
                for body in bodies.iter().cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                    let head = format!(
                        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                         content-length: {}\r\n\r\n",
                        body.len()
                    );
                    if stream.write_all(&[head.as_bytes(), body].concat()).is_err()
                        || stream.read(&mut answer).is_ok_and(|read| read == 0)
                    {
                        break;
                    }
                }
            })
        })
        .collect();
    thread::sleep(TRIAL);
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    receiving.join().expect("the receiver")
}

/// A request of 50 ms whose window is about to close.
fn request(site: SiteId, trace: TraceId, span: SpanId, now: Instant) -> Record {
    let sample = RequestSample {
        due: now,
        ended: now,
        timings: Timings { waiting: Duration::from_millis(50), ..Timings::default() },
        status: 200,
        expected: true,
        failure: None,
        proto: None,
        tls: None,
        tenant: 0,
    };
    Record::Request(RequestRecord { site, trace, span, hop: 0, last: true, sample, server_timing: None })
}

fn iteration(scenario: ScenarioId, trace: TraceId, now: Instant) -> Record {
    let outcome = IterationOutcome::Completed;
    Record::Iteration(IterationRecord { scenario, trace, due: now, started: now, ended: now, tenant: 0, outcome })
}

/// A batch of requests with a pool's wait and a query below each server span: the server's last, as SDKs export it.
fn trees(number: u64) -> Bytes {
    let mut message = ExportTraceServiceRequest::decode(message(1)).expect("a message");
    let spans = message.resource_spans.iter_mut().flat_map(|resource| &mut resource.scope_spans);
    for (at, span) in spans.flat_map(|scope| &mut scope.spans).enumerate() {
        let (tree, place) = (number * (SPANS / TREE) as u64 + (at / TREE) as u64, at % TREE);
        let id = |place: usize| (tree * 8 + place as u64 + 1).to_be_bytes().to_vec();
        span.trace_id = TraceId::of_run(RUN, tree).0.to_vec();
        span.span_id = id(place);
        let server = TREE - 1;
        span.parent_span_id = id(if place == server { TREE } else { server });
        let (name, kind, from, to) = match place {
            0 => ("middleware", 1, 1, 2),
            1 => ("pg-pool.connect", 3, 3, 20),
            2 => ("sql.query", 3, 20, 45),
            _ => ("GET /api/user/profile", 2, 1, 48),
        };
        span.name = name.to_owned();
        span.kind = kind;
        span.start_time_unix_nano += from * 1_000_000;
        span.end_time_unix_nano = span.start_time_unix_nano + (to - from) * 1_000_000;
    }
    message.encode_to_vec().into()
}

fn send(address: SocketAddr, body: &[u8], stop: &AtomicBool) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let mut answer = [0; 1024];
    while !stop.load(Ordering::Relaxed) {
        // The receiver may stop first.
        if stream.write_all(&request).is_err() || stream.read(&mut answer).is_ok_and(|read| read == 0) {
            break;
        }
    }
}

/// Reads requests by their length and says 200.
fn collector() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut buffer = vec![0; 1 << 20];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    bytes.extend_from_slice(&buffer[..read]);
                    let Some(end) = bytes.windows(4).take(4096).position(|four| four == b"\r\n\r\n") else { continue };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
                    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                    let length: usize = length.and_then(|length| length.trim().parse().ok()).expect("a length");
                    if bytes.len() >= end + 4 + length {
                        bytes.drain(..end + 4 + length);
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
                    }
                }
            });
        }
    });
    address
}

/// A batch as Node's SDK sends it: every `ours`th span is of the run's traces; none for 0.
fn message(ours: usize) -> Bytes {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let span = |at: usize| Span {
        trace_id: if ours > 0 && at.is_multiple_of(ours) {
            TraceId::of_run(RUN, at as u64).0.to_vec()
        } else {
            vec![9; 16]
        },
        span_id: (at as u64 + 1).to_be_bytes().to_vec(),
        parent_span_id: vec![3; 8],
        name: "GET /api/user/profile".to_owned(),
        kind: if at.is_multiple_of(4) { 2 } else { 1 },
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_050_000_000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/api/user/profile"),
            text("url.path", "/api/user/profile"),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            text("network.protocol.version", "1.1"),
            text("server.address", "api.example.com"),
        ],
        ..Span::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "api"), text("service.instance.id", "pod-1")],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "@opentelemetry/instrumentation-http".to_owned(), ..Default::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: (0..SPANS).map(span).collect(), ..Default::default() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }.encode_to_vec().into()
}

/// Seconds of CPU that this thread has used.
fn cpu() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The most memory that this process has had, in KiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
