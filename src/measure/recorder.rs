//! Where one worker counts. No locks, no strings, no allocation per sample: a site, a scenario and a
//! check are indices, and the cuts that a threshold asks for are short lists beside each place.

use super::cells::Cells;
use super::failures::{FailureLog, Wrong};
use super::layout::{CheckId, Cut, Layout, MetricId, ScenarioId, SiteId};
use super::metric::{REQUEST_TRENDS, failure_index};
use super::outcome::{FailureKind, Proto, TlsVersion};
use super::starts::Start;
use super::stream::{Batch, Mark, Place, Record};
use super::timings::Timings;
use crate::semconv::TraceId;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One request that ended, with both clocks.
#[derive(Clone, Copy, Debug)]
pub struct RequestSample {
    /// When it was due.
    pub due: Instant,
    /// When its answer was whole, or when it failed.
    pub ended: Instant,
    /// Its phases.
    pub timings: Timings,
    /// The status; 0 without an answer.
    pub status: u16,
    /// Whether the status was one that the step expects.
    pub expected: bool,
    /// Why there was no (whole) answer.
    pub failure: Option<FailureKind>,
    /// Which HTTP; none without an answer.
    pub proto: Option<Proto>,
    /// Which TLS; none in clear text.
    pub tls: Option<TlsVersion>,
    /// The tenant's number, from 1; 0 for none.
    pub tenant: u32,
}

/// One iteration that ran to its end.
#[derive(Clone, Copy, Debug)]
pub struct IterationSample {
    /// When it was due.
    pub due: Instant,
    /// When it started.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// What one worker has counted since it last handed over.
#[derive(Debug)]
pub struct Recorder {
    layout: Arc<Layout>,
    start: Instant,
    pub(crate) cells: Cells,
    /// What went wrong, with traces.
    pub(crate) failures: FailureLog,
    /// Of each scenario, as last set.
    vus: Vec<Vus>,
    /// What had been handed over of `vus`: a delta carries the change, so that the sum over
    /// workers is right whoever hands over when.
    vus_before: Vec<Vus>,
    /// None where nobody wants it.
    stream: Option<Box<Batch>>,
    /// Whether the stream has marks too.
    points: bool,
}

/// One worker's VUs of a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vus {
    pub(crate) active: i64,
    pub(crate) made: i64,
}

/// One worker's recorder, shared by the tasks of that worker. Clones share it.
#[derive(Clone, Debug)]
pub struct RecorderHandle(Rc<RefCell<Recorder>>);

// === impl RequestSample ===

impl RequestSample {
    /// Its values in ms of the trends of requests, in the order of their ids.
    #[inline]
    pub(crate) fn trends(&self) -> [f64; REQUEST_TRENDS] {
        let timings = &self.timings;
        [
            ms(timings.duration()),
            ms(timings.until_connected()),
            ms(timings.connecting),
            ms(timings.tls_handshaking),
            ms(timings.sending),
            ms(timings.waiting),
            ms(timings.receiving),
            ms(self.ended.saturating_duration_since(self.due)),
        ]
    }

    /// Its value of each metric of requests, k6's first and in k6's order.
    pub fn values(&self) -> impl Iterator<Item = (MetricId, f64)> + use<> {
        // An answer that broke off is no answer, whatever its head said.
        let failed = !self.expected || self.failure.is_some();
        let trends = (0..).map(MetricId).zip(self.trends());
        let failed = [(MetricId::HTTP_REQ_FAILED, f64::from(u8::from(failed)))];
        [(MetricId::HTTP_REQS, 1.0)]
            .into_iter()
            .chain(trends)
            .chain(failed)
            .chain(self.failure_metric().map(|metric| (metric, 1.0)))
    }

    /// How many values that are.
    pub(crate) fn points(&self) -> u64 {
        REQUEST_TRENDS as u64 + 2 + u64::from(self.failure_metric().is_some())
    }

    /// The counter of its failure, where there is one.
    fn failure_metric(&self) -> Option<MetricId> {
        MetricId::of_failure(self.failure?)
    }
}

// === impl Recorder ===

impl Recorder {
    /// An empty recorder. `start` is the run's start: times within the run count from it.
    #[must_use]
    pub fn new(layout: Arc<Layout>, start: Instant) -> Self {
        let vus = vec![Vus::default(); layout.scenarios().len()];
        let stream = layout.streams().then(Box::default);
        let (cells, failures) = (Cells::new(&layout), FailureLog::default());
        let points = layout.wants_points();
        Self { cells, failures, layout, start, vus_before: vus.clone(), vus, stream, points }
    }

