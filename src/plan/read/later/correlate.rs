//! `correlate:`: where the other half of a request's story comes from.

use super::share;
use crate::plan::document::{
    CorrelateDocument, CorrelatePostgres, CorrelateRedis, EndpointDocument, PoolDocument, PoolFigures, PoolHttp,
    PoolScrape, Text, TracesDocument,
};
use crate::plan::node::Node;
use crate::plan::read::step;
use crate::plan::reader::{Reader, Section};
use crate::plan::span::Spanned;
use std::time::Duration;

/// How often a source is asked where the plan does not say.
const EVERY: Duration = Duration::from_secs(1);
/// How long spans are waited for where the plan does not say.
const LINGER: Duration = Duration::from_secs(10);

pub(super) fn correlate(reader: &mut Reader<'_>, node: &Node) -> CorrelateDocument {
    let mut section = reader.section(node, "correlate");
    let traces = section.get("traces").map(|node| traces(reader, node));
    let postgres = section.get("postgres").map(|node| postgres(reader, node));
    let pool = section.get("pool").map(|node| pool(reader, node));
    let redis = section.get("redis").map(|node| redis(reader, node));
    let endpoints = match section.get("endpoints") {
        Some(node) => reader.items(node, "endpoints").iter().filter_map(|item| endpoint(reader, item)).collect(),
        None => Vec::new(),
    };
    section.close(reader);
    CorrelateDocument { span: node.span, traces, postgres, pool, redis, endpoints }
}

fn traces(reader: &mut Reader<'_>, node: &Node) -> TracesDocument {
    let mut section = reader.section(node, "correlate.traces");
    let listen = section.read(reader, "listen", socket);
    let grpc = section.read(reader, "grpc", socket);
    let forward = section.some_text(reader, "forward").filter(|url| base(reader, url));
    let sample = section.read(reader, "sample", share);
    let linger = section.duration(reader, "linger");
    let random_flag = section.boolean(reader, "random_flag");
    section.close(reader);
    if let (Some(one), Some(other)) = (&listen, &grpc)
        && one.value == other.value
    {
        reader
            .error(other.span, "`grpc` and `listen` are one address")
            .hint("OTLP/gRPC and OTLP/HTTP have a port each: 4317 and 4318");
    }
    TracesDocument {
        span: node.span,
        listen,
        grpc,
        forward,
        sample: sample.unwrap_or(Spanned::nowhere(1.0)),
        linger: linger.unwrap_or(Spanned::nowhere(LINGER)),
        random_flag: random_flag.is_some_and(|flag| flag.value),
    }
}

fn postgres(reader: &mut Reader<'_>, node: &Node) -> CorrelatePostgres {
    let mut section = reader.section(node, "correlate.postgres");
    let url = url(reader, &mut section, "correlate.postgres");
    let application_name = section.some_text(reader, "application_name");
    let every = every(reader, &mut section);
    section.close(reader);
    CorrelatePostgres { span: node.span, url, application_name, every }
}

fn pool(reader: &mut Reader<'_>, node: &Node) -> PoolDocument {
    let mut section = reader.section(node, "correlate.pool");
    let otel = section.boolean(reader, "otel");
    let max = section.read(reader, "max", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
    let scrape = section.get("scrape").and_then(|node| {
        let mut section = reader.section(node, "correlate.pool.scrape");
        let request = step::request_of(reader, &mut section, "request", true);
        let (every, figures) = (every(reader, &mut section), figures(reader, &mut section));
        section.close(reader);
        let (method, url) = request?;
        Some(PoolScrape { span: node.span, method, url, every, figures })
    });
    let http = section.get("http").map(|node| {
        let mut section = reader.section(node, "correlate.pool.http");
        let url = url(reader, &mut section, "correlate.pool.http");
        let (every, figures) = (every(reader, &mut section), figures(reader, &mut section));
        section.close(reader);
        PoolHttp { span: node.span, url, every, figures }
    });
    section.close(reader);
    PoolDocument { span: node.span, otel: otel.unwrap_or(Spanned::nowhere(false)), scrape, http, max }
}

fn redis(reader: &mut Reader<'_>, node: &Node) -> CorrelateRedis {
    let mut section = reader.section(node, "correlate.redis");
    let url = url(reader, &mut section, "correlate.redis");
    let every = every(reader, &mut section);
    section.close(reader);
    CorrelateRedis { span: node.span, url, every }
}

fn endpoint(reader: &mut Reader<'_>, node: &Node) -> Option<EndpointDocument> {
    let mut section = reader.section(node, "correlate.endpoints");
    let name = section.require(reader, "name").and_then(|node| reader.filled_text(node, "name"));
    let url = url(reader, &mut section, "correlate.endpoints");
    let every = every(reader, &mut section);
    let values = section.require(reader, "values").map(|node| reader.pairs(node, "values"));
    section.close(reader);
    Some(EndpointDocument { span: node.span, name: name?, url, every, values: values? })
}

/// Where a source's figures stand.
fn figures(reader: &mut Reader<'_>, section: &mut Section<'_>) -> PoolFigures {
    let mut text = |key| section.read(reader, key, |reader, node, key: &'static str| reader.filled_text(node, key));
    PoolFigures { max: text("max"), used: text("used"), pending: text("pending") }
}

fn every(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Spanned<Duration> {
    section.read(reader, "every", Reader::positive_duration).unwrap_or(Spanned::nowhere(EVERY))
}

/// The `url` that a source needs. An empty one switches it off.
fn url(reader: &mut Reader<'_>, section: &mut Section<'_>, name: &str) -> Text {
    // Filled in with nothing, the key is as if it were not there.
    let span = section.span;
    let url = section.text(reader, "url").unwrap_or_else(|| Spanned::new(String::new(), span));
    if url.is_empty() {
        reader
            .diagnostics
            .warning(url.span, format!("{name} is off, because its `url` is empty"))
            .hint("give the address, for example with `-e DATABASE_URL=…` or `-e REDIS_URL=…`");
    }
    url
}

/// Whether a text is the base of URLs; says so where it is none.
fn base(reader: &mut Reader<'_>, text: &Text) -> bool {
    let proper = url::Url::parse(text.trim()).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if !proper {
        let shown = reader.show_text(text);
        reader
            .error(text.span, format!("`forward` is no base URL of OTLP/HTTP: {shown}"))
            .hint("write `http://collector:4318`; `/v1/traces` and `/v1/metrics` are appended");
    }
    proper
}

/// `HOST:PORT`.
fn socket(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Text> {
    let text = reader.filled_text(node, key)?;
    let proper = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok() && !host.contains('/'));
    if !proper {
        let shown = reader.show(node);
        reader.error(node.span, format!("`{key}` is no address: {shown}")).hint("write `127.0.0.1:4318`");
    }
    proper.then_some(text)
}
