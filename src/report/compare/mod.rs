//! Results side by side: what got worse, by how much, and how sure that is.
//!
//! Requests within one run lean on each other, and two runs of the same code differ by more than any interval from
//! within one of them says. So where there are several runs the run is the sampling unit (Welch's interval of the ratio);
//! where there is one of each, a difference must stand out of what windows of time within the runs do, and what that
//! cannot tell is said. A regression is a difference for the worse beyond the threshold and beyond that noise; a higher
//! share of failed requests is one by itself.

mod figures;
mod judge;
mod markdown;
mod sides;
#[cfg(test)]
mod tests;
mod text;

pub use markdown::markdown;
pub use sides::{Side, SideRun};
pub use text::text;

use super::saved::Opened;
use crate::stats::Interval;
use figures::Figure;
use serde::Serialize;

/// A difference for the worse of less than this share is none, unless the caller says otherwise.
pub const THRESHOLD: f64 = 0.1;

/// Results side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What there was.
    pub base: Side,
    /// What there is.
    pub new: Side,
    /// The least share that is a difference.
    pub threshold: f64,
    /// Each figure that both have, those that are judged first.
    pub rows: Vec<Comparing>,
    /// What a person should know before believing it.
    pub notes: Vec<String>,
}

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct Comparing {
    /// The metric or submetric.
    pub metric: String,
    /// Which figure of it: `p(95)`, `rate`, `value`.
    pub stat: String,
    /// What it was.
    pub base: f64,
    /// What it is.
    pub new: f64,
    /// By which share it changed; none where it was 0 and is not.
    pub change: Option<f64>,
    /// Where that share lies, with 95 % confidence; none where nothing says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<ChangeInterval>,
    /// What that means.
    pub outcome: Outcome,
    #[serde(skip)]
    pub(crate) shown: figures::Shown,
}

/// Where a change lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChangeInterval {
    /// Not below this share.
    pub low: f64,
    /// Not above this share.
    pub high: f64,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It got worse: a regression.
    Worse,
    /// It got better.
    Better,
    /// It did not change beyond the threshold and the noise.
    Same,
    /// It is told and not judged.
    Told,
}

/// Compares results, each with how messages call it; `threshold` is a share.
#[must_use]
pub fn compare(bases: &[(String, Opened)], news: &[(String, Opened)], threshold: f64) -> Comparison {
    let each = |side: &[(String, Opened)]| -> Vec<Vec<Figure>> {
        side.iter().map(|(_, result)| figures::of(result)).collect()
    };
    let (before, after) = (each(bases), each(news));
    let mut rows: Vec<Comparing> = Vec::new();
    for figure in before.iter().chain(&after).flatten() {
        let known = rows.iter().any(|row| row.metric == figure.metric && row.stat == figure.stat);
        if known {
            continue;
        }
        let same = |side: &[Vec<Figure>]| -> Vec<Figure> {
            let of_run = |figures: &Vec<Figure>| figures.iter().find(|other| other.is(figure)).cloned();
            side.iter().filter_map(of_run).collect()
        };
        let (before, after) = (same(&before), same(&after));
        rows.extend(judge::judge(&before, &after, threshold));
    }
    rows.sort_by_key(|row| row.outcome);
    let (base, new) = (Side::of(bases), Side::of(news));
    let mut notes = sides::notes(bases, news);
    let alone = |one: &[Vec<Figure>], other: &[Vec<Figure>]| -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for figure in one.iter().flatten() {
            let elsewhere = other.iter().flatten().any(|known| known.metric == figure.metric);
            if !elsewhere && !names.contains(&figure.metric) {
                names.push(figure.metric.clone());
            }
        }
        names
    };
    for (who, names) in [("the base", alone(&before, &after)), ("the new", alone(&after, &before))] {
        if !names.is_empty() {
            notes.insert(0, format!("only {who} has {}", names.join(", ")));
        }
    }
    Comparison { base, new, threshold, rows, notes }
}

// === impl Comparison ===

impl Comparison {
    /// What got worse.
    pub fn regressions(&self) -> impl Iterator<Item = &Comparing> {
        self.rows.iter().filter(|row| row.outcome == Outcome::Worse)
    }

    /// Whether anything got worse: exit 99.
    #[must_use]
    pub fn is_regression(&self) -> bool {
        self.regressions().next().is_some()
    }

    /// What it came to, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let threshold = super::format::trimmed(self.threshold * 100.0, 2);
        let worse: Vec<String> =
            self.regressions().map(|row| format!("{} {} {}", row.metric, row.stat, row.change_text())).collect();
        match worse.as_slice() {
            [] => format!("no regression beyond {threshold}%"),
            [one] => format!("regression: {one}"),
            [first, rest @ ..] => format!("{} regressions: {first}, and {} more", worse.len(), rest.len()),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.insert("regression".to_owned(), self.is_regression().into());
        }
        value
    }
}

// === impl Comparing ===

impl Comparing {
    /// `+12.3%`
    #[must_use]
    pub fn change_text(&self) -> String {
        self.change.map_or_else(|| "+∞%".to_owned(), percent)
    }

    /// `(+4.1% to +20.9%)`, or nothing.
    #[must_use]
    pub(crate) fn interval_text(&self) -> String {
        self.interval.map_or_else(String::new, |it| format!("({} to {})", percent(it.low), percent(it.high)))
    }
}

// === impl ChangeInterval ===

impl From<Interval> for ChangeInterval {
    /// Of the logarithm of a ratio.
    fn from(interval: Interval) -> Self {
        Self { low: interval.low.exp_m1(), high: interval.high.exp_m1() }
    }
}

/// A share with its sign, in percent. A difference that would be written as none is none.
fn percent(share: f64) -> String {
    let text = super::format::trimmed(share * 100.0, if share.abs() < 0.1 { 2 } else { 1 });
    if text == "0" || text.starts_with('-') { format!("{text}%") } else { format!("+{text}%") }
}
