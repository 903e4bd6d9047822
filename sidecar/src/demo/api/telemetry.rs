//! The API's own spans, as an OpenTelemetry SDK would record them, exported by OTLP/HTTP in JSON.
//!
//! Switched on by `OTEL_EXPORTER_OTLP_ENDPOINT`, as any instrumented service: a server span for each request that
//! continues `traceparent`, and below it the wait for a connection, each query, each call of the language model. An
//! SDK with an exporter would be a second HTTP client and some forty crates for this; what goes over the wire is the
//! same.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Uri;
use pacecar::semconv::{self, SpanId, TraceContext, TraceId};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Spans that may wait; more are dropped, as an SDK drops them.
const QUEUE: usize = 8_192;
/// Spans in one message.
const BATCH: usize = 512;
/// How long one message may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// OpenTelemetry's kinds of span.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// Records spans, where an exporter is set.
#[derive(Clone)]
pub(super) struct Telemetry(Option<mpsc::Sender<Value>>);

/// Sends what was recorded; ends when every [`Telemetry`] is gone.
pub(super) struct Exporter(Option<JoinHandle<()>>);

/// The span that others are children of.
#[derive(Clone)]
pub(super) struct Current {
    sender: mpsc::Sender<Value>,
    trace: TraceId,
    span: SpanId,
}

/// Where spans go.
struct Endpoint {
    authority: String,
    path: String,
    /// How long spans are gathered.
    delay: Duration,
    service: String,
}

tokio::task_local! {
    static CURRENT: Option<Current>;
}

// === impl Telemetry ===

impl Telemetry {
    /// Exports to `spans_to`, or where OpenTelemetry's variables say. Without an endpoint nothing is recorded.
    pub(super) fn start(spans_to: Option<SocketAddr>) -> (Self, Exporter) {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = spans_to.map(Endpoint::at).or_else(|| Endpoint::read(get));
        let Some(endpoint) = endpoint else { return (Self(None), Exporter(None)) };
        let (sender, spans) = mpsc::channel(QUEUE);
        (Self(Some(sender)), Exporter(Some(tokio::spawn(export(endpoint, spans)))))
    }
}

// === impl Exporter ===

