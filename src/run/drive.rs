//! Drives a run from its first question to its verdict.
//!
//! The order is the promise: the guard admits, cleanup proves that it could work, and only
//! then the first request leaves; teardown and cleanup follow whatever happened before.

use super::board::Snapshot;
use super::compile::Compiled;
use super::completed::{Completed, Findings, chain};
use super::correlate::{Correlation, CorrelationError, Feed};
use super::embed::vus_over;
use super::export;
use super::fidelity::{Meter, Used};
use super::guard::patience;
use super::handle::Handle;
use super::kept::Keeping;
use super::lease::{self, Tenure};
use super::local;
use super::progress::{Phase, Progress};
use super::reporter::{Reporter, held_by};
use super::slo::SloKeeper;
use super::timelines::{TimelinesPlan, Watch};
use crate::cleanup::{CleanupOutcome, Hold, Refusal, RefusalKind};
use crate::client;
use crate::correlate::timeline::PoolReport;
use crate::export::{EventKind, Exports};
use crate::guard;
use crate::judge::JudgeReport;
use crate::load::{self, Ended, StopReason, WorkerContext};
use crate::measure::{Course, Layout, Recorder, RecorderHandle, Selector, ThresholdResult, Totals, Traffic};
use crate::report::{Exit, Judged, RunMeta, RunReport, Verdict};
use crate::workflow::{self, PhaseError, Program};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Service;

/// The time setup gets, and teardown: k6's `setupTimeout` and `teardownTimeout`.
const PHASE_TIMEOUT: Duration = Duration::from_secs(60);

/// What the load came to.
struct Load {
    totals: Totals,
    /// It over time.
    course: Course,
    /// From the load's start to its end.
    duration: Duration,
    /// What it cost this process.
    used: Used,
}

// === impl Compiled ===

