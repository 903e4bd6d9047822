//! What `-o` and `outputs:` take: `NAME` or `NAME=WHERE`, read once into what an output needs.
//!
//! A text may hold a password or a token, so no message repeats it.

use super::influxdb::InfluxDb;
use super::json::JsonPlace;
use super::otlp::Otlp;
use super::remote::RemoteWrite;
use super::settings::Refusal;
use crate::plan::{Diagnostics, Span, Text};
use std::collections::BTreeMap;

/// One output, as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// `json=FILE`
    Json(JsonPlace),
    /// `influxdb=URL/DB`
    InfluxDb(Box<InfluxDb>),
    /// `prometheus-rw=URL`
    PrometheusRw(Box<RemoteWrite>),
    /// `otlp[=URL]`
    Otlp(Box<Otlp>),
}

/// The names, and k6's names, of the outputs.
const NAMES: &[(&str, Kind)] = &[
    ("json", Kind::Json),
    ("influxdb", Kind::InfluxDb),
    ("otlp", Kind::Otlp),
    ("opentelemetry", Kind::Otlp),
    ("experimental-opentelemetry", Kind::Otlp),
    ("prometheus-rw", Kind::PrometheusRw),
    ("experimental-prometheus-rw", Kind::PrometheusRw),
];
const HINT: &str = "json=FILE, influxdb=URL/DB, otlp[=URL], prometheus-rw=URL";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    InfluxDb,
    Otlp,
    PrometheusRw,
}

/// The process' variables: where k6 and OpenTelemetry have the rest of an output.
pub type Environment = BTreeMap<String, String>;

/// Reads what was asked for. The same twice is once.
pub fn compile(texts: &[Text], environment: &Environment, diagnostics: &mut Diagnostics) -> Vec<Output> {
    let mut outputs = Vec::new();
    for text in texts {
        if let Some(output) = Output::compile(text, environment, diagnostics)
            && !outputs.contains(&output)
        {
            outputs.push(output);
        }
    }
    outputs
}

// === impl Output ===

impl Output {
    fn compile(text: &Text, environment: &Environment, diagnostics: &mut Diagnostics) -> Option<Self> {
        let lookup = |name: &str| environment.get(name).cloned();
        let (name, at) = text.value.trim().split_once('=').unwrap_or((text.value.trim(), ""));
        let Some((_, kind)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let shown = if is_word(name) { format!("the name `{name}`") } else { "that name".to_owned() };
            refuse(diagnostics, text.span, &format!("there is no output of {shown}")).hint(HINT);
            return None;
        };
        let read = match kind {
            Kind::Json if has_scheme(at) => Err(Refusal::not_yet("an address of the output json")),
            Kind::Json => Ok(Self::Json(JsonPlace::parse(at))),
            Kind::InfluxDb => InfluxDb::read(at, &lookup).map(|config| Self::InfluxDb(Box::new(config))),
            Kind::PrometheusRw => RemoteWrite::read(at, &lookup, environment.keys().map(String::as_str))
                .map(|config| Self::PrometheusRw(Box::new(config))),
            Kind::Otlp => Otlp::read(at, &lookup).map(|config| Self::Otlp(Box::new(config))),
        };
        match read {
            Ok(output) => return Some(output),
            Err(Refusal { problem, not_yet: true }) => diagnostics.not_yet(text.span, &problem),
            Err(Refusal { problem, not_yet: false }) => refuse(diagnostics, text.span, &problem),
        };
        None
    }

    /// What it is called in the summary.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::InfluxDb(_) => "influxdb",
            Self::PrometheusRw(_) => "prometheus-rw",
            Self::Otlp(_) => "otlp",
        }
    }
}

/// Records an error; one of a flag names the flag.
fn refuse<'d>(
    diagnostics: &'d mut Diagnostics,
    span: Span,
    problem: &str,
) -> &'d mut crate::plan::diagnostics::Diagnostic {
    let place = if span == Span::NONE { "--out: " } else { "" };
    diagnostics.error(span, format!("{place}{problem}"))
}

/// Whether a text can be shown: what somebody typed as a name, and no URL with a password.
fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Whether a text is an address, `s3://…`, and no file.
fn has_scheme(text: &str) -> bool {
    text.split_once("://")
        .is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::Spanned;

    fn read(texts: &[&str]) -> (Vec<Output>, String) {
        let texts: Vec<_> = texts.iter().map(|text| Spanned::nowhere((*text).to_owned())).collect();
        let mut diagnostics = Diagnostics::new("plan");
        let outputs = compile(&texts, &Environment::new(), &mut diagnostics);
        (outputs, diagnostics.to_string())
    }

    #[test]
    fn json_is_a_file_or_standard_output() {
        let (outputs, problems) = read(&["json=a.json", "json=b=c.json.gz", "json=a.json", "json", "json=-"]);
        let file = |name: &str| Output::Json(JsonPlace::File(name.into()));
        assert_eq!(outputs, [file("a.json"), file("b=c.json.gz"), Output::Json(JsonPlace::Stdout)], "{problems}");
        assert_eq!(problems, "");
    }

    #[test]
    fn what_is_no_output_is_refused_without_being_repeated() {
        for text in ["jsn=secret", "http://user:secret@host/db", "", "=secret", "cloud"] {
            let (outputs, problems) = read(&[text]);
            assert!(outputs.is_empty() && problems.contains("--out: there is no output of"), "{text}: {problems}");
            assert!(!problems.contains("secret"), "{problems}");
        }
        assert!(read(&["jsn=x"]).1.contains("the name `jsn`"));
    }
}
