//! What stands behind `influxdb=`, and k6's `K6_INFLUXDB_*`.
//!
//! As in k6 the URL's last segment is the database, its query may say the rest, and what it says goes before the
//! variables.

use super::super::settings::{Refusal, interval, parse, read, truth, url, variable};
use crate::correlate::{Lookup, Trust};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use std::fmt;
use std::time::Duration;
use url::Url;
use url::form_urlencoded::Serializer;

/// An InfluxDB and how it is written to.
#[derive(Clone, PartialEq)]
pub struct InfluxDb {
    /// The server, perhaps with a path before its own, and with the user.
    pub(super) url: Url,
    pub(super) database: String,
    /// For version 2's own way in.
    organization: Option<String>,
    /// Retention policy, consistency, precision: as version 1 takes them.
    extra: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) trust: Trust,
    pub(super) interval: Duration,
    /// Tags that are fields.
    pub(super) fields: Vec<(String, FieldKind)>,
    /// Nanoseconds of one unit of time.
    pub(super) unit: u64,
}

/// How a tag's value is written as a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    Text,
    Integer,
    Float,
    Truth,
}

const SERVER: &str = "http://localhost:8086";
const DATABASE: &str = "k6";
const EVERY: Duration = Duration::from_secs(1);
/// k6's: of these pacecar's points have `url` only.
const FIELDS: &[&str] = &["vu", "iter", "url"];

// === impl InfluxDb ===

impl InfluxDb {
    /// Reads what stands behind `influxdb=`; `lookup` finds a variable.
    pub(in crate::export) fn read(at: &str, lookup: &Lookup<'_>) -> Result<Self, Refusal> {
        for name in ["K6_INFLUXDB_PROXY"] {
            if variable(lookup, name).is_some() {
                return Err(Refusal::not_yet(name));
            }
        }
        let mut config = Self {
            url: read(lookup, "K6_INFLUXDB_ADDR", server, "a URL that begins with http:// or https://")?
                .or_else(|| url(SERVER))
                .ok_or_else(|| Refusal::new("no address"))?,
            database: variable(lookup, "K6_INFLUXDB_DB")
                .or_else(|| variable(lookup, "K6_INFLUXDB_BUCKET"))
                .unwrap_or_else(|| DATABASE.to_owned()),
            organization: variable(lookup, "K6_INFLUXDB_ORGANIZATION"),
            extra: Vec::new(),
            headers: HeaderMap::new(),
            trust: Trust::default(),
            interval: EVERY,
            fields: fields("K6_INFLUXDB_TAGS_AS_FIELDS", FIELDS.iter().copied())?,
            unit: 1,
        };
        config.trust.unchecked = read(lookup, "K6_INFLUXDB_INSECURE", truth, "true or false")?.unwrap_or_default();
        for (key, name) in [
            ("pushInterval", "K6_INFLUXDB_PUSH_INTERVAL"),
            ("precision", "K6_INFLUXDB_PRECISION"),
            ("retention", "K6_INFLUXDB_RETENTION"),
            ("consistency", "K6_INFLUXDB_CONSISTENCY"),
            ("concurrentWrites", "K6_INFLUXDB_CONCURRENT_WRITES"),
            ("payload_size", "K6_INFLUXDB_PAYLOAD_SIZE"),
        ] {
            if let Some(value) = variable(lookup, name) {
                config.set(key, name, &value)?;
            }
        }
        if let Some(list) = variable(lookup, "K6_INFLUXDB_TAGS_AS_FIELDS") {
            config.fields = fields("K6_INFLUXDB_TAGS_AS_FIELDS", list.split(','))?;
        }
        config.user(variable(lookup, "K6_INFLUXDB_USERNAME"), variable(lookup, "K6_INFLUXDB_PASSWORD"));
        config.at(at)?;
        if config.organization.is_some() && config.unit > 1_000_000_000 {
            return Err(Refusal::new("influxdb: version 2 has no such precision"));
        }
        if let Some(token) = variable(lookup, "K6_INFLUXDB_TOKEN") {
            let refused = |_| Refusal::new("K6_INFLUXDB_TOKEN: no header can hold it");
            let mut token = HeaderValue::try_from(format!("Token {token}")).map_err(refused)?;
            token.set_sensitive(true);
            config.headers.insert(AUTHORIZATION, token);
        }
        Ok(config)
    }

    /// How often it is written to.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Where lines are posted.
    pub(super) fn write_target(&self) -> String {
        let mut query = Serializer::new(String::new());
        let path = match &self.organization {
            Some(organization) => {
                query.append_pair("org", organization).append_pair("bucket", &self.database);
                query.append_pair("precision", self.precision());
                "api/v2/write"
            }
            None => {
                query.append_pair("db", &self.database);
                for (name, value) in &self.extra {
                    query.append_pair(name, value);
                }
                "write"
            }
        };
        format!("{}{path}?{}", self.prefix(), query.finish())
    }

