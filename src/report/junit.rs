//! A run as JUnit XML, which every CI shows: thresholds, judges, fidelity and cleanup as test cases.

use super::chart::escaped;
use super::explain::{figures_sentence, observed, questions, threshold_name};
use super::result::RunReport;
use crate::measure::threshold::ThresholdOutcome;
use std::fmt::Write as _;

/// How one test case went.
enum Case {
    Held,
    Broken(String),
    /// Nobody can say: the generator's fault, not the target's.
    Unsure(String),
    /// There was nothing to judge, which is no fault.
    NoData,
}

/// A run as JUnit XML.
#[must_use]
pub fn junit(report: &RunReport) -> String {
    let cases = cases(report);
    let count = |wanted: fn(&Case) -> bool| cases.iter().filter(|(.., case)| wanted(case)).count();
    let counts = format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}" time="{:.3}""#,
        cases.len(),
        count(|case| matches!(case, Case::Broken(_))),
        count(|case| matches!(case, Case::Unsure(_))),
        count(|case| matches!(case, Case::NoData)),
        report.run.duration.as_secs_f64(),
    );
    let (plan, started) = (xml(&report.run.plan), humantime::format_rfc3339_seconds(report.run.started));
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"pacecar\" {counts}>\n  \
         <testsuite name=\"{plan}\" {counts} timestamp=\"{started}\">\n    <properties>\n      \
         <property name=\"run\" value=\"{}\"/>\n      <property name=\"verdict\" value=\"{}\"/>\n    </properties>\n",
        report.run.id, report.run.verdict
    );
    for (class, name, case) in &cases {
        let _ = write!(out, "    <testcase classname=\"{plan}.{class}\" name=\"{}\" time=\"0\"", xml(name));
        let _ = match case {
            Case::Held => writeln!(out, "/>"),
            Case::NoData => writeln!(out, "><skipped message=\"no data\"/></testcase>"),
            Case::Broken(why) => writeln!(out, "><failure message=\"{0}\">{0}</failure></testcase>", xml(why)),
            Case::Unsure(why) => writeln!(out, "><error message=\"{0}\">{0}</error></testcase>", xml(why)),
        };
    }
    let _ = writeln!(out, "    <system-out>{}</system-out>", xml(&figures_sentence(report)));
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Class, name and outcome of each case: one at least.
fn cases(report: &RunReport) -> Vec<(&'static str, String, Case)> {
    let mut cases = Vec::new();
    let held = |held: bool, seen: String| if held { Case::Held } else { Case::Broken(seen) };
    for threshold in &report.thresholds {
        let seen = observed(threshold, report.metric(&threshold.metric));
        let case = match threshold.outcome {
            ThresholdOutcome::NoData => Case::NoData,
            ThresholdOutcome::Passed | ThresholdOutcome::Failed => held(!threshold.failed(), seen),
        };
        cases.push(("thresholds", threshold_name(threshold), case));
    }
    for (name, holds, seen) in questions(report).into_iter().skip(report.thresholds.len()) {
        cases.push(("judges", name, held(holds, seen)));
    }
    let why = report.fidelity.reasons.join("; ");
    let kept = if report.fidelity.valid { Case::Held } else { Case::Unsure(why) };
    cases.push(("fidelity", "the generator kept its schedule".to_owned(), kept));
    if let Some(cleanup) = &report.cleanup {
        let left = format!("{} rows left, {} of them quarantined", cleanup.remaining, cleanup.quarantined);
        let clean = cleanup.remaining == 0 && cleanup.quarantined == 0;
        cases.push(("cleanup", "nothing is left".to_owned(), held(clean, left)));
    }
    cases
}

/// Text that XML allows.
fn xml(text: &str) -> String {
    escaped(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::saved::tests::{Wish, result};

    fn of(wish: &Wish) -> RunReport {
        result(wish).open().unwrap().report
    }

    #[tokio::test(start_paused = true)]
    async fn thresholds_fidelity_and_cleanup_are_cases_and_counted_as_they_went() {
        let xml = junit(&of(&Wish::default()));
        assert!(xml.contains(r#"tests="4" failures="1" errors="0" skipped="0" time="10.000""#), "{xml}");
        assert!(xml.contains(r#"name="http_reqs: count==200" time="0"><failure message="count=100">"#), "{xml}");
        assert!(xml.contains(r#"name="http_req_duration{step:login}: p(95)&lt;50" time="0"/>"#), "{xml}");
        assert!(xml.contains(r#"classname="tenant-workflow.cleanup""#) && xml.ends_with("</testsuites>\n"), "{xml}");
        let invalid = junit(&of(&Wish { valid: false, ..Wish::default() }));
        assert!(invalid.contains(r#"errors="1""#) && invalid.contains(r#"<error message="late">"#), "{invalid}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_stranger_wrote_is_text_that_xml_allows() {
        let mut report = of(&Wish::default());
        report.run.plan = "<a>&\"\u{1}\u{fffe}".into();
        report.thresholds[0].outcome = ThresholdOutcome::NoData;
        let xml = junit(&report);
        assert!(xml.contains("&lt;a&gt;&amp;&quot;\u{fffd}\u{fffd}") && xml.contains("<skipped"), "{xml}");
    }
}
