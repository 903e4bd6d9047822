//! The sum of what all workers counted, and every question that is asked of it.

use super::cells::{Cell, Cells, Range, Share};
use super::dues::Dues;
use super::failures::{FailureGroup, FailureLog};
use super::histogram::Histogram;
use super::layout::{Layout, MetricId, ScenarioId, SeriesId, Source};
use super::metric::{FAILURES, ITERATION_TRENDS, Scope, failure_index};
use super::outcome::FailureKind;
use super::recorder::{Recorder, Vus};
use super::selector::Selector;
use super::starts::Start;
use super::tally::{Tally, TallyId};
use super::target::Target;
use super::timeline::{Timeline, TimelineId};
use super::trend::Trend;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What all workers have counted so far.
#[derive(Clone, Debug)]
pub struct Totals {
    pub(crate) layout: Arc<Layout>,
    start: Instant,
    /// For how long pauses held the load up.
    paused: Duration,
    pub(crate) cells: Cells,
    vus_now: Vec<Vus>,
    vus: Range,
    vus_max: Range,
    /// What the target tells of itself.
    pub(crate) target: Target,
    failures: FailureLog,
    /// What other workers told of failures, whose results were read.
    pub(crate) read_failures: Vec<FailureGroup>,
}

/// The figures of a series.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A distribution.
    Trend(Box<Trend>),
    /// A share of true values.
    Rate(Share),
    /// A sum.
    Counter(f64),
    /// The latest value and its range.
    Gauge(Range),
}

/// What became of iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IterationCounts {
    /// Started, and over by now: those that ran to their end and those that were cut off.
    pub started: u64,
    /// Ran to their end.
    pub completed: u64,
    /// Could not start, whether they were due or not.
    pub dropped: u64,
    /// Of those, the ones that were never due: what VUs had left at `maxDuration`.
    pub never_due: u64,
    /// Started and were cut off.
    pub cut_off: u64,
    /// Were due: in an open model by its schedule, in a closed one those that started.
    pub scheduled: u64,
    /// Of those dropped, the ones that a generator in time would have started.
    pub missed: u64,
}

/// What went wrong, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    /// The connection was reset, or closed before the answer was whole.
    pub connection_reset: u64,
    /// The request ran out of time.
    pub timeout: u64,
    /// Nobody listened.
    pub connection_refused: u64,
    /// The TLS handshake failed.
    pub tls: u64,
    /// The name could not be resolved.
    pub dns: u64,
    /// An answer whose status was not expected.
    pub status: u64,
    /// A check failed.
    pub check: u64,
    /// Requests that failed in any other way.
    pub other: u64,
}

// === impl Totals ===

impl Totals {
    /// Nothing counted yet. `start` is the run's start, as of the recorders.
    #[must_use]
    pub fn new(layout: Arc<Layout>, start: Instant) -> Self {
        Self {
            cells: Cells::new(&layout),
            vus_now: vec![Vus::default(); layout.scenarios().len()],
            layout,
            start,
            paused: Duration::ZERO,
            vus: Range::default(),
            vus_max: Range::default(),
            target: Target::default(),
            failures: FailureLog::default(),
            read_failures: Vec::new(),
        }
    }

    /// Adds what a worker handed over. The recorder can then be cleared and swapped in again.
    pub fn merge(&mut self, delta: &Recorder) {
        // Setup and teardown have a start of their own, and no place on the run's timelines.
        self.cells.merge(&delta.cells, delta.start() == self.start);
        self.failures.merge(&delta.failures);
        for (now, change) in self.vus_now.iter_mut().zip(delta.vus_change()) {
            now.active += change.active;
            now.made += change.made;
        }
    }

    /// Sets the gauges `vus` and `vus_max` from what the workers last said. Once a second, after merging. Where no
    /// worker has said anything yet there is nothing to sample: 0 would be a figure that nobody measured.
    ///
    /// Answers with what it set: VUs at work, VUs made.
    pub fn sample_vus(&mut self) -> Option<(f64, f64)> {
        if self.vus_now.iter().all(|vus| vus.made == 0) {
            return None;
        }
        let at = Instant::now().saturating_duration_since(self.start);
        let active = self.vus_now.iter().map(|vus| vus.active).sum::<i64>().max(0) as f64;
        let made = self.vus_now.iter().map(|vus| vus.made).sum::<i64>().max(0) as f64;
        self.vus.set(active, at);
        self.vus_max.set(made, at);
        let of_vus = |metric| metric == MetricId::VUS || metric == MetricId::VUS_MAX;
        for cut in self.layout.cuts.run.iter().filter(|cut| of_vus(cut.metric) && cut.holds(at)) {
            if let Some(cell) = self.cells.cuts.get_mut(cut.cell) {
                let value = if cut.metric == MetricId::VUS_MAX { made } else { active };
                cell.record(value, || at);
            }
        }
        Some((active, made))
    }

