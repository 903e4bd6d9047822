//! Comparisons: what is a regression, what is none, and what is said of either.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::report::saved::tests::{Wish, result};
use crate::report::text::Style;

fn opened(wish: &Wish) -> Opened {
    result(wish).open().unwrap()
}

/// 200 requests that take so many ms and up to a tenth more, in an order of their own.
fn takes(ms: u64, seed: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..200).map(|_| ms + random.u64(0..=ms / 10)).collect()
}

fn run(id: u64, takes: Vec<u64>, failed: usize) -> (String, Opened) {
    (format!("{id}.json"), opened(&Wish { id, takes, failed, ..Wish::default() }))
}

fn compared(base: &(String, Opened), new: &(String, Opened)) -> Comparison {
    compare(std::slice::from_ref(base), std::slice::from_ref(new), THRESHOLD)
}

fn row<'a>(comparison: &'a Comparison, metric: &str, stat: &str) -> &'a Comparing {
    let found = comparison.rows.iter().find(|row| row.metric == metric && row.stat == stat);
    found.unwrap_or_else(|| panic!("no {metric} {stat}"))
}

#[tokio::test(start_paused = true)]
async fn the_same_result_twice_is_no_regression_and_no_difference() {
    let one = run(1, takes(50, 1), 3);
    let comparison = compared(&one, &one);
    assert!(!comparison.is_regression());
    assert!(comparison.rows.iter().all(|row| row.change == Some(0.0) && row.outcome != Outcome::Worse));
    assert!(comparison.notes.iter().any(|note| note.contains("the same run")), "{:?}", comparison.notes);
}

#[tokio::test(start_paused = true)]
async fn slower_is_a_regression_and_quicker_is_none() {
    let (slow, quick) = (run(1, takes(100, 1), 0), run(2, takes(50, 2), 0));
    let worse = compared(&quick, &slow);
    let p95 = row(&worse, "http_req_duration", "p(95)");
    assert_eq!(p95.outcome, Outcome::Worse);
    assert!((0.9..1.1).contains(&p95.change.unwrap()), "{p95:?}");
    assert!(p95.interval.is_some_and(|it| it.low > 0.8 && it.high < 1.3), "{p95:?}");
    assert_eq!(row(&worse, "http_req_duration{step:login}", "med").outcome, Outcome::Worse);
    let better = compared(&slow, &quick);
    assert!(!better.is_regression(), "{}", better.sentence());
    assert_eq!(row(&better, "http_req_duration", "p(95)").outcome, Outcome::Better);
}

#[tokio::test(start_paused = true)]
async fn what_differs_by_less_than_the_threshold_or_a_millisecond_is_the_same() {
    let base = run(1, takes(100, 1), 0);
    assert!(!compared(&base, &run(2, takes(105, 2), 0)).is_regression(), "5 %");
    let strict = compare(&[base], &[run(2, takes(115, 2), 0)], 0.01);
    assert!(strict.is_regression(), "15 %, and 1 % is asked");
    let tiny = compared(&run(1, vec![1; 200], 0), &run(2, vec![2; 200], 0));
    assert!(!tiny.is_regression(), "{}", tiny.sentence());
}

#[tokio::test(start_paused = true)]
async fn a_percentile_of_few_requests_is_told_and_its_median_judged() {
    let mut slow = vec![10; 18];
    slow[..3].fill(300);
    let comparison = compared(&run(1, vec![10; 18], 0), &run(2, slow, 0));
    assert_eq!(row(&comparison, "http_req_duration", "p(95)").outcome, Outcome::Told);
    assert!(!comparison.is_regression(), "{}", comparison.sentence());
    assert!(compared(&run(1, vec![10; 18], 0), &run(2, vec![300; 18], 0)).is_regression());
}

#[tokio::test(start_paused = true)]
async fn a_hiccup_of_one_run_is_no_regression() {
    // One window of twenty is slow: 6 % of the requests, enough to move p(95) far.
    let mut hiccup = takes(50, 2);
    hiccup[100..112].fill(400);
    let comparison = compared(&run(1, takes(50, 1), 0), &run(2, hiccup, 0));
    assert!(row(&comparison, "http_req_duration", "p(95)").change.unwrap() > 1.0);
    assert!(!comparison.is_regression(), "{}", comparison.sentence());
}

