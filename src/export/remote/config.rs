//! What stands behind `prometheus-rw=`, and k6's `K6_PROMETHEUS_RW_*`.

use super::super::settings::{Refusal, interval, read, truth, url, variable};
use crate::correlate::{Lookup, Trust};
use crate::measure::threshold::Aggregation;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// A remote-write endpoint and how it is written to.
#[derive(Clone, PartialEq)]
pub struct RemoteWrite {
    /// With the user.
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) trust: Trust,
    pub(super) interval: Duration,
    pub(super) trends: Trends,
    pub(super) stale_markers: bool,
}

/// What becomes of a trend.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trends {
    /// A native histogram.
    Native,
    /// A gauge for each figure, with the end of its name.
    Gauges(Vec<(String, Figure)>),
}

/// A figure of a trend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Figure {
    Sum,
    Of(Aggregation),
}

const SERVER: &str = "http://localhost:9090/api/v1/write";
/// Where Prometheus takes it, if the URL names a server only.
const PATH: &str = "/api/v1/write";
const EVERY: Duration = Duration::from_secs(5);
/// k6's, where trends are gauges and nobody says which.
const STATS: &str = "p(99)";
const PREFIX: &str = "K6_PROMETHEUS_RW_";
const HEADERS: &str = "K6_PROMETHEUS_RW_HEADERS_";
const A_URL: &str = "a URL that begins with http:// or https:// and has a host";

// === impl RemoteWrite ===

impl RemoteWrite {
    /// Reads what stands behind `prometheus-rw=`. `lookup` finds a variable, `names` are those of all.
    pub(in crate::export) fn read<'n>(
        at: &str,
        lookup: &Lookup<'_>,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Self, Refusal> {
        let of = |name: &str| variable(lookup, &format!("{PREFIX}{name}"));
        if let Some(name) =
            ["SIGV4_REGION", "SIGV4_ACCESS_KEY", "SIGV4_SECRET_KEY"].into_iter().find(|it| of(it).is_some())
        {
            return Err(Refusal::not_yet(format!("{PREFIX}{name}")));
        }
        let given = match at {
            "" => read(lookup, "K6_PROMETHEUS_RW_SERVER_URL", url, A_URL)?.or_else(|| url(SERVER)),
            at => url(at),
        };
        let mut url = given.ok_or_else(|| Refusal::new(format!("prometheus-rw=URL: not {A_URL}")))?;
        if url.path() == "/" {
            url.set_path(PATH);
        }
        let mut headers = headers(lookup, names)?;
        if let Some(user) = of("USERNAME") {
            let pair = format!("{user}:{}", of("PASSWORD").unwrap_or_default());
            insert(
                &mut headers,
                "K6_PROMETHEUS_RW_USERNAME",
                "authorization",
                &format!("Basic {}", STANDARD.encode(pair)),
            )?;
        }
        if let Some(token) = of("BEARER_TOKEN") {
            insert(&mut headers, "K6_PROMETHEUS_RW_BEARER_TOKEN", "authorization", &format!("Bearer {token}"))?;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-write-version", HeaderValue::from_static("0.1.0"));
        let identity = of("CLIENT_CERTIFICATE").zip(of("CLIENT_CERTIFICATE_KEY"));
        let truth_of = |name: &str| read(lookup, &format!("{PREFIX}{name}"), truth, "true or false");
        let known = |version: &str| ["1.2", "1.3"].contains(&version).then_some(());
        read(lookup, "K6_PROMETHEUS_RW_TLS_MINIMUM_VERSION", known, "1.2 or 1.3")?;
        Ok(Self {
            url,
            headers,
            trust: Trust {
                authorities: None,
                unchecked: truth_of("INSECURE_SKIP_TLS_VERIFY")?.unwrap_or_default(),
                identity: identity.map(|(certificate, key)| (PathBuf::from(certificate), PathBuf::from(key))),
            },
            interval: read(lookup, "K6_PROMETHEUS_RW_PUSH_INTERVAL", interval, "a duration above 0")?.unwrap_or(EVERY),
            trends: trends(of("TREND_STATS").as_deref(), truth_of("TREND_AS_NATIVE_HISTOGRAM")?)?,
            stale_markers: truth_of("STALE_MARKERS")?.unwrap_or_default(),
        })
    }

    /// How often it is written to.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The path with its query.
    pub(super) fn target(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }
}

impl fmt::Debug for RemoteWrite {
    /// Without the user part and the query, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteWrite").field("server", &self.url.origin().ascii_serialization()).finish_non_exhaustive()
    }
}

/// Native histograms, unless somebody asks for figures: k6 has it the other way round.
fn trends(stats: Option<&str>, native: Option<bool>) -> Result<Trends, Refusal> {
    match (native, stats) {
        (Some(true), _) | (None, None) => Ok(Trends::Native),
        (_, stats) => {
            let figures = stats.unwrap_or(STATS).split(',').map(str::trim).filter(|name| !name.is_empty()).map(figure);
            Ok(Trends::Gauges(figures.collect::<Result<_, _>>()?))
        }
    }
}