    /// What can be counted.
    #[must_use]
    pub const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The run's start.
    #[must_use]
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// Sets for how long pauses have held the load up since the start.
    pub const fn set_paused(&mut self, paused: Duration) {
        self.paused = paused;
    }

    /// For how long pauses have held the load up.
    pub(crate) const fn paused(&self) -> Duration {
        self.paused
    }

    /// The gauges `vus` and `vus_max`.
    pub(crate) const fn vus_ranges(&self) -> (&Range, &Range) {
        (&self.vus, &self.vus_max)
    }

    /// As [`vus_ranges`](Self::vus_ranges), to be put together anew.
    pub(crate) const fn vus_ranges_mut(&mut self) -> (&mut Range, &mut Range) {
        (&mut self.vus, &mut self.vus_max)
    }

    /// How much of the time up to `end` the load was not paused: what rates of the whole run are over, as in k6.
    #[must_use]
    pub const fn unpaused(&self, end: Duration) -> Duration {
        end.saturating_sub(self.paused)
    }

    /// The figures of a prepared series, had the run ended at `end` (from its start).
    #[must_use]
    pub fn series(&self, series: SeriesId, end: Duration) -> Option<Reading> {
        let def = self.layout.series.get(series.0 as usize)?;
        self.read(def.metric, &def.source, end)
    }

    /// How many samples of a prepared cut were good, since the load began.
    #[must_use]
    pub fn tally(&self, tally: TallyId) -> Tally {
        let cell = self.layout.tallies.get(tally.0 as usize).and_then(|def| def.series.source.cell);
        match cell.and_then(|cell| self.cells.cuts.get(cell)) {
            Some(Cell::Tally(judging)) => judging.tally,
            _ => Tally::default(),
        }
    }

    /// What a prepared cut was over time.
    #[must_use]
    pub fn timeline(&self, timeline: TimelineId) -> Option<&Timeline> {
        let def = self.layout.timelines.get(timeline.0 as usize)?;
        match self.cells.cuts.get(def.source.cell?)? {
            Cell::Timeline(timeline) => Some(timeline),
            _ => None,
        }
    }

    /// The figures of a metric, or of a submetric over tags that a plan fixes (and `expected_response`). None
    /// for a cut that would have had to be prepared.
    #[must_use]
    pub fn metric(&self, metric: MetricId, selector: &Selector, end: Duration) -> Option<Reading> {
        self.read(metric, &self.layout.source(metric, selector)?, end)
    }

    /// The figures of a whole trend, had the run ended at `end`. Empty for what is no trend.
    #[must_use]
    pub fn trend(&self, metric: MetricId, selector: &Selector, end: Duration) -> Trend {
        match self.metric(metric, selector, end) {
            Some(Reading::Trend(trend)) => *trend,
            _ => Trend::default(),
        }
    }

    /// How many values of a check passed, in the order of [`Layout::checks`].
    #[must_use]
    pub fn checks(&self) -> &[Share] {
        &self.cells.checks
    }

    /// What became of iterations, of one scenario or of all.
    #[must_use]
    pub fn iterations(&self, scenario: Option<ScenarioId>) -> IterationCounts {
        let chosen = |i: usize| scenario.is_none_or(|scenario| usize::from(scenario.0) == i);
        let mut counts = IterationCounts::default();
        for (_, cells) in self.cells.scenarios.iter().enumerate().filter(|(i, _)| chosen(*i)) {
            counts.completed += cells.completed;
            counts.dropped += cells.not_started();
            counts.never_due += cells.never_due;
            counts.cut_off += cells.cut_off.count();
            counts.missed += cells.missed;
            // What came of arrivals can be ahead of the schedule's own count only in a run whose workers broke down.
            counts.scheduled += cells.scheduled.max(cells.completed + cells.cut_off.count() + cells.dropped.count());
        }
        counts.started = counts.completed + counts.cut_off;
        counts
    }

    /// When some of the arrivals of an open model started, in the order of its schedule; none of a closed one. Gaps
    /// are whole within a [stretch](Start::stretch).
    #[must_use]
    pub fn starts(&self, scenario: ScenarioId) -> Vec<Start> {
        self.cells.scenarios.get(usize::from(scenario.0)).map_or_else(Vec::new, |cells| cells.starts.sorted())
    }

    /// For how long workers were ready to run and did not, all of them together.
    #[must_use]
    pub const fn starved(&self) -> Duration {
        self.cells.starved
    }

