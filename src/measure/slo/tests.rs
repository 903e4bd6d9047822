//! Objectives from their text to their alerts, on a clock that tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::measure::{
    Layout, LayoutBuilder, Recorder, RecorderHandle, RequestSample, ScenarioId, SiteId, SiteTags, Timings, Totals,
};
use crate::plan::{Diagnostics, SloAlertDocument, SloDocument, Span, Spanned};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn document(name: &str, good: &str, objective: f64) -> SloDocument {
    SloDocument {
        span: Span::NONE,
        name: Spanned::nowhere(name.to_owned()),
        good: Spanned::nowhere(good.to_owned()),
        objective: Spanned::nowhere(objective),
        window: SloWindow::month(),
        alerts: SloAlertDocument::workbook(),
    }
}

fn compile(documents: &[SloDocument]) -> (Slos, Arc<Layout>, String) {
    let mut layout = LayoutBuilder::new(Vec::new());
    let scenario = layout.scenario("main", &[]);
    for step in ["login", "profile"] {
        layout.site(scenario, SiteTags { step: step.into(), ..SiteTags::default() }, 1.0);
    }
    let mut diagnostics = Diagnostics::new("plan");
    let slos = Slos::compile(documents, &mut layout, &mut diagnostics);
    (slos, layout.build(), diagnostics.to_string())
}

/// What one worker records, and the book that reads it.
struct Bench {
    layout: Arc<Layout>,
    recorder: RecorderHandle,
    spare: Option<Recorder>,
    totals: Totals,
    book: SloBook,
}

impl Bench {
    fn new(documents: &[SloDocument]) -> Self {
        let (slos, layout, told) = compile(documents);
        assert!(!told.contains("error"), "{told}");
        let start = Instant::now();
        Self {
            recorder: RecorderHandle::new(Recorder::new(layout.clone(), start)),
            spare: None,
            totals: Totals::new(layout.clone(), start),
            book: SloBook::new(&slos),
            layout,
        }
    }

    fn request(&self, site: u32, ms: u64, status: u16) {
        let now = Instant::now();
        let sample = RequestSample {
            due: now - Duration::from_millis(ms),
            ended: now,
            timings: Timings { waiting: Duration::from_millis(ms), ..Timings::default() },
            status,
            expected: status == 200,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        };
        self.recorder.request(SiteId(site), &sample);
    }

    /// Hands over, and counts it at a time of the book's.
    fn count(&mut self, at: Duration) {
        let spare = self.spare.take().unwrap_or_else(|| Recorder::new(self.layout.clone(), self.totals.start()));
        let mut full = self.recorder.swap(spare);
        self.totals.merge(&full);
        full.clear();
        self.spare = Some(full);
        self.book.count(&self.totals, at);
    }

