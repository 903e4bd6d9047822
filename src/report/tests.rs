//! The report against what k6 itself prints and exports for the same figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Held against what k6 1.1.0 printed and exported for one run (fixtures/), and end to end from samples.

use super::*;
use crate::judge::{Fidelity, FidelityInput, JudgeReport};
use crate::measure::threshold::{Aggregation, Expression, ThresholdOutcome, ThresholdResult};
use crate::measure::{
    Contains, Errors, FailureKind, IterationSample, LayoutBuilder, MetricId, Quantile, Recorder, RecorderHandle,
    RequestSample, Share, SiteTags, Thresholds, Timings, Totals,
};
use crate::plan::{Diagnostics, During, MetricKind, Spanned, ThresholdDocument};
use crate::semconv::RunId;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

const K6_JSON: &str = include_str!("fixtures/k6-summary.json");
const K6_TEXT: &str = include_str!("fixtures/k6-summary.txt");

fn meta(duration: Duration) -> RunMeta {
    RunMeta {
        id: RunId::new(0x0123_4567_89ab_cdef),
        plan: "tenant-workflow".into(),
        verdict: Verdict::Pass,
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_234),
        duration,
        paused: Duration::ZERO,
    }
}

/// What k6 exported, as a report of ours.
fn k6_report() -> RunReport {
    let exported: Value = serde_json::from_str(K6_JSON).unwrap();
    let float = |value: &Value| value.as_f64().unwrap();
    let mut thresholds = Vec::new();
    let mut metrics = Vec::new();
    for (name, fields) in exported["metrics"].as_object().unwrap() {
        let contains = match name.split('{').next().unwrap() {
            "data_sent" | "data_received" => Contains::Data,
            "llm_latency" | "my_time_counter" | "group_duration" | "iteration_duration" => Contains::Time,
            name if name.starts_with("http_req_") && name != "http_req_failed" => Contains::Time,
            _ => Contains::Default,
        };
        let section = match name.split('{').next().unwrap() {
            "http_req_duration" | "http_req_failed" | "http_reqs" => Section::Http,
            "checks" | "group_duration" => Section::Hidden,
            "data_sent" | "data_received" => Section::Network,
            "iterations" | "iteration_duration" | "dropped_iterations" | "vus" | "vus_max" => Section::Execution,
            name if name.starts_with("http_req_") => Section::Hidden,
            _ => Section::Custom,
        };
        let has = |field: &str| !fields[field].is_null();
        let figures = if has("avg") {
            let stat = |name: &str| (name.to_owned(), Quantile { value: float(&fields[name]), censored: false });
            let stats = ["avg", "min", "med", "max", "p(90)", "p(95)"].map(stat).to_vec();
            Figures::Trend(TrendFigures { count: 1, stats })
        } else if has("passes") {
            let (passes, fails) = (fields["passes"].as_u64().unwrap(), fields["fails"].as_u64().unwrap());
            Figures::Rate(Share { passes, total: passes + fails })
        } else if has("count") {
            Figures::Counter { count: float(&fields["count"]), rate: float(&fields["rate"]) }
        } else {
            Figures::Gauge { value: float(&fields["value"]), min: float(&fields["min"]), max: float(&fields["max"]) }
        };
        for (expression, failed) in fields["thresholds"].as_object().into_iter().flatten() {
            let read: Expression = expression.parse().unwrap();
            let observed = match read.aggregation {
                Aggregation::Percentile(99.9) => 160.104,
                Aggregation::Rate if has("passes") => float(&fields["value"]),
                other => float(&fields[other.to_string()]),
            };
            let failed = failed.as_bool().unwrap();
            thresholds.push(ThresholdResult {
                metric: name.clone(),
                expression: expression.clone(),
                aggregation: read.aggregation,
                during: None,
                outcome: if failed { ThresholdOutcome::Failed } else { ThresholdOutcome::Passed },
                observed,
                censored: false,
            });
        }
        metrics.push(MetricReport { name: name.clone(), contains, section, figures });
    }
    let parent = |name: &str| name.split('{').next().unwrap().to_owned();
    metrics.sort_by_key(|metric| (parent(&metric.name), metric.name.clone()));
    let groups = exported["root_group"]["groups"].as_object().unwrap().iter().map(|(name, group)| GroupReport {
        name: name.clone(),
        checks: group["checks"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, check)| CheckReport {
                name: name.clone(),
                passes: check["passes"].as_u64().unwrap(),
                fails: check["fails"].as_u64().unwrap(),
            })
            .collect(),
    });
    let seconds = 452.0 / 92.221_437_358;
    RunReport {
        run: meta(Duration::from_secs_f64(seconds)),
        metrics,
        groups: groups.collect(),
        thresholds,
        fidelity: Fidelity::judge(FidelityInput::default()),
        judge: JudgeReport::default(),
        intervals: Vec::new(),
        errors: Errors::default(),
        correlation: None,
        outputs: Vec::new(),
        cleanup: None,
    }
}

