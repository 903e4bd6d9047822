//! `pacecar cleanup`: finds and deletes the test data that a plan declares.

use super::plan::{self, PlanFile};
use crate::cli::CleanupArgs;
use crate::signals::StopSignals;
use crate::{logging, output};
use pacecar::cleanup::redis::{self, RedisPlan};
use pacecar::cleanup::{self, CleanupOutcome, CleanupPlan, RefusalKind, Sweeper};
use pacecar::plan::{Diagnostics, Plan, Span};
use pacecar::report::{self, CleanupReport, Exit, Style};
use pacecar::run::{self, Compiled, Leftovers, Settings, Source, Undone, explain};
use pacecar::semconv::RunId;
use std::path::Path;

/// What a plan's cleanup is about; at least one of them.
struct Parts {
    rows: Option<CleanupPlan>,
    keys: Option<RedisPlan>,
    /// Where a step has an `undo`: what killed runs left, and, where that is something, what undoes it.
    undo: Option<(Leftovers, Option<Box<Compiled>>)>,
}

pub(crate) async fn execute(args: CleanupArgs) -> Exit {
    let plan_file = match args.words.as_slice() {
        [plan] => plan.as_path(),
        [verb, _] if [Path::new("install"), Path::new("uninstall")].contains(&verb.as_path()) => {
            output::error(&format!("cleanup {}: the row ledger: not yet", verb.display()));
            return Exit::InvalidPlan;
        }
        _ => {
            output::error("cleanup takes one plan: pacecar cleanup PLAN");
            return Exit::InvalidPlan;
        }
    };
    if args.expired {
        output::error("cleanup --expired: leases: not yet. Without a selection all that the roots match is deleted");
        return Exit::InvalidPlan;
    }
    let compiled = match compile(plan_file, &args) {
        Ok(compiled) => compiled,
        Err(exit) => return exit,
    };
    let mut signals = match StopSignals::install() {
        Ok(signals) => signals,
        Err(error) => {
            output::error(&format!("signals cannot be handled: {error}"));
            return Exit::CleanupUnfinished;
        }
    };
    let outcomes = tokio::select! {
        outcomes = sweep_all(compiled, args.dry_run) => outcomes,
        () = signals.next() => {
            output::error("stopped by a signal: test data may be left; run the same command again");
            return Exit::CleanupUnfinished;
        }
    };
    let (outcomes, undone) = outcomes;
    tell(&outcomes, undone, &args)
}

/// The plan's cleanup, narrowed to what was selected.
fn compile(file: &Path, args: &CleanupArgs) -> Result<Parts, Exit> {
    let invalid = |problem: &str| {
        output::error(problem);
        Exit::InvalidPlan
    };
    let variables = plan::variables(&args.env).map_err(|problem| invalid(&problem))?;
    let run = args.run.as_deref().map(str::parse::<RunId>).transpose();
    let run = run.map_err(|error| invalid(&format!("--run: a run id is 16 hex digits: {error}")))?;
    let PlanFile::Read(source) = plan::read(file) else { return Err(Exit::InvalidPlan) };
    let (plan, mut diagnostics) = pacecar::plan::read(&source.name, &source.bytes, &variables);
    let settings = Settings::new(run.unwrap_or_else(super::new_run_id), variables);
    let mut undo = plan.as_ref().and_then(|plan| undo(&source, plan, run, settings, &mut diagnostics));
    let section = plan.as_ref().and_then(|plan| plan.cleanup.as_ref());
    let compiled = match section {
        Some(section) => {
            let id = run.unwrap_or_else(super::new_run_id);
            let rows = cleanup::compile(section, id, &mut diagnostics);
            let keys = section.redis.as_ref().and_then(|keys| redis::compile(keys, id, &mut diagnostics));
            let parts = Parts { rows, keys, undo: undo.take() };
            if parts.is_empty() && !diagnostics.has_errors() {
                diagnostics
                    .error(section.span, "there is nothing to clean up: `cleanup` has no database")
                    .hint("give `postgres` or `redis` its `url`, for example -e DATABASE_URL=postgres://…");
            }
            Some(parts)
        }
        None if undo.is_some() => Some(Parts { rows: None, keys: None, undo: undo.take() }),
        None => {
            if !diagnostics.has_errors() {
                diagnostics
                    .error(Span::new(1, 1), "the plan has no `cleanup`, so nothing says what is test data")
                    .hint("add the section `cleanup` with `postgres` and its `roots`");
            }
            None
        }
    };
    let compiled = match (compiled, run) {
        (Some(compiled), Some(_)) => {
            let narrowed = compiled.only_of_its_run();
            if narrowed.is_empty() && !diagnostics.has_errors() {
                diagnostics
                    .error(
                        section.map_or(Span::NONE, |section| section.span),
                        "--run: no root and no pattern names `{{ run }}`",
                    )
                    .hint("without it both are shared by all runs; leave --run out to delete what they match");
            }
            Some(narrowed)
        }
        (compiled, _) => compiled,
    };
    output::message(&diagnostics.to_string());
    if diagnostics.has_errors() { Err(Exit::InvalidPlan) } else { compiled.ok_or(Exit::InvalidPlan) }
}

// === impl Parts ===

impl Parts {
    const fn is_empty(&self) -> bool {
        self.rows.is_none() && self.keys.is_none() && self.undo.is_none()
    }

    fn only_of_its_run(self) -> Self {
        Self {
            rows: self.rows.and_then(CleanupPlan::only_of_its_run),
            keys: self.keys.and_then(RedisPlan::only_of_its_run),
            undo: self.undo,
        }
    }
}

