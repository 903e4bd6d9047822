//! What stands behind `otlp`, and OpenTelemetry's own variables for exporters.

use super::super::settings::{Refusal, interval, variable};
use crate::correlate::otlp::Signal;
use crate::correlate::{Collector, CollectorError, Lookup};
use crate::semconv::Sampling;
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// Where OTLP goes, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    pub(super) traces: Option<Collector>,
    pub(super) metrics: Option<Collector>,
    pub(super) logs: Option<Collector>,
    /// Whether sums and histograms are of the time since the last message.
    pub(super) delta: bool,
    pub(super) interval: Duration,
    /// Beside `service.name` and `service.version`, or in their place.
    pub(super) resource: Vec<(String, String)>,
    /// Which traces have spans.
    pub(super) sampling: Sampling,
}

const EVERY: Duration = Duration::from_secs(5);

// === impl Otlp ===

impl Otlp {
    /// Reads what stands behind `otlp=`; `lookup` finds a variable. All traces have spans.
    pub(in crate::export) fn read(at: &str, lookup: &Lookup<'_>) -> Result<Self, Refusal> {
        let base = Some(at.trim()).filter(|at| !at.is_empty());
        // None of its errors repeats a value.
        let refused = |error: CollectorError| Refusal::new(error.to_string());
        let of = |signal| Collector::of_signal(signal, base, lookup).map_err(refused);
        let preference = variable(lookup, "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
        let delta = match preference.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("cumulative") => false,
            Some("delta" | "lowmemory") => true,
            Some(_) => {
                let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
                return Err(Refusal::new(format!("{name}: not cumulative, delta or lowmemory")));
            }
        };
        let every = variable(lookup, "OTEL_METRIC_EXPORT_INTERVAL").map(|text| {
            let every = text.parse::<u64>().ok().and_then(|_| interval(&text));
            every.ok_or_else(|| Refusal::new("OTEL_METRIC_EXPORT_INTERVAL: not a number of milliseconds above 0"))
        });
        Ok(Self {
            traces: of(Signal::Traces)?,
            metrics: of(Signal::Metrics)?,
            logs: of(Signal::Logs)?,
            delta,
            interval: every.transpose()?.unwrap_or(EVERY),
            resource: resource(lookup)?,
            sampling: Sampling::ALL,
        })
    }

    /// Only these traces have spans.
    pub fn sample(&mut self, sampling: Sampling) {
        self.sampling = sampling;
    }

    /// Another sends the same spans to `collector`: they are not sent there twice.
    pub fn leave_spans_to(&mut self, collector: &Collector) {
        self.traces = self.traces.take().filter(|traces| !traces.shares(collector, Signal::Traces));
    }

    /// Refuses a collector that is pacecar itself; `listening` are the addresses of its receiver.
    ///
    /// # Errors
    /// [`CollectorError::Own`]
    pub fn refuse_own(&self, listening: &[&str]) -> Result<(), CollectorError> {
        let all = [&self.traces, &self.metrics, &self.logs];
        all.into_iter().flatten().try_for_each(|collector| collector.refuse_own("the output otlp", listening))
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`, and `OTEL_SERVICE_NAME`, which goes before it.
fn resource(lookup: &Lookup<'_>) -> Result<Vec<(String, String)>, Refusal> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes: Vec<(String, String)> = Vec::new();
    let mut set = |key: &str, value: String| {
        attributes.retain(|(known, _)| known != key);
        attributes.push((key.to_owned(), value));
    };
    let list = variable(lookup, NAME).unwrap_or_default();
    for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Refusal::new(format!("{NAME}: not KEY=VALUE,KEY=VALUE")))?;
        let value = percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
        set(key.trim(), value);
    }
    if let Some(name) = variable(lookup, "OTEL_SERVICE_NAME") {
        set("service.name", name);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(at: &str, variables: &[(&str, &str)]) -> Result<Otlp, Refusal> {
        Otlp::read(at, &|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_signal_can_be_left_out_and_spans_are_sent_once() {
        let mut otlp = read("http://c:4318", &[("OTEL_LOGS_EXPORTER", "none")]).unwrap();
        assert!(otlp.logs.is_none() && otlp.metrics.is_some());
        let lookup = |_: &str| None;
        otlp.leave_spans_to(&Collector::at("http://other:4318", &lookup).unwrap());
        assert!(otlp.traces.is_some());
        otlp.leave_spans_to(&Collector::at("http://c:4318/", &lookup).unwrap());
        assert!(otlp.traces.is_none());
        assert!(otlp.refuse_own(&["127.0.0.1:4318"]).is_ok());
        assert!(read("", &[]).unwrap().refuse_own(&["127.0.0.1:4318"]).is_err());
    }

    #[test]
    fn variables_say_the_rest() {
        let variables = [
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=api, team=a%20b"),
            ("OTEL_SERVICE_NAME", "canary"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1500"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ];
        let otlp = read("", &variables).unwrap();
        let wanted =
            [("team", "a b"), ("service.name", "canary")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(
            (otlp.resource.as_slice(), otlp.interval, otlp.delta),
            (&wanted[..], Duration::from_millis(1500), true)
        );
    }

    #[test]
    fn what_has_no_meaning_is_refused_without_being_repeated() {
        for (at, name, value) in [
            ("secret", "A", ""),
            ("", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://secret"),
            ("", "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "secret"),
            ("", "OTEL_RESOURCE_ATTRIBUTES", "secret"),
            ("", "OTEL_METRIC_EXPORT_INTERVAL", "secret"),
            ("", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "secret"),
        ] {
            let refusal = read(at, &[(name, value)]).unwrap_err();
            assert!(!refusal.problem.contains("secret"), "{refusal:?}");
        }
    }
}
