//! `pacecar run`: one finite run.

use super::job;
use super::plan::{self, PlanFile};
use super::serve::{Control, Serving};
use super::wire;
use crate::cli::{RunArgs, assignments};
use crate::output;
use crate::progress::ProgressLines;
use crate::results::{self, Wanted, named};
use crate::signals::{KillSwitch, StopSignals};
use pacecar::client;
use pacecar::plan::{Span, Spanned, Stage, units};
use pacecar::report::{Exit, TrendStats};
use pacecar::run::{self, Compiled, Completed, Overrides, Settings};
use std::path::Path;
use std::time::Duration;

pub(crate) async fn execute(args: RunArgs) -> Exit {
    let control = Control::read(args.address.as_deref(), args.metrics_address.as_deref());
    let (settings, control) = match (settings(&args), control) {
        (Ok(settings), Ok(control)) => (settings, control),
        (settings, control) => {
            for problem in settings.err().into_iter().chain(control.err()).flatten() {
                output::error(&problem);
            }
            return Exit::InvalidPlan;
        }
    };
    let (compiled, serving) = match begin(&args.plan, settings, control).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    let mut wanted = wanted(&args);
    wanted.summary = wanted.summary.or_else(|| results::path(compiled.summary_file().as_ref()));
    wanted.report = wanted.report.or_else(|| compiled.report_file().map(str::to_owned));
    if let Err(exit) = results::refuse(wanted.check()) {
        return exit;
    }
    let handle = compiled.handle();
    if args.paused {
        // Nobody could have paused it before.
        let _ = handle.pause();
    }
    // From before the end on: a signal between the two must not be lost.
    let signals = args.linger.then(StopSignals::install);
    let exit = drive(compiled, args.quiet, &wanted).await;
    if let Some(Ok(signals)) = signals
        && handle.ran_by_itself()
    {
        linger(&serving, signals).await;
    }
    exit
}

/// Reads and compiles a plan, binds what was asked for, and serves it from here on. Whatever is wrong is told.
pub(crate) async fn begin(path: &Path, settings: Settings, control: Control) -> Result<(Compiled, Serving), Exit> {
    let PlanFile::Read(source) = plan::read(path) else { return Err(Exit::InvalidPlan) };
    let (compiled, diagnostics) = run::compile(&source, settings);
    output::message(&diagnostics.to_string());
    let compiled = compiled.ok_or(Exit::InvalidPlan)?;
    let bound = match control.bind() {
        Ok(bound) => bound,
        Err(problem) => return Err(finish(&compiled.give_up(Exit::AddressTaken, problem).await, &Wanted::default())),
    };
    let serving = bound.serve(compiled.handle())?;
    Ok((compiled, serving))
}

/// Keeps the address up until a signal, or until somebody stops it through the address.
async fn linger(serving: &Serving, mut signals: StopSignals) {
    output::message("pacecar: the run is over; the control address stays until Ctrl-C or `pacecar stop`\n");
    tokio::select! {
        () = signals.next() => {}
        () = serving.stopped() => {}
    }
}

/// Drives a compiled plan, with progress and signals, and prints its summary.
pub(crate) async fn drive(compiled: Compiled, quiet: bool, wanted: &Wanted) -> Exit {
    let cleans_up = compiled.cleans_up();
    conclude(watch(compiled, quiet).await, cleans_up, wanted)
}

/// Prints what became of a run, and answers with its exit code.
pub(crate) fn conclude(watched: Result<Completed, Left>, cleans_up: bool, wanted: &Wanted) -> Exit {
    match watched {
        Ok(completed) => finish(&completed, wanted),
        Err(Left::Unable) => Exit::Refused,
        Err(Left::AtOnce) if cleans_up => {
            output::error("left at once: test data may be left; pacecar cleanup PLAN deletes it");
            Exit::choose([Exit::CleanupUnfinished, Exit::Signal])
        }
        Err(Left::AtOnce) => Exit::Signal,
    }
}

/// Why a run has no end of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It did not begin, and why was told.
    Unable,
    /// A second signal: neither summary nor cleanup.
    AtOnce,
}

