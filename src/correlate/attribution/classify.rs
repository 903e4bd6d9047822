//! What a span stands for, by its kind, its instrumentation, its name and its attributes.
//!
//! Old and new semantic conventions are read alike. Instrumentations that follow none (`otelsql`) are known by scope
//! and name. What nobody knows is work within the process, or asks somebody else: never a database.

use super::Role;
use crate::correlate::intake::{ServerSpan, SpanKind};

/// Attributes that only a database's span has, in the conventions of today and before.
const DATABASE: [&str; 6] =
    ["db.system.name", "db.system", "db.query.text", "db.statement", "db.operation.name", "db.namespace"];

/// Spans around the taking of a connection. In those of pg-pool the connecting is nested.
const POOLS: [&str; 11] = [
    "pg-pool.connect",
    "pool.acquire",
    "pool.get",
    "db.pool.acquire",
    "db.client.connection.acquire",
    "db.client.connection.wait",
    "deadpool.get",
    "sqlx.acquire",
    "mysql2.pool.getconnection",
    "hikaridatasource.getconnection",
    "prisma:engine:connection",
];

/// Spans around the opening of a connection to a database.
const CONNECTS: [&str; 7] = [
    "pg.connect",
    "mysql.connect",
    "mysql2.connect",
    "redis-connect",
    "sql.connector.connect",
    "sql.conn.connect",
    "db.connect",
];

/// Spans around the wait before a handler.
const QUEUES: [&str; 6] = [
    "server.queue",
    "http.server.queue",
    "http.server.request.queue",
    "http_server.queue",
    "http_server.proxy",
    "queue",
];

/// What frameworks' instrumentations write on their middlewares and handlers.
const HANDLERS: [&str; 7] =
    ["express.type", "fastify.type", "koa.type", "hapi.type", "nestjs.type", "connect.type", "restify.type"];

/// Attributes of a server span that say how long the request had waited, and how many nanoseconds their unit has.
/// Without a unit in the name it is seconds, as conventions have it.
const QUEUED: [(&str, f64); 8] = [
    ("http.server.request.time_in_queue", 1e9),
    ("http.server.request.queue", 1e9),
    ("http.server.request.queue.duration", 1e9),
    ("http.server.queue.duration", 1e9),
    ("http.server.request.queue_ms", 1e6),
    ("http.server.queue_ms", 1e6),
    ("http.request.queue_time_ms", 1e6),
    ("request.queue_time_ms", 1e6),
];

/// What a span stands for.
#[must_use]
pub fn classify(span: &ServerSpan) -> Role {
    let name = span.name.to_ascii_lowercase();
    let is = |names: &[&str]| names.contains(&name.as_str());
    if is(&QUEUES) {
        return Role::Queue;
    }
    if span.kind == SpanKind::Server {
        return Role::Server { queued: queued(span) };
    }
    if is(&POOLS) || (name == "connect" && span.scope.ends_with("sqlalchemy")) {
        return Role::Pool;
    }
    if is(&CONNECTS) {
        return Role::Connect;
    }
    let otelsql = span.scope.contains("otelsql") || span.scope.ends_with("/sql");
    if otelsql && name.contains("connect") && !name.contains("disconnect") {
        return Role::Connect;
    }
    if otelsql || has(span, &DATABASE) || (name.starts_with("sql.") && span.kind == SpanKind::Client) {
        return Role::Db;
    }
    match span.kind {
        SpanKind::Client | SpanKind::Producer => Role::Upstream,
        SpanKind::Internal if has(span, &HANDLERS) => Role::Handler,
        SpanKind::Internal | SpanKind::Consumer | SpanKind::Server => Role::Internal,
    }
}

fn has(span: &ServerSpan, keys: &[&str]) -> bool {
    span.attributes.iter().any(|(key, value)| keys.contains(&key.as_str()) && !value.is_empty())
}

/// How long a request had waited before its server span, in nanoseconds; 0 where nobody says.
fn queued(span: &ServerSpan) -> u64 {
    let said = QUEUED.iter().find_map(|(key, unit)| {
        let (_, value) = span.attributes.iter().find(|(name, _)| name == key)?;
        value.parse::<f64>().ok().map(|value| value * unit)
    });
    // A day is more than any request waits; the cast is within range, and NaN and negatives are none.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on both sides")]
    said.filter(|said| *said > 0.0 && *said < 86_400e9).map_or(0, |said| said as u64)
}
