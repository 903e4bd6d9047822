//! A step's custom metrics: a sample only where there is a figure, never a zero that nobody measured.

use super::answer::{Answer, milliseconds};
use super::query::{Found, Queries};
use super::site::Site;
use super::template::Template;
use super::value::figure;
use super::variable::Context;
use crate::measure::{Contains, MetricId, RecorderHandle, SiteId};
use crate::plan::{CustomMetric, MetricSource};

/// A custom metric of a step.
#[derive(Debug)]
pub(crate) struct Metric {
    id: MetricId,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Duration,
    Query(usize),
    Fixed(f64),
    Filled(Template),
}

// === impl Metric ===

impl Metric {
    /// Compiles a custom metric. Its JSONPath joins the step's queries.
    pub(crate) fn compile(document: &CustomMetric, queries: &mut Queries, site: &mut Site<'_, '_>) -> Option<Self> {
        let source = match &document.source {
            MetricSource::Duration => Source::Duration,
            MetricSource::Json(path) => Source::Query(queries.add(path, site)?),
            MetricSource::Template(text) => {
                // Without a value there is no sample; that is no failure.
                let fails = std::mem::replace(&mut site.absence_fails, false);
                let template = Template::compile(text, site);
                site.absence_fails = fails;
                match template.constant() {
                    None => Source::Filled(template),
                    Some(value) => match figure(&value) {
                        Some(figure) => Source::Fixed(figure),
                        None => {
                            site.error(text.span, format!("`{}` is no figure", text.value), None);
                            return None;
                        }
                    },
                }
            }
        };
        let contains = if matches!(source, Source::Duration) { Contains::Time } else { Contains::Default };
        let (layout, _) = site.counted.as_mut()?;
        match layout.metric(&document.name, document.kind, contains) {
            Some(id) => Some(Self { id, source }),
            None => {
                // The plan's reader has said so.
                site.problems.failed();
                None
            }
        }
    }

    /// Which.
    pub(crate) const fn id(&self) -> MetricId {
        self.id
    }

    /// Counts what an answer has of it, and answers with the sum; none where there is no figure.
    pub(crate) fn record(
        &self,
        answer: &Answer,
        found: &[Option<Found>],
        context: Context<'_>,
        site: SiteId,
        recorder: &RecorderHandle,
    ) -> Option<f64> {
        let mut sum = None;
        let mut count = |value: f64| {
            recorder.custom(site, self.id, value);
            *sum.get_or_insert(0.0) += value;
        };
        match &self.source {
            Source::Duration => count(milliseconds(answer.timings.duration())),
            Source::Fixed(value) => count(*value),
            Source::Query(at) => {
                let found = found.get(*at).and_then(Option::as_ref);
                found.into_iter().flat_map(Found::values).filter_map(figure).for_each(count);
            }
            Source::Filled(template) => {
                template.value(context).ok().as_ref().and_then(figure).into_iter().for_each(count);
            }
        }
        sum
    }
}
