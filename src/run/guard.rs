//! The guard of a running run: what holds its traffic, and lets go of it again.
//!
//! The decisions are others' ([`crate::guard`]); here they meet a clock, a disk and the load. Each
//! holds the traffic for a reason of its own, and it goes on when the last one lets go.

use super::compile::Compiled;
use super::completed::{Findings, chain};
use super::reporter::held_by;
use super::settings::Source;
use super::state::{State, StateError, StatePlace};
use super::treasury::{LAST_WORDS, Treasury};
use crate::cleanup::CleanupPlan;
use crate::client::BackOff;
use crate::guard::{Breaker, Budget, Condition, Move};
use crate::load::{Control, HeldBy, Stop};
use crate::measure::{Gate, LayoutBuilder, Purse, Totals};
use crate::plan::{Diagnostics, Plan};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// How often the stop file is looked for.
const LOOK: Duration = Duration::from_millis(250);
/// How long a look may take: a disk that is gone does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What of the guard a running run obeys.
#[derive(Debug)]
pub(super) struct GuardPlan {
    conditions: Vec<Condition>,
    stop_file: Option<PathBuf>,
    budgets: Vec<Budget>,
    /// Where what is spent is kept.
    place: StatePlace,
    patience: Patience,
}

/// Holds the traffic and lets go of it while a run lives. Its tasks end when it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    tasks: JoinSet<()>,
    kept: Option<Kept>,
}

/// Budgets, their state, and the task that keeps them.
#[derive(Debug)]
struct Kept {
    treasury: Arc<Treasury>,
    state: State,
    task: JoinSet<()>,
}

/// Asks the conditions once a second, beside the reporter.
#[derive(Debug)]
pub(super) struct Conditions {
    breaker: Breaker,
    control: Control,
    /// Whether the schedule runs for a probe that is wanted.
    probing: bool,
}

/// Until when the target asked to be left alone.
#[derive(Clone, Debug, Default)]
struct Patience(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    until: Mutex<Option<Instant>>,
    changed: Notify,
}

