//! Lets each room compile its part of the plan; `check` ends here.

use super::board::Board;
use super::correlate::{self, CorrelationPlan};
use super::embed::InProcess;
use super::export;
use super::guard as guarding;
use super::kept;
use super::redis;
use super::slo;
use super::timelines::{self, TimelinesPlan};
use super::tune::{self, Figures, Goals};
use super::undo::UndoPlace;
use super::{Mode, Settings, Source};
use crate::cleanup::redis::RedisPlan;
use crate::cleanup::{self, CleanupPlan, Fence};
use crate::client;
use crate::export::Output;
use crate::guard::{self, Guard};
use crate::judge::{self, Intervals, Judges, Stationarity};
use crate::load::{self, Allow, Control, LoadPlan, Segment, Stop, Stripes};
use crate::measure::{Layout, LayoutBuilder, Slos, Thresholds};
use crate::plan::{self, Diagnostics, Plan, Span, When};
use crate::report::TrendStats;
use crate::semconv::{self, RunId};
use crate::workflow::{self, Program};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

/// A run that is ready to be driven.
pub struct Compiled {
    pub(super) run: RunId,
    pub(super) mode: Mode,
    pub(super) plan: Plan,
    pub(super) guard: Guard,
    /// What of it a running run obeys.
    pub(super) guarding: guarding::GuardPlan,
    pub(super) cleanup: Option<CleanupPlan>,
    pub(super) correlation: Option<CorrelationPlan>,
    pub(super) timelines: Option<TimelinesPlan>,
    pub(super) outputs: Vec<Output>,
    pub(super) redis: Option<RedisPlan>,
    /// Closed to requests once the lease may be lost.
    pub(super) fence: Fence,
    pub(super) undo: Option<UndoPlace>,
    pub(super) slos: Slos,
    /// Of the plan's text, before anything was filled in.
    pub(super) digest: String,
    pub(super) client: client::Shared,
    pub(super) program: Arc<Program>,
    pub(super) load: LoadPlan,
    pub(super) thresholds: Thresholds,
    pub(super) judges: Judges,
    pub(super) intervals: Intervals,
    pub(super) stationarity: Stationarity,
    /// What the plan's section `tune` is about.
    pub(super) goals: Option<Goals>,
    /// What is read where the run is a trial of a tune.
    pub(super) figures: Option<Figures>,
    /// Whether flags replaced the plan's scenarios.
    pub(super) replaced: bool,
    pub(super) layout: Arc<Layout>,
    pub(super) workers: NonZeroUsize,
    /// Which part of the run this machine plays.
    pub(super) segment: String,
    /// Whether all that is counted is kept for a result or a report.
    pub(super) keeps: bool,
    pub(super) trend_stats: TrendStats,
    pub(super) stop: Stop,
    pub(super) control: Control,
    pub(super) board: Arc<Board>,
    /// A target in this process, in the place of connections.
    pub(super) target: Option<InProcess>,
}

/// Reads a plan and lets each room compile its part. None where the diagnostics have an error.
///
/// Data files are read; nothing else is touched, and nothing is sent.
pub fn compile(source: &Source, settings: Settings) -> (Option<Compiled>, Diagnostics) {
    compile_changed(source, settings, |_| ())
}

/// The same, after `change` has changed what was read.
pub(super) fn compile_changed(
    source: &Source,
    settings: Settings,
    change: impl FnOnce(&mut Plan),
) -> (Option<Compiled>, Diagnostics) {
    let (plan, mut diagnostics) = plan::read(&source.name, &source.bytes, &settings.variables);
    let no_cleanup = settings.overrides.no_cleanup;
    let mut compiled = plan.and_then(|mut plan| {
        change(&mut plan);
        let allow = settings.mode.allows();
        rooms(plan, source, settings, allow, &mut diagnostics)
    });
    if let Some(compiled) = &mut compiled {
        let never = compiled.plan.cleanup.as_ref().is_some_and(|section| section.when.value == When::Never);
        compiled.undo = Some(UndoPlace::beside(source, no_cleanup || never));
    }
    (compiled.filter(|_| !diagnostics.has_errors()), diagnostics)
}