    /// Where a missing database is made; none for version 2's own buckets, which must be there.
    pub(super) fn create_target(&self) -> Option<String> {
        self.organization.is_none().then(|| {
            let name = self.database.replace('\\', r"\\").replace('"', "\\\"");
            let query =
                Serializer::new(String::new()).append_pair("q", &format!("CREATE DATABASE \"{name}\"")).finish();
            format!("{}query?{query}", self.prefix())
        })
    }

    /// A path before the server's own, with a slash at both ends.
    fn prefix(&self) -> String {
        let path = self.url.path().trim_end_matches('/');
        format!("{path}/")
    }

    /// As version 2 calls it; it knows no minutes and no hours.
    const fn precision(&self) -> &'static str {
        match self.unit {
            1_000 => "us",
            1_000_000 => "ms",
            1_000_000_000 => "s",
            _ => "ns",
        }
    }

    /// Reads `URL/DB?…`, or a database alone.
    fn at(&mut self, at: &str) -> Result<(), Refusal> {
        const NAME: &str = "influxdb=URL/DB";
        if at.is_empty() {
            return Ok(());
        }
        if !at.contains("://") {
            at.trim_start_matches('/').clone_into(&mut self.database);
            return Ok(());
        }
        if at.starts_with("udp://") {
            return Err(Refusal::not_yet("InfluxDB over UDP"));
        }
        let given = parse(NAME, at, url, "a URL that begins with http:// or https:// and has a host")?;
        for (key, value) in given.query_pairs() {
            self.set(&key, &key, &value)?;
        }
        let listed: Vec<_> =
            given.query_pairs().filter(|(key, _)| key == "tagsAsFields").map(|(_, value)| value).collect();
        if !listed.is_empty() {
            self.fields = fields("tagsAsFields", listed.iter().flat_map(|value| value.split(',')))?;
        }
        // Behind a proxy there may be a path of its own: the last segment is the database.
        let (prefix, database) = given.path().rsplit_once('/').unwrap_or(("", ""));
        if !database.is_empty() {
            let decoded = percent_encoding::percent_decode_str(database).decode_utf8();
            self.database =
                decoded.map_err(|_| Refusal::new("influxdb: the database's name is not UTF-8"))?.into_owned();
        }
        let user = (self.url.username().to_owned(), self.url.password().map(str::to_owned));
        let mut server = given.clone();
        server.set_query(None);
        server.set_fragment(None);
        server.set_path(prefix);
        self.url = server;
        if given.username().is_empty() && given.password().is_none() {
            // They are encoded already, which does no harm to encode again: `%` stays.
            let _ = self.url.set_username(&user.0).and_then(|()| self.url.set_password(user.1.as_deref()));
        }
        Ok(())
    }

    /// Sets what a key of the URL's query, or the variable called `name`, says.
    fn set(&mut self, key: &str, name: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "insecure" => self.trust.unchecked = value.is_empty() || parse(name, value, truth, "true or false")?,
            "pushInterval" => self.interval = parse(name, value, interval, "a duration above 0")?,
            "precision" => {
                self.unit = parse(name, value, unit, "ns, u, ms, s, m or h")?;
                self.extra.retain(|(known, _)| *known != "precision");
                self.extra.push(("precision", value.to_owned()));
            }
            "retention" => self.extra.push(("rp", value.to_owned())),
            "consistency" => self.extra.push(("consistency", value.to_owned())),
            // One connection is enough, and a payload's size is UDP's.
            "concurrentWrites" | "payload_size" => {
                parse(name, value, |text| text.parse::<u32>().ok().filter(|number| *number > 0), "a number above 0")?;
            }
            "tagsAsFields" => {}
            _ => {
                let shown: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
                return Err(Refusal::new(format!("influxdb: there is no parameter `{shown}`")));
            }
        }
        Ok(())
    }

    fn user(&mut self, name: Option<String>, password: Option<String>) {
        if let Some(name) = name {
            let _ = self.url.set_username(&name);
        }
        if let Some(password) = password {
            let _ = self.url.set_password(Some(&password));
        }
    }
}

impl fmt::Debug for InfluxDb {
    /// Without the user part, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.url.origin().ascii_serialization();
        f.debug_struct("InfluxDb").field("server", &server).field("database", &self.database).finish_non_exhaustive()
    }
}

/// A server's address, whatever path it has.
fn server(text: &str) -> Option<Url> {
    url(text)
}

