//! A collector of a test's own: takes OTLP over HTTP and gRPC at one port and keeps it as another library reads it.

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

/// A running collector. It ends with the process.
pub(crate) struct Otlp {
    pub(crate) url: String,
    taken: Arc<Mutex<Taken>>,
}

/// What came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) spans: Vec<Span>,
    pub(crate) logs: Vec<LogRecord>,
    /// Of each message.
    pub(crate) resources: Vec<Resource>,
    /// Of each request.
    pub(crate) headers: Vec<HeaderMap>,
}

// === impl Otlp ===

impl Otlp {
    pub(crate) fn start() -> Self {
        let taken = Arc::new(Mutex::new(Taken::default()));
        let router = Router::new().fallback(take).with_state(Arc::clone(&taken));
        let (address, found) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { url: format!("http://{}", found.recv().unwrap()), taken }
    }

    pub(crate) fn taken(&self) -> Taken {
        self.taken.lock().unwrap().clone()
    }
}

/// The text of an attribute; empty where there is none.
pub(crate) fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|it| it.key == key).and_then(|it| it.value.as_ref()?.value.as_ref());
    match found {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

async fn take(State(taken): State<Arc<Mutex<Taken>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let grpc = head.headers.get("content-type").is_some_and(|value| value == "application/grpc");
    let packed = if grpc { body[0] == 1 } else { head.headers.get("content-encoding").is_some() };
    let body = if grpc { body.slice(5..) } else { body };
    let body = if packed { unpacked(&body) } else { body };
    let path = head.uri.path();
    let mut taken = taken.lock().unwrap();
    if path == "/v1/metrics" || path.ends_with("MetricsService/Export") {
        for part in ExportMetricsServiceRequest::decode(body).unwrap().resource_metrics {
            taken.resources.extend(part.resource);
            taken.metrics.extend(part.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
    } else if path == "/v1/traces" || path.ends_with("TraceService/Export") {
        for part in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            taken.resources.extend(part.resource);
            taken.spans.extend(part.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    } else if path == "/v1/logs" || path.ends_with("LogsService/Export") {
        for part in ExportLogsServiceRequest::decode(body).unwrap().resource_logs {
            taken.resources.extend(part.resource);
            taken.logs.extend(part.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
    } else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    }
    taken.headers.push(head.headers);
    if !grpc {
        return Response::new(Body::empty());
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}

fn unpacked(body: &[u8]) -> Bytes {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(body).read_to_end(&mut text).unwrap();
    text.into()
}