    /// Forgets what was counted and keeps the memory, to be swapped in again.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.failures.clear();
        if let Some(stream) = &mut self.stream {
            stream.clear();
        }
        self.vus.fill(Vus::default());
        self.vus_before.fill(Vus::default());
    }

    /// Takes what the stream holds; nothing where nobody asked for one.
    #[must_use]
    pub fn take_stream(&mut self) -> Batch {
        self.stream.as_mut().map(|stream| std::mem::take(&mut **stream)).unwrap_or_default()
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The run's start.
    #[must_use]
    pub const fn start(&self) -> Instant {
        self.start
    }

    /// How the VUs of each scenario changed since the last handing over.
    pub(crate) fn vus_change(&self) -> impl Iterator<Item = Vus> + '_ {
        let change =
            |(now, before): (&Vus, &Vus)| Vus { active: now.active - before.active, made: now.made - before.made };
        self.vus.iter().zip(&self.vus_before).map(change)
    }

    fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// Tells a value of a metric, where an output wants points.
    #[inline]
    fn mark(&mut self, metric: MetricId, place: Place, value: f64, at: impl FnOnce() -> Instant) {
        if self.points
            && let Some(stream) = &mut self.stream
        {
            stream.mark(Mark { at: at(), metric, place, value });
        }
    }

    fn request(&mut self, site: SiteId, sample: &RequestSample) {
        let index = site.0 as usize;
        // An answer that broke off is no answer, whatever its head said.
        let sample = &RequestSample { expected: sample.expected && sample.failure.is_none(), ..*sample };
        let values = sample.trends();
        if let Some(trends) = self.cells.request_trends_mut(index, sample.expected) {
            trends.iter_mut().zip(values).for_each(|(trend, value)| trend.record(value));
        }
        if let Some(requests) = self.cells.requests.get_mut(index) {
            requests[usize::from(!sample.expected)] += 1;
        }
        if let Some(kind) = sample.failure
            && let Some(failures) = self.cells.failures.get_mut(index)
        {
            failures[failure_index(kind)] += 1;
        }
        let layout = &self.layout;
        let Some(cuts) = layout.cuts.requests.get(index).filter(|cuts| !cuts.is_empty()) else { return };
        let at = sample.ended.saturating_duration_since(self.start);
        for cut in cuts.iter().filter(|cut| cut.holds(at) && cut.dynamic.meets(sample)) {
            let Some(cell) = self.cells.cuts.get_mut(cut.cell) else { continue };
            let value = match cut.metric {
                MetricId::HTTP_REQS => 1.0,
                MetricId::HTTP_REQ_FAILED => f64::from(u8::from(!sample.expected)),
                metric => match (metric.failure(), values.get(metric.index())) {
                    (None, Some(value)) => *value,
                    (Some(kind), _) if sample.failure == Some(kind) => 1.0,
                    _ => continue,
                },
            };
            cell.record(value, || at);
        }
    }

    fn request_cut_off(&mut self, site: SiteId, due: Instant, at: Instant) {
        let (due, at, index) = (self.since_start(due), self.since_start(at), site.0 as usize);
        if let Some(dues) = self.cells.requests_cut_off.get_mut(index) {
            dues.add(due);
        }
        for cut in self.layout.cuts.requests.get(index).into_iter().flatten() {
            let belongs = cut.metric == MetricId::HTTP_REQ_RESPONSE_TIME && cut.dynamic.takes_censored();
            if belongs
                && cut.holds(at)
                && let Some(cell) = self.cells.cuts.get_mut(cut.cell)
            {
                cell.cut_off(due, at);
            }
        }
    }

    fn check(&mut self, check: CheckId, passed: bool) {
        let index = check.0 as usize;
        if let Some(share) = self.cells.checks.get_mut(index) {
            share.add(passed);
        }
        let cuts = self.layout.cuts.checks.get(index);
        let value = f64::from(u8::from(passed));
        cut_now(cuts, &mut self.cells, self.start, MetricId::CHECKS, value);
        self.mark(MetricId::CHECKS, Place::Check(check), value, Instant::now);
    }

    fn custom(&mut self, site: SiteId, metric: MetricId, value: f64) {
        let (index, start) = (site.0 as usize, self.start);
        if let Some(cell) = self.cells.custom_mut(&self.layout, index, metric) {
            cell.record(value, || Instant::now().saturating_duration_since(start));
        }
        cut_now(self.layout.cuts.customs.get(index), &mut self.cells, start, metric, value);
        if value.is_finite() {
            self.mark(metric, Place::Site(site), value, Instant::now);
        }
    }

    fn group(&mut self, site: SiteId, duration: Duration) {
        let index = site.0 as usize;
        if let Some(trend) = self.cells.groups.get_mut(index) {
            trend.record(ms(duration));
        }
        let cuts = self.layout.cuts.groups.get(index);
        cut_now(cuts, &mut self.cells, self.start, MetricId::GROUP_DURATION, ms(duration));
        self.mark(MetricId::GROUP_DURATION, Place::Site(site), ms(duration), Instant::now);
    }

    fn iteration(&mut self, scenario: ScenarioId, sample: &IterationSample) {
        let index = usize::from(scenario.0);
        let values = [
            ms(sample.ended.saturating_duration_since(sample.started)),
            ms(sample.ended.saturating_duration_since(sample.due)),
            ms(sample.started.saturating_duration_since(sample.due)),
        ];
        if let Some(trends) = self.cells.iteration_trends_mut(index) {
            trends.iter_mut().zip(values).for_each(|(trend, value)| trend.record(value));
        }
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.completed += 1;
        }
        let at = self.since_start(sample.ended);
        for cut in self.layout.cuts.scenarios.get(index).into_iter().flatten().filter(|cut| cut.holds(at)) {
            let value = match cut.metric {
                MetricId::ITERATION_DURATION => values[0],
                MetricId::ITERATION_RESPONSE_TIME => values[1],
                MetricId::ITERATION_LAG => values[2],
                MetricId::ITERATIONS => 1.0,
                _ => continue,
            };
            if let Some(cell) = self.cells.cuts.get_mut(cut.cell) {
                cell.record(value, || at);
            }
        }
        let [duration, response_time, lag] = values;
        for (metric, value) in [
            (MetricId::ITERATION_DURATION, duration),
            (MetricId::ITERATIONS, 1.0),
            (MetricId::ITERATION_RESPONSE_TIME, response_time),
            (MetricId::ITERATION_LAG, lag),
        ] {
            self.mark(metric, Place::Scenario(scenario), value, || sample.ended);
        }
    }

    fn iteration_cut_off(&mut self, scenario: ScenarioId, due: Instant, started: Instant, at: Instant) {
        let index = usize::from(scenario.0);
        let lag = ms(started.saturating_duration_since(due));
        self.mark(MetricId::ITERATION_LAG, Place::Scenario(scenario), lag, || at);
        let (due, at) = (self.since_start(due), self.since_start(at));
        if let Some([_, _, trend]) = self.cells.iteration_trends_mut(index) {
            trend.record(lag);
        }
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.cut_off.add(due);
        }
        for cut in self.layout.cuts.scenarios.get(index).into_iter().flatten().filter(|cut| cut.holds(at)) {
            let Some(cell) = self.cells.cuts.get_mut(cut.cell) else { continue };
            match cut.metric {
                MetricId::ITERATION_LAG => cell.record(lag, || at),
                MetricId::ITERATION_RESPONSE_TIME => cell.cut_off(due, at),
                _ => {}
            }
        }
    }

    /// A dropped iteration has no end, so it stands in the part of the run in which it was due.
    fn iteration_dropped(&mut self, scenario: ScenarioId, due: Instant) {
        self.mark(MetricId::DROPPED_ITERATIONS, Place::Scenario(scenario), 1.0, Instant::now);
        let (index, due) = (usize::from(scenario.0), self.since_start(due));
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.dropped.add(due);
        }
        for cut in self.layout.cuts.scenarios.get(index).into_iter().flatten().filter(|cut| cut.holds(due)) {
            let Some(cell) = self.cells.cuts.get_mut(cut.cell) else { continue };
            match cut.metric {
                MetricId::DROPPED_ITERATIONS => cell.record(1.0, || due),
                MetricId::ITERATION_RESPONSE_TIME => cell.dropped(index, due),
                _ => {}
            }
        }
        for cut in self.layout.cuts.dropped.get(index).into_iter().flatten().filter(|cut| cut.holds(due)) {
            if let Some(cell) = self.cells.cuts.get_mut(cut.cell) {
                cell.dropped(index, due);
            }
        }
    }

    fn arrival_started(&mut self, scenario: ScenarioId, number: u64, due: Instant, at: Instant) {
        let start = self.start;
        let from_start = |at: Instant| at.saturating_duration_since(start);
        if let Some(cells) = self.cells.scenarios.get_mut(usize::from(scenario.0)) {
            cells.starts.add(number, || Start { number, due: from_start(due), at: from_start(at) });
        }
    }

    fn iterations_never_due(&mut self, scenario: ScenarioId, count: u64) {
        let index = usize::from(scenario.0);
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.never_due += count;
        }
        let cuts = self.layout.cuts.scenarios.get(index);
        cut_now(cuts, &mut self.cells, self.start, MetricId::DROPPED_ITERATIONS, count as f64);
        self.mark(MetricId::DROPPED_ITERATIONS, Place::Scenario(scenario), count as f64, Instant::now);
    }

    fn traffic(&mut self, scenario: ScenarioId, sent: u64, received: u64) {
        let index = usize::from(scenario.0);
        if let Some(cells) = self.cells.scenarios.get_mut(index) {
            cells.sent += sent;
            cells.received += received;
        }
        let cuts = self.layout.cuts.scenarios.get(index);
        cut_now(cuts, &mut self.cells, self.start, MetricId::DATA_SENT, sent as f64);
        cut_now(cuts, &mut self.cells, self.start, MetricId::DATA_RECEIVED, received as f64);
        if self.points {
            let now = Instant::now();
            self.mark(MetricId::DATA_SENT, Place::Scenario(scenario), sent as f64, || now);
            self.mark(MetricId::DATA_RECEIVED, Place::Scenario(scenario), received as f64, || now);
        }
    }
}

