//! What outputs keep that send sums and not points: a cell for each metric under each set of tags, in bounded memory.

use super::news::News;
use super::tags::{Class, Tagging, Tags};
use crate::measure::{Contains, Histogram, MetricId};
use crate::plan::MetricKind;
use crate::semconv::{SpanId, TraceId};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::time::Instant;

/// All series of a run so far.
#[derive(Debug)]
pub(super) struct Series {
    tagging: Arc<Tagging>,
    metrics: Vec<Kind>,
    known: HashMap<Class, usize>,
    groups: Vec<Group>,
    /// Points since somebody last asked with [`Series::pending`].
    pending: u64,
    /// Sets of tags that found no room under their own values.
    overflowed: bool,
}

/// The cells under one set of tags.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) tags: Tags,
    pub(super) cells: Vec<Cell>,
}

/// One series.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) metric: MetricId,
    pub(super) value: Value,
    /// Whether something came since it was last sent.
    pub(super) changed: bool,
    /// When it was last sent.
    pub(super) sent: Option<Instant>,
    /// Values since it was last sent.
    pub(super) fresh: u64,
    /// Requests that it is made of, since it was last sent: the latest, and the greatest.
    pub(super) exemplars: [Option<Exemplar>; 2],
}

/// What a series is worth.
#[derive(Debug)]
pub(super) enum Value {
    Counter(f64),
    Gauge(f64),
    Rate { zero: u64, nonzero: u64 },
    Trend(Box<Histogram>),
}

/// A value with the request that it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) at: Instant,
    pub(super) value: f64,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

/// What is known of a metric.
#[derive(Clone, Copy, Debug)]
struct Kind {
    kind: MetricKind,
    /// What its values are multiplied with.
    unit: f64,
}

/// The most sets of tags that are kept under their own values: a few metrics each. Past it they are `other`.
const MOST_GROUPS: usize = 2_000;
/// What stands for a tag's value past the bound.
const OTHER: &str = "other";
/// Classes are small, but there may be as many as statuses, tenants and steps together.
const MOST_KNOWN: usize = 1 << 16;

// === impl Series ===

impl Series {
    /// None yet. Times are counted in units of `of_time` ms.
    pub(super) fn new(tagging: &Arc<Tagging>, of_time: f64) -> Self {
        let kinds = tagging.layout().metrics().map(|(_, metric)| Kind {
            kind: metric.kind,
            unit: if metric.contains == Contains::Time { 1.0 / of_time } else { 1.0 },
        });
        Self {
            metrics: kinds.collect(),
            tagging: Arc::clone(tagging),
            known: HashMap::new(),
            groups: Vec::new(),
            pending: 0,
            overflowed: false,
        }
    }

    /// Counts a part of some news.
    pub(super) fn take(&mut self, news: &News, part: &Range<usize>) {
        let tagging = Arc::clone(&self.tagging);
        news.each(part, &tagging, |points| {
            let index = self.group(points.class);
            let Some(group) = self.groups.get_mut(index) else { return };
            for (metric, value) in points.values {
                let Some(kind) = self.metrics.get(usize::from(metric.0)) else { continue };
                let value = value * kind.unit;
                let exemplar = points.trace.map(|(trace, span)| Exemplar { at: points.at, value, trace, span });
                group.cell(*metric, kind.kind).record(value, points.count, exemplar);
            }
            self.pending += points.values.len() as u64 * points.count;
        });
    }

    /// Points that were counted since the last call.
    pub(super) fn pending(&mut self) -> u64 {
        std::mem::take(&mut self.pending)
    }

    /// Points that were counted after all were not sent.
    pub(super) fn give_back(&mut self, points: u64) {
        self.pending += points;
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(super) fn cells_mut(&mut self) -> impl Iterator<Item = &mut Cell> {
        self.groups.iter_mut().flat_map(|group| &mut group.cells)
    }

    /// The place of a class's group.
    fn group(&mut self, class: Class) -> usize {
        if let Some(index) = self.known.get(&class) {
            return *index;
        }
        let mut tags = self.tagging.tags(class);
        if self.groups.len() >= MOST_GROUPS {
            if !std::mem::replace(&mut self.overflowed, true) {
                tracing::warn!(most = MOST_GROUPS, "more sets of tags than are kept: further ones are `other`");
            }
            let own = self.tagging.layout().tags();
            let of_run = |name: &str| own.iter().any(|(known, _)| known == name);
            tags.iter_mut().filter(|(name, _)| !of_run(name)).for_each(|(_, value)| OTHER.clone_into(value));
        }
        // Two classes may have the same tags; there are few past the bound, and it is asked once a class.
        let index = self.groups.iter().position(|group| group.tags == tags).unwrap_or_else(|| {
            self.groups.push(Group { tags, cells: Vec::new() });
            self.groups.len() - 1
        });
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(class, index);
        index
    }
}

// === impl Group ===

impl Group {
    fn cell(&mut self, metric: MetricId, kind: MetricKind) -> &mut Cell {
        let index = self.cells.iter().position(|cell| cell.metric == metric).unwrap_or_else(|| {
            self.cells.push(Cell::new(metric, kind));
            self.cells.len() - 1
        });
        // It was found or pushed the line before.
        &mut self.cells[index]
    }
}

// === impl Cell ===

impl Cell {
    fn new(metric: MetricId, kind: MetricKind) -> Self {
        let value = match kind {
            MetricKind::Counter => Value::Counter(0.0),
            MetricKind::Gauge => Value::Gauge(0.0),
            MetricKind::Rate => Value::Rate { zero: 0, nonzero: 0 },
            MetricKind::Trend => Value::Trend(Box::default()),
        };
        Self { metric, value, changed: false, sent: None, fresh: 0, exemplars: [None; 2] }
    }

