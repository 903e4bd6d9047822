//! Spans in and on: what a run tells a collector of itself, and what it makes of spans whose number is known.
//!
//! The API answers and records nothing; the test exports in its place, so that every figure can be exact.

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::Value;

use crate::support::json::{at, count, text};
use crate::support::program::Running;
use crate::support::{Ended, Mode, Pacecar, PlanFile, Server};

const ITERATIONS: usize = 6;
const STEPS: usize = 2;
/// Requests, and so the spans of the API.
const REQUESTS: usize = ITERATIONS * STEPS;
const FOREIGN: usize = 7;
const HOUR: Duration = Duration::from_secs(3_600);

/// Two steps an iteration, joined with what comes to `LISTEN`.
fn plan() -> PlanFile {
    PlanFile::new(format!(
        r#"
name: spans
environment: dev
base_url: ${{API_URL}}
workflow:
  - {{ name: first, request: GET /first }}
  - {{ name: second, request: GET /second }}
scenarios:
  main: {{ executor: shared-iterations, vus: 2, iterations: {ITERATIONS} }}
correlate:
  traces: {{ listen: "${{LISTEN}}", forward: "${{COLLECTOR:-}}", linger: 10s }}
"#
    ))
}

/// A run, its API, and where its receiver listens.
struct Scene {
    api: Server,
    listen: String,
    running: Running,
}

impl Scene {
    /// Waits until all requests are through: what is exported then is waited for.
    fn begin(collector: &str) -> Self {
        let api = Server::start(Mode::Api);
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free.local_addr().unwrap().to_string();
        drop(free);
        let run =
            Pacecar::run(&plan().path()).set("API_URL", api.url()).set("LISTEN", &listen).set("COLLECTOR", collector);
        let running = run.start();
        api.wait_for(REQUESTS);
        Self { api, listen, running }
    }

    /// Trace and client span of each request, as `traceparent` said.
    fn requests(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let parse = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let of = |header: &str| {
            let fields: Vec<&str> = header.split('-').collect();
            assert_eq!((fields[0], fields[3]), ("00", "01"), "{header}");
            (parse(fields[1]), parse(fields[2]))
        };
        self.api.requests().iter().map(|request| of(request.header("traceparent"))).collect()
    }

    /// A server span for each request, on a clock that is `ahead`; each changed by `change`.
    fn spans(&self, ahead: Duration, change: impl Fn(&mut Span)) -> Vec<Span> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + ahead;
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap();
        let spans = self.requests().into_iter().enumerate().map(|(at, (trace, client))| {
            let mut span = Span {
                trace_id: trace,
                span_id: (at as u64 + 1).to_be_bytes().to_vec(),
                parent_span_id: client,
                name: "GET /".to_owned(),
                kind: 2,
                start_time_unix_nano: nanoseconds,
                end_time_unix_nano: nanoseconds + 1_000,
                ..Span::default()
            };
            change(&mut span);
            span
        });
        spans.collect()
    }

    /// What the receiver answers to a body.
    fn post(&self, body: &[u8]) -> u16 {
        let mut stream = TcpStream::connect(&self.listen).unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn end(self) -> (Ended, Value) {
        let ended = self.running.end().expect_code(0);
        let summary = ended.summary();
        (ended, summary)
    }
}

fn message(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
        .encode_to_vec()
}

/// Spans of a trace that is not the run's.
fn foreign() -> Vec<u8> {
    let span = |at: usize| Span {
        trace_id: vec![9; 16],
        span_id: vec![u8::try_from(at).unwrap() + 1; 8],
        name: "a cron job".to_owned(),
        ..Span::default()
    };
    message((0..FOREIGN).map(span).collect())
}

/// Received, foreign, forwarded, lost, rejected.
fn received(summary: &Value) -> [u64; 5] {
    ["spans", "foreign", "forwarded", "lost", "rejected"].map(|key| count(summary, &["pacecar", "receiver", key]))
}

