//! Which figure a judge looks at, and how it is read over time.

use crate::measure::metric::Scope;
use crate::measure::threshold::{Aggregation, per_second};
use crate::measure::{Contains, LayoutBuilder, MetricId, Part, Reading, Selector, Timeline, TimelineId, Totals};
use crate::plan::{Diagnostics, FigureDocument, MetricKind, Span};
use std::time::Duration;

/// A figure, compiled: what is taken of which metric, and the cuts that tell its story.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The metric or submetric, as the plan writes it.
    pub metric: String,
    /// What is taken of it.
    pub stat: Aggregation,
    /// How its values are to be read.
    pub contains: Contains,
    /// Whether it is the share of failed requests itself.
    pub is_failed: bool,
    kind: MetricKind,
    timelines: Timelines,
}

/// The cuts that tell a figure's story.
#[derive(Clone, Copy, Debug)]
struct Timelines {
    figure: TimelineId,
    failed: TimelineId,
    arrivals: TimelineId,
    vus: TimelineId,
}

/// A figure over a run, with what the load was: all that a judge decides on.
#[derive(Clone, Copy, Debug)]
pub struct Course<'a> {
    /// What is taken of the metric.
    pub stat: Aggregation,
    /// How its values are to be read.
    pub contains: Contains,
    /// Whether the metric is the share of failed requests itself.
    pub is_failed: bool,
    /// The metric.
    pub figure: &'a Timeline,
    /// The share of failed requests, where the metric was taken.
    pub failed: &'a Timeline,
    /// `iteration_response_time` of the scenarios concerned: it knows what was due when.
    pub arrivals: &'a Timeline,
    /// All VUs at work.
    pub vus: &'a Timeline,
    /// When the load ended.
    pub end: Duration,
}

/// A figure of a part of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Value {
    /// It.
    pub value: f64,
    /// Whether it rests on work that never finished, so that the true one is at least this.
    pub censored: bool,
    /// Of how many values it is taken.
    pub count: u64,
}

/// The tags of a request that a step or a scenario fixes: failures are cut by these and the tenant only.
const PLACES: [&str; 7] = ["scenario", "group", "step", "method", "url", "name", "tenant"];

// === impl Figure ===

impl Figure {
    /// Compiles a figure and prepares its cuts. None with a problem in `diagnostics`; `span` is the judge's place.
    pub fn compile(
        document: &FigureDocument,
        span: Span,
        layout: &mut LayoutBuilder,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let at = if document.metric.span == Span::NONE { span } else { document.metric.span };
        let text = &document.metric.value;
        let (name, selector) = Selector::parse_metric(text)
            .map_err(|error| {
                diagnostics.error(at, error.to_string()).hint("a metric is `metric` or `metric{tag:value}`");
            })
            .ok()?;
        let Some(id) = layout.find(name) else {
            let like = |other: &&str| strsim::jaro(other, name);
            let near = layout.metric_names().max_by(|a, b| like(a).total_cmp(&like(b)));
            let near = near.filter(|near| like(near) > 0.7).map(|near| format!("did you mean `{near}`?"));
            let problem = diagnostics.error(at, format!("no metric is called {name:?}"));
            if let Some(hint) = near {
                problem.hint(hint);
            }
            return None;
        };
        let metric = layout.describe(id)?;
        let (kind, contains, scope) = (metric.kind, metric.contains, metric.scope);
        if scope == Scope::Target {
            diagnostics.not_yet(at, name);
            return None;
        }
        let stat = stat(document, kind, diagnostics)?;
        if let Err(tag) = layout.can_meet(id, &selector) {
            let message = format!("no sample of {text} can have {tag}");
            diagnostics.error(at, message).hint("a judge without values fails");
            return None;
        }
        let timelines = Timelines::prepare(id, &selector, layout);
        let is_failed = id == MetricId::HTTP_REQ_FAILED;
        Some(Self { metric: text.clone(), stat, contains, is_failed, kind, timelines })
    }

    /// Its story in a run that ended at `end`.
    #[must_use]
    pub fn course<'a>(&self, totals: &'a Totals, end: Duration) -> Option<Course<'a>> {
        let Self { stat, contains, is_failed, .. } = *self;
        let of = |id| totals.timeline(id);
        let (figure, failed) = (of(self.timelines.figure)?, of(self.timelines.failed)?);
        let (arrivals, vus) = (of(self.timelines.arrivals)?, of(self.timelines.vus)?);
        Some(Course { stat, contains, is_failed, figure, failed, arrivals, vus, end })
    }

    /// `p(95) of http_req_response_time`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} of {}", self.stat, self.metric)
    }

    /// Whether its values are shares.
    #[must_use]
    pub const fn is_share(&self) -> bool {
        matches!(self.kind, MetricKind::Rate)
    }

    /// A value with its unit, for a sentence.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        match self.contains {
            _ if self.is_share() => format!("{:.3} %", value * 100.0),
            Contains::Time if value >= 10_000.0 => format!("{:.1} s", value / 1e3),
            Contains::Time if value >= 100.0 => format!("{value:.0} ms"),
            Contains::Time => format!("{value:.2} ms"),
            Contains::Data => format!("{value:.0} B"),
            Contains::Default => format!("{value:.3}"),
        }
    }
}

