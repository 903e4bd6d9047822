//! `pacecar cleanup`: finds and deletes the test data that a plan declares.

use super::ledger;
use super::plan::{self, PlanFile};
use super::rows::{self, Rows, Task};
use crate::cli::CleanupArgs;
use crate::progress::CleanupLine;
use crate::signals::StopSignals;
use crate::{logging, output};
use pacecar::cleanup::redis::{self, RedisPlan};
use pacecar::cleanup::{self, CleanupOutcome, Refusal, RefusalKind};
use pacecar::plan::{Diagnostics, Plan, Span};
use pacecar::report::{self, CleanupReport, Exit, Style};
use pacecar::run::{self, Leftovers, LeftoversError, Settings, Source, Undone, explain};
use pacecar::semconv::RunId;
use std::path::Path;

/// What a plan's cleanup is about; at least one of them.
struct Parts {
    rows: Option<Rows>,
    keys: Option<RedisPlan>,
    /// Where a step has an `undo`.
    undo: Option<Undo>,
}

/// What undoes what killed runs left.
struct Undo {
    source: Source,
    settings: Settings,
    run: Option<RunId>,
}

pub(crate) async fn execute(args: CleanupArgs) -> Exit {
    let (task, file) = match task(&args) {
        Ok(task) => task,
        Err(problem) => {
            output::error(&problem);
            return Exit::InvalidPlan;
        }
    };
    let compiled = match compile(file, task, &args) {
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
    let work = async {
        match (task, compiled.rows) {
            (Task::Install, Some(rows)) => ledger::install(rows.plan).await,
            (Task::Uninstall, Some(rows)) => ledger::uninstall(rows.plan).await,
            (_, rows) => {
                let (outcomes, undone) = sweep_all(Parts { rows, ..compiled }, task, args.dry_run).await;
                tell(&outcomes, undone, &args)
            }
        }
    };
    tokio::select! {
        exit = work => exit,
        () = signals.next() => {
            output::error("stopped by a signal: test data may be left; run the same command again");
            Exit::CleanupUnfinished
        }
    }
}

/// What the words and flags ask for, and of which plan.
fn task(args: &CleanupArgs) -> Result<(Task, &Path), String> {
    let verb = |verb: &Path| match verb.to_str() {
        Some("install") => Some(Task::Install),
        Some("uninstall") => Some(Task::Uninstall),
        _ => None,
    };
    let one_plan = "cleanup takes one plan: pacecar cleanup PLAN";
    match args.words.as_slice() {
        [only] if verb(only).is_some() => {
            Err(format!("cleanup {0} takes a plan: pacecar cleanup {0} PLAN", only.display()))
        }
        [plan] => match &args.run {
            Some(run) => match run.parse() {
                Ok(run) => Ok((Task::Run(run), plan)),
                Err(error) => Err(format!("--run: a run id is 16 hex digits: {error}")),
            },
            None => Ok((if args.expired { Task::Expired } else { Task::All }, plan)),
        },
        [first, plan] => {
            let task = verb(first).ok_or(one_plan)?;
            let selected = args.all || args.run.is_some() || args.expired || args.dry_run;
            if selected || args.summary_export.is_some() {
                return Err(format!("cleanup {} takes a plan and -e, nothing else", first.display()));
            }
            Ok((task, plan))
        }
        _ => Err(one_plan.to_owned()),
    }
}

/// The plan's cleanup, narrowed to what was selected.
fn compile(file: &Path, task: Task, args: &CleanupArgs) -> Result<Parts, Exit> {
    let invalid = |problem: &str| {
        output::error(problem);
        Exit::InvalidPlan
    };
    let variables = plan::variables(&args.env).map_err(|problem| invalid(&problem))?;
    let run = if let Task::Run(run) = task { Some(run) } else { None };
    let PlanFile::Read(source) = plan::read(file) else { return Err(Exit::InvalidPlan) };
    let (plan, mut diagnostics) = pacecar::plan::read(&source.name, &source.bytes, &variables);
    let settings = Settings::new(run.unwrap_or_else(super::new_run_id), variables);
    let digest = run::lease::digest(&source.bytes);
    let mut undo = plan.as_ref().and_then(|plan| undo(source, plan, run, settings, &mut diagnostics));
    let section = plan.as_ref().and_then(|plan| plan.cleanup.as_ref());
    let compiled = match section {
        Some(section) => {
            let id = run.unwrap_or_else(super::new_run_id);
            let rows = cleanup::compile(section, id, &mut diagnostics).map(|compiled| Rows {
                plan: compiled,
                name: plan.as_ref().map(|plan| plan.name.value.clone()).unwrap_or_default(),
                digest: digest.clone(),
            });
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
                        "--run: no root and no pattern names `{{ run }}`, and there is no ledger",
                    )
                    .hint("without it both are shared by all runs; leave --run out to delete what they match");
            }
            Some(narrowed)
        }
        (compiled, _) => compiled,
    };
    if let (Task::Install | Task::Uninstall, Some(Parts { rows: None, .. })) = (task, &compiled)
        && !diagnostics.has_errors()
    {
        diagnostics
            .error(section.map_or(Span::NONE, |section| section.span), "there is no database for the ledger")
            .hint("give `postgres` its `url`, for example -e DATABASE_URL=postgres://…");
    }
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
            rows: self.rows.filter(|rows| rows.plan.tells_runs_apart()),
            keys: self.keys.and_then(RedisPlan::only_of_its_run),
            undo: self.undo,
        }
    }
}

