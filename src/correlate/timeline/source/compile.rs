//! From the section `correlate` to what is polled, with every problem at once.

use super::super::prometheus::Pick;
use super::super::timelines::TimelinesConfig;
use super::fetch::Target;
use super::json::{JsonFigures, JsonPlan};
use super::postgres::PostgresPlan;
use super::redis::RedisPlan;
use super::scrape::ScrapePlan;
use crate::plan::{CorrelateDocument, Diagnostics, Plan, PoolDocument, PoolFigures, Span, Text};
use crate::postgres::Database;
use ::redis::{Client, ConnectionAddr};
use http::Method;
use serde_json_path::JsonPath;
use url::Url;

/// What is polled, and how the timelines are set up.
#[derive(Clone, Debug)]
pub struct SourcesPlan {
    pub(super) json: Vec<JsonPlan>,
    pub(super) scrape: Option<ScrapePlan>,
    pub(super) postgres: Option<PostgresPlan>,
    pub(super) redis: Option<RedisPlan>,
    /// How the timelines are set up.
    pub timelines: TimelinesConfig,
    /// Whether something tells of the pool.
    pub sees_pool: bool,
}

/// The longest JSONPath, and the most brackets in it: its parser calls itself for each.
const PATH: (usize, usize) = (512, 16);

/// Compiles what of `correlate:` is watched over time. None where nothing is.
pub fn compile(plan: &Plan, diagnostics: &mut Diagnostics) -> Option<SourcesPlan> {
    let section = plan.later.correlate.as_ref()?;
    let mut compiler = Compiler { plan, diagnostics };
    let (mut json, mut scrape) = (Vec::new(), None);
    if let Some(pool) = &section.pool {
        json.extend(compiler.pool_http(pool));
        scrape = compiler.pool_scrape(pool);
    }
    for endpoint in section.endpoints.iter().filter(|endpoint| !endpoint.url.is_empty()) {
        let values: Vec<_> = endpoint
            .values
            .iter()
            .filter_map(|(name, path)| Some((name.value.clone(), compiler.path(path)?)))
            .collect();
        let Some(url) = compiler.url(&endpoint.url, "correlate.endpoints") else { continue };
        let source = endpoint.name.value.clone();
        json.push(JsonPlan {
            name: format!("correlate.endpoints, {source},"),
            target: compiler.target(Method::GET, url),
            every: endpoint.every.value,
            figures: JsonFigures::Named { source, values },
        });
    }
    let redis = section.redis.as_ref().filter(|redis| !redis.url.trim().is_empty());
    let redis = redis.and_then(|redis| {
        let client = compiler.redis(redis.url.trim(), redis.url.span)?;
        Some(RedisPlan { client, every: redis.every.value })
    });
    let postgres = section.postgres.as_ref().filter(|postgres| !postgres.url.trim().is_empty());
    let postgres = postgres.and_then(|postgres| {
        let Ok(database) = Database::parse(postgres.url.trim()) else {
            compiler
                .diagnostics
                .error(postgres.url.span, "the `url` of correlate.postgres is no connection string")
                .hint("postgres://USER:PASSWORD@HOST:PORT/DATABASE");
            return None;
        };
        let application_name = postgres.application_name.as_ref().map(|name| name.value.clone());
        Some(PostgresPlan { database, application_name, every: postgres.every.value })
    });
    let received = receives(section);
    let pool = section.pool.as_ref();
    // Said nowhere, what comes anyway is taken; `otel: false` is a word.
    let pool_metrics = received && pool.is_none_or(|pool| pool.otel.value || pool.otel.span == Span::NONE);
    if let Some(pool) = pool.filter(|pool| pool.otel.value && !received) {
        compiler
            .diagnostics
            .warning(pool.otel.span, "`otel: true`, and nothing receives OTLP")
            .hint("correlate: { traces: { listen: 127.0.0.1:4318 } }");
    }
    let pool_max = pool.and_then(|pool| pool.max.as_ref()).map(|max| max.value);
    let sees_pool = pool_metrics
        || scrape.is_some()
        || json.iter().any(|json| matches!(json.figures, JsonFigures::Pool { .. }))
        || postgres.is_some();
    Some(SourcesPlan {
        json,
        scrape,
        postgres,
        redis,
        timelines: TimelinesConfig { pool_metrics, pool_max },
        sees_pool,
    })
}

struct Compiler<'a> {
    plan: &'a Plan,
    diagnostics: &'a mut Diagnostics,
}

// === impl Compiler ===

