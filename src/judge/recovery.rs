//! Whether, and how fast, the target recovers after a spike.
//!
//! It has recovered from the first instant past the spike from which on the figure is back: over a window long
//! enough for it to be a figure, **and** over all that follows, so that neither one good second nor a calm that does not
//! last is taken for it. No more requests may fail than before, either: an error page is fast.
//!
//! What cannot be judged fails, and says what is missing: a run that was to show a recovery and did not has not passed.

use super::JudgeVerdict;
use super::figure::{Course, Figure, Value};
use super::profile::Profile;
use crate::measure::{Contains, LayoutBuilder, Part};
use crate::plan::{Diagnostics, RecoveryDocument, Span};
use crate::stats::wilson;
use std::time::Duration;

/// The question, compiled.
#[derive(Clone, Debug)]
pub struct Recovery {
    pub(super) figure: Figure,
    pub(super) terms: Terms,
}

/// What is compared, and how near it must come.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// The calm before the spike.
    #[serde(rename = "before_ms", with = "crate::measure::plain::part")]
    pub before: Part,
    /// When the spike is over.
    #[serde(rename = "after_ms", with = "crate::measure::plain::ms")]
    pub after: Duration,
    /// Until when it is looked at: the end, or the load's next rise.
    #[serde(rename = "until_ms", with = "crate::measure::plain::ms")]
    pub until: Duration,
    /// How soon it must be back.
    #[serde(rename = "within_ms", with = "crate::measure::plain::ms")]
    pub within: Duration,
    /// How far above the calm still counts as back.
    pub factor: f64,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RecoveryReport {
    /// Whether it recovered in time.
    pub verdict: JudgeVerdict,
    /// Whether that is what was seen; else there was too little to see, which fails.
    pub judged: bool,
    /// How long after the spike it was back, to a bin of the timeline. None where it never was, or nobody can say.
    #[serde(rename = "recovered_after_ms", with = "crate::measure::plain::ms_option")]
    pub recovered_after: Option<Duration>,
    /// The figure before. None where there were too few values.
    pub before: Option<f64>,
    /// The figure after it recovered; where it did not, past the time it had. None where there were too few values.
    pub after: Option<f64>,
    /// What that says, in one sentence.
    pub sentence: String,
}

/// What is found in a course.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It was back so long after the spike.
    Recovered {
        /// How long after.
        after: Duration,
        /// The figure before, and from then on.
        figures: [Value; 2],
    },
    /// It never was.
    Remained {
        /// The figure before.
        before: Value,
        /// The figure past the time it had; None where nothing was answered then.
        after: Option<Value>,
        /// The share of requests that failed past that time, where that is what kept it from having recovered.
        failing: Option<f64>,
    },
    /// It cannot be judged, and why.
    Unknown(String),
}

/// A response time this near is back, whatever the factor: what a clock and a scheduler add.
const SLACK_MS: f64 = 1.0;
/// The shortest time that counts as being back.
const SETTLED: Duration = Duration::from_secs(1);

// === impl Recovery ===

impl Recovery {
    /// Compiles the question and prepares its cuts. None with a problem in `diagnostics`.
    pub fn compile(
        document: &RecoveryDocument,
        profile: Option<&Profile>,
        layout: &mut LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let figure = Figure::compile(&document.figure, document.span, layout, diagnostics);
        let terms = Terms::compile(document, profile, diagnostics);
        Some(Self { figure: figure?, terms: terms? })
    }

    /// The figure that is judged.
    #[must_use]
    pub const fn figure(&self) -> &Figure {
        &self.figure
    }

    /// Judges a course.
    #[must_use]
    pub fn judge(&self, course: &Course<'_>) -> RecoveryReport {
        let (name, show) = (self.figure.name(), |value: f64| self.figure.show(value));
        let within = self.terms.within;
        let fails = |judged, before, after, sentence| RecoveryReport {
            verdict: JudgeVerdict::Fail,
            judged,
            recovered_after: None,
            before,
            after,
            sentence,
        };
        match find(course, &self.terms) {
            Finding::Recovered { after, figures: [before, now] } => {
                let verdict = if after <= within { JudgeVerdict::Pass } else { JudgeVerdict::Fail };
                let (was, is) = (show(before.value), show(now.value));
                let sentence = match verdict {
                    _ if after.is_zero() => {
                        format!("{name} was back as soon as the spike was over: {is}, before {was}")
                    }
                    JudgeVerdict::Pass => format!("{name} was back after {after:.1?}: {is}, before {was}"),
                    JudgeVerdict::Fail => {
                        format!("{name} was back only after {after:.1?}, not within {within:?}: {is}, before {was}")
                    }
                };
                let (before, now) = (Some(before.value), Some(now.value));
                RecoveryReport { verdict, judged: true, recovered_after: Some(after), before, after: now, sentence }
            }
            Finding::Remained { before, after, failing } => {
                let was = show(before.value);
                let sentence = match (after, failing) {
                    (_, Some(share)) => format!(
                        "the target did not recover: {:.1} % of requests still failed later than {within:?} after the spike",
                        share * 100.0
                    ),
                    (Some(now), None) => format!(
                        "{name} did not recover: {}{} later than {within:?} after the spike, before {was}",
                        if now.censored { "≥ " } else { "" },
                        show(now.value)
                    ),
                    (None, None) => format!(
                        "the target did not recover: next to nothing was answered later than {within:?} after the spike"
                    ),
                };
                fails(true, Some(before.value), after.map(|value| value.value), sentence)
            }
            Finding::Unknown(why) => {
                let before = course.sure_value(&self.terms.before).map(|value| value.value);
                fails(false, before, None, format!("recovery cannot be judged: {why}"))
            }
        }
    }
}