// === impl RecorderHandle ===

impl RecorderHandle {
    /// Wraps a recorder for the tasks of one thread.
    #[must_use]
    pub fn new(recorder: Recorder) -> Self {
        Self(Rc::new(RefCell::new(recorder)))
    }

    /// Takes what was counted and goes on with `empty`, which must be of the same layout.
    #[must_use]
    pub fn swap(&self, mut empty: Recorder) -> Recorder {
        let mut recorder = self.0.borrow_mut();
        empty.vus.clone_from(&recorder.vus);
        empty.vus_before.clone_from(&recorder.vus);
        std::mem::replace(&mut *recorder, empty)
    }

    pub(crate) fn with(&self, work: impl FnOnce(&mut Recorder)) {
        work(&mut self.0.borrow_mut());
    }

    /// Whether each thing that happens is to be told.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.0.borrow().stream.is_some()
    }

    /// Tells of what happened. `record` is made only where somebody wants it.
    #[inline]
    pub fn tell(&self, record: impl FnOnce() -> Record) {
        if let Some(stream) = &mut self.0.borrow_mut().stream {
            stream.push(record());
        }
    }

    /// Tells what was wrong with a request that ended just now. It is counted elsewhere; this keeps its trace.
    #[cold]
    pub fn went_wrong(&self, site: SiteId, wrong: Wrong, trace: TraceId) {
        let mut recorder = self.0.borrow_mut();
        let at = recorder.since_start(Instant::now());
        recorder.failures.add(site, wrong, trace, at);
    }

    /// Counts a request that ended: all of k6's `http_req*` metrics, `http_reqs`,
    /// `http_req_response_time`, and the error counters.
    pub fn request(&self, site: SiteId, sample: &RequestSample) {
        self.0.borrow_mut().request(site, sample);
    }

    /// A request that was cut off at the end: stands in `http_req_response_time` at its age, and in nothing else.
    pub fn request_cut_off(&self, site: SiteId, due: Instant, at: Instant) {
        self.0.borrow_mut().request_cut_off(site, due, at);
    }

    /// Counts a check.
    pub fn check(&self, check: CheckId, passed: bool) {
        self.0.borrow_mut().check(check, passed);
    }

    /// Counts a value of a custom metric (a rate counts `value != 0`), or one of the built-in trends `llm_*`.
    pub fn custom(&self, site: SiteId, metric: MetricId, value: f64) {
        self.0.borrow_mut().custom(site, metric, value);
    }

    /// k6's `group_duration` of a step: from its start to the end of its checks.
    pub fn group(&self, site: SiteId, duration: Duration) {
        self.0.borrow_mut().group(site, duration);
    }

    /// Counts an iteration that ran to its end.
    pub fn iteration(&self, scenario: ScenarioId, sample: &IterationSample) {
        self.0.borrow_mut().iteration(scenario, sample);
    }

    /// Counts an iteration that started and was cut off: its lag, and its age in `iteration_response_time`, censored.
    pub fn iteration_cut_off(&self, scenario: ScenarioId, due: Instant, started: Instant, at: Instant) {
        self.0.borrow_mut().iteration_cut_off(scenario, due, started, at);
    }

    /// Counts an iteration that was due and could not start: in `dropped_iterations`, and censored
    /// in `iteration_response_time` and in `http_req_response_time` of each step.
    pub fn iteration_dropped(&self, scenario: ScenarioId, due: Instant) {
        self.0.borrow_mut().iteration_dropped(scenario, due);
    }

    /// As [`iteration_dropped`](Self::iteration_dropped), where it was the generator that was too late for it.
    pub fn iteration_missed(&self, scenario: ScenarioId, due: Instant) {
        let mut recorder = self.0.borrow_mut();
        recorder.iteration_dropped(scenario, due);
        if let Some(cells) = recorder.cells.scenarios.get_mut(usize::from(scenario.0)) {
            cells.missed += 1;
        }
    }

    /// Counts what the schedule of an open model had, whatever became of it.
    pub fn iterations_scheduled(&self, scenario: ScenarioId, count: u64) {
        if let Some(cells) = self.0.borrow_mut().cells.scenarios.get_mut(usize::from(scenario.0)) {
            cells.scheduled += count;
        }
    }

    /// An arrival of an open model started; `number` is its place in the schedule. For what arrivals were like: it
    /// counts in nothing else.
    #[inline]
    pub fn arrival_started(&self, scenario: ScenarioId, number: u64, due: Instant, at: Instant) {
        self.0.borrow_mut().arrival_started(scenario, number, due, at);
    }

    /// For so long this worker was ready to run and did not.
    pub fn starved(&self, time: Duration) {
        self.0.borrow_mut().cells.starved += time;
    }

    /// Counts iterations that VUs had left when their time was over: in `dropped_iterations`, as k6 does. In a
    /// closed model the next iteration is due when the one before it ended, so these never were, and no response
    /// time knows them.
    pub fn iterations_never_due(&self, scenario: ScenarioId, count: u64) {
        self.0.borrow_mut().iterations_never_due(scenario, count);
    }

    /// Counts bytes on the wire.
    pub fn traffic(&self, scenario: ScenarioId, sent: u64, received: u64) {
        self.0.borrow_mut().traffic(scenario, sent, received);
    }

    /// Counts a request that went once more on a fresh connection.
    pub fn stale_connection(&self) {
        self.0.borrow_mut().cells.stale_connections += 1;
    }

    /// Sets this worker's VUs of a scenario: at work (or ready to), and made.
    pub fn vus(&self, scenario: ScenarioId, active: u32, made: u32) {
        if let Some(vus) = self.0.borrow_mut().vus.get_mut(usize::from(scenario.0)) {
            *vus = Vus { active: i64::from(active), made: i64::from(made) };
        }
    }

    /// Counts a user that two VUs held at once, for FIDELITY.
    pub fn user_shared(&self) {
        self.0.borrow_mut().cells.users_shared += 1;
    }
}

/// Counts a value in the cuts of its place. What comes without a time is placed now; the clock is
/// asked only where a cut wants it.
#[inline]
fn cut_now(cuts: Option<&Vec<Cut>>, cells: &mut Cells, start: Instant, metric: MetricId, value: f64) {
    let Some(cuts) = cuts.filter(|cuts| !cuts.is_empty()) else { return };
    let now = Instant::now().saturating_duration_since(start);
    for cut in cuts.iter().filter(|cut| cut.metric == metric && cut.holds(now)) {
        if let Some(cell) = cells.cuts.get_mut(cut.cell) {
            cell.record(value, || now);
        }
    }
}

/// k6's unit of time: milliseconds as a float.
#[inline]
fn ms(duration: Duration) -> f64 {
    duration.as_secs() as f64 * 1e3 + f64::from(duration.subsec_nanos()) / 1e6
}