    fn record(&mut self, new: f64, count: u64, exemplar: Option<Exemplar>) {
        self.changed = true;
        self.fresh += count;
        match &mut self.value {
            Value::Counter(sum) => *sum += new * count as f64,
            Value::Gauge(value) => *value = new,
            Value::Rate { zero, nonzero } => *(if new == 0.0 { zero } else { nonzero }) += count,
            Value::Trend(histogram) => {
                histogram.record_n(new, count);
                let [latest, greatest] = &mut self.exemplars;
                if exemplar.is_some() {
                    if greatest.is_none_or(|known| known.value <= new) {
                        *greatest = exemplar;
                    }
                    *latest = exemplar;
                }
            }
        }
    }

    /// It was sent at `at`; with `reset` it counts from nothing again.
    pub(super) fn settle(&mut self, at: Instant, reset: bool) {
        (self.changed, self.fresh) = (false, 0);
        self.sent = Some(at);
        self.exemplars = [None; 2];
        if reset {
            match &mut self.value {
                Value::Counter(sum) => *sum = 0.0,
                Value::Rate { zero, nonzero } => (*zero, *nonzero) = (0, 0),
                Value::Trend(histogram) => histogram.clear(),
                Value::Gauge(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::measure::{Batch, LayoutBuilder, Mark, Place, Record, RequestRecord, RequestSample, SiteTags, Timings};

    #[tokio::test]
    async fn series_are_bounded_and_past_it_tags_are_other() {
        let mut layout = LayoutBuilder::new(vec![("team".into(), "t".into())]);
        let scenario = layout.scenario("main", &[]);
        let site = layout.site(scenario, SiteTags { step: "a".into(), ..SiteTags::default() }, 1.0);
        // Asked for, so that there are as many sets as tenants.
        let selector = crate::measure::Selector::parse_metric("http_reqs{tenant:1}").unwrap().1;
        layout.series(MetricId::HTTP_REQS, &selector, None);
        let tagging = Arc::new(Tagging::new(layout.build(), 1));
        let mut series = Series::new(&tagging, 1.0);
        let now = Instant::now();
        let tenants = 1..=(MOST_GROUPS as u32 + 50);
        let record = |tenant| {
            let sample = RequestSample {
                due: now,
                ended: now,
                timings: Timings::default(),
                status: 200,
                expected: true,
                failure: None,
                proto: None,
                tls: None,
                tenant,
            };
            let run = crate::semconv::RunId::new(1);
            let (trace, span) = (TraceId::of_run(run, 1), SpanId::new(1));
            Record::Request(RequestRecord { site, trace, span, hop: 0, last: true, sample, server_timing: None })
        };
        let batch = Batch { records: tenants.map(record).collect(), ..Batch::default() };
        let news = News::Batch(Arc::new(batch));
        series.take(&news, &(0..news.len()));
        assert_eq!(series.groups().len(), MOST_GROUPS + 1);
        let other = series.groups().last().unwrap();
        assert_eq!((other.tags["step"].as_str(), other.tags["team"].as_str()), ("other", "t"));
        let reqs = other.cells.iter().find(|cell| cell.metric == MetricId::HTTP_REQS).unwrap();
        let Value::Counter(count) = reqs.value else { panic!("{reqs:?}") };
        assert_eq!((count, series.pending()), (50.0, news.points().0));
    }

    #[tokio::test]
    async fn times_have_the_unit_that_was_asked_for() {
        let mut layout = LayoutBuilder::new(Vec::new());
        let scenario = layout.scenario("main", &[]);
        let tagging = Arc::new(Tagging::new(layout.build(), 1));
        let mut series = Series::new(&tagging, 1_000.0);
        let mark = |metric, value| Mark { at: Instant::now(), metric, place: Place::Scenario(scenario), value };
        let marks = vec![mark(MetricId::ITERATION_DURATION, 2_500.0), mark(MetricId::DATA_SENT, 2_500.0)];
        let news = News::Batch(Arc::new(Batch { marks, ..Batch::default() }));
        series.take(&news, &(0..2));
        let [duration, sent] = &series.groups()[0].cells[..] else { panic!("{series:?}") };
        assert!(matches!(&duration.value, Value::Trend(histogram) if histogram.sum() == 2.5));
        assert!(matches!(sent.value, Value::Counter(2_500.0)));
    }
}
