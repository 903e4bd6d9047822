//! The verdict in a sentence, and what a person wants to know next: what heads the report, the comment and the checks.

use super::chart::Unit;
use super::format;
use super::result::{Figures, MetricReport, RunReport};
use super::text::threshold_value;
use super::verdict::Verdict;
use crate::judge::JudgeVerdict;
use crate::measure::ThresholdResult;

/// Why the verdict is what it is.
#[must_use]
pub fn verdict_sentence(report: &RunReport) -> String {
    match report.run.verdict {
        Verdict::Invalid => {
            let why = report.fidelity.reasons.first().map(|reason| format!(": it {reason}"));
            format!("the generator, not the target, set these figures{}", why.unwrap_or_default())
        }
        Verdict::Fail => failed(report),
        Verdict::Pass => passed(report),
    }
}

/// What the run was like in a sentence, whatever its verdict.
#[must_use]
pub fn figures_sentence(report: &RunReport) -> String {
    let trend = |name: &str| match report.metric(name).map(|metric| &metric.figures) {
        Some(Figures::Trend(trend)) if trend.count > 0 => Some(trend),
        _ => None,
    };
    let counter = |name: &str| match report.metric(name).map(|metric| &metric.figures) {
        Some(Figures::Counter { count, rate }) => Some((*count, *rate)),
        _ => None,
    };
    let mut said = Vec::new();
    if let Some((count, rate)) = counter("http_reqs").filter(|(count, _)| *count > 0.0) {
        said.push(format!("{} requests at {}/s", grouped(count), format::trimmed(rate, 1)));
    }
    // `--summary-trend-stats` may have left p(95) out.
    if let Some(p95) = trend("http_req_duration").and_then(|trend| trend.get("p(95)")) {
        let bound = if p95.censored { "at least " } else { "" };
        said.push(format!("95 % of them answered within {bound}{}", Unit::Time.told(p95.value)));
    }
    if let Some(Figures::Rate(share)) = report.metric("http_req_failed").map(|metric| &metric.figures)
        && share.total > 0
    {
        said.push(match share.passes {
            0 => "none failed".to_owned(),
            failed => format!("{} failed ({})", grouped(failed as f64), format::percent(share.rate())),
        });
    }
    if let Some((dropped, _)) = counter("dropped_iterations").filter(|(count, _)| *count > 0.0) {
        said.push(format!("{} iterations were dropped", grouped(dropped)));
    }
    if said.is_empty() { "nothing was sent".to_owned() } else { said.join("; ") }
}

/// Each threshold and judge: its name, whether it holds, and what was seen.
pub(super) fn questions(report: &RunReport) -> Vec<(String, bool, String)> {
    let threshold = |result: &ThresholdResult| {
        let metric = report.metric(&result.metric);
        (threshold_name(result), !result.failed(), observed(result, metric))
    };
    let judges = report.judge.lines().map(|(name, verdict, sentence)| {
        (format!("judge {}", name.replace('_', " ")), verdict == JudgeVerdict::Pass, sentence.to_owned())
    });
    report.thresholds.iter().map(threshold).chain(judges).collect()
}

/// A threshold as the plan writes it.
pub(super) fn threshold_name(result: &ThresholdResult) -> String {
    let during = result.during.map(|during| {
        let to = during.to.map_or_else(|| "end".to_owned(), short);
        format!(" during {}..{to}", short(during.from))
    });
    format!("{}: {}{}", result.metric, result.expression.trim(), during.unwrap_or_default())
}

/// The figure that a threshold was judged by.
pub(super) fn observed(result: &ThresholdResult, metric: Option<&MetricReport>) -> String {
    let value = metric.map_or_else(|| format::trimmed(result.observed, 6), |metric| threshold_value(result, metric));
    match result.outcome {
        crate::measure::threshold::ThresholdOutcome::NoData => "no data".to_owned(),
        _ => format!("{}={value}", result.aggregation),
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(value: f64) -> String {
    let text = format::trimmed(value, 4);
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.chars().count() - at;
        if at > 0 && left % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// An instant of the run, as a plan writes it.
pub(super) fn short(instant: std::time::Duration) -> String {
    humantime::format_duration(instant).to_string().replace(' ', "")
}

fn failed(report: &RunReport) -> String {
    let broken: Vec<_> = questions(report).into_iter().filter(|(_, held, _)| !held).collect();
    match broken.as_slice() {
        [] => "the run ended early".to_owned(),
        [(name, _, seen)] => format!("{name} does not hold: {seen}"),
        [(name, _, seen), rest @ ..] => {
            let more = if rest.len() == 1 {
                "one more does not, either".to_owned()
            } else {
                format!("{} more do not, either", rest.len())
            };
            format!("{name} does not hold: {seen}; {more}")
        }
    }
}

fn passed(report: &RunReport) -> String {
    let all = questions(report).len();
    match all {
        0 => "the plan asks for no threshold".to_owned(),
        1 => "the one threshold holds".to_owned(),
        all => format!("all {all} thresholds hold"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (value, want) in
            [(0.0, "0"), (999.0, "999"), (1000.0, "1,000"), (1_234_567.25, "1,234,567.25"), (-1000.0, "-1,000")]
        {
            assert_eq!(grouped(value), want);
        }
    }
}
