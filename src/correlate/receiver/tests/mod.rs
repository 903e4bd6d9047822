//! The receiver, from its decoders to its sockets. Messages are made by another implementation of OTLP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decode;
mod wire;

use super::{Bound, Incoming, Receiver, ReceiverConfig, Taker, intake};
use crate::correlate::Forward;
use crate::semconv::{RunId, TraceId};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

const RUN: RunId = RunId::new(0x0123_4567_89ab_cdef);

fn ours(random: u64) -> Vec<u8> {
    TraceId::of_run(RUN, random).0.to_vec()
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn resource() -> Option<Resource> {
    let attributes = vec![text("service.name", "api"), text("host.name", "pod-1")];
    Some(Resource { attributes, ..Resource::default() })
}

fn span(trace: Vec<u8>) -> Span {
    Span { trace_id: trace, span_id: vec![7; 8], name: "GET /".to_owned(), ..Span::default() }
}

fn traces(spans: Vec<Span>) -> Bytes {
    let scope = Some(InstrumentationScope { name: "scope".to_owned(), ..InstrumentationScope::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

fn metric(name: &str, unit: &str, data: Data) -> Bytes {
    let metric = Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { resource: resource(), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

/// A taker, what comes out of it for joining, and the way to the collector, which nobody empties.
fn taker() -> (Taker, Incoming, Forward) {
    let (outgoing, incoming) = intake();
    let forward = Forward::new();
    (Taker::new(RUN, outgoing, Some(forward.clone())), incoming, forward)
}

/// A receiver on ports of its own.
async fn receiver() -> (Receiver, std::net::SocketAddr, std::net::SocketAddr, Incoming, Forward) {
    let any = Some("127.0.0.1:0".to_owned());
    let bound = Bound::bind(&ReceiverConfig { listen: any.clone(), grpc: any }).await.unwrap();
    let (http, grpc) = (bound.http().unwrap(), bound.grpc().unwrap());
    let (taker, incoming, forward) = taker();
    (bound.start(taker), http, grpc, incoming, forward)
}