/// A figure and the end of its series' name: `p(99.9)` is `p999`, as in k6.
fn figure(name: &str) -> Result<(String, Figure), Refusal> {
    if name == "sum" {
        return Ok((name.to_owned(), Figure::Sum));
    }
    match name.parse() {
        Ok(Aggregation::Rate | Aggregation::Value) | Err(_) => {
            Err(Refusal::new("K6_PROMETHEUS_RW_TREND_STATS: not a list of avg, min, med, max, count, sum and p(N)"))
        }
        Ok(aggregation) => {
            let end = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
            Ok((end, Figure::Of(aggregation)))
        }
    }
}

/// `K6_PROMETHEUS_RW_HEADERS_NAME=value`, and `K6_PROMETHEUS_RW_HTTP_HEADERS=name:value,…`.
fn headers<'n>(lookup: &Lookup<'_>, names: impl Iterator<Item = &'n str>) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    for variable in names {
        if let (Some(name), Some(value)) = (variable.strip_prefix(HEADERS), lookup(variable)) {
            insert(&mut headers, variable, name, &value)?;
        }
    }
    const LIST: &str = "K6_PROMETHEUS_RW_HTTP_HEADERS";
    for pair in variable(lookup, LIST).iter().flat_map(|list| list.split(',')) {
        let (name, value) =
            pair.split_once(':').ok_or_else(|| Refusal::new(format!("{LIST}: not NAME:VALUE,NAME:VALUE")))?;
        insert(&mut headers, LIST, name.trim(), value.trim())?;
    }
    Ok(headers)
}

/// Sets a header that `variable` asks for; whatever it holds may be secret.
fn insert(headers: &mut HeaderMap, variable: &str, name: &str, value: &str) -> Result<(), Refusal> {
    let name = HeaderName::try_from(name).map_err(|_| Refusal::new(format!("{variable}: no header's name")))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| Refusal::new(format!("{variable}: no header's value")))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(at: &str, variables: &[(&str, &str)]) -> Result<RemoteWrite, Refusal> {
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        RemoteWrite::read(at, &lookup, variables.iter().map(|(name, _)| *name))
    }

    #[test]
    fn the_url_is_the_flags_then_the_variables_then_k6s() {
        let variable = ("K6_PROMETHEUS_RW_SERVER_URL", "https://env/push?tenant=1");
        assert_eq!(read("http://h:9090", &[variable]).unwrap().url.as_str(), "http://h:9090/api/v1/write");
        let config = read("", &[variable]).unwrap();
        assert_eq!((config.url.as_str(), config.target().as_str()), ("https://env/push?tenant=1", "/push?tenant=1"));
        assert_eq!(read("", &[]).unwrap().url.as_str(), SERVER);
    }

    #[test]
    fn trends_are_native_unless_figures_are_asked_for() {
        let of = |variables: &[(&str, &str)]| read("", variables).unwrap().trends;
        let (stats, native) = ("K6_PROMETHEUS_RW_TREND_STATS", "K6_PROMETHEUS_RW_TREND_AS_NATIVE_HISTOGRAM");
        assert_eq!(of(&[]), Trends::Native);
        assert_eq!(of(&[(stats, "avg"), (native, "true")]), Trends::Native);
        let percentile = |end: &str, p| (end.to_owned(), Figure::Of(Aggregation::Percentile(p)));
        assert_eq!(of(&[(native, "false")]), Trends::Gauges(vec![percentile("p99", 99.0)]));
        let figures = vec![
            ("sum".to_owned(), Figure::Sum),
            ("avg".to_owned(), Figure::Of(Aggregation::Avg)),
            percentile("p999", 99.9),
        ];
        assert_eq!(of(&[(stats, "sum, avg,p(99.9)")]), Trends::Gauges(figures));
    }

    #[test]
    fn headers_come_from_every_way_that_k6_has() {
        let config = read(
            "http://h",
            &[
                ("K6_PROMETHEUS_RW_HEADERS_X-Scope-OrgID", "7"),
                ("K6_PROMETHEUS_RW_HTTP_HEADERS", "a:b, c : d"),
                ("K6_PROMETHEUS_RW_USERNAME", "me"),
                ("K6_PROMETHEUS_RW_PASSWORD", "secret"),
            ],
        );
        let config = config.unwrap();
        for (name, value) in [("x-scope-orgid", "7"), ("a", "b"), ("c", "d"), ("authorization", "Basic bWU6c2VjcmV0")] {
            assert_eq!(config.headers[name], value);
        }
        assert!(config.headers["authorization"].is_sensitive() && !format!("{config:?}").contains("secret"));
    }

    #[test]
    fn what_has_no_meaning_is_refused_without_being_repeated() {
        for (at, name, value) in [
            ("secret", "A", ""),
            ("", "K6_PROMETHEUS_RW_SERVER_URL", "ftp://secret"),
            ("", "K6_PROMETHEUS_RW_HTTP_HEADERS", "secret"),
            ("", "K6_PROMETHEUS_RW_TREND_STATS", "secret"),
            ("", "K6_PROMETHEUS_RW_STALE_MARKERS", "secret"),
            ("", "K6_PROMETHEUS_RW_BEARER_TOKEN", "secret\u{7f}"),
        ] {
            let refusal = read(at, &[(name, value)]).unwrap_err();
            assert!(!refusal.problem.contains("secret") && !refusal.not_yet, "{refusal:?}");
        }
        assert!(read("", &[("K6_PROMETHEUS_RW_SIGV4_REGION", "x")]).unwrap_err().not_yet);
    }
}