    fn burn(&mut self, at: Duration, slo: usize, window: &str) -> f64 {
        let status = self.book.status(at);
        status[slo].burns.iter().find(|burn| burn.window == window).expect("a window of the plan").rate
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_good_is_what_the_plan_says() {
    let mut bench = Bench::new(&[
        document("availability", "http_req_failed==0", 99.0),
        document("short", "http_req_failed", 99.0),
        document("fast", "http_req_response_time < 200", 90.0),
        document("login", "http_req_response_time{step:login}<200", 90.0),
        document("well", "http_req_response_time{expected_response:true}<=200", 90.0),
    ]);
    tokio::time::advance(60 * SECOND).await;
    for _ in 0..8 {
        bench.request(0, 100, 200);
        bench.request(1, 100, 200);
    }
    bench.request(0, 300, 200);
    bench.request(1, 200, 500);
    bench.count(SECOND);
    let shares: Vec<(f64, f64)> =
        bench.book.status(SECOND).iter().map(|slo| (slo.tally.bad, slo.tally.total)).collect();
    assert_eq!(shares, [(1.0, 18.0), (1.0, 18.0), (2.0, 18.0), (1.0, 9.0), (1.0, 17.0)]);
    assert!((bench.burn(SECOND, 0, "5m") - 100.0 / 18.0).abs() < 1e-9);
    let left = bench.book.status(SECOND)[0].budget_remaining;
    assert!((left - (1.0 - 100.0 / 18.0)).abs() < 1e-9, "{left}");
}

#[tokio::test(start_paused = true)]
async fn what_was_due_and_never_answered_is_bad_where_being_late_is() {
    let mut bench = Bench::new(&[
        document("fast", "http_req_response_time<200", 90.0),
        document("login", "http_req_response_time{step:login}<200", 90.0),
        document("whole", "iteration_response_time<1000", 90.0),
        document("availability", "http_req_failed", 90.0),
        document("slow", "http_req_response_time>1", 90.0),
    ]);
    tokio::time::advance(60 * SECOND).await;
    let now = Instant::now();
    bench.recorder.iteration_dropped(ScenarioId(0), now);
    // Cut off when it was late already, and when nobody could know.
    bench.recorder.request_cut_off(SiteId(0), now - SECOND, now);
    bench.recorder.request_cut_off(SiteId(1), now - Duration::from_millis(10), now);
    bench.count(SECOND);
    let bad: Vec<(f64, f64)> = bench.book.status(SECOND).iter().map(|slo| (slo.tally.bad, slo.tally.total)).collect();
    assert_eq!(bad, [(3.0, 3.0), (2.0, 2.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0)]);
}

#[tokio::test(start_paused = true)]
async fn alerts_fire_where_both_windows_burn_and_clear_when_the_short_one_does_not() {
    let mut bench = Bench::new(&[document("availability", "http_req_failed", 99.9)]);
    let mut told = Vec::new();
    let mut fired = None;
    for second in 1..=7200_u32 {
        for n in 0..10 {
            // From 1000 s to 1600 s a tenth fails: burn 100.
            let fails = (1000..1600).contains(&second) && n == 0;
            bench.request(0, 5, if fails { 500 } else { 200 });
        }
        bench.count(second * SECOND);
        for change in bench.book.judge(second * SECOND) {
            if change.alert.long == "1h" {
                if change.alert.firing.is_some() {
                    fired = Some((second, change.burns));
                }
                told.push((second, change.alert.firing.is_some()));
            }
        }
        tokio::time::advance(SECOND).await;
    }
    let (at, burns) = fired.expect("it fires");
    assert!(burns.iter().all(|burn| *burn >= 14.4), "{burns:?}");
    // The long window has 1,000 s before: 14.4 × 0.1 % of it fail after 165 s or so.
    assert!((1100..1250).contains(&at), "{at}");
    let [(_, true), (cleared, false)] = told[..] else { panic!("{told:?}") };
    // Five minutes after the last failure at the latest, and not while more than 14.4 times too many fail.
    assert!((1601..=1905).contains(&cleared), "{cleared}");
}

#[tokio::test(start_paused = true)]
async fn a_burn_that_is_exactly_the_bound_fires() {
    let mut alert = SloAlertDocument::workbook().remove(0);
    alert.burn = 100.0;
    let all = SloDocument { alerts: vec![alert], ..document("all", "http_req_failed", 99.0) };
    let mut bench = Bench::new(&[all]);
    assert!(bench.book.judge(SECOND).is_empty(), "nothing counted, nothing to tell");
    bench.request(0, 5, 500);
    bench.count(SECOND);
    assert_eq!(bench.book.judge(SECOND).len(), 1);
    assert!(bench.book.judge(SECOND).is_empty(), "told once");
}

#[tokio::test(start_paused = true)]
async fn windows_and_firing_alerts_survive_a_restart() {
    let documents = [document("availability", "http_req_failed", 99.0), document("fast", "http_req_duration<1", 99.0)];
    let mut bench = Bench::new(&documents);
    for second in 1..=600 {
        bench.request(0, 5, if second % 2 == 0 { 500 } else { 200 });
        bench.count(second * SECOND);
    }
    assert!(!bench.book.judge(600 * SECOND).is_empty());
    let saved = bench.book.save(600 * SECOND);
    let text = saved.to_string();
    let saved: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut other = Bench::new(&[documents[0].clone(), document("fast", "http_req_duration<2", 99.0)]);
    let now = 1_000_000 * SECOND;
    assert_eq!(other.book.restore(&saved, now, 60 * SECOND), 1, "one of them means something else now");
    let status = other.book.status(now);
    assert_eq!((status[0].tally.bad, status[0].tally.total), (300.0, 600.0));
    let five = status[0].burns[0].tally;
    assert!((five.total - 240.0).abs() < 10.0, "four minutes of five: {five:?}");
    assert_eq!(status[1].tally.total, 0.0);
    assert!(status[0].alerts[0].firing.is_some() && other.book.judge(now).is_empty(), "it was told before");
    let after = now + 3600 * SECOND;
    assert!(other.book.judge(after).iter().any(|change| change.alert.firing.is_none()), "and is told when it clears");
    for garbage in [
        "null",
        "{}",
        r#"{"version":2}"#,
        r#"{"version":1,"slos":{"availability":{"good":"http_req_failed","windows":[{"length_ms":300000,"slots":[-1,"x"]}]}}}"#,
    ] {
        let mut fresh = Bench::new(&documents);
        fresh.book.restore(&serde_json::from_str(garbage).unwrap(), now, SECOND);
        assert_eq!(fresh.book.status(now)[0].tally.total, 0.0, "{garbage}");
    }
    assert!(text.len() < 60_000, "{} bytes", text.len());
}

#[tokio::test(start_paused = true)]
async fn a_month_takes_what_a_minute_takes() {
    let mut bench = Bench::new(&[document("availability", "http_req_failed", 99.9)]);
    let minute = bench.book.bytes();
    // Every minute of a month, in which a request in a thousand fails: the budget, to the letter.
    let month = 30 * 24 * 60_u32;
    for n in 1..=month {
        for request in 0..10 {
            bench.request(0, 5, if (n * 10 + request) % 1000 == 0 { 500 } else { 200 });
        }
        bench.count(60 * n * SECOND);
        bench.book.judge(60 * n * SECOND);
    }
    let at = 60 * month * SECOND;
    let status = &bench.book.status(at)[0];
    assert!(status.budget_remaining.abs() < 0.01 && (status.tally.total - 432_000.0).abs() < 4_000.0, "{status:?}");
    assert_eq!(bench.book.bytes(), minute);
    assert!(minute < 64 << 10 && bench.book.save(at).to_string().len() < 32 << 10);
}

#[tokio::test(start_paused = true)]
async fn few_samples_are_told() {
    let mut bench = Bench::new(&[document("availability", "http_req_failed", 99.9)]);
    for second in 1..=60 {
        if second % 10 == 0 {
            bench.request(0, 5, 200);
        }
        bench.count(second * SECOND);
    }
    // 30 in five minutes of the 69.4 that it takes; 180 in half an hour of the 167; 2,160 in six hours of the 1,000.
    let few = bench.book.too_few(60 * SECOND, 60 * SECOND);
    assert_eq!(few.iter().map(|few| few.alert.short.text.as_str()).collect::<Vec<_>>(), ["5m"]);
    assert!((few[0].fewest - 69.44).abs() < 0.01 && (few[0].come - 30.0).abs() < 1.0, "{few:?}");
}

#[test]
fn what_is_no_objective_is_refused() {
    for (good, said) in [
        ("http_req_fail", "did you mean `http_req_failed`"),
        ("http_req_response_time", "does not say what is good"),
        ("http_req_response_time<", "is not `metric operator number`"),
        ("http_req_response_time<fast", "is not `metric operator number`"),
        ("p(95)<200", "no metric is called"),
        ("http_reqs>1", "no samples that are good or bad"),
        ("pool_utilization<0.8", "no samples that are good or bad"),
        ("vus<3", "no samples that are good or bad"),
        ("http_req_failed{step:login==0", "brace"),
    ] {
        let (slos, _, told) = compile(&[document("x", good, 99.0)]);
        assert!(slos.is_empty() && told.contains(said), "{good}: {told}");
    }
    let (_, _, told) = compile(&[document("x", "http_req_failed", 90.0)]);
    assert!(told.contains("can never fire") && told.contains("14.4"), "{told}");
    let (_, _, told) = compile(&[document("x", "http_req_failed", 99.0)]);
    assert!(!told.contains("can never fire"), "{told}");
}