impl Exporter {
    /// Waits until what was recorded is sent.
    pub(super) async fn finish(mut self) {
        if let Some(mut task) = self.0.take() {
            let _ = tokio::time::timeout(PATIENCE, &mut task).await;
            task.abort();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// The server span of a request that continues a trace which is recorded.
pub(super) async fn serve(State(telemetry): State<Telemetry>, request: Request, next: Next) -> Response {
    let header = request.headers().get(semconv::TRACEPARENT).and_then(|value| value.to_str().ok());
    let parent = header.and_then(|value| TraceContext::decode(value).ok());
    let recorded = parent.filter(|parent| parent.flags & TraceContext::SAMPLED != 0);
    let (Some(sender), Some(parent)) = (telemetry.0, recorded) else {
        return CURRENT.scope(None, next.run(request)).await;
    };
    let current = Current { sender, trace: parent.trace, span: new_span() };
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).to_owned();
    let start = now();
    let response = CURRENT.scope(Some(current.clone()), next.run(request)).await;
    let status = response.status().as_u16();
    let attributes = [
        ("http.request.method", json!({ "stringValue": method })),
        ("http.route", json!({ "stringValue": route })),
        ("http.response.status_code", json!({ "intValue": status.to_string() })),
    ];
    current.record(current.span, Some(parent.span), &format!("{method} {route}"), SERVER, start, &attributes);
    response
}

/// The span of the request that is being served, for what goes on after its handler.
pub(super) fn current() -> Option<Current> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Does `work` below a span that [`current`] gave.
pub(super) async fn below<T>(current: Option<Current>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(current, work).await
}

/// A wait for a connection of the pool.
pub(super) async fn acquiring<T>(work: impl Future<Output = T>) -> T {
    within("pool.acquire", INTERNAL, &[], work).await
}

/// A query, by its summary: `SELECT users`.
pub(super) async fn querying<T>(summary: &str, work: impl Future<Output = T>) -> T {
    let system = [
        ("db.system.name", json!({ "stringValue": "postgresql" })),
        ("db.query.summary", json!({ "stringValue": summary })),
    ];
    within(summary, CLIENT, &system, work).await
}

/// A call of the language model.
pub(super) async fn prompting<T>(model: &str, work: impl Future<Output = T>) -> T {
    let attributes = [("gen_ai.request.model", json!({ "stringValue": model }))];
    within("chat", CLIENT, &attributes, work).await
}

async fn within<T>(name: &str, kind: u8, attributes: &[(&str, Value)], work: impl Future<Output = T>) -> T {
    let Some(current) = current() else { return work.await };
    let start = now();
    let done = work.await;
    current.record(new_span(), Some(current.span), name, kind, start, attributes);
    done
}

// === impl Current ===

impl Current {
    /// Records a span that ends now.
    fn record(
        &self,
        span: SpanId,
        parent: Option<SpanId>,
        name: &str,
        kind: u8,
        start: Duration,
        attributes: &[(&str, Value)],
    ) {
        let attributes: Vec<_> = attributes.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let told = json!({
            "traceId": self.trace.to_string(),
            "spanId": span.to_string(),
            "parentSpanId": parent.map(|parent| parent.to_string()).unwrap_or_default(),
            "name": name,
            "kind": kind,
            "startTimeUnixNano": start.as_nanos().to_string(),
            "endTimeUnixNano": now().as_nanos().to_string(),
            "attributes": attributes,
        });
        // Full: an SDK drops it too.
        let _ = self.sender.try_send(told);
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// A receiver that is to have them soon.
    fn at(address: SocketAddr) -> Self {
        Self {
            authority: address.to_string(),
            path: "/v1/traces".to_owned(),
            delay: Duration::from_millis(200),
            service: "sample-api".to_owned(),
        }
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let base: Uri = get("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim().parse().ok()?;
        let authority = base.authority().filter(|_| base.scheme_str() == Some("http"));
        let Some(authority) = authority else {
            tracing::warn!("OTEL_EXPORTER_OTLP_ENDPOINT is no http:// address: no spans are exported");
            return None;
        };
        let port = if authority.port().is_some() { "" } else { ":80" };
        let delay = get("OTEL_BSP_SCHEDULE_DELAY").and_then(|value| value.trim().parse().ok()).unwrap_or(1_000);
        Some(Self {
            authority: format!("{authority}{port}"),
            path: format!("{}/v1/traces", base.path().trim_end_matches('/')),
            delay: Duration::from_millis(delay),
            service: get("OTEL_SERVICE_NAME").unwrap_or_else(|| "sample-api".to_owned()),
        })
    }

    /// One message on a connection of its own: there is about one a second.
    async fn send(&self, spans: &[Value]) -> std::io::Result<()> {
        let body = json!({ "resourceSpans": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": self.service } }] },
            "scopeSpans": [{ "scope": { "name": "sample-api" }, "spans": spans }],
        }] })
        .to_string();
        let mut stream = TcpStream::connect(&self.authority).await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(4_096).read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 2") { Ok(()) } else { Err(std::io::Error::other("not accepted")) }
    }
}

/// Gathers spans and sends them, until nobody records any more.
async fn export(endpoint: Endpoint, mut spans: mpsc::Receiver<Value>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if spans.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let due = tokio::time::Instant::now() + endpoint.delay;
        while batch.len() < BATCH {
            match tokio::time::timeout_at(due, spans.recv()).await {
                Ok(Some(span)) => batch.push(span),
                Ok(None) | Err(_) => break,
            }
        }
        match tokio::time::timeout(PATIENCE, endpoint.send(&batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, spans = batch.len(), "spans were not exported"),
            Err(_) => tracing::debug!(spans = batch.len(), "spans were not exported in time"),
        }
        batch.clear();
    }
}

fn new_span() -> SpanId {
    SpanId::new(fastrand::u64(..))
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
