//! Prometheus' text format, and OpenMetrics where it is the same: samples, one by one.
//!
//! A line that is none is passed over: one broken exporter of a process must not hide the others' figures.

use std::borrow::Cow;

/// A sample of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Its value; it may be infinite or no number.
    pub value: f64,
}

/// A metric as a plan names it: `db_pool_used`, or `db_pool{state="used"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    name: String,
    labels: Vec<(String, String)>,
}

/// The most labels of a sample that are looked at.
const MOST_LABELS: usize = 64;

/// The samples of a text.
pub fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter_map(sample)
}

// === impl Sample ===

impl Sample<'_> {
    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

// === impl Pick ===

impl Pick {
    /// Reads `name` or `name{label="value",…}`. None where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = name(text.trim())?;
        let (labels, rest) = labels(rest)?;
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect();
        rest.trim().is_empty().then(|| Self { name: name.to_owned(), labels })
    }

    /// Whether a sample is meant: it has this name and at least these labels.
    #[must_use]
    pub fn takes(&self, sample: &Sample<'_>) -> bool {
        self.name == sample.name && self.labels.iter().all(|(name, value)| sample.label(name) == Some(value))
    }
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, rest) = name(line.trim_start())?;
    let (labels, rest) = labels(rest)?;
    // What follows the value (a time, an exemplar) is nobody's business here.
    let value = rest.split_whitespace().next()?;
    Some(Sample { name, labels, value: number(value)? })
}

/// A metric's or a label's name, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    begins.then_some((name, rest))
}

/// The labels in braces, if there are any, and what follows them. None where they are broken.
#[allow(clippy::type_complexity, reason = "a list and a rest")]
fn labels(text: &str) -> Option<(Vec<(&str, Cow<'_, str>)>, &str)> {
    let mut labels = Vec::new();
    let Some(mut rest) = text.trim_start().strip_prefix('{') else { return Some((labels, text)) };
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (label, after) = name(rest)?;
        let (value, after) = quoted(after.trim_start().strip_prefix('=')?.trim_start())?;
        if labels.len() < MOST_LABELS {
            labels.push((label, value));
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after) => after,
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
}

/// A text in quotes with its escapes, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let end = text.find(['"', '\\'])?;
    if text.as_bytes().get(end) == Some(&b'"') {
        return Some((text.get(..end)?.into(), text.get(end + 1..)?));
    }
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value.into(), text.get(at + 1..)?)),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        text if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str) -> Sample<'_> {
        let mut found = samples(line);
        let sample = found.next().unwrap_or_else(|| panic!("{line:?}"));
        assert_eq!(found.next(), None);
        sample
    }

    #[test]
    fn what_exporters_write_is_read() {
        let text = "# HELP db_pool_max The size.\n# TYPE db_pool_max gauge\ndb_pool_max 10\n\n\
                    db_client_connection_count{state=\"used\", pool=\"a\\\"b\\\\c\\nd\",} 3.0 1395066363000\r\n\
                    x_bucket{le=\"+Inf\"} 5 # {trace_id=\"a\"} 0.67\nx_sum NaN\nx:y +Inf\n# EOF";
        let found: Vec<_> = samples(text).collect();
        assert_eq!(found.len(), 5, "{found:?}");
        assert_eq!((found[0].name, found[0].value), ("db_pool_max", 10.0));
        assert_eq!((found[1].label("state"), found[1].label("pool")), (Some("used"), Some("a\"b\\c\nd")));
        assert_eq!((found[1].value, found[2].value, found[2].label("le")), (3.0, 5.0, Some("+Inf")));
        assert!(found[3].value.is_nan() && found[4].value.is_infinite() && found[4].name == "x:y");
    }

    #[test]
    fn what_is_no_sample_is_passed_over() {
        for line in ["", "#", "x", "x{", "x{a}", "x{a=}", "x{a=\"b} 1", "x{a=\"b\" c=\"d\"} 1", "9x 1", "x one", "{} 1"]
        {
            assert_eq!(samples(line).count(), 0, "{line:?}");
        }
        assert_eq!(samples("x{a=\"}\nfine 1").count(), 1);
    }

    #[test]
    fn a_plan_names_a_metric_with_or_without_labels() {
        let used = Pick::parse("pool{state=\"used\"}").unwrap();
        assert!(used.takes(&one("pool{state=\"used\",db=\"x\"} 1")));
        assert!(!used.takes(&one("pool{state=\"idle\"} 1")) && !used.takes(&one("pool 1")));
        assert!(Pick::parse("pool").unwrap().takes(&one("pool{state=\"used\"} 1")));
        assert!([" ", "pool{", "pool 1", "$.pool.max", "pool{a}"].iter().all(|text| Pick::parse(text).is_none()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
            labels in proptest::collection::vec(("[a-z_][a-z0-9_]{0,5}", "\\PC{0,8}"), 0..5),
            value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
        ) {
            let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let inner: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escape(text))).collect();
            let braces = if inner.is_empty() { String::new() } else { format!("{{{}}}", inner.join(",")) };
            let line = format!("{name}{braces} {value:e}");
            let read = one(&line);
            prop_assert_eq!((read.name, read.value), (name.as_str(), value));
            let known: Vec<_> = read.labels.iter().map(|(name, text)| ((*name).to_owned(), text.to_string())).collect();
            prop_assert_eq!(known, labels);
        }

        #[test]
        fn no_text_panics(text in "[a{}=\",\\\\ \n0-9.+eNIinf#äX]{0,60}") {
            let _ = samples(&text).count();
            let _ = Pick::parse(&text);
        }
    }
}
