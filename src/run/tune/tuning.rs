//! A tune from its plan to its verdict: compiled as a whole, admitted, tried, and everything put back.

use super::ask::Asker;
use super::capacity;
use super::driver::Driver;
use super::figures::Goals;
use super::leftover::{Leftover, Mark, MarkError};
use super::load::TrialLoad;
use super::settled::{About, Settled, Tuned};
use super::trial::Runner;
use crate::measure::LayoutBuilder;
use crate::plan::{Diagnostics, Plan, Span, TuneDocument};
use crate::report::Exit;
use crate::run::compile::{Compiled, compile};
use crate::run::completed::{Completed, chain};
use crate::run::handle::Handle;
use crate::run::{Progress, Settings, Source};
use crate::tune::apply::Guardian;
use crate::tune::{Budget, Ended, Experiment, Hold, Knob, Order, Setting, Terms, Trial};
use crate::{client, workflow};
use std::cell::RefCell;

/// A tune that is ready to be run.
pub struct Tuning {
    source: Source,
    settings: Settings,
    /// As it was read.
    plan: Plan,
    terms: Terms,
    driver: Driver,
    /// The run of a first trial, and of a hold: what they ask of the guard is known before anything is sent.
    first: Compiled,
    hold: Compiled,
    handle: Handle,
}