fn joined(summary: &Value) -> (u64, u64) {
    let of = |key| count(summary, &["pacecar", "attribution", key]);
    (of("joined"), of("expected"))
}

/// Every span that the collector took, own and forwarded.
fn exported(collector: &Server) -> Vec<(ResourceSpans, Span)> {
    let mut spans = Vec::new();
    for request in collector.at("/v1/traces") {
        let message = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("a message");
        for resource in message.resource_spans {
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                spans.push((resource.clone(), span.clone()));
            }
        }
    }
    spans
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text),
        _ => None,
    }
}

#[test]
fn a_collector_gets_whole_traces_and_what_others_sent_as_it_was() {
    let collector = Server::start(Mode::Status(200));
    let scene = Scene::begin(&collector.url());
    let (theirs, ours) = (foreign(), message(scene.spans(Duration::ZERO, |_| {})));
    assert_eq!(scene.post(b"\xff\xff garbage"), 400);
    assert_eq!(scene.post(&theirs), 200);
    assert_eq!(scene.post(&ours), 200);
    let (_, summary) = scene.end();
    let all = (REQUESTS + FOREIGN) as u64;
    assert_eq!(received(&summary), [all, FOREIGN as u64, all, 0, 1]);
    assert_eq!(joined(&summary), (REQUESTS as u64, REQUESTS as u64));

    for sent in [&theirs, &ours] {
        let bodies = collector.at("/v1/traces");
        let went_on = bodies.iter().any(|request| request.body.windows(sent.len()).any(|bytes| bytes == &sent[..]));
        assert!(went_on, "byte for byte");
    }

    let run = text(&summary, &["pacecar", "run", "id"]);
    let spans = exported(&collector);
    let spans: Vec<&Span> = spans.iter().map(|(_, span)| span).filter(|span| span.trace_id != [9; 16]).collect();
    assert_eq!(spans.len(), ITERATIONS + 2 * REQUESTS, "an iteration's, its clients', and the API's");
    let ids: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(ids.len(), spans.len(), "ids differ");
    let mut traces: HashMap<&[u8], Vec<&Span>> = HashMap::new();
    for span in &spans {
        traces.entry(&span.trace_id).or_default().push(span);
        let hex: String = span.trace_id[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, run);
    }
    assert_eq!(traces.len(), ITERATIONS, "one trace an iteration");
    for spans in traces.values() {
        let (roots, others): (Vec<&Span>, Vec<&Span>) =
            spans.iter().copied().partition(|span| span.parent_span_id.is_empty());
        let [root] = roots.as_slice() else { panic!("one root: {roots:?}") };
        let (clients, servers): (Vec<&Span>, Vec<&Span>) = others.into_iter().partition(|span| span.kind == 3);
        assert_eq!((clients.len(), servers.len()), (STEPS, STEPS));
        for own in clients.iter().chain([root]) {
            assert_eq!(attribute(own, "user_agent.synthetic.type"), Some("test"), "{own:?}");
            assert!(own.start_time_unix_nano >= root.start_time_unix_nano, "{own:?} in {root:?}");
            assert!(own.end_time_unix_nano <= root.end_time_unix_nano, "{own:?} in {root:?}");
        }
        assert!(clients.iter().all(|client| client.parent_span_id == root.span_id));
        let steps: HashSet<_> = clients.iter().filter_map(|client| attribute(client, "pacecar.step")).collect();
        assert_eq!(steps, HashSet::from(["first", "second"]));
        for server in servers {
            assert!(clients.iter().any(|client| client.span_id == server.parent_span_id), "an orphan: {server:?}");
        }
    }
}

#[test]
fn a_collector_that_says_later_gets_it_later() {
    for status in [429, 503] {
        let collector = Server::start(Mode::Later(status, 2));
        let scene = Scene::begin(&collector.url());
        assert_eq!(scene.post(&foreign()), 200);
        assert_eq!(scene.post(&message(scene.spans(Duration::ZERO, |_| {}))), 200);
        let (_, summary) = scene.end();
        let all = (REQUESTS + FOREIGN) as u64;
        assert_eq!(received(&summary), [all, FOREIGN as u64, all, 0, 0], "{status}");
    }
}