/// Reads a plan, compiles it, and adds what it could do better. None where it has an error.
pub fn check(source: &Source, settings: Settings) -> (Option<Compiled>, Diagnostics) {
    let (plan, mut diagnostics) = plan::read(&source.name, &source.bytes, &settings.variables);
    let compiled = plan.and_then(|plan| {
        plan::advice::advise(&plan, &mut diagnostics);
        // Nobody knows yet whether it is a run's or a canary's.
        let allow = Allow { endless: true, ..settings.mode.allows() };
        rooms(plan, source, settings, allow, &mut diagnostics)
    });
    (compiled.filter(|_| !diagnostics.has_errors()), diagnostics)
}

/// Every room gets its turn even where one before it found an error, so that all errors are told at once.
fn rooms(
    mut plan: Plan,
    source: &Source,
    settings: Settings,
    allow: Allow,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    settings.mode.complete(&mut plan);
    settings.overrides.apply(&mut plan, diagnostics);
    if let Some(trial) = &settings.trial {
        trial.apply(&mut plan, diagnostics);
    }
    let guard = guard::compile(&plan, diagnostics);
    let cleanup = plan
        .cleanup
        .as_ref()
        .and_then(|section| cleanup::compile(section, settings.run, diagnostics))
        .filter(|cleanup| cleanup.when != When::Never || cleanup.has_ledger());
    let redis = redis::compile(&plan, settings.run, diagnostics);
    let mut client = settings.client.clone();
    let fence = Fence::default();
    client.hosts = Some(super::lease::fenced(guard.host_filter(), fence.clone()));
    client.secret = client.secret.or_else(|| settings.variables.environment.get(semconv::SECRET).cloned());
    let segment = Segment::parse(settings.segment.as_deref(), settings.segment_sequence.as_deref()).map_err(|error| {
        diagnostics.error(Span::NONE, format!("--execution-segment: {error}"));
    });
    let segment = segment.ok();
    client.share = segment.as_ref().map(|segment| segment.stripes().share());
    let mut client = client::compile(&plan, &client, diagnostics);
    let mut layout = LayoutBuilder::new(settings.tags.clone());
    let seed = settings.trial.as_ref().map(|trial| trial.seed);
    let environment = workflow::Environment::new(settings.variables.given.clone()).with_seed(seed);
    let program = workflow::compile(&plan, &environment, &source.directory, settings.run, &mut layout, diagnostics);
    let thresholds = Thresholds::compile(&plan.thresholds, &mut layout, diagnostics);
    let correlation = correlate::compile(&plan, &settings.variables, &mut layout, diagnostics);
    let timelines = timelines::compile(&plan, &mut layout, diagnostics);
    let outputs = export::compile(&plan, &settings.variables, correlation.as_ref(), &mut layout, diagnostics);
    let slos = Slos::compile(&plan.later.slo, &mut layout, diagnostics);
    let goals = tune::check(&plan, source, &settings, &layout, diagnostics);
    let figures = settings
        .trial
        .as_ref()
        .zip(plan.later.tune.as_ref())
        .and_then(|(trial, tune)| Figures::prepare(tune, trial.warmup, trial.duration, &mut layout));
    let endless = settings.mode == Mode::Canary;
    let judges = if endless {
        not_judged(&plan, diagnostics)
    } else {
        judges(&plan, settings.overrides.replaces_scenarios(), &mut layout, diagnostics)
    };
    let sees_pool = timelines.as_ref().is_some_and(TimelinesPlan::sees_pool);
    let guarding = guarding::compile(&plan, source, cleanup.as_ref(), sees_pool, &mut layout, diagnostics);
    let (segment, mut program) = (segment?, program?);
    let stripes = segment.stripes().clone();
    if stripes != Stripes::whole()
        && let Some(program) = Arc::get_mut(&mut program)
    {
        program.limit_to(&workflow::Part::new(move |k| stripes.nth(k)));
    }
    let keeps = settings.keep || file(plan.report.as_ref()).is_some();
    if keeps {
        kept::prepare(&mut layout);
    }
    let mut load = load::compile(&plan.scenarios, program.scenarios(), &segment, allow, diagnostics)?;
    load.reseed(seed.unwrap_or(0));
    let workers = settings.workers.unwrap_or_else(|| workers(&load));
    let control = Control::new(&load);
    client.gate = Some(control.gate().clone());
    client.back_off = Some(guarding.back_off(&control));
    // What a run of its length is judged by says nothing of one that has none, and takes memory.
    let (intervals, stationarity) = if endless {
        (Intervals::default(), Stationarity::default())
    } else {
        (Intervals::prepare(&mut layout), Stationarity::prepare(&plan.scenarios, &mut layout))
    };
    let layout = layout.build();
    slo::warn(&slos, &plan, &layout, &load, diagnostics);
    Some(Compiled {
        run: settings.run,
        mode: settings.mode,
        guard,
        guarding,
        cleanup,
        correlation,
        timelines,
        outputs,
        redis,
        fence,
        undo: None,
        digest: super::lease::digest(&source.bytes),
        client: client::Shared::new(client),
        program,
        thresholds,
        judges,
        intervals,
        stationarity,
        slos,
        goals,
        figures,
        replaced: settings.overrides.replaces_scenarios(),
        layout,
        workers,
        segment: segment.to_string(),
        keeps,
        trend_stats: settings.trend_stats,
        stop: Stop::new(),
        control,
        board: Board::new(&plan.name.value, load.planned_vus()),
        load,
        plan,
        target: None,
    })
}