/// Rows first, then keys. All is judged before anything is deleted, and what one of them cannot do keeps the other
/// from nothing.
async fn sweep_all(parts: Parts, dry_run: bool) -> (Vec<CleanupOutcome>, Option<Undone>) {
    // While the rows are there that the API needs to say what is to be undone.
    let undone = match parts.undo {
        Some(undo) => Some(undo_all(undo, dry_run).await),
        None => None,
    };
    let mut outcomes = Vec::new();
    if let Some(keys) = &parts.keys
        && !dry_run
        && let Err(refusal) = redis::preflight(keys).await
    {
        let guarded = refusal.kind() != RefusalKind::Unable;
        outcomes.push(CleanupOutcome { refused: Some(refusal), dry_run, ..CleanupOutcome::default() });
        if guarded {
            return (outcomes, undone);
        }
    }
    let unable = !outcomes.is_empty();
    if let Some(rows) = parts.rows {
        outcomes.insert(0, sweep(rows, dry_run).await);
    }
    match parts.keys {
        Some(keys) if dry_run => outcomes.push(redis::dry_run(&keys).await),
        Some(keys) if !unable => outcomes.push(redis::sweep(&keys, |_| ()).await),
        _ => {}
    }
    (outcomes, undone)
}

/// Undoes what killed runs left, or says what that would be.
async fn undo_all((leftovers, compiled): (Leftovers, Option<Box<Compiled>>), dry_run: bool) -> Undone {
    let all = leftovers.count();
    match compiled {
        Some(compiled) if !dry_run => match compiled.undo(leftovers).await {
            Ok(undone) => undone,
            Err(error) => Undone {
                figures: CleanupReport { dry_run: false, ..all },
                problems: vec![format!("undo: {}", run::chain(&error))],
            },
        },
        _ => Undone { figures: CleanupReport { dry_run, ..all }, ..Undone::default() },
    }
}

/// What killed runs left to be undone, where a step has an `undo`.
fn undo(
    source: &Source,
    plan: &Plan,
    run: Option<RunId>,
    settings: Settings,
    diagnostics: &mut Diagnostics,
) -> Option<(Leftovers, Option<Box<Compiled>>)> {
    let workflows = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    let mut steps = workflows.chain(&plan.setup).chain(&plan.teardown).chain(&plan.tenants.create);
    if steps.all(|step| step.undo.is_none()) {
        return None;
    }
    match Leftovers::of(source, run) {
        Ok(leftovers) if leftovers.is_empty() => Some((leftovers, None)),
        Ok(leftovers) => {
            let (compiled, found) = run::compile(source, settings);
            if compiled.is_none() {
                *diagnostics = found;
            }
            Some((leftovers, compiled.map(Box::new)))
        }
        Err(error) => {
            diagnostics.error(Span::NONE, run::chain(&error));
            None
        }
    }
}

/// Judges, then counts or deletes.
async fn sweep(plan: CleanupPlan, dry_run: bool) -> CleanupOutcome {
    let mut sweeper = match Sweeper::connect(plan).await {
        Ok(sweeper) => sweeper,
        Err(refusal) => return CleanupOutcome { refused: Some(refusal), dry_run, ..CleanupOutcome::default() },
    };
    if let Err(refusal) = sweeper.preflight().await {
        return CleanupOutcome { refused: Some(refusal), dry_run, ..CleanupOutcome::default() };
    }
    if dry_run { sweeper.dry_run().await } else { sweeper.sweep(|_| ()).await }
}

/// Prints the table and what a person must read, and answers with the exit code.
fn tell(outcomes: &[CleanupOutcome], undone: Option<Undone>, args: &CleanupArgs) -> Exit {
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    let mut figures = CleanupReport::default();
    let mut exits = Vec::new();
    for outcome in outcomes {
        if let Some(refusal) = &outcome.refused {
            output::error(&format!("cleanup: {}", explain(refusal)));
            exits.push(match refusal.kind() {
                RefusalKind::Invalid => Exit::InvalidPlan,
                RefusalKind::Guard => Exit::Refused,
                RefusalKind::Unable => Exit::CleanupUnfinished,
            });
        }
        figures.add(CleanupReport::from(outcome));
    }
    let ran = undone.is_some() || outcomes.iter().any(|outcome| outcome.refused.is_none());
    if let Some(Undone { figures: undone, problems }) = undone {
        for problem in problems {
            output::error(&format!("cleanup: {problem}"));
        }
        if undone.remaining > 0 && !args.dry_run {
            exits.push(Exit::CleanupUnfinished);
        }
        figures.add(undone);
    }
    if ran {
        output::result(&report::cleanup_text(&figures, style));
    }
    for outcome in outcomes {
        for blocked in &outcome.blocked {
            output::error(&format!("cleanup: {blocked}"));
        }
        for note in &outcome.notes {
            output::message(&format!("note: {note}\n"));
        }
        // What a dry run leaves, it was asked to leave; what blocks a sweep blocks it too.
        let unfinished = if outcome.dry_run { outcome.quarantined > 0 } else { !outcome.is_clean() };
        if unfinished {
            exits.push(Exit::CleanupUnfinished);
        }
    }
    if let Some(file) = &args.summary_export {
        let summary = serde_json::json!({ "pacecar": { "cleanup": report::summary::cleanup_value(&figures) } });
        output::file(file, "the summary", &format!("{summary:#}\n"));
    }
    Exit::choose(exits)
}
