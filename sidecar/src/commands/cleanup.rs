//! `pacecar cleanup`: finds and deletes the test data that a plan declares.

use super::plan::{self, PlanFile};
use crate::cli::CleanupArgs;
use crate::signals::StopSignals;
use crate::{logging, output};
use pacecar::cleanup::{self, CleanupOutcome, CleanupPlan, RefusalKind, Sweeper};
use pacecar::plan::Span;
use pacecar::report::{self, CleanupReport, Exit, Style};
use pacecar::run::explain;
use pacecar::semconv::RunId;
use std::path::Path;

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
    let outcome = tokio::select! {
        outcome = sweep(compiled, args.dry_run) => outcome,
        () = signals.next() => {
            output::error("stopped by a signal: test data may be left; run the same command again");
            return Exit::CleanupUnfinished;
        }
    };
    tell(&outcome, &args)
}

/// The plan's cleanup, narrowed to what was selected.
fn compile(file: &Path, args: &CleanupArgs) -> Result<CleanupPlan, Exit> {
    let invalid = |problem: &str| {
        output::error(problem);
        Exit::InvalidPlan
    };
    let variables = plan::variables(&args.env).map_err(|problem| invalid(&problem))?;
    let run = args.run.as_deref().map(str::parse::<RunId>).transpose();
    let run = run.map_err(|error| invalid(&format!("--run: a run id is 16 hex digits: {error}")))?;
    let PlanFile::Read(source) = plan::read(file) else { return Err(Exit::InvalidPlan) };
    let (plan, mut diagnostics) = pacecar::plan::read(&source.name, &source.bytes, &variables);
    let section = plan.as_ref().and_then(|plan| plan.cleanup.as_ref());
    let compiled = match section {
        Some(section) => {
            let compiled = cleanup::compile(section, run.unwrap_or_else(super::new_run_id), &mut diagnostics);
            if compiled.is_none() && !diagnostics.has_errors() {
                diagnostics
                    .error(section.span, "there is nothing to clean up: `cleanup` has no database")
                    .hint("give `postgres` its `url`, for example -e DATABASE_URL=postgres://…");
            }
            compiled
        }
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
            if narrowed.is_none() {
                diagnostics
                    .error(section.map_or(Span::NONE, |section| section.span), "--run: no root names `{{ run }}`")
                    .hint("without it a root is shared by all runs; leave --run out to delete what it matches");
            }
            narrowed
        }
        (compiled, _) => compiled,
    };
    output::message(&diagnostics.to_string());
    if diagnostics.has_errors() { Err(Exit::InvalidPlan) } else { compiled.ok_or(Exit::InvalidPlan) }
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
fn tell(outcome: &CleanupOutcome, args: &CleanupArgs) -> Exit {
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    let figures = CleanupReport::from(outcome);
    let mut exits = Vec::new();
    match &outcome.refused {
        Some(refusal) => {
            output::error(&format!("cleanup: {}", explain(refusal)));
            exits.push(match refusal.kind() {
                RefusalKind::Invalid => Exit::InvalidPlan,
                RefusalKind::Guard => Exit::Refused,
                RefusalKind::Unable => Exit::CleanupUnfinished,
            });
        }
        None => output::result(&report::cleanup_text(&figures, style)),
    }
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
    if let Some(file) = &args.summary_export {
        let summary = serde_json::json!({ "pacecar": { "cleanup": report::summary::cleanup_value(&figures) } });
        output::file(file, "the summary", &format!("{summary:#}\n"));
    }
    Exit::choose(exits)
}
