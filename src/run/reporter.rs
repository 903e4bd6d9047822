//! The one reporter of a run: merges what the workers hand over, judges the thresholds that
//! abort, says how far the run has come.

use super::board::{Board, Snapshot};
use super::correlate::Feed;
use super::export::tell_gauges;
use super::guard::Conditions;
use super::kept::Keeping;
use super::progress::{Phase, Progress, ScenarioProgress};
use super::recent::Recent;
use super::slo::SloKeeper;
use super::timelines::Watch;
use crate::export::{EventKind, Exports};
use crate::load::{self, Control, HeldBy, Stop, StopReason};
use crate::measure::{MetricId, Reading, Selector, ThresholdResult, Thresholds, Totals};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often VUs are sampled and progress is told, as k6 does.
const SAMPLE: Duration = Duration::from_secs(1);
/// How long after the second: the workers hand over on it, and a sample of before would be of the second before.
const AFTER_HANDOVER: Duration = Duration::from_millis(50);
/// How often thresholds that abort are judged, as k6 does: in samples.
const JUDGE_EVERY: u32 = 2;

/// What the reporter needs while the load lives.
pub(super) struct Reporter<'a> {
    pub(super) totals: &'a mut Totals,
    /// The run over time.
    pub(super) keeping: &'a mut Keeping,
    pub(super) thresholds: &'a Thresholds,
    pub(super) stop: &'a Stop,
    /// Who wants to hear of each thing that happened.
    pub(super) feed: Option<&'a Feed>,
    /// Who watches the target over time.
    pub(super) watch: Option<&'a Watch>,
    /// Who keeps the objectives.
    pub(super) slos: Option<&'a mut SloKeeper>,
    /// Who writes points.
    pub(super) exports: &'a Exports,
    pub(super) control: &'a Control,
    pub(super) board: &'a Board,
    /// What may pause the traffic for its figures.
    pub(super) conditions: Conditions,
    /// The scenarios' names, in the order of the plan, with the selector of their samples.
    pub(super) names: &'a [(String, Selector)],
}

// === impl Reporter ===

