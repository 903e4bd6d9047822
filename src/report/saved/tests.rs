//! Results: read again, put together, refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::judge::{Intervals, Judges, Stationarity};
use crate::measure::{
    LayoutBuilder, Recorder, RecorderHandle, RequestSample, SiteId, SiteTags, Thresholds, Timings, Totals,
};
use crate::plan::{Diagnostics, Spanned, ThresholdDocument};
use crate::report::result::{Judged, RunMeta, TableReport};
use crate::report::stats::TrendStats;
use crate::report::text::{Style, text};
use tokio::time::Instant;

/// A result that version 1 wrote: every version after it must read it.
const VERSION_1: &str = include_str!("../fixtures/result-1.json");

/// What a test asks a result to be like.
pub(in crate::report) struct Wish {
    pub(in crate::report) id: u64,
    /// Milliseconds that each request takes, one after the other.
    pub(in crate::report) takes: Vec<u64>,
    /// How many of them fail.
    pub(in crate::report) failed: usize,
    /// When it began, in seconds.
    pub(in crate::report) began: u64,
    pub(in crate::report) segment: &'static str,
    pub(in crate::report) valid: bool,
    pub(in crate::report) exit: Option<Exit>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { id: 1, takes: vec![10; 100], failed: 0, began: 0, segment: "0:1", valid: true, exit: None }
    }
}

/// A result of a run over ten seconds.
pub(in crate::report) fn result(wish: &Wish) -> SavedRun {
    let mut layout = LayoutBuilder::new(Vec::new());
    let scenario = layout.scenario("main", &[]);
    let tags = SiteTags { step: "login".into(), method: "POST".into(), url: "/login".into() };
    layout.site(scenario, tags, 1.0);
    let mut problems = Diagnostics::new("plan");
    let documents = [("http_reqs", "count==200"), ("http_req_duration{step:login}", "p(95)<50")];
    let documents = documents.map(|(metric, expression)| ThresholdDocument {
        metric: Spanned::nowhere(metric.to_owned()),
        expression: Spanned::nowhere(expression.to_owned()),
        abort_on_fail: false,
        delay_abort_eval: Duration::ZERO,
        during: None,
    });
    let thresholds = Thresholds::compile(&documents, &mut layout, &mut problems);
    let intervals = Intervals::prepare(&mut layout);
    Shown::prepare(&mut layout);
    let (layout, start) = (layout.build(), Instant::now());
    let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
    let count = wish.takes.len();
    let mut totals = Totals::new(layout.clone(), start);
    let mut course = Course::new(&layout);
    let mut second = 1;
    let mut hand_over = |course: &mut Course, second: u64| {
        let delta = handle.swap(Recorder::new(layout.clone(), start));
        course.take(&layout, &delta, Duration::from_secs(second));
        totals.merge(&delta);
    };
    for (at, took) in wish.takes.iter().enumerate() {
        let ended = start + Duration::from_secs(10).mul_f64((at + 1) as f64 / count as f64);
        let failed = at < wish.failed;
        let sample = RequestSample {
            due: ended.checked_sub(Duration::from_millis(*took)).unwrap_or(start),
            ended,
            timings: Timings { waiting: Duration::from_millis(*took), ..Timings::default() },
            status: if failed { 500 } else { 200 },
            expected: !failed,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        };
        handle.request(SiteId(0), &sample);
        if ended >= start + Duration::from_secs(second) {
            hand_over(&mut course, second);
            second += 1;
        }
    }
    handle.vus(scenario, 2, 3);
    hand_over(&mut course, 10);
    totals.sample_vus();
    let end = Duration::from_secs(10);
    let fidelity = if wish.valid {
        Fidelity { valid: true, achieved_ratio: 1.0, ..Fidelity::default() }
    } else {
        Fidelity { valid: false, reasons: vec!["late".into()], ..Fidelity::default() }
    };
    let failed = thresholds.judge(&totals, end).iter().any(crate::measure::ThresholdResult::failed);
    let verdict = Verdict::of(fidelity.valid, failed);
    let meta = RunMeta {
        id: RunId::new(wish.id),
        plan: "tenant-workflow".into(),
        verdict,
        started: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + wish.began),
        duration: end,
        paused: Duration::ZERO,
    };
    let judged = Judged { fidelity, intervals: intervals.read(&totals, end), ..Judged::default() };
    let table = TableReport { table: "public.llm_usage".into(), found: 3, deleted: 3, ..TableReport::default() };
    let cleanup = CleanupReport { tables: vec![table], ..CleanupReport::default() };
    let report = RunReport::collect(meta, &totals, &thresholds, &TrendStats::default(), judged, Some(cleanup));
    let kept = Kept {
        digest: "d1".into(),
        segment: wish.segment.into(),
        environment: Environment { os: "linux".into(), cores: 2, workers: 2, ..Environment::default() },
        thresholds: SavedThreshold::all(&thresholds),
        judges: SavedJudges::of(&Judges::default(), &Stationarity::default()),
        trend_stats: TrendStats::default().to_string(),
        totals: totals.save(),
        course,
    };
    SavedRun::new(&report, kept, wish.exit.unwrap_or_else(|| verdict.exit()), &[])
}