/// Drives a compiled plan with progress. A second signal ends it at once: then cleanup has not run.
pub(crate) async fn watch(compiled: Compiled, quiet: bool) -> Result<Completed, Left> {
    let (mut signals, mut kill_switch) =
        match StopSignals::install().and_then(|stop| Ok((stop, KillSwitch::install()?))) {
            Ok(signals) => signals,
            Err(error) => {
                output::error(&format!("signals cannot be handled: {error}"));
                return Err(Left::Unable);
            }
        };
    let handle = compiled.handle();
    let mut lines = ProgressLines::new(quiet);
    let teller = lines.teller();
    let execution = compiled.execute(|progress| lines.show(progress));
    tokio::pin!(execution);
    let mut asked = false;
    loop {
        tokio::select! {
            completed = &mut execution => return Ok(completed),
            on = kill_switch.next() => handle.kill_switch(on),
            () = signals.next() => {
                if asked {
                    return Err(Left::AtOnce);
                }
                asked = true;
                teller.say("\npacecar: stopping; once more to leave at once, without cleanup\n");
                handle.stop_by_signal();
            }
        }
    }
}

/// Prints the summary, writes what was asked for, says what went wrong, and answers with the exit code.
fn finish(completed: &Completed, wanted: &Wanted) -> Exit {
    if let Some(finished) = &completed.report {
        results::print(finished);
        wanted.write(finished, completed.saved.as_deref());
    }
    for problem in &completed.problems {
        output::error(problem);
    }
    completed.exit
}

/// Where the flags want the run's files.
fn wanted(args: &RunArgs) -> Wanted {
    Wanted {
        summary: results::path(args.summary_export.as_ref()),
        result: named(args.result.as_ref()),
        report: named(args.report.as_ref()),
        junit: named(args.junit.as_ref()),
    }
}

/// What the flags say, or every flag that cannot be right.
fn settings(args: &RunArgs) -> Result<Settings, Vec<String>> {
    let mut problems = Vec::new();
    let duration = args.duration.as_deref().and_then(|text| keep(units::duration(text), "--duration", &mut problems));
    let stages = args.stages.iter().filter_map(|text| keep(stage(text), "--stage", &mut problems)).collect();
    let thresholds = args
        .thresholds
        .iter()
        .filter_map(|text| keep(pacecar::measure::threshold::threshold_from_text(text), "--threshold", &mut problems))
        .collect();
    let tags = keep(assignments("--tag", &args.tags), "", &mut problems).unwrap_or_default();
    let variables = plan::variables(&args.env).map_err(|problem| problems.push(problem)).unwrap_or_default();
    let trend_stats = match args.summary_trend_stats.as_deref() {
        None => TrendStats::default(),
        Some(list) => keep(list.parse(), "--summary-trend-stats", &mut problems).unwrap_or_default(),
    };
    let variable = |name: &str| std::env::var(name).ok();
    let segment = keep(job::segment(args.execution_segment.as_deref(), variable), "", &mut problems).flatten();
    let listener =
        keep(wire::listener(args.http_debug.as_deref(), &variables), "--http-debug", &mut problems).flatten();
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Settings {
        overrides: Overrides {
            vus: args.vus,
            duration,
            iterations: args.iterations,
            stages,
            scenarios: args.scenarios.clone(),
            thresholds,
            outputs: args.outputs.clone(),
            no_thresholds: args.no_thresholds,
            no_cleanup: args.no_cleanup,
        },
        client: client::Overrides {
            rps: args.rps.map(f64::from),
            max_redirects: args.max_redirects,
            user_agent: args.user_agent.clone(),
            insecure_skip_tls_verify: args.insecure_skip_tls_verify,
            no_connection_reuse: args.no_connection_reuse,
            listener,
            ..client::Overrides::default()
        },
        tags,
        workers: args.workers,
        segment,
        segment_sequence: args.execution_segment_sequence.clone(),
        trend_stats,
        keep: wanted(args).keeps(),
        ..Settings::new(super::new_run_id(), variables)
    })
}

/// The value, or one more problem.
fn keep<T, E: std::fmt::Display>(read: Result<T, E>, flag: &str, problems: &mut Vec<String>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            problems.push(if flag.is_empty() { error.to_string() } else { format!("{flag}: {error}") });
            None
        }
    }
}

/// Reads `D:N`.
fn stage(text: &str) -> Result<Stage, String> {
    let (duration, target) = text.split_once(':').ok_or("expected DURATION:VUS, e.g. 30s:50")?;
    let duration: Duration = units::duration(duration).map_err(|error| error.to_string())?;
    let target: u32 = target.trim().parse().map_err(|_| format!("{target:?} is not a number of VUs"))?;
    Ok(Stage { duration, target: Spanned::new(f64::from(target), Span::NONE) })
}
