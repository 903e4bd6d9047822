//! The load past which response times or errors leave their bounds, and what the target does there: the
//! question of a stress test.
//!
//! The run is cut into windows, each with the figure, the share of requests that failed, and the load. Broken is a
//! window past a bound; the target breaks where windows **stay** so. What it does then is told by its work, not by its
//! response times, which grow in every queue:
//!
//! | pattern | past the breaking point |
//! |---|---|
//! | none | it was not reached |
//! | graceful | slower, but it goes on doing its work: two thirds of its best at least are still answered well |
//! | cliff | good answers give way to failures within 15 % more load |
//! | collapse | it does less the more is asked: fewer than half as many requests are answered at all, or failures eat the work bit by bit |
//!
//! A target that does not break, or breaks gracefully, passes; a cliff and a collapse fail, for graceful degradation is
//! what a stress test verifies. What cannot be judged fails.

use super::JudgeVerdict;
use super::figure::{Course, Figure};
use super::profile::Profile;
use crate::measure::{Contains, LayoutBuilder, Part};
use crate::plan::{BreakingPointDocument, Diagnostics};
use crate::stats::{Interval, LoadPoint, Scalability};
use std::time::Duration;

/// The question, compiled.
#[derive(Clone, Debug)]
pub struct BreakingPoint {
    pub(super) figure: Figure,
    pub(super) terms: Terms,
}

/// The bounds, and how the load is meant.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Terms {
    /// Above this the figure is out of bounds, in the metric's unit.
    pub limit: f64,
    /// Above this share of failed requests it is broken.
    pub failed: f64,
    /// Whether the load is a rate of arrivals, whatever the target does; else it is VUs.
    pub open: bool,
    /// When the plan stops asking for load.
    #[serde(rename = "load_ends_ms", with = "crate::measure::plain::ms")]
    pub load_ends: Duration,
}

/// A load.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// Iterations that were due per second.
    pub rate: f64,
    /// VUs at work.
    pub vus: f64,
}

/// What the target does past its breaking point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// It did not reach one.
    None,
    /// It gets slower and goes on doing its work.
    Graceful,
    /// Good answers give way to failures at once.
    Cliff,
    /// It does less the more is asked.
    Collapse,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct BreakingPointReport {
    /// Whether it holds, or breaks gracefully.
    pub verdict: JudgeVerdict,
    /// Whether that is what was seen; else there was too little to see, which fails.
    pub judged: bool,
    /// What it does there. None where nobody can say.
    pub pattern: Option<Pattern>,
    /// The load at which it broke. None where it did not.
    pub broke_at: Option<Load>,
    /// The greatest load that was asked of it.
    pub greatest: Load,
    /// How it scales with the number of VUs at work, where their number changed enough to tell.
    pub scalability: Option<Scaling>,
    /// What that says, in one sentence.
    pub sentence: String,
}

/// The Universal Scalability Law, fitted over the run: good answers per second by VUs at work.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scaling {
    /// Its figures.
    pub law: Scalability,
    /// Where its peak lies, with 95 % confidence: in VUs. Above without end where a peak need not be.
    #[serde(with = "crate::measure::plain::interval_option")]
    pub peak: Option<Interval>,
}

/// How much of such a target is needed, and for how long it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// What it carries: VUs, or iterations per second.
    pub carries: f64,
}

/// What is found in a course.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// It never broke.
    Held,
    /// It broke.
    Broke {
        /// At this load.
        at: Load,
        /// And then did this.
        pattern: Pattern,
        /// What was out of bounds first: the figure there, or none where it was the failures.
        figure: Option<f64>,
        /// The share of requests that failed there.
        failed: f64,
    },
    /// It cannot be judged, and why.
    Unknown(String),
}

/// One window of the run.
#[derive(Clone, Debug)]
struct Window {
    part: Part,
    load: Load,
    figure: Option<f64>,
    /// Whether the figure rests on work that never finished, which stands where it was due.
    censored: bool,
    /// Requests answered, well or not, per second.
    answered: f64,
    /// Those answered well.
    good: f64,
    /// The share that failed; none of none.
    failed: Option<f64>,
}

