//! The page: its verdict first, everything there is in it, and text that stays text.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::html;
use crate::measure::threshold::ThresholdOutcome;
use crate::report::saved::tests::{Wish, result};
use crate::report::saved::{Opened, SavedRun};
use crate::report::verdict::Verdict;

fn opened(wish: &Wish) -> Opened {
    let run: SavedRun = result(wish);
    run.open().unwrap()
}

/// The first of the three words, wherever it stands.
fn first_word(page: &str) -> &'static str {
    let page = page.to_lowercase();
    ["pass", "fail", "invalid"].into_iter().min_by_key(|word| page.find(word).unwrap_or(usize::MAX)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_of_the_three_words_is_the_verdict_whatever_the_plan_is_called() {
    for (wish, verdict) in [
        (Wish { takes: vec![10; 200], ..Wish::default() }, Verdict::Pass),
        (Wish::default(), Verdict::Fail),
        (Wish { valid: false, ..Wish::default() }, Verdict::Invalid),
    ] {
        for name in ["tenant-workflow", "invalid-password-bypass-fail-pass"] {
            let mut result = opened(&wish);
            result.report.run.plan = name.to_owned();
            let page = html(&result).unwrap();
            assert_eq!(first_word(&page), verdict.as_str(), "{name}");
            // And so it is for who reads what a browser shows.
            let body = page.split("<main>").nth(1).unwrap();
            assert_eq!(first_word(body), verdict.as_str(), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_plan_and_target_wrote_is_text() {
    const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&{{ 7*7 }}</title></style></script>\u{202e}\u{0}";
    let mut result = opened(&Wish { failed: 2, ..Wish::default() });
    let hostile = || HOSTILE.to_owned();
    result.report.run.plan = hostile();
    result.saved.run.problems = vec![hostile()];
    result.saved.run.digest = hostile();
    result.saved.pacecar = hostile();
    result.saved.workers[0].segment = hostile();
    result.saved.workers[0].environment.os = hostile();
    result.report.fidelity.reasons = vec![hostile()];
    result.report.fidelity.notes = vec![hostile()];
    result.report.groups[0].checks = vec![crate::report::CheckReport { name: hostile(), passes: 1, fails: 1 }];
    for threshold in &mut result.report.thresholds {
        (threshold.metric, threshold.expression) = (hostile(), hostile());
    }
    let cleanup = result.report.cleanup.as_mut().unwrap();
    cleanup.tables[0].table = hostile();
    cleanup.blocked = vec![hostile()];
    for metric in &mut result.report.metrics {
        metric.name = format!("{HOSTILE}{}", metric.name);
        metric.section = crate::report::Section::Custom;
    }
    let correlation = crate::report::CorrelationReport { notes: vec![hostile()], ..Default::default() };
    result.report.correlation = Some(correlation);
    let page = html(&result).unwrap();
    assert!(!page.contains("<img"), "markup got in");
    assert!(page.matches("&lt;img src=x onerror=alert(1)&gt;").count() > 10);
    assert!(page.contains("{{ 7*7 }}") && !page.contains("49</"), "no template within a template");
    assert!(!page.contains('\u{0}') && !page.contains('\u{202e}'));
    assert_eq!(page.matches("<title>").count(), page.matches("</title>").count());
    assert_eq!(page.matches("</style>").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_that_there_is_stands_in_it_and_nothing_is_loaded() {
    let mut result = opened(&Wish { failed: 3, ..Wish::default() });
    let expression = result.report.thresholds[0].expression.clone();
    let page = html(&result).unwrap();
    for part in [
        "Over time",
        "How long requests took",
        "Steps",
        "Thresholds",
        "Cleanup",
        "public.llm_usage",
        "May these figures be believed?",
        "Checks",
        "login",
        "role=\"img\"",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(part == "Checks" || page.contains(part), "no {part}");
    }
    assert!(page.contains(&expression), "as the plan writes it");
    for outside in ["http://", "https://", "<script", "<link", "@import", "url(", "src="] {
        let left = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!left.contains(outside), "{outside}");
    }
    // A section with nothing to say is absent.
    result.report.cleanup = None;
    result.report.thresholds.clear();
    let page = html(&result).unwrap();
    for part in
        ["Cleanup", "<h2>Thresholds", "<h2>Judges", "Where the time went", "neighbours", "<h2>Workers", "own metrics"]
    {
        assert!(!page.contains(part), "an empty section: {part}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_sent_nothing_has_a_report() {
    let result = opened(&Wish { takes: Vec::new(), ..Wish::default() });
    let page = html(&result).unwrap();
    assert!(page.contains("nothing was sent"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("<h2>How long"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_threshold_without_data_is_told_as_such() {
    let mut result = opened(&Wish::default());
    result.report.thresholds[0].outcome = ThresholdOutcome::NoData;
    assert!(html(&result).unwrap().contains("no data"));
}