// === impl Terms ===

impl Terms {
    fn compile(document: &RecoveryDocument, profile: Option<&Profile>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let rise = profile.and_then(|profile| profile.first_rise().or_else(|| profile.steepest_rise()));
        let before = document
            .before
            .map(|before| (before.value.from, before.value.to))
            .or(rise.map(|at| (Duration::ZERO, Some(at))));
        let from = before.and_then(|(_, to)| to).unwrap_or_default();
        let after = document.after.map(|after| after.value).or_else(|| profile?.fall_from_highest(from));
        if before.is_none() {
            diagnostics
                .error(document.span, "judge.recovery: no scenario says when the load first rises")
                .hint("say what is the calm before the spike: `before: 0s..1m`");
        }
        if after.is_none() {
            diagnostics
                .error(document.span, "judge.recovery: no scenario says when the load falls again")
                .hint("say when the spike is over, from the start of the run: `after: 3m`");
        }
        let ((from, to), after) = (before?, after?);
        let to = to.unwrap_or(after);
        if to > after {
            let span = document.after.map_or(Span::NONE, |after| after.span);
            let span = if span == Span::NONE { document.span } else { span };
            diagnostics
                .error(span, "judge.recovery: the spike is over before the load has risen")
                .hint("`after` is when the spike ends, from the start of the run; or say what is `before` it");
            return None;
        }
        let until = profile.and_then(|profile| profile.next_rise(after)).filter(|at| *at > after);
        Some(Self {
            before: from..to,
            after,
            until: until.unwrap_or(Duration::MAX),
            within: document.within.value,
            factor: document.factor.value,
        })
    }
}

/// Finds the recovery in a course.
#[must_use]
pub fn find(course: &Course<'_>, terms: &Terms) -> Finding {
    let least = course.least();
    let Some(before) = course.sure_value(&terms.before) else {
        let count = course.figure.count(&terms.before);
        return Finding::Unknown(format!("there were {count} values before the spike, and {least} are needed"));
    };
    if before.censored {
        return Finding::Unknown("what was due before the spike never finished, so there was no calm".to_owned());
    }
    let until = terms.until.min(course.end);
    let step = course.step();
    let settled = settled(course, terms, until, least).max(step);
    if terms.after + settled > until {
        let lasted = until.saturating_sub(terms.after);
        return Finding::Unknown(format!(
            "the run lasted {lasted:.1?} past the spike, and {settled:.1?} are needed to see {least} values"
        ));
    }
    let slack = if course.contains == Contains::Time { SLACK_MS } else { 0.0 };
    let limit = (before.value * terms.factor).max(before.value + slack);
    let back = |value: Option<Value>| value.filter(|value| !value.censored && value.value <= limit);
    let calm = course.failures(&terms.before);
    let healthy = |part: &Part| failing(course, calm, part).is_none();

    let mut at = terms.after;
    while at + settled <= until {
        let (window, rest) = (at..at + settled, at..until);
        if back(course.sure_value(&window)).is_some()
            && healthy(&window)
            && let Some(now) = back(course.sure_value(&rest))
            && healthy(&rest)
        {
            return Finding::Recovered { after: at - terms.after, figures: [before, now] };
        }
        at += step;
    }
    let late = (terms.after + terms.within).min(until.saturating_sub(settled))..until;
    let after = course.sure_value(&late);
    let failing = failing(course, calm, &late).filter(|_| back(after).is_some());
    Finding::Remained { before, after, failing }
}

/// How long a window must be to hold twice as many values as a figure needs, at the pace of the calm, or that past the
/// spike where it is slower.
fn settled(course: &Course<'_>, terms: &Terms, until: Duration, least: u64) -> Duration {
    let pace = |part: &Part| course.figure.count(part) as f64 / course.lasts(part).as_secs_f64().max(1e-3);
    let middle = terms.after + until.saturating_sub(terms.after) / 2;
    let past = pace(&(terms.after..until)).max(pace(&(middle..until)));
    // Where nothing is answered any more there is no pace.
    let pace = Some(pace(&terms.before).min(past)).filter(|_| past > 0.0).unwrap_or_else(|| pace(&terms.before));
    let wanted = Duration::try_from_secs_f64(2.0 * least as f64 / pace).unwrap_or(Duration::MAX / 2);
    wanted.max(SETTLED)
}

/// The share of requests that fail in a part of the run, where it is surely more than in the calm.
fn failing(course: &Course<'_>, calm: (u64, u64), part: &Part) -> Option<f64> {
    let (failed, all) = course.failures(part);
    let more = wilson(failed, all, 0.95).low > wilson(calm.0, calm.1, 0.95).high;
    (more && all > 0 && !course.is_failed).then(|| failed as f64 / all as f64)
}
