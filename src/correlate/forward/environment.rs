//! OpenTelemetry's variables for exporters, read as its specification says.
//!
//! An empty one is as if it were not set. One that has no meaning is refused where it decides what is sent
//! (an address, a header), and passed over with a warning where the specification has a default to fall back to.

use super::collector::{Collector, CollectorError, Protocol, below, parse};
use crate::correlate::otlp::Signal;
use http::header::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::time::Duration;
use url::Url;

/// Finds a variable's value by its name.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Where a collector is that nobody names.
const LOCAL_HTTP: &str = "http://localhost:4318";
const LOCAL_GRPC: &str = "http://localhost:4317";

/// The collector of pacecar's own spans, if the variables name one.
pub(super) fn own_spans(lookup: &Lookup<'_>) -> Result<Option<Collector>, CollectorError> {
    let off = variable(lookup, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable(lookup, "OTEL_TRACES_EXPORTER").is_some_and(|value| value.eq_ignore_ascii_case("none"));
    if off {
        return Ok(None);
    }
    let named = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    if named.iter().all(|name| variable(lookup, name).is_none()) {
        return Ok(None);
    }
    of_signal(Signal::Traces, None, lookup)
}

/// The collector of one signal: at `base`, where somebody names it, else where the variables say, else on this machine
/// as the specification has it. None where `OTEL_…_EXPORTER=none` says that none is wanted.
pub(super) fn of_signal(
    signal: Signal,
    base: Option<&str>,
    lookup: &Lookup<'_>,
) -> Result<Option<Collector>, CollectorError> {
    let word = word(signal);
    if variable(lookup, &format!("OTEL_{word}_EXPORTER")).is_some_and(|value| value.eq_ignore_ascii_case("none")) {
        return Ok(None);
    }
    let own = format!("OTEL_EXPORTER_OTLP_{word}_");
    let prefixes = [own.as_str(), "OTEL_EXPORTER_OTLP_"];
    let protocol = match first(lookup, &prefixes, "PROTOCOL") {
        Some((_, value)) if value == "grpc" => Protocol::Grpc,
        Some((_, value)) if value == "http/protobuf" => Protocol::Http,
        Some((name, value)) => {
            tracing::warn!(name, value, "pacecar does not speak this protocol: http/protobuf is taken");
            Protocol::Http
        }
        None => Protocol::Http,
    };
    let under = |name: &str, value: &str| {
        let base = endpoint(name, value, protocol)?;
        Ok(if protocol == Protocol::Grpc { base } else { below(&base, signal) })
    };
    let of_its_own = format!("{own}ENDPOINT");
    let endpoint = match (base, variable(lookup, &of_its_own), variable(lookup, "OTEL_EXPORTER_OTLP_ENDPOINT")) {
        (Some(base), ..) => under("otlp=URL", base)?,
        // Taken as it is, with no path added; a path is the root where there is none.
        (None, Some(value), _) => endpoint(&of_its_own, &value, protocol)?,
        (None, None, Some(value)) => under("OTEL_EXPORTER_OTLP_ENDPOINT", &value)?,
        (None, None, None) => under("otlp", if protocol == Protocol::Grpc { LOCAL_GRPC } else { LOCAL_HTTP })?,
    };
    let endpoints = Signal::ALL.map(|other| (other == signal).then(|| endpoint.clone()));
    collector(endpoints, protocol, lookup, &prefixes).map(Some)
}

/// A signal in the names of variables.
const fn word(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "TRACES",
        Signal::Metrics => "METRICS",
        Signal::Logs => "LOGS",
    }
}

/// A collector with the manners that the variables with these prefixes ask for; the first prefix wins.
pub(super) fn collector(
    endpoints: [Option<Url>; 3],
    protocol: Protocol,
    lookup: &Lookup<'_>,
    prefixes: &[&str],
) -> Result<Collector, CollectorError> {
    let mut collector = Collector::new(endpoints, protocol);
    if let Some((name, value)) = first(lookup, prefixes, "HEADERS") {
        for (key, value) in headers(&name, &value)? {
            collector.headers.insert(key, value);
        }
    }
    if let Some((name, value)) = first(lookup, prefixes, "TIMEOUT") {
        match value.parse() {
            // None at all would be a request that may hang for ever.
            Ok(milliseconds @ 1..=600_000) => collector.timeout = Duration::from_millis(milliseconds),
            _ => tracing::warn!(name, value, "not milliseconds from 1 to 600000: 10 s is taken"),
        }
    }
    if let Some((name, value)) = first(lookup, prefixes, "COMPRESSION") {
        match value.as_str() {
            "gzip" => collector.gzip = true,
            "none" => {}
            _ => tracing::warn!(name, value, "pacecar knows gzip and none: none is taken"),
        }
    }
    collector.certificate = first(lookup, prefixes, "CERTIFICATE").map(|(_, value)| value.into());
    Ok(collector)
}

/// For gRPC the scheme may be missing: `collector:4317`.
fn endpoint(name: &str, value: &str, protocol: Protocol) -> Result<Url, CollectorError> {
    if protocol == Protocol::Grpc && !value.contains("://") {
        return parse(name, &format!("http://{value}"));
    }
    parse(name, value)
}

/// `key=value,key2=value%20with%20blanks`, as W3C Baggage without properties.
fn headers(name: &str, text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, CollectorError> {
    let refused = |problem| CollectorError::Variable { name: name.to_owned(), problem };
    let mut headers = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| refused("not KEY=VALUE,KEY=VALUE"))?;
        let key = HeaderName::try_from(key.trim()).map_err(|_| refused("a key is no header's name"))?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).map_err(|_| refused("a value is no header's"))?;
        value.set_sensitive(true);
        headers.push((key, value));
    }
    Ok(headers)
}

fn variable(lookup: &Lookup<'_>, name: &str) -> Option<String> {
    lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn first(lookup: &Lookup<'_>, prefixes: &[&str], name: &str) -> Option<(String, String)> {
    prefixes.iter().find_map(|prefix| {
        let name = format!("{prefix}{name}");
        variable(lookup, &name).map(|value| (name, value))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Collector>, CollectorError> {
        own_spans(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn traces(variables: &[(&str, &str)]) -> String {
        read(variables).unwrap().unwrap().endpoint(Signal::Traces).unwrap().to_string()
    }

    #[test]
    fn the_endpoint_for_all_gets_the_path_and_that_for_traces_does_not() {
        assert_eq!(traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")]), "http://c:4318/v1/traces");
        assert_eq!(traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://c/otlp/")]), "https://c/otlp/v1/traces");
        assert_eq!(
            traces(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x")
            ]),
            "http://t/x"
        );
        assert_eq!(
            traces(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317")]),
            "http://c:4317/"
        );
    }

    #[test]
    fn without_an_endpoint_or_switched_off_there_is_none() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap().is_none());
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(read(&[off, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")]).unwrap().is_none(), "{off:?}");
        }
    }

    #[test]
    fn manners_are_read_and_those_for_traces_win() {
        let collector = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, tenant = 7,"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ]);
        let collector = collector.unwrap().unwrap();
        assert_eq!(collector.headers["authorization"], "Bearer x");
        assert!(collector.headers["authorization"].is_sensitive());
        assert_eq!(collector.headers["tenant"], "7");
        assert_eq!(collector.timeout, Duration::from_millis(250));
        assert!(collector.gzip);
        assert!(!format!("{collector:?}").contains("Bearer"), "a token in a log");
    }

    #[test]
    fn what_has_no_meaning_is_refused_without_being_repeated() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://u:secret@c"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0a"),
        ] {
            let good = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
            let error = read(&[(name, value), good]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
    }
}
