//! The lines of k6's NDJSON, key for key and in k6's order.

use super::super::tags::{Class, TagSets, Tagging, Tags};
use crate::measure::metric::Metric;
use crate::measure::{Contains, MetricId, Selector, Thresholds, WallClock};
use crate::plan::MetricKind;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// What stands in the summary beside `http_req_duration`, and so among its submetrics.
const EXPECTED: &str = "http_req_duration{expected_response:true}";

/// Makes lines.
pub(super) struct Lines {
    clock: WallClock,
    metrics: Vec<Prepared>,
    tags: TagSets<Box<str>>,
    /// The last second that was written as text, and the text.
    second: (u64, String),
    /// Metrics that were announced since the last [`Lines::settle`].
    fresh: Vec<usize>,
}

/// A metric's text.
struct Prepared {
    /// Its line before its first point.
    announcement: Vec<u8>,
    /// A point's line up to the time.
    head: Vec<u8>,
    announced: bool,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(tagging: &Arc<Tagging>, thresholds: &Thresholds, clock: WallClock) -> Self {
        let metrics = tagging.layout().metrics().map(|(id, metric)| Prepared::new(id, metric, thresholds)).collect();
        Self {
            clock,
            metrics,
            tags: TagSets::new(Arc::clone(tagging), object),
            second: (u64::MAX, String::new()),
            fresh: Vec::new(),
        }
    }

