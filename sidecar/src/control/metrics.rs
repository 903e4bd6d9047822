//! `/metrics`: the figures of the run in Prometheus' text, or in OpenMetrics where that is asked for.
//!
//! k6's remote-write names with the prefix `pacecar_`. Labels are scenario and step: what a plan
//! names. No tenant, no user and no URL ever stands here.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use pacecar::measure::slo::SloStatus;
use pacecar::measure::{Contains, Reading, Trend};
use pacecar::plan::MetricKind;
use pacecar::run::{Family, Series, Snapshot, Status};
use std::fmt::Write as _;

/// Which of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

/// Upper bounds of times, in seconds.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of everything else: tokens, costs, bytes.
const OTHERS: &[f64] = &[
    0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5,
    1e6, 1e7,
];

// === impl Format ===

impl Format {
    /// What a scraper asks for.
    pub(super) fn asked(headers: &HeaderMap) -> Self {
        let open = headers
            .get_all(ACCEPT)
            .iter()
            .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text")));
        if open { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The whole text.
pub(super) fn text(snapshot: &Snapshot, status: &Status, slos: &[SloStatus], format: Format) -> String {
    let mut text = Text { out: String::with_capacity(16 << 10), format };
    text.head("pacecar_build_info", "gauge", "Which pacecar this is.");
    text.line("pacecar_build_info", &[("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
    text.head("pacecar_paused", "gauge", "1 while an operator or the guard holds the run.");
    text.line("pacecar_paused", &[], f64::from(u8::from(status.paused)));
    text.head("pacecar_tainted", "gauge", "1 while a threshold does not hold.");
    text.line("pacecar_tainted", &[], f64::from(u8::from(status.tainted)));
    // Live, from the workers' own counts: a sample of a second ago would say less.
    text.head("pacecar_vus", "gauge", "VUs at work.");
    text.line("pacecar_vus", &[], status.vus as f64);
    text.head("pacecar_vus_max", "gauge", "VUs made.");
    text.line("pacecar_vus_max", &[], status.vus_max as f64);
    for family in snapshot.families.iter().filter(|family| !["vus", "vus_max"].contains(&family.name.as_str())) {
        text.family(family);
    }
    text.slos(slos);
    if format == Format::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

pub(super) struct Text {
    out: String,
    format: Format,
}

// === impl Text ===

impl Text {
    fn family(&mut self, family: &Family) {
        let base = format!("pacecar_{}", proper(&family.name));
        let help = format!("{} of the run, by what the plan names.", family.name);
        match family.kind {
            MetricKind::Counter => {
                let total = format!("{base}_total");
                // OpenMetrics names the family, Prometheus' text the sample.
                let named = if self.format == Format::OpenMetrics { &base } else { &total };
                self.head(named, "counter", &help);
                self.lines(&total, &family.series);
            }
            MetricKind::Rate => {
                let rate = format!("{base}_rate");
                self.head(&rate, "gauge", &help);
                self.lines(&rate, &family.series);
            }
            MetricKind::Gauge => {
                self.head(&base, "gauge", &help);
                self.lines(&base, &family.series);
            }
            MetricKind::Trend => {
                let time = family.contains == Contains::Time;
                let name = if time { format!("{base}_seconds") } else { base };
                self.head(&name, "histogram", &help);
                for Series { labels, reading } in &family.series {
                    if let Reading::Trend(trend) = reading {
                        let (bounds, unit) = if time { (SECONDS, 1e-3) } else { (OTHERS, 1.0) };
                        self.histogram(&name, labels, trend, bounds, unit);
                    }
                }
            }
        }
    }

    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn lines(&mut self, name: &str, series: &[Series]) {
        for Series { labels, reading } in series {
            let value = match reading {
                Reading::Counter(sum) => *sum,
                Reading::Rate(share) => share.rate(),
                Reading::Gauge(range) => range.value,
                Reading::Trend(_) => continue,
            };
            self.line(name, labels, value);
        }
    }

    /// What never finished is above every bound: it is in the count, and no bucket loses it again when it grows older.
    fn histogram(&mut self, name: &str, labels: &[(&'static str, String)], trend: &Trend, bounds: &[f64], unit: f64) {
        let finished = trend.finished();
        let base = (-f64::from(finished.scale())).exp2();
        let upper = |index: i32| (f64::from(index + 1) * base).exp2() * unit;
        let below_zero: u64 = finished.negative().map(|(_, count)| count).sum();
        let mut sum = below_zero + finished.zero_count();
        let mut buckets = finished.positive().peekable();
        let bucket = format!("{name}_bucket");
        let mut labelled = labels.to_vec();
        labelled.push(("le", String::new()));
        for bound in bounds {
            // A bucket is 0.54 % wide: one whose middle lies below the bound counts as below.
            while let Some((_, count)) = buckets.next_if(|(index, _)| upper(*index) <= bound * 1.0028) {
                sum += count;
            }
            if let Some((_, le)) = labelled.last_mut() {
                *le = number(*bound);
            }
            self.line(&bucket, &labelled, sum as f64);
        }
        if let Some((_, le)) = labelled.last_mut() {
            "+Inf".clone_into(le);
        }
        self.line(&bucket, &labelled, trend.count() as f64);
        self.line(&format!("{name}_sum"), labels, finished.sum() * unit);
        self.line(&format!("{name}_count"), labels, trend.count() as f64);
    }

    pub(super) fn line(&mut self, name: &str, labels: &[(&'static str, String)], value: f64) {
        self.out.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.out, "{end} {}", number(value));
    }
}

/// A number as Prometheus reads it.
fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

/// A custom metric's name holds what k6 allows, which is what Prometheus allows; whatever else is `_`.
fn proper(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pacecar::measure::Histogram;
    use pacecar::run::Stage;

    fn snapshot() -> Snapshot {
        let mut times = Histogram::new();
        [0.0, 0.9, 1.0, 99.0, 150.0, 150.0, 70_000.0].into_iter().for_each(|ms| times.record(ms));
        let labels = vec![("scenario", "main".to_owned()), ("step", "a\"b".to_owned())];
        // Two that never finished.
        let trend = Reading::Trend(Box::new(Trend::new(times, vec![(200.0, 2)])));
        let family = |name: &str, kind, contains, reading| Family {
            name: name.to_owned(),
            kind,
            contains,
            series: vec![Series { labels: labels.clone(), reading }],
        };
        Snapshot {
            families: vec![
                family("http_req_response_time", MetricKind::Trend, Contains::Time, trend),
                family("http_reqs", MetricKind::Counter, Contains::Default, Reading::Counter(7.0)),
            ],
            ..Snapshot::default()
        }
    }

    fn status() -> Status {
        Status { stage: Stage::Load, paused: true, vus: 3, vus_max: 5, stopped: false, tainted: false }
    }

    #[test]
    fn names_are_k6s_with_seconds_and_total() {
        let text = text(&snapshot(), &status(), &[], Format::Prometheus);
        for line in [
            "# TYPE pacecar_http_req_response_time_seconds histogram",
            r#"pacecar_http_req_response_time_seconds_bucket{scenario="main",step="a\"b",le="0.001"} 3"#,
            r#"pacecar_http_req_response_time_seconds_bucket{scenario="main",step="a\"b",le="0.1"} 4"#,
            r#"pacecar_http_req_response_time_seconds_bucket{scenario="main",step="a\"b",le="0.2"} 6"#,
            r#"pacecar_http_req_response_time_seconds_bucket{scenario="main",step="a\"b",le="60"} 6"#,
            r#"pacecar_http_req_response_time_seconds_bucket{scenario="main",step="a\"b",le="+Inf"} 9"#,
            r#"pacecar_http_req_response_time_seconds_count{scenario="main",step="a\"b"} 9"#,
            "# TYPE pacecar_http_reqs_total counter",
            r#"pacecar_http_reqs_total{scenario="main",step="a\"b"} 7"#,
            "pacecar_paused 1",
            "pacecar_vus 3",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("EOF"));
    }

    #[test]
    fn open_metrics_ends_and_names_the_family() {
        let text = text(&snapshot(), &status(), &[], Format::OpenMetrics);
        assert!(text.ends_with("# EOF\n") && text.contains("# TYPE pacecar_http_reqs counter\n"));
        assert!(text.contains("\npacecar_http_reqs_total{"));
    }
}