/// Windows into which a run is cut.
const WINDOWS: u32 = 60;
/// A figure needs values in at least so many.
const LEAST_WINDOWS: usize = 6;
/// So many windows in a row are no hiccup.
const STAYS: usize = 3;
/// VUs are counted once a second.
const NARROWEST: Duration = Duration::from_secs(1);
/// Past the breaking point are windows with at least this share of its load.
const PAST: f64 = 0.9;
/// Of its best, what a graceful target still does.
const KEPT: f64 = 2.0 / 3.0;
/// Of its best, below which a target has collapsed.
const COLLAPSED: f64 = 0.5;
/// What a sentence about capacity reckons with, as an example: so many users today, wanted, and growth a quarter.
const TODAY: f64 = 100.0;
const WANTED: f64 = 500.0;
const GROWTH: f64 = 0.2;
/// More load than this between sound and broken is not at once.
const AT_ONCE: f64 = 1.15;

// === impl BreakingPoint ===

impl BreakingPoint {
    /// Compiles the question and prepares its cuts. None with a problem in `diagnostics`.
    pub fn compile(
        document: &BreakingPointDocument,
        profile: Option<&Profile>,
        layout: &mut LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let figure = Figure::compile(&document.figure, document.span, layout, diagnostics)?;
        let terms = Terms {
            limit: document.limit.value,
            failed: document.failed.value,
            open: profile.is_some_and(Profile::open),
            load_ends: profile.map_or(Duration::MAX, Profile::end),
        };
        Some(Self { figure, terms })
    }

    /// The figure that is judged.
    #[must_use]
    pub const fn figure(&self) -> &Figure {
        &self.figure
    }

    /// Judges a course.
    #[must_use]
    pub fn judge(&self, course: &Course<'_>) -> BreakingPointReport {
        let windows = windows(course, &self.terms);
        let scalability = scaling(&windows);
        let greatest = greatest(&windows);
        let show = |load: Load| format!("{:.0} VUs and {:.1} iterations/s", load.vus, load.rate);
        let (name, limit) = (self.figure.name(), self.figure.show(self.terms.limit));
        let (verdict, pattern, broke_at, mut sentence) = match find_in(&windows, course, &self.terms) {
            Finding::Unknown(why) => {
                (JudgeVerdict::Fail, None, None, format!("the breaking point cannot be judged: {why}"))
            }
            Finding::Held => {
                let sentence = format!("no breaking point up to {}", show(greatest));
                (JudgeVerdict::Pass, Some(Pattern::None), None, sentence)
            }
            Finding::Broke { at, pattern, figure, failed } => {
                let what = match figure {
                    Some(value) => format!("{name} at {}, past {limit}", self.figure.show(value)),
                    None => format!("{:.1} % of requests failed", failed * 100.0),
                };
                let how = match pattern {
                    Pattern::Graceful | Pattern::None => "past it the target is slower and goes on doing its work",
                    Pattern::Cliff => "past it good answers give way to failures at once",
                    Pattern::Collapse => "past it the target does less the more is asked of it",
                };
                let graceful = matches!(pattern, Pattern::Graceful | Pattern::None);
                let verdict = if graceful { JudgeVerdict::Pass } else { JudgeVerdict::Fail };
                let sentence = format!("breaks at {}: {what}; {}: {how}", show(at), pattern.as_str());
                (verdict, Some(pattern), Some(at), sentence)
            }
        };
        if let Some(scaling) = scalability {
            sentence.push_str(&scaling.sentence(broke_at));
        }
        BreakingPointReport { verdict, judged: pattern.is_some(), pattern, broke_at, greatest, scalability, sentence }
    }
}

// === impl Pattern ===

impl Pattern {
    /// `none`, `graceful`, `cliff` or `collapse`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Graceful => "graceful",
            Self::Cliff => "cliff",
            Self::Collapse => "collapse",
        }
    }
}

// === impl Scaling ===

impl Scaling {
    /// What one such target carries, in VUs at work: what it broke at, or its peak where that comes first. None where
    /// neither is known.
    #[must_use]
    pub fn capacity(&self, broke_at: Option<Load>) -> Option<Capacity> {
        let broke = broke_at.map(|load| load.vus).filter(|vus| *vus > 0.0);
        let carries = match (broke, self.law.peak()) {
            (Some(broke), Some(peak)) => Some(broke.min(peak)),
            (one, other) => one.or(other),
        };
        carries.map(|carries| Capacity { carries })
    }