/// Compiles what a running run obeys, after all metrics were added to `layout`.
pub(super) fn compile(
    plan: &Plan,
    source: &Source,
    cleanup: Option<&CleanupPlan>,
    sees_pool: bool,
    layout: &mut LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> GuardPlan {
    let guard = plan.guard.as_ref();
    let texts = guard.map_or(&[][..], |guard| &guard.pause_when);
    for text in texts.iter().filter(|text| text.trim_start().starts_with("pool_") && !sees_pool) {
        diagnostics
            .warning(text.span, format!("nothing tells of the pool: `{}` never pauses anything", text.value))
            .hint("correlate: { pool: { http: { url: /stats, used: $.pool.used, max: $.pool.max } } }");
    }
    let stop_file = guard.and_then(|guard| guard.stop_file.as_ref()).filter(|file| !file.trim().is_empty());
    GuardPlan {
        conditions: crate::guard::compile_conditions(texts, layout, diagnostics),
        stop_file: stop_file.map(|file| source.directory.join(file.trim())),
        budgets: crate::guard::compile_budgets(guard.map_or(&[], |guard| &guard.budget), layout, diagnostics),
        place: StatePlace::of(cleanup, source, &plan.name),
        patience: Patience::default(),
    }
}

// === impl GuardPlan ===

impl GuardPlan {
    /// Who hears that the target asks to be left alone.
    pub(super) fn back_off(&self, control: &Control) -> BackOff {
        let (patience, control) = (self.patience.clone(), control.clone());
        Arc::new(move |wait| patience.ask(&control, wait))
    }

    /// Begins to watch. When this returns, a kill switch that is on holds the traffic, and what budgets have spent so
    /// far is known.
    pub(super) async fn start(&self, run: &Compiled, findings: &mut Findings) -> Result<Keeper, StateError> {
        let (control, mut tasks) = (&run.control, JoinSet::new());
        let mut kept = None;
        if !self.budgets.is_empty() {
            let (state, set_aside) = State::open(self.place.clone()).await?;
            if let Some(set_aside) = set_aside {
                findings.note(set_aside.to_string());
            }
            let treasury = Treasury::open(&self.budgets, run.run, state.clone()).await?;
            let mut task = JoinSet::new();
            task.spawn(Arc::clone(&treasury).keep(control.clone()));
            kept = Some(Kept { treasury, state, task });
        }
        let purse = kept.as_ref().map(|kept| Arc::clone(&kept.treasury) as Arc<dyn Purse>);
        let metrics = self.budgets.iter().map(|budget| budget.metric).collect();
        run.program.restrain(control.gate().clone(), metrics, purse);
        tasks.spawn(self.patience.clone().serve(control.clone()));
        if let Some(file) = self.stop_file.clone() {
            look(&file, control).await;
            tasks.spawn(watch(file, control.clone()));
        }
        Ok(Keeper { tasks, kept })
    }

    /// Where what outlives a restart stands.
    pub(super) const fn place(&self) -> &StatePlace {
        &self.place
    }

    /// What asks the conditions while the load lives.
    pub(super) fn conditions(&self, control: &Control) -> Conditions {
        Conditions { breaker: Breaker::new(self.conditions.clone()), control: control.clone(), probing: false }
    }
}

// === impl Compiled ===

impl Compiled {
    /// Whether requests around the load may leave, now or within 5 s. Where not, it is told what was not done for it.
    pub(super) async fn lets(&self, undone: &str, findings: &mut Findings) -> bool {
        let gate = self.control.gate();
        if tokio::time::timeout(Stop::DRAIN, gate.pass(None)).await.is_ok() {
            return true;
        }
        findings.note(format!("{undone}: traffic is held: {}", held_by(&self.control).join("; ")));
        false
    }
}

/// The time of a phase around the load: what the guard holds it for does not count. A run that is stopped while it is
/// held has none left.
pub(super) async fn patience(limit: Duration, gate: Gate, stop: Stop) {
    let mut left = limit;
    loop {
        tokio::select! {
            biased;
            () = gate.pass(None) => {}
            () = stop.stopped() => return,
        }
        let begun = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(left) => return,
            () = gate.closed() => left = left.saturating_sub(begun.elapsed()),
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// What outlives a restart, where budgets have opened it.
    pub(super) fn state(&self) -> Option<State> {
        self.kept.as_ref().map(|kept| kept.state.clone())
    }

    /// Ends the watching, and tells what held the traffic for how long. What budgets did not use is given back.
    pub(super) async fn end(mut self, control: &Control, findings: &mut Findings) {
        self.tasks.shutdown().await;
        if let Some(kept) = self.kept.take()
            && let Err(error) = kept.close().await
        {
            let problem = chain(&error);
            findings.note(format!("the budget could not be closed, what was on lease counts as spent: {problem}"));
        }
        let now = Instant::now();
        for (by, held) in control.history().into_iter().filter(|(by, _)| *by != HeldBy::Operator) {
            let lasted = held.lasted + held.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            let (times, seconds) = (held.times, lasted.as_secs_f64());
            let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
            findings.note(format!("{} held the traffic {times}, {seconds:.1}s: {}", named(by), held.reason));
        }
    }
}

// === impl Kept ===

impl Kept {
    async fn close(mut self) -> Result<(), StateError> {
        self.treasury.stop();
        // A change of the book that is under way is waited for: what it told must not be lost.
        let ended = tokio::time::timeout(LAST_WORDS, self.task.join_next()).await;
        if ended.is_err() {
            return Err(StateError::Thread("it took too long".to_owned()));
        }
        self.treasury.close().await?;
        self.state.close().await
    }
}

// === impl Conditions ===

impl Conditions {
    /// Looks at the figures so far, `at` a time since the load's start.
    pub(super) fn look(&mut self, totals: &Totals, at: Duration) {
        if self.breaker.is_empty() {
            return;
        }
        let gate = self.control.gate().clone();
        let read =
            |condition: &Condition| Some((totals.series(condition.series, at)?, totals.target_now(condition.metric)));
        let alone = self.control.is_held_by_condition_only();
        match self.breaker.look(at, read, gate.probe(), alone) {
            Move::Stay => {}
            Move::Pause(reason) => {
                self.control.hold(HeldBy::Condition, &reason);
            }
            Move::Try(reason) => {
                self.control.hold(HeldBy::Condition, &reason);
                // Where nobody waits at the gate, the next that is due is the one.
                self.probing = gate.waiting() == 0;
                gate.offer();
                self.control.probe(self.probing);
            }
            Move::Resume => {
                self.control.release(HeldBy::Condition);
            }
        }
    }

    /// Waits until the probe is under way for which the schedule was let run: [`Self::stop_again`] is due. For ever
    /// where there is none.
    pub(super) async fn taken(&self) {
        if self.probing {
            self.control.gate().taken().await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Stops the schedule again.
    pub(super) fn stop_again(&mut self) {
        self.probing = false;
        self.control.probe(false);
    }

    /// The load is over: nobody judges any more.
    pub(super) fn end(&self) {
        self.control.release(HeldBy::Condition);
    }
}

// === impl Patience ===

impl Patience {
    /// The target asks to be left alone from now on.
    fn ask(&self, control: &Control, wait: Duration) {
        let until = Instant::now() + wait;
        let mut asked = self.asked();
        if asked.is_none_or(|before| before < until) {
            *asked = Some(until);
            // Under the lock, so that nobody lets go of what has just been asked for.
            control.hold(HeldBy::Target, &format!("the target's Retry-After of {}", seconds(wait)));
            self.0.changed.notify_one();
        }
    }

    /// Lets go when the time has come.
    async fn serve(self, control: Control) {
        loop {
            let until = *self.asked();
            match until {
                None => self.0.changed.notified().await,
                Some(until) => {
                    tokio::time::sleep_until(until).await;
                    let mut asked = self.asked();
                    if *asked == Some(until) {
                        *asked = None;
                        control.release(HeldBy::Target);
                    }
                }
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        // It holds one instant, which is whole.
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === helpers ===

/// Looks for the kill switch's file, again and again.
async fn watch(file: PathBuf, control: Control) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        look(&file, &control).await;
    }
}

/// Holds the traffic while the file is there; also where nobody can tell, because a kill switch must not fail open.
async fn look(file: &std::path::Path, control: &Control) {
    let path = file.to_owned();
    let looked = tokio::task::spawn_blocking(move || std::fs::symlink_metadata(path).map(drop).map_err(|it| it.kind()));
    let there = match tokio::time::timeout(PATIENCE, looked).await {
        Ok(Ok(Ok(()))) => Ok(true),
        Ok(Ok(Err(ErrorKind::NotFound | ErrorKind::NotADirectory))) => Ok(false),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) => Err("it could not be looked for".to_owned()),
        Err(_) => Err("the disk does not answer".to_owned()),
    };
    match there {
        Ok(true) => control.hold(HeldBy::StopFile, &format!("the stop file {} exists", file.display())),
        Ok(false) => control.release(HeldBy::StopFile),
        Err(problem) => control.hold(
            HeldBy::StopFile,
            &format!("whether the stop file {} exists is not known: {problem}", file.display()),
        ),
    };
}

const fn named(by: HeldBy) -> &'static str {
    match by {
        HeldBy::Operator => "an operator",
        HeldBy::StopFile => "the stop file",
        HeldBy::Signal => "a signal",
        HeldBy::Target => "the target",
        HeldBy::Budget => "the budget",
        HeldBy::Condition => "pause_when",
    }
}

fn seconds(wait: Duration) -> String {
    format!("{}s", wait.as_secs().max(1))
}