fn again(run: &SavedRun) -> SavedRun {
    read(&run.to_json()).unwrap()
}

fn merged(wishes: &[Wish]) -> Result<(SavedRun, Vec<String>), ResultError> {
    merge(wishes.iter().enumerate().map(|(at, wish)| (format!("{at}.json"), again(&result(wish)))).collect())
}

fn requests(run: &SavedRun) -> (f64, f64) {
    let opened = run.clone().open().unwrap();
    match &opened.report.metric("http_reqs").unwrap().figures {
        crate::report::Figures::Counter { count, rate } => (*count, *rate),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_rendered_as_the_run_was() {
    let run = result(&Wish { failed: 3, ..Wish::default() });
    let opened = again(&run).open().unwrap();
    assert_eq!(summary(&opened.report), run.summary);
    let printed = text(&opened.report, Style::Plain);
    assert!(printed.contains("✗ 'count==200'") && printed.contains("public.llm_usage"), "{printed}");
    assert_eq!(opened.saved.exit(), Exit::Failed);
}

#[test]
fn what_the_first_version_wrote_is_still_read() {
    let opened = read(VERSION_1.as_bytes()).unwrap().open().unwrap();
    assert_eq!((opened.saved.version, opened.report.run.plan.as_str()), (1, "tenant-workflow"));
    let of = |name: &str| opened.report.metric(name).map(|metric| format!("{:?}", metric.figures));
    assert_eq!(of("http_reqs").unwrap(), "Counter { count: 100.0, rate: 10.0 }");
    assert_eq!(opened.report.thresholds.len(), 2);
    assert_eq!(opened.report.cleanup.as_ref().unwrap().tables[0].deleted, 3);
}

#[tokio::test(start_paused = true)]
async fn parts_that_fail_alone_pass_as_a_whole_and_the_other_way_round() {
    let part = |id, segment| Wish { id, segment, began: id, ..Wish::default() };
    let (whole, warnings) = merged(&[part(1, "0:1/2"), part(2, "1/2:1")]).unwrap();
    assert_eq!((whole.run.verdict, whole.exit(), warnings), (Verdict::Pass, Exit::Passed, Vec::<String>::new()));
    // From the first start to the last end.
    assert_eq!((requests(&whole), whole.run.duration), ((200.0, 200.0 / 11.0), Duration::from_secs(11)));
    let slow = Wish { takes: vec![90; 100], ..part(2, "1/2:1") };
    let (whole, _) = merged(&[part(1, "0:1/2"), slow]).unwrap();
    assert_eq!((whole.run.verdict, whole.exit()), (Verdict::Fail, Exit::Failed));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_not_to_be_believed_makes_the_whole_so() {
    let parts = [
        Wish { id: 1, segment: "0:1/2", valid: false, ..Wish::default() },
        Wish { id: 2, segment: "1/2:1", ..Wish::default() },
    ];
    let (whole, _) = merged(&parts).unwrap();
    assert_eq!((whole.run.verdict, whole.exit()), (Verdict::Invalid, Exit::InvalidRun));
    assert_eq!(whole.fidelity.reasons, ["0:1/2: late"]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_a_part_beside_its_verdict_ends_the_whole() {
    let part = |id, exit| Wish { id, exit: Some(exit), ..Wish::default() };
    for (exit, want) in [
        (Exit::CleanupUnfinished, Exit::CleanupUnfinished),
        (Exit::Signal, Exit::Signal),
        (Exit::Failed, Exit::Passed),
        (Exit::InvalidRun, Exit::Passed),
    ] {
        let (whole, _) = merged(&[part(1, Exit::Passed), part(2, exit)]).unwrap();
        assert_eq!(whole.exit(), want, "{exit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn vus_add_up_where_parts_are_of_one_run_and_cleanup_does_too() {
    let vus = |parts: &[Wish]| {
        let (whole, _) = merged(parts).unwrap();
        assert_eq!(whole.cleanup.as_ref().unwrap().tables[0].found, 6);
        match &whole.open().unwrap().report.metric("vus_max").unwrap().figures {
            crate::report::Figures::Gauge { max, .. } => *max,
            other => panic!("{other:?}"),
        }
    };
    let part = |id, segment, began| Wish { id, segment, began, ..Wish::default() };
    assert_eq!(vus(&[part(1, "0:1/2", 0), part(2, "1/2:1", 3)]), 6.0);
    assert_eq!(vus(&[part(1, "0:1/2", 0), part(2, "1/2:1", 60)]), 6.0, "segments, one after the other");
    assert_eq!(vus(&[part(1, "0:1", 0), part(2, "0:1", 3)]), 6.0, "side by side");
    assert_eq!(vus(&[part(1, "0:1", 0), part(2, "0:1", 60)]), 3.0, "one run after another");
}

#[tokio::test(start_paused = true)]
async fn the_same_run_twice_and_other_plans_are_refused_and_doubts_are_told() {
    let twice = merged(&[Wish::default(), Wish::default()]).unwrap_err();
    assert!(matches!(&twice, ResultError::Twice { one, other } if one == "0.json" && other == "1.json"), "{twice}");
    let mut other = result(&Wish { id: 2, ..Wish::default() });
    other.run.plan = "another".into();
    let files = vec![("a".to_owned(), result(&Wish::default())), ("b".to_owned(), other)];
    assert!(matches!(merge(files).unwrap_err(), ResultError::Plans { .. }));
    assert!(matches!(merge(Vec::new()).unwrap_err(), ResultError::Nothing));
    let part = |id| Wish { id, segment: "0:1/2", ..Wish::default() };
    let (_, warnings) = merged(&[part(1), part(2)]).unwrap();
    assert_eq!(warnings, ["the segment 0:1/2 was played more than once"]);
    let (whole, _) = merged(&[part(1), Wish { id: 2, segment: "1/2:1", ..Wish::default() }]).unwrap();
    let again = merge(vec![("whole".into(), whole), ("one".into(), result(&part(1)))]);
    assert!(matches!(again.unwrap_err(), ResultError::Twice { .. }), "it is in there already");
}

#[tokio::test(start_paused = true)]
async fn what_is_none_is_refused_and_why_is_said() {
    let sound = result(&Wish::default()).to_json();
    let kind = |bytes: &[u8]| read(bytes).unwrap_err();
    assert!(matches!(kind(b""), ResultError::NotJson(_)));
    assert!(matches!(kind(b"hello"), ResultError::NotJson(_)));
    assert!(matches!(kind(b"{}"), ResultError::Foreign));
    assert!(matches!(kind(b"[1]"), ResultError::Foreign));
    assert!(matches!(kind(br#"{"format":"pacecar-result","version":"x"}"#), ResultError::Foreign));
    assert!(matches!(kind(br#"{"format":"pacecar-result","version":2}"#), ResultError::Version { found: 2 }));
    assert!(matches!(kind(br#"{"format":"pacecar-result","version":1}"#), ResultError::Damaged(_)));
    for length in [1, 20, sound.len() / 3, sound.len() - 3] {
        assert!(matches!(kind(&sound[..length]), ResultError::CutOff(_)), "after {length} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_stays_what_the_documentation_says() {
    let written: Value = serde_json::from_slice(&result(&Wish::default()).to_json()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys(&written),
        "format version pacecar run workers thresholds judges judge fidelity cleanup trend_stats summary totals course"
    );
    assert_eq!(keys(&written["run"]), "id plan digest verdict exit started duration_ms paused_ms problems");
    assert_eq!(keys(&written["workers"][0]), "id segment started duration_ms verdict environment");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    #[test]
    fn a_file_that_somebody_changed_is_refused_or_read_and_never_breaks_anything(
        changes in proptest::collection::vec((0..20_000_usize, 0..16_usize), 1..4),
    ) {
        const WITH: [&str; 16] = [
            "0", "-1", "1e308", "18446744073709551615", "-9223372036854775808", "null", "\"x\"", "[]", "{}", "0.5", "true",
            "[[1,2]]", "1e-300", "9999999999", "\"\\u0000<hostile>\"", "[null]",
        ];
        // A value somewhere is another one.
        let mut text = VERSION_1.to_owned();
        for (at, with) in changes {
            let Some(from) = text.get(at..).and_then(|rest| rest.find(':')).map(|found| at + found + 1) else { continue };
            let rest = &text[from..];
            let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
            text.replace_range(from..from + end, WITH[with]);
        }
        if let Ok(run) = read(text.as_bytes())
            && let Ok(opened) = run.clone().open()
        {
            let _ = super::super::text::text(&opened.report, Style::Plain);
            let page = crate::report::html(&opened).unwrap();
            proptest::prop_assert!(!page.contains("<hostile>"));
            let other = read(VERSION_1.as_bytes()).unwrap();
            let both = vec![("a".to_owned(), run), ("b".to_owned(), other)];
            if let Ok((merged, _)) = merge(both) {
                let _ = merged.open().unwrap();
            }
            let same = [("a".to_owned(), opened)];
            let _ = crate::report::compare::text(&crate::report::compare(&same, &same, 0.1), Style::Plain);
        }
    }
}