    fn sentence(&self, broke_at: Option<Load>) -> String {
        let law = &self.law;
        let mut sentence = match (law.peak(), self.peak, law.greatest()) {
            (Some(peak), Some(interval), Some(most)) if interval.high.is_finite() => format!(
                ". By the scalability law it yields most at about {peak:.0} VUs ({:.0} to {:.0}): {most:.1} good answers/s",
                interval.low, interval.high
            ),
            (Some(peak), _, Some(most)) => {
                format!(". By the scalability law it may yield most at about {peak:.0} VUs: {most:.1} good answers/s")
            }
            (None, _, Some(most)) => format!(". By the scalability law it yields at most {most:.1} good answers/s"),
            _ => ". By the scalability law it yields in proportion to the VUs, as far as was seen".to_owned(),
        };
        if let Some(capacity) = self.capacity(broke_at) {
            let carries = capacity.carries;
            sentence.push_str(&format!(". One such deployment carries about {carries:.0} VUs"));
            if let (Some(many), Some(months)) = (capacity.needed_for(WANTED), capacity.months(TODAY, GROWTH)) {
                let growth = GROWTH * 100.0;
                sentence.push_str(&format!(
                    ": {WANTED:.0} need about {many} of them, and {TODAY:.0} that grow by {growth:.0} % a quarter "
                ));
                sentence.push_str(&match months {
                    months if months < 0.5 => "are too many for one already".to_owned(),
                    months => format!("do with one for {months:.0} months"),
                });
            }
        }
        sentence
    }
}

// === impl Capacity ===

impl Capacity {
    /// How many such deployments carry `load`, in the same unit, where they share nothing that is the limit. None
    /// where this one carries nothing.
    #[must_use]
    pub fn needed_for(&self, load: f64) -> Option<u64> {
        (self.carries > 0.0 && load.is_finite()).then(|| (load / self.carries - 1e-9).ceil().max(1.0) as u64)
    }

    /// How many months it does where `today` is asked of it and that grows by the share `growth` a quarter. 0 where it
    /// is full already; None where it does not grow.
    #[must_use]
    pub fn months(&self, today: f64, growth: f64) -> Option<f64> {
        (growth > 0.0 && today > 0.0 && self.carries > 0.0)
            .then(|| (3.0 * (self.carries / today).ln() / (1.0 + growth).ln()).max(0.0))
    }
}

/// Cuts a course into windows.
fn windows(course: &Course<'_>, terms: &Terms) -> Vec<Window> {
    let end = course.end.min(terms.load_ends);
    let step = course.step().max(course.vus.width());
    let wanted = (end / WINDOWS).max(NARROWEST);
    let width = step * u32::try_from(wanted.as_nanos().div_ceil(step.as_nanos().max(1))).unwrap_or(1).max(1);
    let mut windows = Vec::new();
    let mut at = Duration::ZERO;
    while at + width <= end {
        let part = at..at + width;
        let (failed, all) = course.failures(&part);
        let seconds = width.as_secs_f64();
        let figure = course.sure_value(&part);
        windows.push(Window {
            load: Load { rate: course.rate(&part), vus: course.vus.level(&part).unwrap_or(0.0) },
            figure: figure.map(|value| value.value),
            censored: figure.is_some_and(|value| value.censored),
            answered: all as f64 / seconds,
            good: (all - failed) as f64 / seconds,
            failed: (all > 0).then(|| failed as f64 / all as f64),
            part,
        });
        at += width;
    }
    windows
}

/// Finds the breaking point in a course, and how it scales.
#[must_use]
pub fn find(course: &Course<'_>, terms: &Terms) -> (Finding, Option<Scaling>) {
    let windows = windows(course, terms);
    (find_in(&windows, course, terms), scaling(&windows))
}

