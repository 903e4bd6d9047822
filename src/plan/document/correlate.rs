//! `correlate:`: where the other half of a request's story comes from.

use super::Text;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// Where the other half of a request's story comes from.
#[derive(Clone, Debug)]
pub struct CorrelateDocument {
    /// Where the section stands.
    pub span: Span,
    /// The API's own spans, over OTLP.
    pub traces: Option<TracesDocument>,
    /// `pg_stat_activity` and `pg_stat_database`.
    pub postgres: Option<CorrelatePostgres>,
    /// The connection pool of the API.
    pub pool: Option<PoolDocument>,
    /// Redis' latency, hit rate and memory.
    pub redis: Option<CorrelateRedis>,
    /// Figures that the API serves as JSON.
    pub endpoints: Vec<EndpointDocument>,
}

/// The API's own spans. Only the sockets that are named listen.
#[derive(Clone, Debug)]
pub struct TracesDocument {
    /// Where it stands.
    pub span: Span,
    /// `HOST:PORT` where OTLP/HTTP is received.
    pub listen: Option<Text>,
    /// `HOST:PORT` where OTLP/gRPC is received.
    pub grpc: Option<Text>,
    /// An OTLP/HTTP base URL that gets everything as it was, and pacecar's own spans.
    pub forward: Option<Text>,
    /// The share of iterations whose traces are recorded, 0 to 1. Default 1.
    pub sample: Spanned<f64>,
    /// How long after a request's end its spans are waited for. Default 10 s.
    pub linger: Spanned<Duration>,
    /// Whether `traceparent` carries the random flag of level 2. Default false.
    pub random_flag: bool,
}

/// Postgres, seen from within.
#[derive(Clone, Debug)]
pub struct CorrelatePostgres {
    /// Where it stands.
    pub span: Span,
    /// The connection string; empty is off, with a warning.
    pub url: Text,
    /// Which sessions are the API's; none is all of the database.
    pub application_name: Option<Text>,
    /// How often it is asked. Default 1 s.
    pub every: Spanned<Duration>,
}

/// The connection pool of the API: any of these sources.
#[derive(Clone, Debug)]
pub struct PoolDocument {
    /// Where it stands.
    pub span: Span,
    /// `db.client.connection.*`, received by OTLP. Default false.
    pub otel: Spanned<bool>,
    /// Prometheus' text.
    pub scrape: Option<PoolScrape>,
    /// JSON.
    pub http: Option<PoolHttp>,
    /// The size, where no source knows it.
    pub max: Option<Spanned<u64>>,
}

/// A Prometheus endpoint.
#[derive(Clone, Debug)]
pub struct PoolScrape {
    /// Where it stands.
    pub span: Span,
    /// The method.
    pub method: Text,
    /// A path below `base_url`, or absolute.
    pub url: Text,
    /// How often it is asked. Default 1 s.
    pub every: Spanned<Duration>,
    /// The names of its metrics, where they are not OpenTelemetry's.
    pub figures: PoolFigures,
}

/// A JSON endpoint.
#[derive(Clone, Debug)]
pub struct PoolHttp {
    /// Where it stands.
    pub span: Span,
    /// A path below `base_url`, or absolute; empty is off, with a warning.
    pub url: Text,
    /// How often it is asked. Default 1 s.
    pub every: Spanned<Duration>,
    /// JSONPaths of its figures.
    pub figures: PoolFigures,
}

/// Where a pool's figures stand: names of metrics, or JSONPaths.
#[derive(Clone, Debug, Default)]
pub struct PoolFigures {
    /// The size.
    pub max: Option<Text>,
    /// The connections in use.
    pub used: Option<Text>,
    /// The requests that wait.
    pub pending: Option<Text>,
}

/// Redis.
#[derive(Clone, Debug)]
pub struct CorrelateRedis {
    /// Where it stands.
    pub span: Span,
    /// The address; empty is off, with a warning.
    pub url: Text,
    /// How often it is asked. Default 1 s.
    pub every: Spanned<Duration>,
}

/// A JSON endpoint's figures.
#[derive(Clone, Debug)]
pub struct EndpointDocument {
    /// Where it stands.
    pub span: Span,
    /// What they are called.
    pub name: Text,
    /// A path below `base_url`, or absolute; empty is off, with a warning.
    pub url: Text,
    /// How often it is asked. Default 1 s.
    pub every: Spanned<Duration>,
    /// JSONPaths, by name.
    pub values: Vec<(Text, Text)>,
}
