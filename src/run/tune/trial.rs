//! One trial: the values are set, and one finite run of the scenario is driven under them.
//!
//! The run is a run like any other: the guard admits it, it has a lease, what it made is swept when it is over and
//! before the next begins, outside of what is measured.

use super::driver::Driver;
use super::leftover::Mark;
use super::load::TrialLoad;
use super::recovery;
use super::settled::Settled;
use super::tuning::News;
use crate::report::Exit;
use crate::run::compile::{Compiled, compile};
use crate::run::handle::Handle;
use crate::run::{Completed, Phase, Progress, Settings, Source};
use crate::semconv::RunId;
use crate::tune::{Failure, Measured, Order, RunTrial, Setting, Trial};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Makes the trials.
pub(super) struct Runner<'a, F> {
    pub(super) source: &'a Source,
    pub(super) settings: &'a Settings,
    pub(super) driver: Driver,
    /// Today's values; none where the plan does not say.
    pub(super) original: Option<Setting>,
    pub(super) pool_knob: Option<String>,
    /// Where what is set is written down; none where nothing outlives the tune.
    pub(super) mark: Option<Mark>,
    pub(super) handle: Handle,
    pub(super) show: F,
    /// What ends the experiment before its time, the signal apart.
    pub(super) settled: Settled,
    /// What was told of trials already.
    pub(super) told: Vec<String>,
    /// Whether anything has been set, and not restored since.
    pub(super) dirty: bool,
}

/// How long what a stopped run still does may take before it is left: the original is restored meanwhile.
const LAST: Duration = Duration::from_secs(30);
/// How long a request that sets values may still take when the tune is to stop.
const LANDING: Duration = Duration::from_millis(1500);
/// What is told where that was too long.
const UNSWEPT: &str = "the last trial was not cleaned up in time: pacecar cleanup PLAN deletes what it left";