#[test]
fn a_dead_collector_loses_all_and_holds_nothing_up() {
    let silent = Server::start(Mode::Never);
    for collector in [Server::closed(), silent.url()] {
        let scene = Scene::begin(&collector);
        assert_eq!(scene.post(&foreign()), 200);
        assert_eq!(scene.post(&message(scene.spans(Duration::ZERO, |_| {}))), 200);
        let (ended, summary) = scene.end();
        let all = (REQUESTS + FOREIGN) as u64;
        assert_eq!(received(&summary), [all, FOREIGN as u64, 0, all, 0]);
        assert_eq!(joined(&summary), (REQUESTS as u64, REQUESTS as u64), "the run is not blind");
        let own = format!("{} of pacecar's own spans were not acknowledged", ITERATIONS + REQUESTS);
        assert!(ended.stdout.contains(&own), "{ended}");
        assert!(ended.took < Duration::from_secs(15), "{ended}");
    }
}

#[test]
fn wrong_clocks_duplicates_and_nonsense_are_joined_all_the_same() {
    let scene = Scene::begin("");
    let spans = scene.spans(HOUR, |_| {});
    // A client that was told nothing sends again; and below each server span stands what no clock can mean.
    let nonsense = spans.iter().enumerate().map(|(at, span)| Span {
        span_id: (1_000 + at as u64).to_be_bytes().to_vec(),
        parent_span_id: span.span_id.clone(),
        kind: 3,
        start_time_unix_nano: u64::MAX,
        end_time_unix_nano: 0,
        ..span.clone()
    });
    let nonsense: Vec<Span> = nonsense.collect();
    assert_eq!(scene.post(&message(nonsense)), 200);
    let half = message(spans[..REQUESTS / 2].to_vec());
    for _ in 0..3 {
        assert_eq!(scene.post(&half), 200);
    }
    assert_eq!(scene.post(&message(spans[REQUESTS / 2..].to_vec())), 200);
    let (ended, summary) = scene.end();
    assert_eq!(joined(&summary), (REQUESTS as u64, REQUESTS as u64), "{ended}");
    assert!(ended.stdout.contains("clocks"), "{ended}");
    for band in at(&summary, &["pacecar", "attribution", "bands"]).as_array().unwrap() {
        let parts: Vec<f64> = at(band, &["parts_ms"]).as_object().unwrap().values().flat_map(Value::as_f64).collect();
        let (sum, total) = (parts.iter().sum::<f64>(), at(band, &["total_ms"]).as_f64().unwrap());
        assert!(parts.iter().all(|part| *part >= 0.0) && (sum - total).abs() < 1e-6, "{band:#}");
    }
}

#[test]
fn spans_that_come_back_under_other_trace_ids_are_told() {
    let scene = Scene::begin("");
    let stray = |span: &mut Span| {
        // It begins a trace of its own and links to the caller's.
        let (trace, client) = (span.trace_id.clone(), std::mem::take(&mut span.parent_span_id));
        span.trace_id = [&[7; 8], span.span_id.as_slice()].concat();
        span.links.push(opentelemetry_proto::tonic::trace::v1::span::Link {
            trace_id: trace,
            span_id: client,
            ..Default::default()
        });
    };
    assert_eq!(scene.post(&message(scene.spans(Duration::ZERO, stray))), 200);
    let (ended, summary) = scene.end();
    assert_eq!(joined(&summary), (0, REQUESTS as u64));
    assert_eq!(received(&summary), [REQUESTS as u64, REQUESTS as u64, 0, 0, 0]);
    assert!(ended.stdout.contains("came back under other trace ids"), "{ended}");
    assert!(ended.took < Duration::from_secs(15), "{ended}");
}