fn find_in(windows: &[Window], course: &Course<'_>, terms: &Terms) -> Finding {
    let known = windows.iter().filter(|window| window.figure.is_some()).count();
    if known < LEAST_WINDOWS {
        let least = course.least();
        return Finding::Unknown(format!(
            "only {known} of {} parts of the run have the {least} values that a figure needs, and {LEAST_WINDOWS} are needed",
            windows.len()
        ));
    }
    let slow = |window: &Window| window.figure.is_some_and(|value| value > terms.limit);
    let failing = |window: &Window| window.failed.is_some_and(|share| share > terms.failed);
    let broken = |window: &Window| slow(window) || failing(window);
    // A window without answers says nothing by itself; it does not end what began before it either.
    let silent = |window: &Window| window.figure.is_none() && !failing(window);
    let stays = |from: usize| {
        let row = windows[from..].iter().take_while(|window| broken(window) || silent(window)).count();
        let counted = windows[from..from + row].iter().filter(|window| broken(window)).count();
        counted >= 2 && (row >= STAYS || from + row == windows.len())
    };
    let Some(first) = (0..windows.len()).find(|i| broken(&windows[*i]) && stays(*i)) else { return Finding::Held };
    let window = &windows[first];
    // A slow answer was asked for when it was due, not when it came.
    let figure = window.figure.filter(|value| *value > terms.limit);
    let lag = match figure {
        Some(_) if course.contains == Contains::Time && !window.censored => {
            Duration::try_from_secs_f64(terms.limit / 1e3).unwrap_or_default()
        }
        _ => Duration::ZERO,
    };
    let when = window.part.start.saturating_sub(lag);
    let asked = windows[..=first].iter().rev().find(|window| window.part.start <= when).unwrap_or(window);
    let at = asked.load;
    let pattern = pattern(windows, first, at, terms);
    Finding::Broke { at, pattern, figure, failed: window.failed.unwrap_or(0.0) }
}

/// What the target does past the window in which it broke.
fn pattern(windows: &[Window], first: usize, at: Load, terms: &Terms) -> Pattern {
    let load = |window: &Window| if terms.open { window.load.rate } else { window.load.vus };
    let threshold = PAST * if terms.open { at.rate } else { at.vus };
    let past: Vec<&Window> = windows[first..].iter().filter(|window| load(window) >= threshold).collect();
    // What it is like in the end: it may take a while to fall.
    let last = &past[past.len() - past.len().div_ceil(3).max(past.len().min(STAYS))..];
    if last.is_empty() {
        return Pattern::Graceful;
    }
    let mean = |of: fn(&Window) -> f64| last.iter().map(|window| of(window)).sum::<f64>() / last.len() as f64;
    let best = |of: fn(&Window) -> f64| {
        let means = windows[..=first].windows(2).map(|pair| (of(&pair[0]) + of(&pair[1])) / 2.0);
        means.fold(0.0_f64, f64::max)
    };
    let (most_answered, most_good) = (best(|window| window.answered), best(|window| window.good));
    let (answered, good) = (mean(|window| window.answered), mean(|window| window.good));
    let failed = if answered > 0.0 { 1.0 - good / answered } else { 1.0 };
    if answered < COLLAPSED * most_answered {
        return Pattern::Collapse;
    }
    let lost = good < KEPT * most_good || failed >= 0.5;
    if !lost {
        return Pattern::Graceful;
    }
    let sound = |window: &&Window| window.failed.unwrap_or(0.0) <= terms.failed / 2.0;
    let gone = |window: &&Window| window.failed.is_some_and(|share| share >= 0.5) || window.good < KEPT * most_good;
    let before = windows[..=first].iter().rev().find(sound).map(load);
    let after = windows[first..].iter().find(gone).map(load);
    match (before, after) {
        (Some(before), Some(after)) if after <= AT_ONCE * before => Pattern::Cliff,
        _ if good < COLLAPSED * most_good => Pattern::Collapse,
        _ => Pattern::Graceful,
    }
}

fn greatest(windows: &[Window]) -> Load {
    let fold = |most: Load, window: &Window| Load {
        rate: most.rate.max(window.load.rate),
        vus: most.vus.max(window.load.vus),
    };
    windows.iter().fold(Load::default(), fold)
}

fn scaling(windows: &[Window]) -> Option<Scaling> {
    let points: Vec<LoadPoint> = windows
        .iter()
        .filter(|window| window.load.vus >= 1.0 && window.good > 0.0)
        .map(|window| LoadPoint { load: window.load.vus, yielded: window.good })
        .collect();
    let law = Scalability::fit(&points)?;
    Some(Scaling { law, peak: Scalability::peak_interval(&points, 1) })
}