impl Compiled {
    /// What steers this run.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::of(self)
    }

    /// Ends a run that cannot begin for a reason of the caller's, with `exit`; where the guard or cleanup would have
    /// refused it, that is told, too.
    pub async fn give_up(self, exit: Exit, problem: String) -> Completed {
        let mut findings = Findings::default();
        self.admit(false, &mut findings).await;
        findings.add(exit, problem);
        findings.complete(None)
    }

    /// Asks the guard and the database. False where the run must not begin. `finish`: what killed runs left is deleted
    /// before it is asked.
    pub(super) async fn admit(&self, finish: bool, findings: &mut Findings) -> bool {
        if let Err(refusal) = self.guard.admit(&self.plan) {
            findings.add(Exit::Refused, format!("refused to start: {refusal}\n    hint: {}", refusal.hint()));
            return false;
        }
        if let Some(cleanup) = &self.cleanup
            && let Err(refusal) = self.judge_rows(cleanup, finish, findings).await
        {
            refused(&refusal, findings);
            return false;
        }
        if let Some((exit, problem)) = self.preflight_redis().await {
            findings.add(exit, problem);
            return false;
        }
        true
    }

    /// Waits where the run was asked to start paused, as in k6 before setup.
    async fn wait_for_resume(&self, show: &mut impl FnMut(&Progress)) {
        if self.control.is_paused() {
            let held_by = held_by(&self.control);
            show(&Progress { phase: Phase::Paused, paused: true, held_by, ..Progress::default() });
            tokio::select! {
                () = self.control.resumed() => {}
                () = self.stop.stopped() => {}
            }
        }
    }

    /// Drives the run to its verdict. `show` hears once a second how far it is.
    ///
    /// Dropping the future cuts the load off and deletes nothing.
    pub async fn execute(self, mut show: impl FnMut(&Progress)) -> Completed {
        let mut findings = Findings::default();
        let _ended = self.board.until_end();
        let board = Arc::clone(&self.board);
        let mut show = move |progress: &Progress| {
            board.enter(progress.phase.into());
            show(progress);
        };
        show(&Progress { phase: Phase::Preflight, ..Progress::default() });
        let Some(mut exports) = self.open_outputs(&mut findings).await else { return findings.complete(None) };
        if !self.admit(true, &mut findings).await {
            return findings.complete(None);
        }
        let keeper = match self.guarding.start(&self, &mut findings).await {
            Ok(keeper) => keeper,
            Err(error) => {
                let problem = chain(&error);
                findings.add(Exit::Refused, format!("refused to start: guard: what the budget has spent cannot be kept: {problem}\n    hint: it stands in cleanup's database, else beside the plan: make its folder writable"));
                return findings.complete(None);
            }
        };
        let mut watch = self.timelines.as_ref().map(TimelinesPlan::start);
        let (correlation, feed) = match self.correlate(watch.as_ref()).await {
            Ok(correlation) => correlation.unzip(),
            Err((exit, problem)) => {
                findings.add(exit, problem);
                return findings.complete(None);
            }
        };
        let mut tenure = None;
        if let Some(cleanup) = &self.cleanup {
            match self.begin(cleanup).await {
                Ok(begun) => tenure = Some(begun),
                Err(refusal) => {
                    refused(&refusal, &mut findings);
                    return findings.complete(None);
                }
            }
        }
        let journal = match self.open_journal(tenure.is_some()).await {
            Ok(journal) => journal,
            Err(problem) => {
                findings.add(Exit::Refused, format!("refused to start: cleanup: the journal of undo: {problem}"));
                if let (Some(tenure), Some(cleanup)) = (tenure, &self.cleanup) {
                    tenure.end(cleanup, self.name(), true, &mut findings).await;
                }
                return findings.complete(None);
            }
        };
        let hold = tenure.as_ref().map(Tenure::hold);
        self.wait_for_resume(&mut show).await;
        let started = SystemTime::now();
        let mut around = Vec::new();
        show(&Progress { phase: Phase::Setup, ..Progress::default() });
        // Stopped before anything was sent: then nothing is.
        let begun = self.stop.reason().is_none();
        exports.begin();
        let ready = begun && self.phase(Phase::Setup, hold.clone(), &mut around, &mut findings).await;
        if begun && self.program.has_undo() && self.lets("what killed runs left was not undone", &mut findings).await {
            self.undo_leftovers(&mut findings).await;
        }
        let loaded = ready && self.stop.reason().is_none();
        if let Some(recorder) = around.last_mut() {
            tell(&exports, feed.as_ref(), recorder).await;
        }
        if let (true, Some(tenure), Some(plan)) = (loaded, &mut tenure, &self.cleanup) {
            tenure.sweep_while_traffic_runs(plan, self.name());
        }
        let mut slos = self.keep_slos(&keeper, &mut findings).await;
        let load = if loaded {
            self.load(&mut show, &exports, feed.as_ref(), watch.as_ref(), slos.as_mut(), &mut findings).await
        } else {
            Load {
                totals: Totals::new(Arc::clone(&self.layout), Instant::now()),
                course: Course::default(),
                duration: Duration::ZERO,
                used: Used::default(),
            }
        };
        if let Some(watch) = &mut watch {
            watch.load_ended().await;
        }
        if let Some(tenure) = &tenure {
            tenure.rest();
        }
        self.fence.open();
        let sends = self.program.has_undo() || !self.plan.teardown.is_empty();
        let may_send = !sends || self.lets("neither teardown nor undo was sent", &mut findings).await;
        if may_send {
            self.undo_created(&mut findings).await;
        } else {
            self.program.leave_undone("it is left to the next start, because traffic is held");
        }
        show(&Progress { phase: Phase::Teardown, ..Progress::default() });
        if begun && may_send {
            self.phase(Phase::Teardown, hold, &mut around, &mut findings).await;
            self.undo_created(&mut findings).await;
        }
        keeper.end(&self.control, &mut findings).await;
        let Load { mut totals, course, duration, used } = load;
        export::tell_unfinished(&exports, &totals, duration);
        if let Some(slos) = slos {
            slos.finish(&totals, &exports, &mut findings).await;
        }
        for recorder in &mut around {
            totals.merge(recorder);
            tell(&exports, feed.as_ref(), recorder).await;
        }
        exports.event(if self.stopped_from_outside() { EventKind::Stopped } else { EventKind::Ended });
        exports.close();
        self.board.close(Snapshot::of(&totals, &self.thresholds, None, duration));
        // What the API still sends comes in while the rows go.
        drop(feed);
        let cleanup = self.clean_up(tenure, &mut show, &mut findings).await;
        let cleanup = self.close_journal(journal, cleanup, &mut findings).await;
        let correlation = match correlation {
            Some(correlation) => {
                show(&Progress { phase: Phase::Correlate, ..Progress::default() });
                Some(correlation.finish().await)
            }
            None => None,
        };
        if let Some(watch) = &mut watch {
            watch.settle(&mut totals).await;
        }

        let fidelity = self.fidelity(&totals, duration, used);
        let judge = self.judge(&totals, duration, loaded, &mut findings);
        let failed = self.thresholds.judge(&totals, duration).into_iter().filter(ThresholdResult::failed);
        let failed: Vec<_> = failed.map(|threshold| (threshold.metric, threshold.expression)).collect();
        let verdict = Verdict::of(fidelity.valid, !failed.is_empty() || judge.failed());
        self.decide(verdict, &mut findings);
        let paused = duration.saturating_sub(totals.unpaused(duration));
        let meta = RunMeta { id: self.run, plan: self.name().to_owned(), verdict, started, duration, paused };
        let judged = Judged { fidelity, judge, intervals: self.intervals.read(&totals, duration) };
        let mut report = RunReport::collect(meta, &totals, &self.thresholds, &self.trend_stats, judged, cleanup);
        report.correlation = correlation;
        if let Some((watch, plan)) = watch.as_ref().zip(self.timelines.as_ref()).filter(|_| loaded) {
            let timelines = watch.report(plan, &totals, duration, used, &failed);
            report.correlation.get_or_insert_default().timelines = Some(timelines);
        }
        report.outputs = export::finish(exports, &mut findings).await;
        let measured = self.figures.as_ref().filter(|_| loaded).map(|figures| {
            let timelines = report.correlation.as_ref().and_then(|correlation| correlation.timelines.as_ref());
            let pool = timelines.and_then(|timelines| timelines.timelines.pool.as_ref());
            let settled = report.fidelity.stationarity.as_ref();
            figures.read(&totals, duration, settled, pool.is_some_and(PoolReport::can_constrain))
        });
        let kept = self.keep(&totals, course);
        Completed { measured, ..findings.complete_with(report, kept) }
    }

    /// Asks the guard alone.
    pub(super) fn admit_guard(&self) -> Result<(), guard::Refusal> {
        self.guard.admit(&self.plan)
    }

    /// Whether a signal, or somebody at the control address, ended the load.
    fn stopped_from_outside(&self) -> bool {
        matches!(self.stop.reason(), Some(StopReason::Signal | StopReason::Control))
    }

    /// Begins to correlate, where the plan asks for it.
    async fn correlate(&self, watch: Option<&Watch>) -> Result<Option<(Correlation, Feed)>, (Exit, String)> {
        let Some(plan) = &self.correlation else { return Ok(None) };
        plan.start(self.run, &self.layout, watch.map(Watch::ear)).await.map(Some).map_err(|error| {
            let exit = match error {
                CorrelationError::Receiver(_) => Exit::AddressTaken,
                CorrelationError::Collector(_) => Exit::InvalidPlan,
            };
            (exit, chain(&error))
        })
    }

    /// Asks the judges. A run that was cut short from outside, or whose scenarios flags replaced, is not held to what
    /// it could not show: that is told and left out.
    fn judge(&self, totals: &Totals, end: Duration, loaded: bool, findings: &mut Findings) -> JudgeReport {
        if !loaded {
            return JudgeReport::default();
        }
        let mut report = self.judges.judge(totals, end);
        if self.stopped_from_outside() || self.replaced {
            for sentence in report.leave_out_unjudged() {
                findings.note(format!("not judged: {sentence}"));
            }
        }
        report
    }

    /// Plays the scenarios on their worker threads, and reports meanwhile.
    async fn load(
        &self,
        show: &mut impl FnMut(&Progress),
        exports: &Exports,
        feed: Option<&Feed>,
        watch: Option<&Watch>,
        mut slos: Option<&mut SloKeeper>,
        findings: &mut Findings,
    ) -> Load {
        let (start, meter) = (Instant::now(), Meter::start());
        if let Some(slos) = &mut slos {
            slos.begin(start);
        }
        if let Some(watch) = watch {
            watch.begin(start);
        }
        let (client, program) = (self.client.clone(), Arc::clone(&self.program));
        let (layout, stop, control) = (Arc::clone(&self.layout), self.stop.clone(), self.control.clone());
        let (plan, count, of) = (self.load.clone(), self.workers.get(), Arc::clone(&layout));
        let mut workers = match self.target.clone() {
            None => {
                let factory = move |context: WorkerContext| vus(&client, &program, context);
                load::start(plan, count, factory, of, start, stop, control)
            }
            Some(target) => {
                let factory = move |context: WorkerContext| vus_over(&client, &program, &target, context);
                load::start(plan, count, factory, of, start, stop, control)
            }
        };
        let mut keeping = Keeping::new(self.keeps, &layout, start);
        let mut totals = Totals::new(layout, start);
        let names: Vec<_> = self.plan.scenarios.iter().map(|scenario| named(&scenario.name.value)).collect();
        if let Some(handovers) = workers.reporter() {
            let reporter = Reporter {
                totals: &mut totals,
                keeping: &mut keeping,
                thresholds: &self.thresholds,
                stop: &self.stop,
                control: &self.control,
                board: &self.board,
                conditions: self.guarding.conditions(&self.control),
                feed,
                watch,
                exports,
                slos,
                names: &names,
            };
            if let Some(threshold) = reporter.collect(handovers, workers.progress(), show).await {
                findings.note(format!("stopped early: {} {} failed", threshold.metric, threshold.expression));
            }
        }
        let end = match workers.join().await {
            Ok(Ended { at, .. }) => at,
            Err(error) => {
                findings.add(Exit::InvalidRun, format!("the load ended early: {}", chain(&error)));
                Instant::now()
            }
        };
        totals.set_paused(self.control.paused_for(end));
        Load { totals, course: keeping.course(), duration: end.saturating_duration_since(start), used: meter.stop() }
    }

    /// Runs the steps of setup or teardown. Answers whether they went well.
    async fn phase(
        &self,
        phase: Phase,
        hold: Option<watch::Receiver<Hold>>,
        around: &mut Vec<Recorder>,
        findings: &mut Findings,
    ) -> bool {
        let setup = phase == Phase::Setup;
        let steps = if setup { &self.plan.setup } else { &self.plan.teardown };
        if steps.is_empty() {
            return true;
        }
        let (client, program, layout) = (self.client.clone(), Arc::clone(&self.program), Arc::clone(&self.layout));
        let (target, gate, stop) = (self.target.clone(), self.control.gate().clone(), self.stop.clone());
        let played = local::run(if setup { "pacecar-setup" } else { "pacecar-teardown" }, move || async move {
            let (worker, traffic) = (client.worker(), Traffic::default());
            let cut = async move {
                tokio::select! {
                    () = lost(hold) => {}
                    () = patience(PHASE_TIMEOUT, gate, stop) => {}
                }
            };
            match target {
                None => play_once(worker.vu(traffic.clone()), traffic, program, layout, setup, cut).await,
                Some(target) => play_once(worker.vu_over(target), traffic, program, layout, setup, cut).await,
            }
        });
        let what = if setup { "setup" } else { "teardown" };
        let (recorder, outcome) = match played.await {
            Ok(played) => played,
            Err(error) => {
                findings.add(Exit::SetupFailed, format!("{what} could not run: {error}"));
                return false;
            }
        };
        around.push(recorder);
        match outcome {
            Some(Ok(())) => true,
            Some(Err(error)) if setup => {
                findings.add(Exit::SetupFailed, format!("setup failed: {}", chain(&error)));
                false
            }
            // As in k6, what the run measured stands even where teardown fails.
            Some(Err(error)) => {
                findings.note(format!("teardown failed: {}", chain(&error)));
                false
            }
            None if self.stop.reason() == Some(StopReason::Lease) => {
                findings.note(format!("{what} was cut off: the lease was lost"));
                false
            }
            None if self.stop.reason().is_some() && !self.control.gate().is_open() => {
                findings.note(format!("{what} was cut off: the run was stopped while its traffic was held"));
                false
            }
            None if setup => {
                findings.add(Exit::SetupTimeout, format!("setup took longer than {PHASE_TIMEOUT:?}"));
                false
            }
            None => {
                findings.note(format!("teardown took longer than {PHASE_TIMEOUT:?}"));
                false
            }
        }
    }
}