impl Reporter<'_> {
    /// Merges until the last worker is through. Answers with the threshold that aborted the run, if one did.
    pub(super) async fn collect(
        mut self,
        mut handovers: load::Reporter,
        progress: Arc<load::Progress>,
        show: &mut impl FnMut(&Progress),
    ) -> Option<ThresholdResult> {
        let mut ticks = tokio::time::interval_at(self.totals.start() + SAMPLE + AFTER_HANDOVER, SAMPLE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut aborted = None;
        let mut tick = 0;
        let mut held = false;
        let mut before: Vec<u64> = vec![0; self.names.len()];
        let mut recent = Recent::new(self.totals.start());
        let mut asked = self.board.open(Arc::clone(&progress));
        loop {
            tokio::select! {
                handover = handovers.receive() => {
                    let Some(mut handover) = handover else { break };
                    self.totals.merge(&handover.recorder);
                    self.keeping.take(&handover.recorder);
                    let stream = Arc::new(handover.recorder.take_stream());
                    if let Some(watch) = self.watch {
                        watch.saw(&stream);
                    }
                    self.exports.record(&stream);
                    if let Some(feed) = self.feed {
                        feed.tell(stream).await;
                    }
                    handover.recorder.clear();
                    handovers.give_back(handover.worker, handover.recorder);
                }
                () = self.conditions.taken() => self.conditions.stop_again(),
                Some(question) = asked.recv() => {
                    let snapshot = Arc::new(self.look(Some(&recent)));
                    self.board.keep(Arc::clone(&snapshot));
                    // Who asked may have gone.
                    let _ = question.send(snapshot);
                }
                _ = ticks.tick() => {
                    tick += 1;
                    if let Some((active, made)) = self.totals.sample_vus() {
                        tell_gauges(self.exports, &[(MetricId::VUS, active), (MetricId::VUS_MAX, made)]);
                    }
                    self.tell_pauses(&mut held);
                    if let Some(watch) = self.watch {
                        tell_gauges(self.exports, &watch.feed(self.totals));
                    }
                    recent.sample(self.totals);
                    let at = Instant::now().saturating_duration_since(self.totals.start());
                    self.conditions.look(self.totals, at);
                    if let Some(slos) = &mut self.slos {
                        slos.tick(self.totals, self.exports);
                    }
                    show(&self.progress(&progress, &mut before));
                    if aborted.is_none() && tick % JUDGE_EVERY == 0 {
                        aborted = self.judge();
                    }
                }
            }
        }
        self.conditions.end();
        self.totals.sample_vus();
        self.board.close(self.look(None));
        aborted
    }

    /// The time since the start; the totals are told how much of it was a pause.
    fn elapsed(&mut self) -> Duration {
        let now = Instant::now();
        self.totals.set_paused(self.control.paused_for(now));
        now.saturating_duration_since(self.totals.start())
    }

    /// The figures of now.
    fn look(&mut self, recent: Option<&Recent>) -> Snapshot {
        let elapsed = self.elapsed();
        Snapshot::of(self.totals, self.thresholds, recent, elapsed)
    }

    /// Tells that the run was paused, or goes on; `held` is what was told last.
    fn tell_pauses(&self, held: &mut bool) {
        let paused = self.control.is_paused();
        if std::mem::replace(held, paused) != paused {
            self.exports.event(if paused { EventKind::Paused } else { EventKind::Resumed });
        }
    }

    /// Stops the run where a threshold says so. Running iterations may finish: what they wrote must be found later.
    fn judge(&mut self) -> Option<ThresholdResult> {
        let elapsed = self.elapsed();
        let failed = self.thresholds.abort(self.totals, elapsed)?;
        self.stop.drain(StopReason::Threshold);
        let (metric, expression) = (failed.metric.clone(), failed.expression.clone());
        self.exports.event(EventKind::Aborted { metric, expression });
        Some(failed)
    }

    fn progress(&self, load: &load::Progress, before: &mut [u64]) -> Progress {
        let now = Instant::now();
        let end = now.saturating_duration_since(self.totals.start());
        let scenarios = load
            .scenarios(now)
            .into_iter()
            .zip(self.names)
            .zip(before)
            .map(|((scenario, (name, selector)), before)| {
                let done = scenario.completed;
                let per_second = done.saturating_sub(*before);
                *before = done;
                let duration = self.totals.trend(MetricId::HTTP_REQ_DURATION, selector, end);
                let (failed, requests) = match self.totals.metric(MetricId::HTTP_REQ_FAILED, selector, end) {
                    Some(Reading::Rate(share)) => (share.passes, share.total),
                    _ => (0, 0),
                };
                #[allow(clippy::cast_precision_loss, reason = "a share for people")]
                let of_iterations = scenario.target.map(|target| done as f64 / target.max(1) as f64);
                let of_time = scenario.duration.map(|all| scenario.elapsed.as_secs_f64() / all.as_secs_f64().max(1e-9));
                #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
                ScenarioProgress {
                    name: name.clone(),
                    share: of_iterations.or(of_time).unwrap_or(0.0).min(1.0),
                    elapsed: scenario.elapsed,
                    planned: scenario.duration,
                    vus: u32::try_from(scenario.active_vus).unwrap_or(u32::MAX),
                    vus_made: u32::try_from(scenario.made_vus).unwrap_or(u32::MAX),
                    iterations: done,
                    iterations_planned: scenario.target,
                    iterations_per_second: per_second as f64,
                    p95_ms: duration.quantile(0.95).map(|figure| figure.value),
                    failed,
                    requests,
                }
            })
            .collect();
        Progress { phase: Phase::Load, paused: self.control.is_paused(), held_by: held_by(self.control), scenarios }
    }
}

/// Why the guard holds the traffic; none where only an operator does.
pub(super) fn held_by(control: &Control) -> Vec<String> {
    let holds = control.holds().into_iter().filter(|(by, _)| *by != HeldBy::Operator);
    holds.map(|(_, reason)| reason).collect()
}