    /// VUs of a scenario as its workers last said: at work, made.
    #[must_use]
    pub fn vus(&self, scenario: ScenarioId) -> (u64, u64) {
        let vus = self.vus_now.get(usize::from(scenario.0)).copied().unwrap_or_default();
        (u64::try_from(vus.active).unwrap_or(0), u64::try_from(vus.made).unwrap_or(0))
    }

    /// Requests that ended, redirects and those that were turned away too.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.cells.requests.iter().flatten().sum::<u64>() + self.requests_shed()
    }

    /// Requests that were cut off at the end.
    #[must_use]
    pub fn requests_cut_off(&self) -> u64 {
        self.cells.requests_cut_off.iter().map(Dues::count).sum()
    }

    /// Requests that went once more on a fresh connection.
    #[must_use]
    pub const fn stale_connections(&self) -> u64 {
        self.cells.stale_connections
    }

    /// How often two VUs held one user at once.
    #[must_use]
    pub const fn users_shared(&self) -> u64 {
        self.cells.users_shared
    }

    /// What went wrong, step by step, with the traces of the last few; the most frequent first.
    #[must_use]
    pub fn failures(&self) -> Vec<FailureGroup> {
        let mut groups = self.failures.groups(&self.layout);
        super::failures::merge_groups(&mut groups, &self.read_failures);
        groups
    }

    /// What went wrong, by kind.
    #[must_use]
    pub fn errors(&self) -> Errors {
        let of = |kind: FailureKind| self.cells.failures.iter().map(|failures| failures[failure_index(kind)]).sum();
        let failures: u64 = FAILURES.iter().map(|kind| of(*kind)).sum();
        let named =
            [FailureKind::Reset, FailureKind::Timeout, FailureKind::Refused, FailureKind::Tls, FailureKind::Dns];
        let [connection_reset, timeout, connection_refused, tls, dns] = named.map(of);
        let unexpected: u64 = self.cells.requests.iter().map(|[_, not]| not).sum();
        Errors {
            connection_reset,
            timeout,
            connection_refused,
            tls,
            dns,
            status: unexpected.saturating_sub(failures),
            check: self.cells.checks.iter().map(Share::fails).sum(),
            other: failures - connection_reset - timeout - connection_refused - tls - dns,
        }
    }

    fn read(&self, metric: MetricId, source: &Source, end: Duration) -> Option<Reading> {
        match source.cell {
            Some(cell) => self.read_cut(metric, source, cell, end),
            None => self.read_base(metric, source, end),
        }
    }

    fn read_cut(&self, metric: MetricId, source: &Source, cell: usize, end: Duration) -> Option<Reading> {
        Some(match self.cells.cuts.get(cell)? {
            Cell::Rate(share) => Reading::Rate(*share),
            Cell::Counter(sum) => Reading::Counter(*sum),
            Cell::Gauge(range) => Reading::Gauge(*range),
            // No series is kept over time, or as a tally.
            Cell::Timeline(_) | Cell::Tally(_) => return None,
            Cell::Trend(trend) => {
                let mut ages = trend.cut_off.ages(end, 1.0);
                let shares = self.layout.parts.shares(&source.places);
                for (scenario, dues) in trend.dropped.iter().enumerate() {
                    // An iteration stands once for itself, and once for each step that it would have made.
                    let per_request = metric == MetricId::HTTP_REQ_RESPONSE_TIME;
                    let share = if per_request { shares.get(&scenario).copied().unwrap_or(0.0) } else { 1.0 };
                    ages.extend(dues.ages(end, share));
                }
                Reading::Trend(Box::new(Trend::new(trend.histogram.clone(), ages)))
            }
        })
    }

    fn read_base(&self, metric: MetricId, source: &Source, end: Duration) -> Option<Reading> {
        let places = || source.places.iter().copied();
        Some(match self.layout.describe(metric)?.scope {
            Scope::Request => self.read_requests(metric, source, end),
            Scope::Group => trend(places().filter_map(|site| self.cells.groups.get(site)), Vec::new()),
            Scope::Check => {
                let mut sum = Share::default();
                places().filter_map(|check| self.cells.checks.get(check)).for_each(|share| sum.merge(share));
                Reading::Rate(sum)
            }
            Scope::Custom => {
                let cell = |site: usize| self.cells.customs.get(site)?.get(metric.custom_slot()?);
                let mut sum = Cell::new(self.layout.describe(metric)?.kind);
                places().filter_map(cell).for_each(|cell| sum.merge(cell));
                match sum {
                    Cell::Trend(cell) => Reading::Trend(Box::new(Trend::new(cell.histogram, Vec::new()))),
                    Cell::Rate(share) => Reading::Rate(share),
                    Cell::Counter(sum) => Reading::Counter(sum),
                    Cell::Gauge(range) => Reading::Gauge(range),
                    Cell::Timeline(_) | Cell::Tally(_) => return None,
                }
            }
            Scope::Scenario => self.read_scenarios(metric, source, end),
            Scope::Run if source.places.is_empty() => Reading::Gauge(Range::default()),
            Scope::Run if metric == MetricId::VUS_MAX => Reading::Gauge(self.vus_max),
            Scope::Run => Reading::Gauge(self.vus),
            Scope::Target => self.target.read(metric),
        })
    }

    fn read_requests(&self, metric: MetricId, source: &Source, end: Duration) -> Reading {
        let places = || source.places.iter().copied();
        let takes = |expected: bool| source.expected.is_none_or(|wanted| wanted == expected);
        let count = |expected: bool| -> u64 {
            let of = |site: usize| self.cells.requests.get(site).map_or(0, |counts| counts[usize::from(!expected)]);
            if takes(expected) { places().map(of).sum() } else { 0 }
        };
        // Neither expected nor not: who asks for either means answers.
        let shed = || -> u64 {
            let of = |site: usize| self.cells.requests_shed.get(site).copied().unwrap_or(0);
            if source.expected.is_none() { places().map(of).sum() } else { 0 }
        };
        if let Some(kind) = metric.failure() {
            // What failed was not expected.
            let of = |site: usize| self.cells.failures.get(site).map_or(0, |failures| failures[failure_index(kind)]);
            let sum: u64 = if takes(false) { places().map(of).sum() } else { 0 };
            return Reading::Counter(sum as f64);
        }
        match metric {
            MetricId::HTTP_REQS => Reading::Counter((count(true) + count(false) + shed()) as f64),
            MetricId::HTTP_REQS_SHED => Reading::Counter(shed() as f64),
            MetricId::HTTP_REQ_FAILED => {
                Reading::Rate(Share { passes: count(false), total: count(true) + count(false) })
            }
            metric => {
                let both = [true, false].into_iter().filter(|expected| takes(*expected));
                let of = |(site, expected)| self.cells.request_trend(site, expected, metric.index());
                let cells = both.flat_map(|expected| places().map(move |site| (site, expected))).filter_map(of);
                let censored = metric == MetricId::HTTP_REQ_RESPONSE_TIME && source.censored;
                trend(cells, if censored { self.request_ages(&source.places, end) } else { Vec::new() })
            }
        }
    }

    fn request_ages(&self, sites: &[usize], end: Duration) -> Vec<(f64, u64)> {
        let cut_off = sites.iter().filter_map(|site| self.cells.requests_cut_off.get(*site));
        let mut ages: Vec<_> = cut_off.flat_map(|dues| dues.ages(end, 1.0)).collect();
        for (scenario, share) in self.layout.parts.shares(sites) {
            if let Some(cells) = self.cells.scenarios.get(scenario) {
                ages.extend(cells.dropped.ages(end, share));
            }
        }
        ages
    }

    fn read_scenarios(&self, metric: MetricId, source: &Source, end: Duration) -> Reading {
        let cells = || source.places.iter().filter_map(|place| self.cells.scenarios.get(*place));
        let count = |of: fn(&super::cells::ScenarioCells) -> u64| Reading::Counter(cells().map(of).sum::<u64>() as f64);
        let number = match metric {
            MetricId::ITERATIONS => return count(|cells| cells.completed),
            MetricId::DROPPED_ITERATIONS => return count(super::cells::ScenarioCells::not_started),
            MetricId::DATA_SENT => return count(|cells| cells.sent),
            MetricId::DATA_RECEIVED => return count(|cells| cells.received),
            MetricId::ITERATION_DURATION => 0,
            MetricId::ITERATION_RESPONSE_TIME => 1,
            _ => 2,
        };
        let place = |scenario: &usize| self.cells.iteration_trends.get(scenario * ITERATION_TRENDS + number);
        let ages = |cells: &super::cells::ScenarioCells| {
            let mut ages = cells.cut_off.ages(end, 1.0);
            ages.extend(cells.dropped.ages(end, 1.0));
            ages
        };
        let censored = metric == MetricId::ITERATION_RESPONSE_TIME;
        let ages = if censored { cells().flat_map(ages).collect() } else { Vec::new() };
        trend(source.places.iter().filter_map(place), ages)
    }
}

// === impl Reading ===

impl Reading {
    /// Whether no sample was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Trend(trend) => trend.count() == 0,
            Self::Rate(share) => share.total == 0,
            Self::Counter(sum) => *sum == 0.0,
            Self::Gauge(range) => range.count == 0,
        }
    }
}

fn trend<'a>(cells: impl Iterator<Item = &'a Histogram>, ages: Vec<(f64, u64)>) -> Reading {
    let mut merged = Histogram::new();
    cells.for_each(|cell| merged.merge(cell));
    Reading::Trend(Box::new(Trend::new(merged, ages)))
}