/// Tells whoever wants to know what setup or teardown recorded.
async fn tell(exports: &Exports, feed: Option<&Feed>, recorder: &mut Recorder) {
    let stream = Arc::new(recorder.take_stream());
    exports.record(&stream);
    if let Some(feed) = feed {
        feed.tell(stream).await;
    }
}

/// What makes the VUs of one worker: each has connections and counters of its own.
fn vus(client: &client::Shared, program: &Arc<Program>, context: WorkerContext) -> impl load::MakeVu + use<> {
    let client = client.worker();
    let worker = workflow::Worker::new(Arc::clone(program), context.recorder, context.index);
    tower::service_fn(move |id: crate::measure::VuId| {
        let traffic = Traffic::default();
        let vu = worker.vu(id, client.vu(traffic.clone()), traffic);
        std::future::ready(Ok::<_, std::convert::Infallible>(vu))
    })
}

/// Plays setup's or teardown's steps once; none where they were cut off.
async fn play_once<S, B>(
    service: S,
    traffic: Traffic,
    program: Arc<Program>,
    layout: Arc<Layout>,
    setup: bool,
    cut: impl Future<Output = ()>,
) -> (Recorder, Option<Result<(), PhaseError>>)
where
    S: Service<client::Request, Response = http::Response<B>>,
    S::Error: Into<load::BoxError>,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: Into<load::BoxError>,
{
    let start = Instant::now();
    let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
    let steps = async {
        if setup {
            program.setup(service, recorder.clone(), traffic).await
        } else {
            program.teardown(service, recorder.clone(), traffic).await
        }
    };
    let outcome = tokio::select! {
        biased;
        () = cut => None,
        outcome = steps => Some(outcome),
    };
    (recorder.swap(Recorder::new(layout, start)), outcome)
}

