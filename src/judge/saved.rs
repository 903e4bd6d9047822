//! The judges' questions as plain data, so that several workers' results can be judged as one run.
//!
//! What the plan left open (when the calm is, when the spike is over) was found before the run and stands here written
//! out: a question that is read again is the same question, without the plan.

use super::figure::Figure;
use super::stationarity::Stationarity;
use super::{BreakingPoint, Drift, Judges, Recovery, breaking_point, drift, recovery};
use crate::measure::plain;
use crate::measure::{LayoutBuilder, Part};
use crate::plan::{Diagnostics, FigureDocument, Span, Spanned};
use serde::{Deserialize, Serialize};

/// The questions of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedJudges {
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Asked<recovery::Terms>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaking_point: Option<Asked<breaking_point::Terms>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Asked<drift::Terms>>,
    /// The longest time for which the plan holds the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
}

/// A figure and what is asked of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Asked<T> {
    metric: String,
    stat: String,
    terms: T,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held(#[serde(with = "plain::part")] Part);

// === impl SavedJudges ===

impl SavedJudges {
    /// The questions of compiled judges.
    #[must_use]
    pub fn of(judges: &Judges, stationarity: &Stationarity) -> Self {
        fn asked<T: Clone>(figure: &Figure, terms: &T) -> Asked<T> {
            Asked { metric: figure.metric.clone(), stat: figure.stat.to_string(), terms: terms.clone() }
        }
        Self {
            recovery: judges.recovery.as_ref().map(|judge| asked(&judge.figure, &judge.terms)),
            breaking_point: judges.breaking_point.as_ref().map(|judge| asked(&judge.figure, &judge.terms)),
            drift: judges.drift.as_ref().map(|judge| asked(&judge.figure, &judge.terms)),
            held: stationarity.held().map(Held),
        }
    }

    /// Judges again, whose cuts `layout` has; a figure that is none is left out, with a problem in `diagnostics`.
    #[must_use]
    pub fn compile(&self, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> (Judges, Stationarity) {
        let judges = Judges {
            recovery: self.recovery.as_ref().and_then(|asked| {
                let figure = asked.figure(layout, diagnostics)?;
                Some(Recovery { figure, terms: asked.terms.clone() })
            }),
            breaking_point: self.breaking_point.as_ref().and_then(|asked| {
                let figure = asked.figure(layout, diagnostics)?;
                Some(BreakingPoint { figure, terms: asked.terms.clone() })
            }),
            drift: self.drift.as_ref().and_then(|asked| {
                let figure = asked.figure(layout, diagnostics)?;
                Some(Drift { figure, terms: asked.terms.clone() })
            }),
        };
        (judges, Stationarity::over(self.held.as_ref().map(|held| held.0.clone()), layout))
    }
}

// === impl Asked ===

impl<T> Asked<T> {
    fn figure(&self, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Option<Figure> {
        let document = FigureDocument {
            metric: Spanned::nowhere(self.metric.clone()),
            stat: Some(Spanned::nowhere(self.stat.clone())),
        };
        Figure::compile(&document, Span::NONE, layout, diagnostics)
    }
}
