//! `otlp[=URL]`, as another library reads it.

use std::collections::{BTreeMap, BTreeSet};

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, Metric, NumberDataPoint};

use super::{Point, fate, points, read};
use crate::support::otlp::{Otlp, Taken, attribute};
use crate::support::plan::three_steps;
use crate::support::{Mode, Pacecar, Server};

/// The metrics of a name.
fn of<'a>(taken: &'a Taken, name: &str) -> Vec<&'a Metric> {
    taken.metrics.iter().filter(|metric| metric.name == name).collect()
}

fn numbers(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("{other:?}"),
    }
}

fn distributions(metric: &Metric) -> &[ExponentialHistogramDataPoint] {
    let Some(Data::ExponentialHistogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    &histogram.data_points
}

fn value(point: &NumberDataPoint) -> f64 {
    let Some(Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
    value
}

/// What is said must be what the points of the same run add up to; `delta`: over all messages, else in the last.
#[track_caller]
fn adds_up(taken: &Taken, all: &[Point], delta: bool) {
    let values =
        |name: &str| -> Vec<f64> { all.iter().filter(|point| point.metric == name).map(|point| point.value).collect() };
    let last = |name: &str| {
        let metrics = of(taken, name);
        let from = if delta { 0 } else { metrics.len() - 1 };
        metrics[from..].to_vec()
    };
    let sum: f64 = last("http_reqs").iter().flat_map(|metric| numbers(metric)).map(value).sum();
    assert_eq!(sum, values("http_reqs").iter().sum::<f64>());
    for name in ["http_req_duration", "cost_per_request", "iteration_duration"] {
        let told: Vec<_> = last(name).into_iter().flat_map(distributions).collect();
        assert_eq!(told.iter().map(|point| point.count).sum::<u64>(), values(name).len() as u64, "{name}");
        let sum: f64 = told.iter().map(|point| point.sum.unwrap()).sum();
        assert!((sum - values(name).iter().sum::<f64>()).abs() <= 1e-9 * sum, "{name}");
        let most = told.iter().map(|point| point.max.unwrap()).fold(0.0, f64::max);
        assert_eq!(most, values(name).into_iter().fold(0.0, f64::max), "{name}");
        for point in &told {
            // Coarser only where values lie 16 octaves apart.
            assert!((6..=7).contains(&point.scale), "{name}");
            assert!(point.start_time_unix_nano < point.time_unix_nano, "{name}");
        }
    }
    let temporality = if delta { 1 } else { 2 };
    for metric in &taken.metrics {
        match metric.data.as_ref().unwrap() {
            Data::ExponentialHistogram(it) => assert_eq!(it.aggregation_temporality, temporality),
            Data::Sum(it) => assert!(it.aggregation_temporality == temporality && it.is_monotonic),
            _ => {}
        }
    }
}

#[test]
fn metrics_spans_and_events_arrive_over_http_and_grpc() {
    let server = Server::start(Mode::Api);
    let folder = tempfile::tempdir().unwrap();
    for (protocol, preference, packed) in [("http/protobuf", "cumulative", "none"), ("grpc", "delta", "gzip")] {
        let (collector, file) = (Otlp::start(), folder.path().join("out.json"));
        let run = Pacecar::run(&three_steps().path()).set("API_URL", server.url());
        let run = run.args(["-o", &format!("json={}", file.display()), "-o", "otlp"]);
        let run = run.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url).env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let run = run.env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference);
        let run = run.env("OTEL_EXPORTER_OTLP_COMPRESSION", packed).env("OTEL_SERVICE_NAME", "load");
        let run =
            run.env("OTEL_EXPORTER_OTLP_HEADERS", "x-token=mark7f3c19").env("OTEL_RESOURCE_ATTRIBUTES", "team=a%20b");
        let ended = run.arg("-vv").end().expect_ran();
        let (taken, all) = (collector.taken(), points(&read(&file)));
        adds_up(&taken, &all, preference == "delta");

        // Each request and each iteration has a span, and exemplars lead to them.
        let spans: BTreeMap<_, _> = taken.spans.iter().map(|span| (span.span_id.clone(), span)).collect();
        let count = |name: &str| all.iter().filter(|point| point.metric == name).count();
        assert_eq!((taken.spans.len(), spans.len()), (count("http_reqs") + count("iterations"), taken.spans.len()));
        let durations: Vec<_> = of(&taken, "http_req_duration").into_iter().flat_map(distributions).collect();
        for point in &durations {
            assert!(!point.exemplars.is_empty());
            for exemplar in &point.exemplars {
                let span = spans[&exemplar.span_id];
                assert_eq!(span.trace_id, exemplar.trace_id);
                assert_eq!(attribute(&span.attributes, "pacecar.step"), attribute(&point.attributes, "step"));
            }
        }
        let steps: BTreeSet<_> = durations.iter().map(|point| attribute(&point.attributes, "step")).collect();
        assert_eq!(steps, BTreeSet::from(["login", "profile", "agent"]));
        let rates: Vec<_> = of(&taken, "checks").into_iter().flat_map(numbers).collect();
        assert!(!rates.is_empty() && rates.iter().all(|point| attribute(&point.attributes, "condition") == "nonzero"));

        let events: Vec<_> = taken.logs.iter().map(|log| log.event_name.as_str()).collect();
        assert_eq!(events, ["pacecar.run.start", "pacecar.run.end"]);
        let id = ended.summary()["pacecar"]["run"]["id"].as_str().unwrap().to_owned();
        for resource in &taken.resources {
            let of = |key| attribute(&resource.attributes, key);
            assert_eq!((of("service.name"), of("team"), of("pacecar.run")), ("load", "a b", id.as_str()));
        }
        assert!(taken.headers.iter().all(|headers| headers["x-token"] == "mark7f3c19"));
        assert!(!ended.everything().contains("mark7f3c19"), "{ended}");
        let told = (all.len() + taken.spans.len() + taken.logs.len()) as u64;
        assert_eq!(fate(&ended, "otlp"), (told, 0), "{ended}");
    }
}

#[test]
fn a_signal_goes_where_its_own_variable_says_and_never_to_pacecar_itself() {
    let (server, collector) = (Server::start(Mode::Api), Otlp::start());
    let run = || Pacecar::run(&three_steps().path()).set("API_URL", server.url());
    let ended = run()
        .args(["-o", "opentelemetry"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", Server::closed())
        .env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{}/v1/metrics", collector.url))
        .env("OTEL_TRACES_EXPORTER", "none")
        .env("OTEL_LOGS_EXPORTER", "none")
        .end()
        .expect_ran();
    let taken = collector.taken();
    assert!(!taken.metrics.is_empty() && taken.spans.is_empty() && taken.logs.is_empty());
    assert_eq!(fate(&ended, "otlp").1, 0, "{ended}");

    let text = std::fs::read_to_string(three_steps().path()).unwrap();
    let text =
        text + "correlate: { traces: { listen: 127.0.0.1:44318 } }\noutputs: [ \"otlp=http://localhost:44318\" ]\n";
    let ended = Pacecar::new(["check", "-"]).stdin(text).set("API_URL", server.url()).end().expect_code(104);
    assert!(ended.stderr.contains("pacecar's own"), "{ended}");
}
