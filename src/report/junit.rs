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
