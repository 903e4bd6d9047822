//! `pacecar compare`: results side by side.

use crate::cli::{CompareArgs, Format};
use crate::{logging, output, results};
use pacecar::report::{Exit, Opened, Style, compare};

pub(crate) fn execute(args: &CompareArgs) -> Exit {
    let threshold = match args.threshold.as_deref().map(share).transpose() {
        Ok(threshold) => threshold.unwrap_or(compare::THRESHOLD),
        Err(problem) => {
            output::error(&format!("--threshold: {problem}"));
            return Exit::InvalidPlan;
        }
    };
    let (bases, news) = match (args.base.as_slice(), args.results.as_slice()) {
        ([], [base, news @ ..]) => (std::slice::from_ref(base), news),
        (bases, news) => (bases, news),
    };
    if news.is_empty() {
        output::error("compare: two results at least: BASE NEW");
        return Exit::InvalidPlan;
    }
    // Every file that is none is told at once.
    let (bases, news) = match (open(bases), open(news)) {
        (Ok(bases), Ok(news)) => (bases, news),
        (bases, news) => return bases.err().or(news.err()).unwrap_or(Exit::InvalidPlan),
    };
    let comparison = compare(&bases, &news, threshold);
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    let text = match args.format() {
        Format::Text => compare::text(&comparison, style),
        Format::Markdown => compare::markdown(&comparison),
        Format::Json => format!("{:#}\n", comparison.json()),
    };
    output::result(&text);
    if comparison.is_regression() { Exit::Failed } else { Exit::Passed }
}

/// Reads and opens results.
fn open(names: &[String]) -> Result<Vec<(String, Opened)>, Exit> {
    let read: Vec<Result<(String, Opened), Exit>> = names
        .iter()
        .map(|name| results::read(name).and_then(|run| Ok((name.clone(), results::open(name, run)?))))
        .collect();
    read.into_iter().collect()
}

/// `10%`, or `10`, which is the same.
fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim();
    let percent = number.parse::<f64>().ok().filter(|percent| percent.is_finite() && *percent >= 0.0);
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("{text:?} is no percentage such as 10%"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_threshold_is_a_percentage() {
        assert_eq!((share("10%").unwrap(), share(" 2.5 % ").unwrap(), share("0").unwrap()), (0.1, 0.025, 0.0));
        for text in ["", "x", "-5%", "inf", "NaN%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
