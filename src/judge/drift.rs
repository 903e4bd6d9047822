//! Whether a figure creeps up while the load is held: the question of a soak test.
//!
//! The run is cut into windows, each with a figure of its own, and the slope over them gets an interval that knows
//! that neighbouring windows lean on each other. It fails where it surely rises and by more than is allowed; noise, a
//! single bad window, a rise too small to be told from either, and a figure that falls do not fail it. What cannot be
//! judged fails: a soak that shows nothing has not shown that the target is stable.

use super::JudgeVerdict;
use super::figure::{Course, Figure};
use super::profile::Profile;
use crate::measure::{Contains, LayoutBuilder, Part};
use crate::plan::{Diagnostics, DriftDocument};
use crate::stats::{Interval, trend};
use std::time::Duration;

/// The question, compiled.
#[derive(Clone, Debug)]
pub struct Drift {
    pub(super) figure: Figure,
    pub(super) terms: Terms,
}

/// What may rise by how much, and over which part of the run it is asked.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// The longest time for which the plan holds the load.
    #[serde(rename = "held_ms", with = "crate::measure::plain::part")]
    pub held: Part,
    /// The share by which it may rise in an hour.
    pub per_hour: f64,
    /// Whether the figure is a share itself, whose rise is meant as it is: 0.05 are five in a hundred more.
    pub share: bool,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DriftReport {
    /// Whether it is stable.
    pub verdict: JudgeVerdict,
    /// Whether that is what was seen; else there was too little to see, which fails.
    pub judged: bool,
    /// By which share of where it began it rises in an hour. None where nobody can say.
    pub per_hour: Option<f64>,
    /// Where that lies, with 95 % confidence.
    #[serde(with = "crate::measure::plain::interval_option")]
    pub interval: Option<Interval>,
    /// What that says, in one sentence.
    pub sentence: String,
}

/// What is found in a course.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A slope.
    Slope {
        /// Per hour, as a share of where it began.
        per_hour: f64,
        /// Where it lies, with 95 % confidence.
        interval: Interval,
        /// Whether it surely rises, by more than is allowed, and enough to matter.
        rises: bool,
        /// The level at the beginning and at the end, as the slope has it.
        levels: [f64; 2],
    },
    /// It cannot be judged, and why.
    Unknown(String),
}

/// Windows into which the run is cut, where it has values for so many.
const WINDOWS: u64 = 30;
/// How much neighbouring windows may lean on each other: what wanders for longer than a fifteenth of the run is not
/// stable, and a step in its middle is no noise.
const MOST_LEAN: f64 = 0.5;
/// A rise over the whole run of less than this share of the figure is not told from what moves it anyway.
const LEAST_RISE: f64 = 0.02;
/// Nor one of a response time by less than this.
const LEAST_RISE_MS: f64 = 0.25;

// === impl Drift ===

impl Drift {
    /// Compiles the question and prepares its cuts. None with a problem in `diagnostics`.
    pub fn compile(
        document: &DriftDocument,
        profile: Option<&Profile>,
        layout: &mut LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let figure = Figure::compile(&document.figure, document.span, layout, diagnostics)?;
        let held = profile.and_then(Profile::longest_hold).unwrap_or(Duration::ZERO..Duration::MAX);
        let terms = Terms { held, per_hour: document.per_hour.value, share: figure.is_share() };
        Some(Self { figure, terms })
    }

    /// The figure that is judged.
    #[must_use]
    pub const fn figure(&self) -> &Figure {
        &self.figure
    }

    /// Judges a course.
    #[must_use]
    pub fn judge(&self, course: &Course<'_>) -> DriftReport {
        let name = self.figure.name();
        match find(course, &self.terms) {
            Finding::Unknown(why) => DriftReport {
                verdict: JudgeVerdict::Fail,
                judged: false,
                per_hour: None,
                interval: None,
                sentence: format!("drift cannot be judged: {why}"),
            },
            Finding::Slope { per_hour, interval, rises, levels } => {
                let percent = |share: f64| format!("{:+.1} %", share * 100.0);
                let (slope, low, high) = (percent(per_hour), percent(interval.low), percent(interval.high));
                let allowed = percent(self.terms.per_hour);
                let [first, last] = levels.map(|level| self.figure.show(level));
                let sentence = if rises {
                    format!(
                        "{name} drifts: {slope} an hour ({low} to {high}), {allowed} allowed; from {first} to {last}"
                    )
                } else if interval.high > self.terms.per_hour {
                    format!(
                        "{name} shows no drift: {slope} an hour ({low} to {high}); the run is too short or too noisy to \
                         exclude more than {allowed}"
                    )
                } else {
                    format!("{name} is stable: {slope} an hour ({low} to {high}), {allowed} allowed")
                };
                let verdict = if rises { JudgeVerdict::Fail } else { JudgeVerdict::Pass };
                DriftReport { verdict, judged: true, per_hour: Some(per_hour), interval: Some(interval), sentence }
            }
        }
    }
}

/// Finds the slope of a course.
#[must_use]
pub fn find(course: &Course<'_>, terms: &Terms) -> Finding {
    let held = terms.held.start..terms.held.end.min(course.end);
    let lasts = held.end.saturating_sub(held.start);
    let (count, least) = (course.figure.count(&held), course.least());
    let windows = (count / (2 * least)).min(WINDOWS);
    let width = steps(lasts, windows, course.step());
    let Some(width) = width.filter(|_| windows >= trend::LEAST as u64) else {
        let needed = 2 * least * trend::LEAST as u64;
        return Finding::Unknown(format!(
            "there were {count} values in the {lasts:.1?} for which the load was held, and {needed} are needed, over {} windows",
            trend::LEAST
        ));
    };
    let mut points = Vec::new();
    let mut at = held.start;
    while at + width <= held.end {
        if let Some(value) = course.sure_value(&(at..at + width)) {
            points.push(((at + width / 2).as_secs_f64() / 3600.0, value.value));
        }
        at += width;
    }
    let (Some(found), Some((first, _)), Some((last, _))) =
        (trend(&points, 0.95, MOST_LEAN), points.first(), points.last())
    else {
        return Finding::Unknown(format!("only {} windows have values enough", points.len()));
    };
    let half = found.slope * (last - first) / 2.0;
    let levels = [found.level - half, found.level + half];
    // A share of next to nothing says nothing; a share may rise from none.
    let unit = if terms.share { 1.0 } else { levels[0].max(found.level.abs() / 10.0) };
    let relative = |slope: f64| if slope == 0.0 { 0.0 } else { slope / unit };
    let (per_hour, interval) =
        (relative(found.slope), Interval { low: relative(found.interval.low), high: relative(found.interval.high) });
    let rise = levels[1] - levels[0];
    let matters =
        terms.share || (rise > LEAST_RISE * levels[0] && (course.contains != Contains::Time || rise > LEAST_RISE_MS));
    let rises = interval.low > 0.0 && per_hour > terms.per_hour && matters;
    Finding::Slope { per_hour, interval, rises, levels }
}

/// The width of so many windows, in whole steps. None where a step is wider than that.
fn steps(lasts: Duration, windows: u64, step: Duration) -> Option<Duration> {
    let windows = u32::try_from(windows.max(1)).ok()?;
    let steps = (lasts.as_secs_f64() / f64::from(windows) / step.as_secs_f64()).floor();
    (steps >= 1.0).then(|| step.mul_f64(steps))
}