/// Nanoseconds of a unit of time.
fn unit(text: &str) -> Option<u64> {
    Some(match text {
        "n" | "ns" => 1,
        "u" | "us" | "µ" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Reads `name` or `name:kind`.
fn fields<'a>(of: &str, list: impl Iterator<Item = &'a str>) -> Result<Vec<(String, FieldKind)>, Refusal> {
    let mut fields: Vec<(String, FieldKind)> = Vec::new();
    for item in list.map(str::trim).filter(|item| !item.is_empty()) {
        let (name, kind) = item.split_once(':').unwrap_or((item, "string"));
        let kind = match kind {
            "string" => FieldKind::Text,
            "int" => FieldKind::Integer,
            "float" => FieldKind::Float,
            "bool" => FieldKind::Truth,
            _ => return Err(Refusal::new(format!("{of}: a kind is string, int, float or bool"))),
        };
        if fields.iter().any(|(known, _)| known == name) {
            return Err(Refusal::new(format!("{of}: a tag stands there twice")));
        }
        fields.push((name.to_owned(), kind));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(at: &str, variables: &[(&str, &str)]) -> Result<InfluxDb, Refusal> {
        InfluxDb::read(at, &|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_last_segment_is_the_database() {
        for (at, server, target) in [
            ("http://h:1/db", "http://h:1/", "/write?db=db"),
            ("http://h/behind/proxy/db", "http://h/behind/proxy", "/behind/proxy/write?db=db"),
            ("http://h/behind/", "http://h/behind", "/behind/write?db=k6"),
            ("other", "http://localhost:8086/", "/write?db=other"),
            ("", "http://localhost:8086/", "/write?db=k6"),
            ("http://h/a%20b?precision=ms&retention=r", "http://h/", "/write?db=a+b&precision=ms&rp=r"),
        ] {
            let config = read(at, &[]).unwrap();
            assert_eq!((config.url.as_str(), config.write_target().as_str()), (server, target), "{at}");
        }
        assert_eq!(read("", &[]).unwrap().create_target().unwrap(), "/query?q=CREATE+DATABASE+%22k6%22");
    }

    #[test]
    fn variables_are_read_and_the_url_goes_before_them() {
        let variables = [
            ("K6_INFLUXDB_ADDR", "https://env:9"),
            ("K6_INFLUXDB_DB", "fromenv"),
            ("K6_INFLUXDB_USERNAME", "me"),
            ("K6_INFLUXDB_PASSWORD", "p@ss"),
            ("K6_INFLUXDB_PUSH_INTERVAL", "2s"),
            ("K6_INFLUXDB_INSECURE", "true"),
            ("K6_INFLUXDB_TAGS_AS_FIELDS", "url:string,status:int"),
        ];
        let config = read("", &variables).unwrap();
        assert_eq!(config.url.as_str(), "https://me:p%40ss@env:9/");
        assert_eq!((config.database.as_str(), config.interval), ("fromenv", Duration::from_secs(2)));
        assert!(config.trust.unchecked);
        assert_eq!(config.fields, [("url".to_owned(), FieldKind::Text), ("status".to_owned(), FieldKind::Integer)]);
        let config = read("http://h/db?pushInterval=3s", &variables).unwrap();
        assert_eq!((config.url.as_str(), config.database.as_str()), ("http://me:p%40ss@h/", "db"));
        assert_eq!(config.interval, Duration::from_secs(3));
        assert!(!format!("{config:?}").contains("p%40ss"));
    }

    #[test]
    fn a_token_is_a_header_and_an_organization_is_version_two() {
        let config = read("http://h/bucket", &[("K6_INFLUXDB_TOKEN", "t"), ("K6_INFLUXDB_ORGANIZATION", "o")]).unwrap();
        assert_eq!(config.headers[AUTHORIZATION], "Token t");
        assert!(config.headers[AUTHORIZATION].is_sensitive());
        assert_eq!(config.write_target(), "/api/v2/write?org=o&bucket=bucket&precision=ns");
        assert_eq!(config.create_target(), None);
    }

    #[test]
    fn what_has_no_meaning_is_refused_without_being_repeated() {
        for (at, variables) in [
            ("ftp://u:secret@h/db", vec![]),
            ("http://h/db?insecure=secret", vec![]),
            ("http://h/db?unknown=secret", vec![]),
            ("", vec![("K6_INFLUXDB_ADDR", "secret")]),
            ("", vec![("K6_INFLUXDB_PUSH_INTERVAL", "secret")]),
            ("", vec![("K6_INFLUXDB_TAGS_AS_FIELDS", "secret:x")]),
        ] {
            let refusal = read(at, &variables).unwrap_err();
            assert!(!refusal.problem.contains("secret") && !refusal.not_yet, "{refusal:?}");
        }
        assert!(read("udp://h:1/db", &[]).unwrap_err().not_yet);
    }
}