/// Rows first, then keys. Keys are judged before anything is deleted, and what one of them cannot do keeps the other
/// from nothing.
async fn sweep_all(parts: Parts, task: Task, dry_run: bool) -> (Vec<CleanupOutcome>, Option<Undone>) {
    let (mut keys, mut outcomes) = (parts.keys, Vec::new());
    // While the rows are there that the API needs to say what is to be undone.
    let undone = match parts.undo {
        Some(undo) => match undo.execute(parts.rows.as_ref(), task, dry_run).await {
            Ok(undone) => Some(undone),
            Err(LeftoversError::Table(refusal)) => {
                outcomes.push(refused_outcome(refusal, dry_run));
                None
            }
            // Counted as left: what it is cannot be said.
            Err(error) => Some(Undone {
                figures: CleanupReport { remaining: 1, dry_run, ..CleanupReport::default() },
                problems: vec![run::chain(&error)],
            }),
        },
        None => None,
    };
    let mut line = CleanupLine::new();
    // What a killed run's lease says of its keys was judged before its first request.
    if let Some(judged) = keys.as_ref().filter(|_| !dry_run && task != Task::Expired)
        && let Err(refusal) = redis::preflight(judged).await
    {
        let guarded = refusal.kind() != RefusalKind::Unable;
        outcomes.push(refused_outcome(refusal, dry_run));
        if guarded {
            return (outcomes, undone);
        }
        keys = None;
    }
    if let Some(mut rows) = parts.rows {
        if keys.is_none() {
            rows.plan = rows.plan.without_keys();
        }
        match rows::sweep(rows, task, dry_run, &mut line).await {
            // With its keys.
            Ok(outcome) => {
                outcomes.insert(0, outcome);
                keys = None;
            }
            Err(refusal) => outcomes.insert(0, refused_outcome(refusal, dry_run)),
        }
    }
    // Without leases nobody knows whose keys those of killed runs are.
    if let Some(keys) = keys.filter(|_| task != Task::Expired) {
        let tell = |deleted| line.show(cleanup::Progress { found: deleted, deleted });
        outcomes.push(if dry_run { redis::dry_run(&keys).await } else { redis::sweep(&keys, tell).await });
    }
    (outcomes, undone)
}

fn refused_outcome(refusal: Refusal, dry_run: bool) -> CleanupOutcome {
    CleanupOutcome { refused: Some(refusal), dry_run, ..CleanupOutcome::default() }
}

// === impl Undo ===

impl Undo {
    /// Undoes what killed runs left, or says what that would be.
    async fn execute(self, rows: Option<&Rows>, task: Task, dry_run: bool) -> Result<Undone, LeftoversError> {
        // Who asks for more than what ran out means it.
        let means_it = task != Task::Expired;
        let rows = rows.map(|rows| (&rows.plan, rows.name.as_str()));
        let leftovers = Leftovers::of(&self.source, rows, self.run, means_it).await?;
        let all = leftovers.count();
        if dry_run || leftovers.is_empty() {
            return Ok(Undone { figures: CleanupReport { dry_run, ..all }, ..Undone::default() });
        }
        let failed =
            |problem| Undone { figures: CleanupReport { dry_run: false, ..all.clone() }, problems: vec![problem] };
        let (compiled, diagnostics) = run::compile(&self.source, self.settings);
        let Some(compiled) = compiled else {
            output::message(&diagnostics.to_string());
            return Ok(failed("undo: the plan has errors".to_owned()));
        };
        let undone = compiled.undo(leftovers).await;
        Ok(undone.unwrap_or_else(|error| failed(format!("undo: {}", run::chain(&error)))))
    }
}

// === helpers ===

/// What undoes what killed runs left, where a step has an `undo`.
fn undo(
    source: Source,
    plan: &Plan,
    run: Option<RunId>,
    settings: Settings,
    diagnostics: &mut Diagnostics,
) -> Option<Undo> {
    let workflows = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    let mut steps = workflows.chain(&plan.setup).chain(&plan.teardown).chain(&plan.tenants.create);
    if steps.all(|step| step.undo.is_none()) {
        return None;
    }
    // A folder that cannot be read is told before anything begins.
    if let Err(error) = Leftovers::beside(&source, run) {
        diagnostics.error(Span::NONE, run::chain(&error));
        return None;
    }
    Some(Undo { source, settings, run })
}

/// Prints the table and what a person must read, and answers with the exit code.
fn tell(outcomes: &[CleanupOutcome], undone: Option<Undone>, args: &CleanupArgs) -> Exit {
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    let mut figures = CleanupReport::default();
    let mut exits = Vec::new();
    for outcome in outcomes {
        if let Some(refusal) = &outcome.refused {
            exits.push(refused(refusal));
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
        output::file(file, "the summary", format!("{summary:#}\n").as_bytes());
    }
    Exit::choose(exits)
}

/// Tells a refusal, and answers with the exit code that it has.
pub(super) fn refused(refusal: &Refusal) -> Exit {
    output::error(&format!("cleanup: {}", explain(refusal)));
    match refusal.kind() {
        RefusalKind::Invalid => Exit::InvalidPlan,
        RefusalKind::Guard => Exit::Refused,
        RefusalKind::Unable => Exit::CleanupUnfinished,
    }
}