/// Waits until the lease is lost; for ever where there is none.
async fn lost(hold: Option<watch::Receiver<Hold>>) {
    match hold {
        Some(hold) => lease::lost(hold).await,
        None => std::future::pending().await,
    }
}

/// A run whose traces could not be removed does not begin.
fn refused(refusal: &Refusal, findings: &mut Findings) {
    let exit = match refusal.kind() {
        RefusalKind::Invalid => Exit::InvalidPlan,
        RefusalKind::Guard | RefusalKind::Unable => Exit::Refused,
    };
    findings.add(exit, format!("refused to start: cleanup: {}", explain(refusal)));
}

/// A refusal of cleanup with what is behind it and what to do, in two lines.
#[must_use]
pub fn explain(refusal: &Refusal) -> String {
    format!("{}\n    hint: {}", chain(refusal), refusal.hint())
}

/// What of an outcome a person must read.
pub(super) fn told(outcome: &CleanupOutcome) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(refusal) = &outcome.refused {
        lines.push(format!("cleanup did not finish: {}", explain(refusal)));
    }
    lines.extend(outcome.blocked.iter().map(|blocked| format!("cleanup: {blocked}")));
    if outcome.remaining > 0 {
        lines.push(format!("cleanup: {} rows of test data are still there", outcome.remaining));
    }
    lines
}

/// A scenario's name and the selector of its samples.
fn named(name: &str) -> (String, Selector) {
    let metric = format!("http_req_duration{{scenario:{name}}}");
    (name.to_owned(), Selector::parse_metric(&metric).map(|(_, selector)| selector).unwrap_or_default())
}
