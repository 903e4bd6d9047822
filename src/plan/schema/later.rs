//! Sections whose keys are known and that do not work yet.

use super::values::{Flag, Integer, Number, Part, Text, Time};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// Verdicts of the spike, stress and soak tests.
#[derive(JsonSchema)]
#[schemars(rename = "judge", deny_unknown_fields)]
pub(super) struct Judge {
    /// Whether the target recovers after a spike.
    recovery: Option<Recovery>,
    /// The load at which the target breaks, and how.
    breaking_point: Option<BreakingPoint>,
    /// Whether a figure creeps up over the hours.
    drift: Option<Drift>,
}

/// Whether the target recovers after a spike.
#[derive(JsonSchema)]
#[schemars(rename = "judge.recovery", deny_unknown_fields)]
struct Recovery {
    /// The calm that it is compared with: `0s..1m`. Default: until the first rise.
    before: Option<Part>,
    /// When the spike is over, from the start of the run. Default: when the load falls from its highest.
    after: Option<Time>,
    /// The metric. Default `http_req_response_time`.
    metric: Option<Text>,
    /// Its statistic, as in a threshold. Default `p(95)` of a trend.
    stat: Option<Text>,
    /// How soon it must be back. Default 30s.
    within: Option<Time>,
    /// How far above the calm still counts as back. Default 1.2.
    factor: Option<Number>,
}

/// The load at which the target breaks.
#[derive(JsonSchema)]
#[schemars(rename = "judge.breaking_point", deny_unknown_fields)]
struct BreakingPoint {
    /// The metric. Default `http_req_response_time`.
    metric: Option<Text>,
    /// Its statistic, as in a threshold. Default `p(95)` of a trend.
    stat: Option<Text>,
    /// Above this it is broken, in the metric's unit. Default 10000.
    limit: Option<Number>,
    /// A share of failed requests above which it is broken. Default 0.1.
    failed: Option<Number>,
}

/// Whether a figure creeps up over the hours.
#[derive(JsonSchema)]
#[schemars(rename = "judge.drift", deny_unknown_fields)]
struct Drift {
    /// The metric. Default `http_req_response_time`.
    metric: Option<Text>,
    /// Its statistic, as in a threshold. Default `p(95)` of a trend.
    stat: Option<Text>,
    /// The share by which it may rise in an hour. Default 0.05.
    per_hour: Option<Number>,
}

/// Where the other half of a request's story comes from.
#[derive(JsonSchema)]
#[schemars(rename = "correlate", deny_unknown_fields)]
pub(super) struct Correlate {
    /// The API's own spans, over OTLP.
    traces: Option<Traces>,
    /// `pg_stat_activity` and `pg_stat_database`.
    postgres: Option<Postgres>,
    /// The connection pool of the API.
    pool: Option<Pool>,
    /// Redis.
    redis: Option<Redis>,
    /// Figures that the API serves.
    endpoints: Option<Vec<Endpoint>>,
}

/// The API's own spans.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.traces", deny_unknown_fields)]
struct Traces {
    /// Where OTLP/HTTP is received.
    listen: Option<Text>,
    /// Where OTLP/gRPC is received.
    grpc: Option<Text>,
    /// An OTLP/HTTP base URL that gets everything, as it was.
    forward: Option<Text>,
    /// The share of iterations that are sampled.
    sample: Option<Number>,
    /// How long spans are waited for.
    linger: Option<Time>,
    /// Whether `traceparent` carries the random flag of level 2.
    random_flag: Option<Flag>,
}

/// Postgres, seen from within.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.postgres", deny_unknown_fields)]
struct Postgres {
    /// The connection string; empty is off, with a warning.
    url: Option<Text>,
    /// Which sessions are the API's.
    application_name: Option<Text>,
    /// How often it is asked.
    every: Option<Time>,
}

/// The connection pool of the API: any of these sources.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.pool", deny_unknown_fields)]
struct Pool {
    /// `db.client.connection.*`, received by OTLP.
    otel: Option<Flag>,
    /// Prometheus' text.
    scrape: Option<Scrape>,
    /// JSON.
    http: Option<PoolHttp>,
    /// The size, where no source knows it.
    max: Option<Integer>,
}

/// Prometheus' text.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.pool.scrape", deny_unknown_fields)]
struct Scrape {
    /// Method and URL.
    request: String,
    /// How often it is asked.
    every: Option<Time>,
    /// The metric that is the size.
    max: Option<Text>,
    /// The metric of connections in use.
    used: Option<Text>,
    /// The metric of waiting requests.
    pending: Option<Text>,
}

/// JSON figures of the pool.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.pool.http", deny_unknown_fields)]
struct PoolHttp {
    /// Where they are served.
    url: Text,
    /// How often it is asked.
    every: Option<Time>,
    /// JSONPath of the size.
    max: Option<Text>,
    /// JSONPath of the connections in use.
    used: Option<Text>,
    /// JSONPath of the waiting requests.
    pending: Option<Text>,
}

/// Redis.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.redis", deny_unknown_fields)]
struct Redis {
    /// The address; empty is off, with a warning.
    url: Option<Text>,
    /// How often it is asked.
    every: Option<Time>,
}

/// Figures that the API serves as JSON.
#[derive(JsonSchema)]
#[schemars(rename = "correlate.endpoints", deny_unknown_fields)]
struct Endpoint {
    /// What they are called.
    name: Text,
    /// Where they are served.
    url: Text,
    /// How often it is asked.
    every: Option<Time>,
    /// JSONPaths, by name.
    values: BTreeMap<String, Text>,
}