#[tokio::test(start_paused = true)]
async fn a_higher_share_of_failures_is_a_regression_and_a_lower_one_none() {
    let (well, badly) = (run(1, takes(50, 1), 0), run(2, takes(50, 1), 4));
    let worse = compared(&well, &badly);
    let failed = row(&worse, "http_req_failed", "rate");
    assert_eq!((failed.outcome, failed.change, failed.new), (Outcome::Worse, None, 0.02));
    assert_eq!(failed.change_text(), "+∞%");
    assert!(worse.is_regression());
    assert!(!compared(&badly, &well).is_regression());
    assert!(!compared(&badly, &run(3, takes(50, 1), 4)).is_regression());
    assert!(compared(&badly, &run(3, takes(50, 1), 5)).is_regression());
}

#[tokio::test(start_paused = true)]
async fn of_several_runs_the_run_is_the_sampling_unit() {
    let side = |ids: &[u64], levels: &[u64]| -> Vec<(String, Opened)> {
        ids.iter().zip(levels).map(|(id, ms)| run(*id, takes(*ms, *id), 0)).collect()
    };
    // Each pair differs, and so do runs of one side: nothing is told from noise.
    let noisy = compare(&side(&[1, 2, 3], &[50, 90, 60]), &side(&[4, 5, 6], &[80, 55, 95]), THRESHOLD);
    assert!(!noisy.is_regression(), "{}", noisy.sentence());
    let interval = row(&noisy, "http_req_duration", "p(95)").interval.unwrap();
    assert!(interval.low < 0.0 && interval.high > 0.2, "{interval:?}");
    let plain = compare(&side(&[1, 2, 3], &[50, 52, 51]), &side(&[4, 5, 6], &[80, 83, 81]), THRESHOLD);
    assert!(plain.is_regression());
    // One new run against several is held against how they spread.
    let one = compare(&side(&[1, 2, 3, 4], &[50, 70, 55, 65]), &side(&[5], &[72]), THRESHOLD);
    assert!(!one.is_regression(), "{}", one.sentence());
    assert!(noisy.notes.iter().any(|note| note.contains("3 and 3 runs")), "{:?}", noisy.notes);
}

#[tokio::test(start_paused = true)]
async fn what_makes_a_comparison_doubtful_is_said() {
    let mut other = result(&Wish { id: 2, valid: false, ..Wish::default() });
    other.run.digest = "other".into();
    other.workers[0].environment.cores = 64;
    other.run.duration *= 2;
    let comparison = compared(&run(1, takes(50, 1), 0), &("b.json".into(), other.open().unwrap()));
    let notes = comparison.notes.join("\n");
    for told in ["different texts", "10 s, b.json 20 s", "different machines", "b.json is invalid", "one run of each"] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_metric_stands_with_its_difference_in_percent() {
    let (base, new) = (run(1, takes(50, 1), 0), run(2, takes(100, 2), 0));
    let comparison = compared(&base, &new);
    let printed = text(&comparison, Style::Plain);
    for metric in &base.1.report.metrics {
        let has_values = !format!("{:?}", metric.figures).contains("count: 0,");
        let line = printed.lines().find(|line| line.contains(&format!(" {} ", metric.name)));
        assert!(!has_values || line.is_none_or(|line| line.contains('%')), "{}: {printed}", metric.name);
    }
    assert!(printed.contains("http_req_duration p(95)") && printed.contains("regressions:"), "{printed}");
    let marked = markdown(&comparison);
    assert!(marked.starts_with("### ❌ pacecar: ") && marked.contains("| `http_req_duration p(95)` |"), "{marked}");
    assert!(marked.contains("<details>"), "{marked}");
    let json = comparison.json();
    assert_eq!((&json["regression"], &json["threshold"]), (&true.into(), &0.1.into()));
    assert!(json["rows"][0]["metric"].is_string() && json["rows"][0]["outcome"].is_string(), "{json:#}");
}

#[test]
fn a_share_is_written_in_percent_with_its_sign() {
    for (share, want) in [(0.0, "0%"), (0.1234, "+12.3%"), (-0.05, "-5%"), (0.012_34, "+1.23%"), (2.0, "+200%")] {
        assert_eq!(percent(share), want);
    }
}