/// What happens while it runs.
#[derive(Debug)]
pub enum News<'a> {
    /// A tune that was killed left values in effect; they are put back first.
    Leftover(&'a Leftover),
    /// What a person should know before it begins.
    Note(&'a str),
    /// A trial comes: where the experiment stands.
    Standing(&'a crate::tune::Progress<'a>),
    /// Values are being set.
    Applying(&'a Order),
    /// A trial's run.
    Running(&'a Order, &'a Progress),
    /// A trial was made, or failed.
    Made(&'a Trial),
    /// The original is being put back.
    Restoring,
}

// === impl Tuning ===

impl Tuning {
    /// Reads a plan and compiles what its section `tune` asks for. None where the diagnostics have an error. Nothing is
    /// started and nothing is sent.
    pub fn compile(source: Source, settings: Settings, guardian: Guardian) -> (Option<Self>, Diagnostics) {
        let load = |factor, duration, warmup| TrialLoad { warmup, duration, factor, seed: 0 };
        let (plan, mut diagnostics) = crate::plan::read(&source.name, &source.bytes, &settings.variables);
        let Some(plan) = plan else { return (None, diagnostics) };
        let Some(tune) = plan.later.tune.clone() else {
            if !diagnostics.has_errors() {
                diagnostics.error(Span::new(1, 1), "the plan has no section `tune`").hint(
                    "tune: { knobs: { PG_POOL_MAX: [4, 8, 16] }, apply: { process: { command: [node, server.mjs] } } }",
                );
            }
            return (None, diagnostics);
        };
        let trial = |factor, duration| {
            let load = load(factor, duration, tune.trial.warmup.value);
            compile(&source, Settings { trial: Some(load), ..settings.clone() })
        };
        let (first, mut diagnostics) = trial(1.0, tune.trial.duration.value);
        let (hold, held) = trial(tune.hold.factor.value, tune.hold.duration.value);
        let driver = driver(&plan, &tune, &source, &settings, Some(guardian), &mut diagnostics);
        let (Some(first), Some(hold)) = (first, hold) else {
            let worse = if diagnostics.has_errors() { diagnostics } else { held };
            return (None, worse);
        };
        let handle = Handle::of_tune(&first);
        let terms = first.goals.as_ref().map(|goals| terms(&tune, goals));
        let tuning = driver.zip(terms).map(|(driver, terms)| Self {
            source,
            settings,
            plan,
            terms,
            driver,
            first,
            hold,
            handle,
        });
        (tuning.filter(|_| !diagnostics.has_errors()), diagnostics)
    }

    /// What steers this tune: the trial that runs, and the whole.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends a tune that cannot begin for a reason of the caller's, with `exit`.
    pub async fn give_up(self, exit: Exit, problem: String) -> Completed {
        self.first.give_up(exit, problem).await
    }

    /// Puts back what a killed tune left, and nothing else.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn restore(mut self) -> Result<Option<Leftover>, String> {
        let (mark, leftover) = Mark::take(&self.source).map_err(|error| chain(&error))?;
        let Some(leftover) = leftover else {
            mark.clear();
            return Ok(None);
        };
        self.first.admit_guard().map_err(|refusal| refusal.to_string())?;
        self.driver.restore(Some(&leftover.original), false).await?;
        mark.clear();
        Ok(Some(leftover))
    }

    /// Makes the trials, and says what they come to. `show` hears what happens.
    ///
    /// Dropping the future leaves the values that were set last in effect, and ends what was started.
    pub async fn run(self, show: impl FnMut(&News<'_>)) -> Tuned {
        let Self { source, settings, plan, mut terms, mut driver, first, hold, handle } = self;
        let show = RefCell::new(show);
        let tell = |news: &News<'_>| (show.borrow_mut())(news);
        let about = About::of(&source, &plan, &first);
        let mut settled = Settled::default();
        let mark = match begin(&source, &mut driver, &terms, [&first, &hold], &tell, &mut settled).await {
            Ok(mark) => mark,
            Err((exit, problem)) => {
                settled.end(exit, problem);
                return settled.tuned(about, terms, None, Vec::new());
            }
        };
        let tune = plan.later.tune.as_ref();
        if let Some(tune) = tune {
            let (infeasible, note) = capacity::infeasible(&plan, tune, &terms).await;
            terms.infeasible = infeasible;
            note.iter().for_each(|note| tell(&News::Note(note)));
        }
        if first.goals.as_ref().is_some_and(|goals| goals.left_out) {
            tell(&News::Note("nothing tells of the pool, so how much of it is used is not judged: correlate.pool"));
        }
        let mut runner = Runner {
            source: &source,
            settings: &settings,
            driver,
            original: terms.original.clone(),
            pool_knob: tune.and_then(|tune| tune.pool_knob.as_ref()).map(|knob| knob.value.clone()),
            mark,
            handle: handle.clone(),
            show: &tell,
            settled,
            told: Vec::new(),
            dirty: false,
        };
        let mut experiment = Experiment::new(terms.clone());
        let ended = experiment.run(&mut runner, |progress| tell(&News::Standing(progress))).await;
        let Runner { mut driver, original, mark, mut settled, dirty, .. } = runner;
        if dirty {
            tell(&News::Restoring);
            settled.restored(driver.restore(original.as_ref(), handle.is_stopped()).await);
        }
        settled.close(mark, original.as_ref());
        settled.stopped(&handle);
        let outcome = match ended {
            Ended::Concluded(outcome) => Some(*outcome),
            Ended::Stopped => None,
        };
        settled.tuned(about, terms, outcome, experiment.trials().to_vec())
    }
}

impl std::fmt::Debug for Tuning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tuning").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// Compiles the section `tune` of a plan: what it is about. Of a plan that is run or checked for its problems alone.
pub(in crate::run) fn check(
    plan: &Plan,
    source: &Source,
    settings: &Settings,
    layout: &LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<Goals> {
    let tune = plan.later.tune.as_ref()?;
    let correlate = plan.later.correlate.as_ref();
    // What a plan does not write is judged only where it says that the pool is seen.
    let sees_pool = correlate.is_some_and(|section| section.pool.is_some());
    let goals = Goals::compile(tune, sees_pool, layout, diagnostics);
    let may_see = sees_pool || correlate.is_some_and(|section| section.postgres.is_some() || section.traces.is_some());
    if let Some(span) = goals.of_pool.filter(|_| !may_see) {
        diagnostics
            .warning(span, "nothing tells of the pool: this constraint cannot be judged")
            .hint("correlate: { pool: { http: { url: /stats, used: $.pool.used, max: $.pool.max } } }");
    }
    if settings.trial.is_none() {
        let _ = driver(plan, tune, source, settings, None, diagnostics);
    }
    Some(goals)
}

// === helpers ===

/// What must be before the first trial: the guard admits the load, of a hold too, the target can be set, and what a
/// killed tune left is put back. The mark beside the plan, where something outlives the tune.
async fn begin(
    source: &Source,
    driver: &mut Driver,
    terms: &Terms,
    [first, hold]: [&Compiled; 2],
    tell: &impl Fn(&News<'_>),
    settled: &mut Settled,
) -> Result<Option<Mark>, (Exit, String)> {
    if !settled.admit(first).await {
        return Err((Exit::Refused, String::new()));
    }
    let refused = |problem: &str| (Exit::Refused, format!("refused to start: {problem}"));
    hold.admit_guard().map_err(|refusal| {
        refused(&format!("`tune.hold` is more than is allowed: {refusal}\n    hint: {}", refusal.hint()))
    })?;
    driver.admit(terms.knobs.iter().map(|knob| knob.name.as_str())).await.map_err(|problem| refused(&problem))?;
    let (mark, leftover) = match Mark::take(source) {
        Ok(taken) => taken,
        // A process of ours needs no mark.
        Err(MarkError::Io { .. }) if !driver.leaves_something() => return Ok(None),
        Err(error) => return Err(refused(&chain(&error))),
    };
    if let Some(leftover) = leftover.filter(|_| driver.leaves_something()) {
        tell(&News::Leftover(&leftover));
        driver.restore(Some(&leftover.original), false).await.map_err(|problem| {
            let original = &leftover.original;
            refused(&format!(
                "a killed tune left its values in effect, and the original, {original}, cannot be put back: {problem}"
            ))
        })?;
    }
    if driver.leaves_something() && terms.original.is_some() {
        return Ok(Some(mark));
    }
    mark.clear();
    Ok(None)
}

/// The way of setting values. Without a guardian for its problems alone.
fn driver(
    plan: &Plan,
    tune: &TuneDocument,
    source: &Source,
    settings: &Settings,
    guardian: Option<Guardian>,
    diagnostics: &mut Diagnostics,
) -> Option<Driver> {
    let guard = crate::guard::compile(plan, &mut Diagnostics::new(""));
    let client = client::Overrides { hosts: Some(guard.host_filter()), ..settings.client.clone() };
    let environment = workflow::Environment::new(settings.variables.given.clone());
    let asker = Asker::new(plan, client, environment, source.directory.clone());
    let guardian = guardian.unwrap_or_else(Guardian::this_program);
    Driver::compile(tune, &asker, &settings.variables, &source.directory, guardian, diagnostics)
}

fn terms(tune: &TuneDocument, goals: &Goals) -> Terms {
    let knob = |knob: &crate::plan::KnobDocument| Knob {
        name: knob.name.value.clone(),
        values: knob.values.iter().map(|value| value.text.value.clone()).collect(),
    };
    // In the order of the knobs, whatever the plan's.
    let today = |knob: &crate::plan::KnobDocument| {
        let (name, value) = tune.original.iter().find(|(name, _)| name.value == knob.name.value)?;
        Some((name.value.clone(), value.text.value.clone()))
    };
    let original: Option<Setting> = tune.knobs.iter().map(today).collect();
    Terms {
        knobs: tune.knobs.iter().map(knob).collect(),
        original,
        infeasible: Vec::new(),
        objective: goals.objective.clone(),
        constraints: goals.constraints.clone(),
        warmup: tune.trial.warmup.value,
        duration: tune.trial.duration.value,
        hold: Some(Hold { factor: tune.hold.factor.value, duration: tune.hold.duration.value }),
        budget: Budget {
            trials: u32::try_from(tune.budget.trials.value).unwrap_or(u32::MAX),
            time: tune.budget.time.value,
        },
        seed: fastrand::u64(..),
    }
}