impl Compiler<'_> {
    fn pool_http(&mut self, pool: &PoolDocument) -> Option<JsonPlan> {
        let http = pool.http.as_ref().filter(|http| !http.url.trim().is_empty())?;
        let PoolFigures { max, used, pending } = &http.figures;
        if max.is_none() && used.is_none() && pending.is_none() {
            self.diagnostics
                .error(http.span, "correlate.pool.http names no figure")
                .hint("http: { url: /stats, max: $.pool.max, used: $.pool.used, pending: $.pool.pending }");
            return None;
        }
        let mut path = |text: &Option<Text>| text.as_ref().and_then(|text| self.path(text));
        let figures = JsonFigures::Pool { max: path(max), used: path(used), pending: path(pending) };
        let url = self.url(&http.url, "correlate.pool.http")?;
        let target = self.target(Method::GET, url);
        Some(JsonPlan { name: "correlate.pool.http".to_owned(), target, every: http.every.value, figures })
    }

    fn pool_scrape(&mut self, pool: &PoolDocument) -> Option<ScrapePlan> {
        let scrape = pool.scrape.as_ref().filter(|scrape| !scrape.url.trim().is_empty())?;
        let PoolFigures { max, used, pending } = &scrape.figures;
        let mut pick = |text: &Option<Text>| {
            let text = text.as_ref()?;
            let pick = Pick::parse(text);
            if pick.is_none() {
                self.diagnostics
                    .error(text.span, format!("`{}` is no metric of Prometheus", text.value))
                    .hint("a name, as in `db_pool_max`, with labels where it needs them: `db_pool{state=\"used\"}`");
            }
            pick
        };
        let (max, used, pending) = (pick(max), pick(used), pick(pending));
        let url = self.url(&scrape.url, "correlate.pool.scrape")?;
        let Ok(method) = Method::try_from(scrape.method.as_str()) else {
            self.diagnostics.error(scrape.method.span, "correlate.pool.scrape has no method of HTTP");
            return None;
        };
        Some(ScrapePlan { target: self.target(method, url), every: scrape.every.value, max, used, pending })
    }

    fn path(&mut self, text: &Text) -> Option<JsonPath> {
        let (longest, brackets) = PATH;
        let problem = if text.len() > longest || text.matches(['[', '(']).count() > brackets {
            format!("a JSONPath longer than {longest} bytes, or with more than {brackets} brackets")
        } else {
            match JsonPath::parse(text) {
                Ok(path) => return Some(path),
                Err(error) => format!("`{}` is no JSONPath: {}", text.value, error.message()),
            }
        };
        self.diagnostics.error(text.span, problem).hint("RFC 9535: `$.name`, `$['a-b']`, `$.list[0]`");
        None
    }

    /// A URL, or a path below `base_url`. An error does not repeat it: it may hold a password.
    fn url(&mut self, text: &Text, name: &str) -> Option<Url> {
        let written = text.trim();
        let whole = if written.contains("://") {
            written.to_owned()
        } else {
            let Some(base) = self.plan.base_url.as_ref() else {
                let problem = format!("the `url` of {name} is a path, and there is no `base_url`");
                self.diagnostics.error(text.span, problem).hint("set `base_url`, or write the whole URL");
                return None;
            };
            let slash = if written.starts_with(['/', '?']) { "" } else { "/" };
            format!("{}{slash}{written}", base.trim().trim_end_matches('/'))
        };
        let url = Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if url.is_none() {
            self.diagnostics
                .error(text.span, format!("the `url` of {name} is no URL"))
                .hint("a path below `base_url`, or http://… or https://…");
        }
        url
    }

    /// With the plan's headers where it is the API that is asked: they may be secret.
    fn target(&self, method: Method, url: Url) -> Target {
        let base = self.plan.base_url.as_ref().and_then(|base| Url::parse(base.trim()).ok());
        let own = base.is_some_and(|base| base.origin() == url.origin());
        let fixed =
            |(name, value): &(Text, Text)| (!value.contains("{{")).then(|| (name.value.clone(), value.value.clone()));
        let headers: Vec<_> = if own { self.plan.http.headers.iter().filter_map(fixed).collect() } else { Vec::new() };
        Target::new(method, url, &headers)
    }

    fn redis(&mut self, url: &str, span: Span) -> Option<Client> {
        let hint = "redis://USER:PASSWORD@HOST:PORT/DATABASE, a special character percent-encoded; rediss:// is TLS";
        let Ok(client) = Client::open(url) else {
            self.diagnostics.error(span, "the `url` of correlate.redis is no address of Redis").hint(hint);
            return None;
        };
        if let ConnectionAddr::TcpTls { insecure: true, .. } = client.get_connection_info().addr() {
            self.diagnostics.not_yet(span, "`#insecure` in the `url` of correlate.redis");
            return None;
        }
        Some(client)
    }
}

/// Whether OTLP is received.
fn receives(section: &CorrelateDocument) -> bool {
    section.traces.as_ref().is_some_and(|traces| traces.listen.is_some() || traces.grpc.is_some())
}