// === impl Timelines ===

impl Timelines {
    fn prepare(id: MetricId, selector: &Selector, layout: &mut LayoutBuilder) -> Self {
        let kept = |keep: &dyn Fn(&str) -> bool| Selector {
            tags: selector.tags.iter().filter(|(tag, _)| keep(tag)).cloned().collect(),
        };
        // A tag that no request carries by itself is one of a scenario, or of the run.
        let foreign = |tag: &str| tag != "check" && !Selector::known_tag(Scope::Request, tag);
        let places = kept(&|tag| PLACES.contains(&tag) || foreign(tag));
        let scenarios = kept(&|tag| tag == "scenario" || foreign(tag));
        Self {
            figure: layout.timeline(id, selector),
            failed: layout.timeline(MetricId::HTTP_REQ_FAILED, &places),
            arrivals: layout.timeline(MetricId::ITERATION_RESPONSE_TIME, &scenarios),
            vus: layout.timeline(MetricId::VUS, &Selector::default()),
        }
    }
}

// === impl Course ===

impl Course<'_> {
    /// The figure of a part of the run. None where it has no value.
    #[must_use]
    pub fn value(&self, part: &Part) -> Option<Value> {
        let count = self.figure.count(part);
        let (value, censored) = match self.figure.reading(part, self.end) {
            _ if count == 0 => return None,
            Reading::Trend(trend) => {
                let figure = self.stat.of(&trend);
                (figure.value, figure.censored)
            }
            Reading::Rate(share) => (share.rate(), false),
            Reading::Counter(sum) if self.stat == Aggregation::Rate => (per_second(sum, self.lasts(part)), false),
            Reading::Counter(sum) => (sum, false),
            Reading::Gauge(_) => (self.figure.level(part)?, false),
        };
        Some(Value { value, censored, count })
    }

    /// As [`value`](Self::value), of enough values to be one.
    #[must_use]
    pub fn sure_value(&self, part: &Part) -> Option<Value> {
        self.value(part).filter(|value| value.count >= self.least())
    }

    /// With fewer values the figure is hardly one: a p(95) is the greatest of twenty.
    #[must_use]
    pub fn least(&self) -> u64 {
        match self.stat {
            Aggregation::Percentile(p) => {
                let tail = (1.0 - p / 100.0).clamp(0.001, 0.2);
                (1.0 / tail).round() as u64
            }
            Aggregation::Value | Aggregation::Count => 1,
            Aggregation::Rate if self.is_failed => 20,
            Aggregation::Rate | Aggregation::Avg | Aggregation::Med | Aggregation::Min | Aggregation::Max => 5,
        }
    }

    /// Requests that failed, and all, in a part of the run.
    #[must_use]
    pub fn failures(&self, part: &Part) -> (u64, u64) {
        match self.failed.reading(part, self.end) {
            Reading::Rate(share) => (share.passes, share.total),
            _ => (0, 0),
        }
    }

    /// Iterations that were due per second.
    #[must_use]
    pub fn rate(&self, part: &Part) -> f64 {
        per_second(self.arrivals.dues(part), self.lasts(part))
    }

    /// How long a part of the run lasted.
    #[must_use]
    pub fn lasts(&self, part: &Part) -> Duration {
        part.end.min(self.end).saturating_sub(part.start)
    }

    /// The narrowest step in which the figure is known.
    #[must_use]
    pub fn step(&self) -> Duration {
        self.figure.width().max(self.failed.width()).max(self.arrivals.width())
    }
}

fn stat(document: &FigureDocument, kind: MetricKind, diagnostics: &mut Diagnostics) -> Option<Aggregation> {
    let Some(text) = &document.stat else {
        return Some(match kind {
            MetricKind::Trend => Aggregation::Percentile(95.0),
            MetricKind::Rate | MetricKind::Counter => Aggregation::Rate,
            MetricKind::Gauge => Aggregation::Value,
        });
    };
    match text.value.trim().parse::<Aggregation>() {
        Ok(stat) if stat.fits(kind) => Some(stat),
        Ok(stat) => {
            let metric = &document.metric.value;
            diagnostics.error(text.span, format!("{metric} has no {stat}")).hint(match kind {
                MetricKind::Trend => "a trend has avg, min, med, max, p(N) and count",
                MetricKind::Rate => "a rate has rate",
                MetricKind::Counter => "a counter has count and rate",
                MetricKind::Gauge => "a gauge has value",
            });
            None
        }
        Err(error) => {
            diagnostics.error(text.span, error.to_string()).hint("a statistic is avg, min, med, max or p(95)");
            None
        }
    }
}