impl<F: Fn(&News<'_>)> RunTrial for Runner<'_, F> {
    async fn run(&mut self, order: &Order) -> Option<Trial> {
        let begun = Instant::now();
        if self.handle.is_stopped() {
            return None;
        }
        (self.show)(&News::Applying(order));
        let result = match self.set(&order.setting).await? {
            Ok(()) => self.measure(order).await?,
            Err(failure) => Err(failure),
        };
        let trial = Trial { order: order.clone(), result, took: begun.elapsed() };
        (self.show)(&News::Made(&trial));
        Some(trial)
    }
}

// === impl Runner ===

impl<F: Fn(&News<'_>)> Runner<'_, F> {
    /// Sets values. None where the experiment is to stop.
    async fn set(&mut self, setting: &Setting) -> Option<Result<(), Failure>> {
        if let (Some(mark), Some(original)) = (&mut self.mark, &self.original)
            && let Err(error) = mark.write(original, setting)
        {
            // What could not be found again after a kill is not set at all.
            self.settled.end(Exit::Refused, crate::run::chain(&error));
            return None;
        }
        self.dirty = true;
        let lands = self.driver.lands_by_itself();
        let applied = self.driver.apply(setting);
        tokio::pin!(applied);
        tokio::select! {
            biased;
            () = self.handle.stopped() => {
                if lands {
                    // What is on its way must not land on the original.
                    let _ = timeout(LANDING, &mut applied).await;
                }
                None
            }
            applied = &mut applied => Some(applied),
        }
    }

    /// Drives the run of a trial. None where the experiment is to stop.
    async fn measure(&mut self, order: &Order) -> Option<Result<Measured, Failure>> {
        let compiled = self.compile(order)?;
        self.handle.follow(&compiled);
        let (told, mut phase) = watch::channel(Phase::Preflight);
        let Self { show, driver, handle, original, settled, dirty, .. } = self;
        let completed = {
            let execution = compiled.execute(|progress: &Progress| {
                told.send_replace(progress.phase);
                show(&News::Running(order, progress));
            });
            tokio::pin!(execution);
            tokio::select! {
                completed = &mut execution => completed,
                () = handle.stopped() => {
                    // The load is cut off; what it made is swept while the original is restored. What the API still has to
                    // tell nobody waits for.
                    let swept = async {
                        tokio::select! {
                            completed = &mut execution => Some(completed),
                            _ = phase.wait_for(|phase| *phase == Phase::Correlate) => None,
                        }
                    };
                    let (restored, swept) = tokio::join!(driver.restore(original.as_ref(), true), timeout(LAST, swept));
                    *dirty = false;
                    settled.restored(restored);
                    match swept {
                        Ok(Some(completed)) => settled.take_swept(&completed),
                        Ok(None) => {}
                        Err(_) => settled.end(Exit::CleanupUnfinished, UNSWEPT),
                    }
                    return None;
                }
            }
        };
        if matches!(completed.exit, Exit::Refused | Exit::CleanupUnfinished) {
            return self.recover(order, completed).await;
        }
        self.judge(order, completed)
    }

    /// That a trial could not begin, or not be cleaned up, may come of its values: of an API that takes all connections of
    /// the database. With the original back the database is asked again. None where it is not that.
    async fn recover(&mut self, order: &Order, completed: Completed) -> Option<Result<Measured, Failure>> {
        let Completed { exit, problems, report, .. } = completed;
        // What cannot be deleted now cannot be deleted later.
        let counted = report.as_ref().and_then(|report| report.cleanup.as_ref());
        let blocked = counted.is_some_and(|cleanup| cleanup.remaining + cleanup.quarantined > 0);
        let run = report.as_ref().map(|report| report.run.id);
        let restored = self.driver.restore(self.original.as_ref(), false).await;
        self.dirty = restored.is_err();
        if !blocked && restored.is_ok() {
            let compiled = self.compile(order)?;
            let recovered = tokio::select! {
                recovered = recovery::recovered(&compiled, run.filter(|_| exit == Exit::CleanupUnfinished)) => recovered,
                () = self.handle.stopped() => false,
            };
            if recovered {
                return Some(Err(Failure::NothingMeasured(problems.join("; "))));
            }
        }
        self.settled.restored(restored);
        self.settled.end(exit, problems.join("\n"));
        None
    }

    fn compile(&mut self, order: &Order) -> Option<Compiled> {
        let load = TrialLoad { warmup: order.warmup, duration: order.duration, factor: order.factor, seed: order.seed };
        let settings = Settings { run: RunId::new(fastrand::u64(..)), trial: Some(load), ..self.settings.clone() };
        let (compiled, diagnostics) = compile(self.source, settings);
        if compiled.is_none() {
            // It compiled when the tune began: a file beside the plan has changed.
            self.settled.end(Exit::InvalidPlan, diagnostics.to_string());
        }
        compiled
    }

    /// What a run says of the values it was made under. None where no other could be made either.
    fn judge(&mut self, order: &Order, completed: Completed) -> Option<Result<Measured, Failure>> {
        for problem in &completed.problems {
            if !self.told.contains(problem) {
                tracing::info!(%problem, "trial");
                self.told.push(problem.clone());
            }
        }
        let why = || completed.problems.first().cloned().unwrap_or_default();
        match completed.exit {
            Exit::InvalidPlan | Exit::AddressTaken => {
                self.settled.end(completed.exit, completed.problems.join("\n"));
                return None;
            }
            _ => {}
        }
        if let Some(how) = self.driver.lost() {
            return Some(Err(Failure::TargetLost(how)));
        }
        if matches!(completed.exit, Exit::SetupFailed | Exit::SetupTimeout) {
            return Some(Err(Failure::NothingMeasured(why())));
        }
        let (Some(mut measured), Some(report)) = (completed.measured, completed.report) else {
            return Some(Err(Failure::NothingMeasured(why())));
        };
        if measured.requests == 0 {
            return Some(Err(Failure::NothingMeasured("no request ended after the warm-up".to_owned())));
        }
        measured.invalid = report.fidelity.reasons.clone();
        if !report.run.paused.is_zero() {
            let held = humantime::format_duration(Duration::from_millis(report.run.paused.as_millis() as u64));
            measured.invalid.push(format!("the load was held for {held}"));
        }
        let correlation = report.correlation.unwrap_or_default();
        measured.bands = correlation.attribution.map(|attribution| attribution.bands).unwrap_or_default();
        let seen = correlation.timelines.and_then(|timelines| timelines.timelines.pool).and_then(|pool| pool.seen_max);
        if let (Some(seen), Some(knob)) = (seen, &self.pool_knob)
            && let Some(set) = order.setting.get(knob)
        {
            if set.trim().parse() != Ok(seen) {
                return Some(Err(Failure::NotInEffect(format!("{knob}={set} was set, and the pool says {seen}"))));
            }
            measured.read_back = Some(format!("{knob}={seen}"));
        }
        Some(Ok(measured))
    }
}