    /// Adds the line of a point to `out`, and before it its metric's, where it is the first.
    pub(super) fn point(&mut self, metric: MetricId, class: Class, at: Instant, value: f64, out: &mut Vec<u8>) {
        let index = usize::from(metric.0);
        let Some(prepared) = self.metrics.get_mut(index) else { return };
        if !prepared.announced {
            out.extend_from_slice(&prepared.announcement);
            prepared.announced = true;
            self.fresh.push(index);
        }
        out.extend_from_slice(&prepared.head);
        self.time(self.clock.unix(at), out);
        // Writing into memory does not fail.
        let _ = write!(out, r#"","value":{value},"tags":"#);
        out.extend_from_slice(self.tags.of(class).as_bytes());
        out.extend_from_slice(b"}}\n");
    }

    /// What was made so far was written, or was not: then it is as if it had never been made.
    pub(super) fn settle(&mut self, written: bool) {
        for index in self.fresh.drain(..) {
            if let Some(prepared) = self.metrics.get_mut(index) {
                prepared.announced = written;
            }
        }
    }

    /// RFC 3339 with as many digits as it takes, as Go writes it.
    fn time(&mut self, unix: Duration, out: &mut Vec<u8>) {
        if self.second.0 != unix.as_secs() {
            let second = SystemTime::UNIX_EPOCH + Duration::from_secs(unix.as_secs());
            let text = humantime::format_rfc3339_seconds(second).to_string();
            self.second = (unix.as_secs(), text.trim_end_matches('Z').to_owned());
        }
        out.extend_from_slice(self.second.1.as_bytes());
        let mut nanos = unix.subsec_nanos();
        if nanos > 0 {
            let mut digits = 9;
            while nanos.is_multiple_of(10) {
                nanos /= 10;
                digits -= 1;
            }
            let _ = write!(out, ".{nanos:0digits$}");
        }
        out.push(b'Z');
    }
}

// === impl Prepared ===

impl Prepared {
    fn new(id: MetricId, metric: &Metric, thresholds: &Thresholds) -> Self {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Rate => "rate",
            MetricKind::Trend => "trend",
        };
        let contains = match metric.contains {
            Contains::Time => "time",
            Contains::Data => "data",
            Contains::Default => "default",
        };
        let of_it = thresholds.items().iter().filter(|threshold| threshold.id() == id);
        let (mut texts, mut submetrics) = (Vec::new(), Vec::new());
        for threshold in of_it {
            match threshold.metric.split_once('{') {
                None => texts.push(Value::from(threshold.text.clone())),
                Some(_) => submetrics.push(threshold.metric.as_str()),
            }
        }
        if id == MetricId::HTTP_REQ_DURATION {
            submetrics.push(EXPECTED);
        }
        let mut seen = Vec::new();
        submetrics.retain(|name| {
            let fresh = !seen.contains(name);
            seen.push(*name);
            fresh
        });
        let submetrics: Vec<Value> = submetrics.into_iter().filter_map(submetric).collect();
        let line = json!({
            "type": "Metric",
            "data": {
                "name": metric.name,
                "type": kind,
                "contains": contains,
                "thresholds": texts,
                "submetrics": if submetrics.is_empty() { Value::Null } else { submetrics.into() },
            },
            "metric": metric.name,
        });
        let head = format!(r#"{{"metric":{},"type":"Point","data":{{"time":""#, Value::from(metric.name.clone()));
        Self { announcement: format!("{line}\n").into_bytes(), head: head.into_bytes(), announced: false }
    }
}

/// A submetric as k6 has it.
fn submetric(name: &str) -> Option<Value> {
    let (_, selector) = Selector::parse_metric(name).ok()?;
    let tags: Map<_, _> = selector.tags.into_iter().map(|(tag, value)| (tag, value.into())).collect();
    let suffix = name.split_once('{').map_or("", |(_, rest)| rest.trim_end().trim_end_matches('}'));
    Some(json!({ "name": name, "suffix": suffix, "tags": tags }))
}

/// Tags as an object.
fn object(tags: &Tags) -> Box<str> {
    let object: Map<_, _> = tags.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    Value::Object(object).to_string().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::measure::{LayoutBuilder, Place, RequestSample, SiteTags, Timings};

    fn lines(clock: WallClock, thresholds: &[&str]) -> (Lines, Class) {
        let mut layout = LayoutBuilder::new(vec![("team".into(), "a\"b".into())]);
        let scenario = layout.scenario("main", &[("own".into(), "x".into())]);
        let tags = SiteTags { step: "login".into(), method: "GET".into(), url: "http://api/a".into() };
        let site = layout.site(scenario, tags, 1.0);
        let documents: Vec<_> =
            thresholds.iter().map(|text| crate::measure::threshold::threshold_from_text(text).unwrap()).collect();
        let mut diagnostics = crate::plan::Diagnostics::new("plan");
        let thresholds = Thresholds::compile(&documents, &mut layout, &mut diagnostics);
        let tagging = Arc::new(Tagging::new(layout.build(), 1));
        let now = Instant::now();
        let sample = RequestSample {
            due: now,
            ended: now,
            timings: Timings::default(),
            status: 404,
            expected: false,
            failure: None,
            proto: Some(crate::measure::Proto::Http11),
            tls: None,
            tenant: 3,
        };
        let class = Class::of_request(site, &sample, tagging.tenants());
        (Lines::new(&tagging, &thresholds, clock), class)
    }

    #[tokio::test(start_paused = true)]
    async fn a_point_is_k6s_to_the_byte() {
        let now = Instant::now();
        let unix = Duration::new(1_700_000_000, 120_000_300);
        let (mut lines, class) = lines(WallClock::new(now, unix), &[]);
        let mut out = Vec::new();
        lines.point(MetricId::HTTP_REQS, class, now, 1.0, &mut out);
        lines.point(MetricId::HTTP_REQS, class, now + Duration::from_nanos(879_999_700), 0.25, &mut out);
        let tags = r#"{"error_code":"1404","expected_response":"false","group":"::login","method":"GET","name":"http://api/a","own":"x","proto":"HTTP/1.1","scenario":"main","status":"404","step":"login","team":"a\"b","url":"http://api/a"}"#;
        let wanted = [
            r#"{"type":"Metric","data":{"name":"http_reqs","type":"counter","contains":"default","thresholds":[],"submetrics":null},"metric":"http_reqs"}"#.to_owned(),
            format!(r#"{{"metric":"http_reqs","type":"Point","data":{{"time":"2023-11-14T22:13:20.1200003Z","value":1,"tags":{tags}}}}}"#),
            format!(r#"{{"metric":"http_reqs","type":"Point","data":{{"time":"2023-11-14T22:13:21Z","value":0.25,"tags":{tags}}}}}"#),
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), wanted);
    }

    #[tokio::test]
    async fn a_metric_knows_its_thresholds_and_submetrics() {
        let thresholds = [
            "http_req_duration=p(95)<200",
            "http_req_duration{step:login}=avg<9",
            "http_req_duration{step:login}=max<9",
        ];
        let (mut lines, class) = lines(WallClock::now(), &thresholds);
        let mut out = Vec::new();
        lines.point(MetricId::HTTP_REQ_DURATION, class, Instant::now(), 1.0, &mut out);
        let text = String::from_utf8(out).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let wanted = json!({ "name": "http_req_duration", "type": "trend", "contains": "time", "thresholds": ["p(95)<200"],
            "submetrics": [
                { "name": "http_req_duration{step:login}", "suffix": "step:login", "tags": { "step": "login" } },
                { "name": EXPECTED, "suffix": "expected_response:true", "tags": { "expected_response": "true" } },
            ] });
        assert_eq!(first["data"], wanted);
    }

    #[tokio::test]
    async fn what_was_not_written_is_announced_again() {
        let (mut lines, class) = lines(WallClock::now(), &[]);
        let mut announced = |settled: bool| {
            let mut out = Vec::new();
            lines.point(MetricId::HTTP_REQS, class, Instant::now(), 1.0, &mut out);
            lines.settle(settled);
            out.starts_with(br#"{"type":"Metric""#)
        };
        assert!(announced(false) && announced(true) && !announced(false) && !announced(true));
    }

    #[tokio::test]
    async fn tags_are_k6s_class_by_class() {
        let mut layout = LayoutBuilder::new(vec![("team".into(), "t".into())]);
        let main = layout.scenario("main", &[("own".into(), "x".into())]);
        let setup = layout.scenario("setup", &[]);
        let site = |layout: &mut LayoutBuilder, scenario| {
            let tags = SiteTags { step: "login".into(), method: "GET".into(), url: "u".into() };
            layout.site(scenario, tags, 1.0)
        };
        let (step, before) = (site(&mut layout, main), site(&mut layout, setup));
        let check = layout.check(step, "status");
        let cost = layout.metric("cost", MetricKind::Trend, Contains::Default).unwrap();
        let tagging = Tagging::new(layout.build(), 1);
        let of = |metric, place| {
            let tags = tagging.tags(Class::of_mark(metric, place));
            tags.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(MetricId::VUS, Place::Run), "team=t");
        assert_eq!(of(MetricId::ITERATIONS, Place::Scenario(main)), "group= own=x scenario=main team=t");
        assert_eq!(of(MetricId::DATA_SENT, Place::Scenario(setup)), "group=::setup team=t");
        assert_eq!(of(MetricId::DROPPED_ITERATIONS, Place::Scenario(main)), "scenario=main team=t");
        assert_eq!(
            of(MetricId::GROUP_DURATION, Place::Site(step)),
            "group=::login own=x scenario=main step=login team=t"
        );
        assert_eq!(of(MetricId::GROUP_DURATION, Place::Site(before)), "group=::setup::login step=login team=t");
        assert_eq!(of(cost, Place::Site(step)), "group= own=x scenario=main team=t");
        assert_eq!(of(MetricId::LLM_TTFT, Place::Site(step)), "group= own=x scenario=main step=login team=t");
        assert_eq!(
            of(MetricId::CHECKS, Place::Check(check)),
            "check=login status group=::login own=x scenario=main step=login team=t"
        );
    }
}