#[test]
fn the_text_is_k6s_to_the_character() {
    let got = text(&k6_report(), Style::Plain);
    let ours = got.split("\n  █ FIDELITY").next().unwrap();
    for (got, want) in ours.trim_start_matches('\n').lines().zip(K6_TEXT.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(ours.trim_start_matches('\n').trim_end(), K6_TEXT.trim_end());
}

#[test]
fn the_export_is_k6s_key_for_key() {
    let want: Value = serde_json::from_str(K6_JSON).unwrap();
    let got = summary(&k6_report());
    assert_eq!(got["root_group"], want["root_group"]);
    for (name, fields) in want["metrics"].as_object().unwrap() {
        assert_eq!(&got["metrics"][name], fields, "{name}");
    }
    assert_eq!(got["metrics"].as_object().unwrap().len(), want["metrics"].as_object().unwrap().len());
}

fn document(metric: &str, expression: &str) -> ThresholdDocument {
    ThresholdDocument {
        metric: Spanned::nowhere(metric.to_owned()),
        expression: Spanned::nowhere(expression.to_owned()),
        abort_on_fail: false,
        delay_abort_eval: Duration::ZERO,
        during: None,
    }
}

/// Ten iterations of two steps in ten seconds; one request fails, one is reset, two iterations are dropped.
fn measured(documents: &[ThresholdDocument], stats: &str) -> RunReport {
    let mut builder = LayoutBuilder::new(Vec::new());
    let scenario = builder.scenario("baseline", &[]);
    let site = |builder: &mut LayoutBuilder, step: &str| {
        let tags = SiteTags { step: step.into(), method: "GET".into(), url: format!("/{step}") };
        builder.site(scenario, tags, 1.0)
    };
    let (login, chat) = (site(&mut builder, "login"), site(&mut builder, "chat"));
    let checks = [builder.check(login, "status"), builder.check(chat, "status"), builder.check(chat, "token")];
    let cost = builder.metric("cost", MetricKind::Trend, Contains::Default).unwrap();
    builder.metric("never", MetricKind::Rate, Contains::Default).unwrap();
    let mut diagnostics = Diagnostics::new("plan.yaml");
    let thresholds = Thresholds::compile(documents, &mut builder, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    let (layout, start) = (builder.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    for i in 0..10_u64 {
        let due = start + Duration::from_millis(i * 100);
        let ended = due + Duration::from_millis(50);
        for (site, check) in [(login, checks[0]), (chat, checks[1])] {
            let status = if i == 3 && site == chat { 500 } else { 200 };
            let failure = (i == 4 && site == chat).then_some(FailureKind::Reset);
            let waiting = Duration::from_millis(50);
            let sample = RequestSample {
                due,
                ended,
                timings: Timings { waiting, ..Timings::default() },
                status: if failure.is_some() { 0 } else { status },
                expected: failure.is_none() && status == 200,
                failure,
                proto: None,
                tls: None,
                tenant: 0,
            };
            handle.request(site, &sample);
            handle.check(check, sample.expected);
        }
        handle.custom(chat, cost, 0.002);
        handle.iteration(scenario, &IterationSample { due, started: due, ended });
    }
    handle.iteration_dropped(scenario, start + Duration::from_secs(9));
    handle.iteration_dropped(scenario, start + Duration::from_secs(9));
    handle.traffic(scenario, 1000, 5000);
    handle.vus(scenario, 1, 2);
    let mut totals = Totals::new(layout.clone(), start);
    totals.merge(&handle.swap(Recorder::new(layout, start)));
    totals.sample_vus();
    let run = meta(Duration::from_secs(10));
    let fidelity = Fidelity::judge(FidelityInput::of(&totals, run.duration));
    RunReport::collect(
        run,
        &totals,
        &thresholds,
        &stats.parse().unwrap(),
        Judged { fidelity, ..Judged::default() },
        None,
    )
}

#[tokio::test(start_paused = true)]
async fn what_was_measured_stands_in_the_summary() {
    let documents = [
        document("http_req_duration", "p(95)<200"),
        document("http_req_duration{step:login}", "p(95) < 10"),
        document("http_req_failed", "rate==0"),
        document("connection_reset", "count==0"),
        document("timeout", "count==0"),
        document("never", "rate>0.5"),
    ];
    let got = summary(&measured(&documents, "avg,p(95),count"));
    let metrics = &got["metrics"];
    assert_eq!(metrics["http_reqs"], serde_json::json!({ "count": 20, "rate": 2 }));
    assert_eq!(
        metrics["http_req_failed"],
        serde_json::json!({ "passes": 2, "fails": 18, "value": 0.1, "thresholds": { "rate==0": true } })
    );
    assert_eq!(
        metrics["http_req_duration"],
        serde_json::json!({ "avg": 50, "p(95)": 50, "count": 20, "thresholds": { "p(95)<200": false } })
    );
    assert_eq!(
        metrics["http_req_duration{step:login}"],
        serde_json::json!({ "avg": 50, "p(95)": 50, "count": 10, "thresholds": { "p(95) < 10": true } })
    );
    assert_eq!(metrics["http_req_duration{expected_response:true}"]["count"], 18);
    assert_eq!(
        metrics["connection_reset"],
        serde_json::json!({ "count": 1, "rate": 0.1, "thresholds": { "count==0": true } })
    );
    assert_eq!(metrics["timeout"], serde_json::json!({ "count": 0, "rate": 0, "thresholds": { "count==0": false } }));
    assert_eq!(metrics["connection_refused"], serde_json::json!({ "count": 0, "rate": 0 }));
    assert_eq!(metrics["never"]["thresholds"], serde_json::json!({ "rate>0.5": false }));
    assert_eq!(metrics["dropped_iterations"]["count"], 2);
    assert_eq!(metrics["checks"], serde_json::json!({ "passes": 18, "fails": 2, "value": 0.9 }));
    assert_eq!(metrics["vus_max"], serde_json::json!({ "value": 2, "min": 2, "max": 2 }));
    assert_eq!(metrics["data_received"], serde_json::json!({ "count": 5000, "rate": 500 }));
    assert!(metrics["cost"]["p(99)"].is_null(), "k6's trends have what was asked for");
    // Twelve iterations, two of which were due a second before the end and never started.
    assert_eq!(
        metrics["iteration_response_time"],
        serde_json::json!({ "avg": 2500.0 / 12.0, "p(95)": 1000, "count": 12, "p(99)": 1000 })
    );
    assert!(
        metrics.get("llm_ttft").is_none()
            && metrics.get("pool_used").is_none()
            && metrics.get("group_duration").is_none()
    );

    let chat = &got["root_group"]["groups"]["chat"];
    assert_eq!((&chat["path"], chat["checks"].as_object().unwrap().len()), (&"::chat".into(), 1), "{chat}");
    assert_eq!(chat["checks"]["chat status"]["path"], "::chat::chat status");
    assert_eq!(chat["checks"]["chat status"]["fails"], 2);

    let own = got["pacecar"].as_object().unwrap();
    assert_eq!(own.keys().collect::<Vec<_>>(), ["run", "fidelity", "errors"]);
    assert_eq!(
        own["run"],
        serde_json::json!({
            "id": "0123456789abcdef", "plan": "tenant-workflow", "verdict": "pass",
            "started": "1970-01-01T00:00:01.234Z", "duration_ms": 10_000
        })
    );
    assert_eq!(
        own["fidelity"],
        serde_json::json!({
            "valid": true, "reasons": [], "scheduled": 12, "started": 10, "dropped": 2, "completed": 10, "censored": 2,
            "stale_connections": 0, "achieved_ratio": 10.0 / 12.0, "lag_ms": { "med": 0, "p(99)": 0, "max": 0 },
            "cpu_seconds": 0, "max_rss_bytes": 0
        })
    );
    assert_eq!(
        own["errors"],
        serde_json::json!({ "connection_reset": 1, "timeout": 0, "connection_refused": 0, "tls": 0, "dns": 0, "status": 1, "check": 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_percentile_among_what_never_finished_says_so_in_text() {
    let text = text(&measured(&[document("iteration_response_time", "p(95)<900")], "med,p(95)"), Style::Plain);
    let line = text.lines().find(|line| line.starts_with("    iteration_response_time..")).unwrap();
    assert!(line.contains("med=50ms") && line.contains("p(95)=≥1s") && line.contains("p(99)=≥1s"), "{line}");
    assert!(text.contains("    ✗ 'p(95)<900' p(95)=≥1s\n"), "{text}");
    assert!(!text.contains("http_req_waiting") && !text.contains("timeout") && !text.contains("never"), "{text}");
    assert!(!text.contains('\x1b'));
}

#[tokio::test(start_paused = true)]
async fn one_expression_over_two_parts_failed_where_either_did() {
    let part = |from, to| {
        let during = Some(During { from: Duration::from_millis(from), to: Some(Duration::from_millis(to)) });
        ThresholdDocument { during, ..document("http_req_failed", "rate==0") }
    };
    let report = measured(&[part(400, 500), part(0, 200)], "avg");
    assert_eq!(summary(&report)["metrics"]["http_req_failed"]["thresholds"], serde_json::json!({ "rate==0": true }));
    let text = text(&report, Style::Plain);
    assert!(text.contains("    ✗ 'rate==0' during 400ms..500ms rate=50.00%"), "{text}");
    assert!(text.contains("    ✓ 'rate==0' during 0s..200ms rate=0.00%"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn cleanup_and_fidelity_stand_below_k6s_part() {
    let mut report = measured(&[], "avg");
    let table = |table: &str, found, deleted| {
        let left = found - deleted;
        TableReport { table: table.into(), found, deleted, remaining: left, quarantined: left }
    };
    report.cleanup = Some(CleanupReport {
        tables: vec![table("public.llm_usage", 120, 120), table("public.\"user\"", 9, 8)],
        remaining: 1,
        quarantined: 1,
        blocked: vec!["a row of public.\"user\" stays: the real row public.orders (id)=(17) refers to it".into()],
        dry_run: false,
    });
    report.fidelity =
        Fidelity::judge(FidelityInput { scheduled: 100, started: 10, users_shared: 2, ..FidelityInput::default() });
    assert_eq!(
        summary(&report)["pacecar"]["cleanup"],
        serde_json::json!({
            "found": { "public.llm_usage": 120, "public.\"user\"": 9 }, "deleted": { "public.llm_usage": 120, "public.\"user\"": 8 },
            "remaining": 1, "quarantined": 1
        })
    );
    let plain = text(&report, Style::Plain);
    assert!(!plain.contains("THRESHOLDS"));
    let order = [
        "█ TOTAL RESULTS",
        "█ FIDELITY",
        "✗ invalid",
        "2 times",
        "█ CLEANUP",
        "1 row left",
        "public.llm_usage...: found=120  deleted=120  remaining=0  quarantined=0",
        "public.\"user\"......: found=  9  deleted=  8  remaining=1  quarantined=1",
        "public.orders (id)=(17)",
    ];
    let places: Vec<_> =
        order.iter().map(|part| plain.find(part).unwrap_or_else(|| panic!("{part} in {plain}"))).collect();
    assert!(places.is_sorted(), "{plain}");
    // Colour adds nothing but escapes.
    let coloured = text(&report, Style::Coloured);
    let mut bare = String::new();
    let mut parts = coloured.split('\x1b');
    bare.push_str(parts.next().unwrap());
    parts.for_each(|part| bare.push_str(part.split_once('m').unwrap().1));
    assert_eq!(bare, plain);
}

#[test]
fn a_dry_run_prints_the_table_that_the_sweep_then_prints() {
    let report = |dry_run: bool| {
        let table = |table: &str, found: u64, quarantined: u64| TableReport {
            table: table.into(),
            found,
            deleted: if dry_run { 0 } else { found - quarantined },
            remaining: if dry_run { found } else { quarantined },
            quarantined,
        };
        let tables = vec![table("public.chats", 1_200, 0), table("public.users", 60, 2)];
        let remaining = tables.iter().map(|table| table.remaining).sum();
        CleanupReport { tables, remaining, quarantined: 2, blocked: Vec::new(), dry_run }
    };
    let lines = |dry_run: bool| {
        let text = cleanup_text(&report(dry_run), Style::Plain);
        text.lines().filter(|line| line.contains("found=")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = [
        "    public.chats...: found=1200  deleted=1200  remaining=0  quarantined=0",
        "    public.users...: found=  60  deleted=  58  remaining=2  quarantined=2",
    ];
    assert_eq!(lines(false), expected);
    assert_eq!(lines(true), expected);
    let dry = cleanup_text(&report(true), Style::Plain);
    assert!(dry.contains("1258 rows would be deleted") && dry.contains("nothing was"), "{dry}");
    // What scripts read says what was done.
    let value = summary::cleanup_value(&report(true));
    assert_eq!((&value["deleted"]["public.users"], &value["remaining"]), (&0.into(), &1_260.into()));
}

#[test]
fn nothing_counted_still_makes_a_summary() {
    let layout = LayoutBuilder::new(Vec::new()).build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let totals = runtime.block_on(async { Totals::new(layout, Instant::now()) });
    let fidelity = Fidelity::judge(FidelityInput::of(&totals, Duration::ZERO));
    let report = RunReport::collect(
        meta(Duration::ZERO),
        &totals,
        &Thresholds::default(),
        &TrendStats::default(),
        Judged { fidelity, ..Judged::default() },
        None,
    );
    let got = summary(&report);
    assert_eq!(got["metrics"]["http_reqs"], serde_json::json!({ "count": 0, "rate": 0 }));
    assert!(got["metrics"].get("checks").is_none());
    assert!(text(&report, Style::Plain).contains("█ FIDELITY"));
    assert_eq!(report.metric("http_req_duration").map(|metric| metric.section), Some(Section::Http));
    assert_eq!(MetricId::HTTP_REQ_DURATION.0, 0);
}