/// A canary has no end that judges could look back from.
fn not_judged(plan: &Plan, diagnostics: &mut Diagnostics) -> Judges {
    if let Some(document) = &plan.later.judge {
        diagnostics
            .warning(document.span, "`judge` is not obeyed: it judges a whole run, and a canary has no end")
            .hint("`slo` judges what goes on");
    }
    Judges::default()
}

/// Compiles the judges. Where flags replaced the scenarios, what then cannot be judged (a spike that is no longer
/// there) is left out with a warning: the flags are for a quick look, not for another plan.
fn judges(plan: &Plan, replaced: bool, layout: &mut LayoutBuilder, diagnostics: &mut Diagnostics) -> Judges {
    let Some(document) = &plan.later.judge else { return Judges::default() };
    if !replaced {
        return judge::compile(document, &plan.scenarios, layout, diagnostics);
    }
    let mut found = Diagnostics::new(diagnostics.file.clone());
    let judges = judge::compile(document, &plan.scenarios, layout, &mut found);
    for problem in found.sorted() {
        let told = diagnostics.warning(problem.span, format!("not judged: {}", problem.message));
        told.hint("flags replaced the scenarios that the plan judges");
    }
    judges
}

/// As many workers as this process may use cores, and no more than have something to do.
fn workers(load: &LoadPlan) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let useful = usize::try_from(load.useful_workers()).ok().and_then(NonZeroUsize::new);
    useful.map_or(cores, |useful| useful.min(cores))
}

// === impl Compiled ===

impl Compiled {
    /// The run's id.
    #[must_use]
    pub const fn run(&self) -> RunId {
        self.run
    }

    /// The plan's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.plan.name.value
    }

    /// Whether the run deletes what it causes.
    #[must_use]
    pub fn cleans_up(&self) -> bool {
        let rows = self.cleanup.as_ref().is_some_and(|cleanup| cleanup.when != When::Never);
        rows || self.redis.is_some() || self.program.has_undo()
    }

    /// The file of the plan's `summary:`, where it names one.
    #[must_use]
    pub fn summary_file(&self) -> Option<PathBuf> {
        file(self.plan.summary.as_ref()).map(PathBuf::from)
    }

    /// Where the plan's `report:` goes, where it names something.
    #[must_use]
    pub fn report_file(&self) -> Option<&str> {
        file(self.plan.report.as_ref())
    }

    /// The plan in one line: scenarios, steps, thresholds, the longest it may take.
    #[must_use]
    pub fn outline(&self) -> String {
        let steps: usize = self.plan.workflows.iter().map(|workflow| workflow.steps.len()).sum();
        let longest = self.load.duration().map_or_else(
            || "endless".to_owned(),
            |duration| format!("at most {}", humantime::format_duration(duration)),
        );
        format!(
            "{} of {}, {}, {longest}",
            count(self.plan.scenarios.len(), "scenario"),
            count(steps, "step"),
            count(self.plan.thresholds.len(), "threshold"),
        )
    }
}

/// What a key names; an empty text is as if it were not there.
fn file(text: Option<&plan::Text>) -> Option<&str> {
    text.map(|text| text.value.trim()).filter(|text| !text.is_empty())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
