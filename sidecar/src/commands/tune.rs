//! `pacecar tune`: an experiment over knobs.

use super::plan::{self, PlanFile};
use super::serve::Control;
use crate::cli::TuneArgs;
use crate::progress::TuneLines;
use crate::signals::StopSignals;
use crate::{logging, output};
use pacecar::report::{Exit, Style};
use pacecar::run::{Completed, News, Settings, Tuned, Tuning};
use pacecar::tune::apply::Guardian;
use std::path::Path;

/// How wide a text is that nobody sees on a terminal.
const COLUMNS: usize = 100;

pub(crate) async fn execute(args: TuneArgs) -> Exit {
    let control = Control::read(args.address.as_deref(), None);
    let (variables, control) = match (plan::variables(&args.env), control) {
        (Ok(variables), Ok(control)) => (variables, control),
        (variables, control) => {
            for problem in variables.err().into_iter().chain(control.err().into_iter().flatten()) {
                output::error(&problem);
            }
            return Exit::InvalidPlan;
        }
    };
    let source = match plan::read(&args.plan) {
        PlanFile::Read(source) => source,
        PlanFile::Refused => return Exit::InvalidPlan,
    };
    let settings = Settings::new(super::new_run_id(), variables);
    let (tuning, diagnostics) = Tuning::compile(source, settings, Guardian::this_program());
    output::message(&diagnostics.to_string());
    let Some(tuning) = tuning else { return Exit::InvalidPlan };
    if args.restore {
        return restore(tuning).await;
    }
    let bound = match control.bind() {
        Ok(bound) => bound,
        Err(problem) => {
            let Completed { problems, exit, .. } = tuning.give_up(Exit::AddressTaken, problem).await;
            problems.iter().for_each(|problem| output::error(problem));
            return exit;
        }
    };
    let _serving = match bound.serve(tuning.handle()) {
        Ok(serving) => serving,
        Err(exit) => return exit,
    };
    match watch(tuning, args.quiet).await {
        Ok(tuned) => {
            let exit = finish(&tuned, args.result.as_deref(), args.write_env.as_deref());
            for (what, text) in [("What to change in the plan", tuned.diff()), ("What to patch", tuned.patch())] {
                if let Some(text) = text {
                    output::result(&format!("\n{what}:\n\n{text}"));
                }
            }
            exit
        }
        Err(exit) => exit,
    }
}

/// Puts back what a killed tune left, and nothing else.
async fn restore(tuning: Tuning) -> Exit {
    match tuning.restore().await {
        Ok(Some(leftover)) => {
            output::result(&format!("restored: {}\n", leftover.original));
            Exit::Passed
        }
        Ok(None) => {
            output::result("nothing to restore: no killed tune of this plan left anything\n");
            Exit::Passed
        }
        Err(problem) => {
            output::error(&format!("cannot restore: {problem}"));
            Exit::CleanupUnfinished
        }
    }
}

/// Runs the experiment with progress. A second signal ends it at once: then the original is not put back.
pub(crate) async fn watch(tuning: Tuning, quiet: bool) -> Result<Tuned, Exit> {
    let mut signals = StopSignals::install().map_err(|error| {
        output::error(&format!("signals cannot be handled: {error}"));
        Exit::Refused
    })?;
    let handle = tuning.handle();
    let mut lines = TuneLines::new(quiet);
    let teller = lines.teller();
    let running = tuning.run(|news: &News<'_>| lines.show(news));
    tokio::pin!(running);
    let mut asked = false;
    loop {
        tokio::select! {
            tuned = &mut running => return Ok(tuned),
            () = signals.next() => {
                if asked {
                    output::error("left at once: the original may not be in effect; pacecar tune --restore PLAN puts it back, pacecar cleanup PLAN deletes test data");
                    return Err(Exit::choose([Exit::CleanupUnfinished, Exit::Signal]));
                }
                asked = true;
                teller.say("\npacecar: stopping, the original is put back; once more to leave at once\n");
                handle.stop_by_signal();
            }
        }
    }
}

/// Prints what it came to, writes what was asked for, says what went wrong, and answers with the exit code.
pub(crate) fn finish(tuned: &Tuned, result: Option<&Path>, environment: Option<&Path>) -> Exit {
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    if let Some(text) = tuned.text(style, columns()) {
        output::result(&text);
    }
    if let Some((file, value)) = result.zip(tuned.value()) {
        output::file(file, "the result", format!("{value:#}\n").as_bytes());
    }
    if let Some(file) = environment {
        match tuned.environment() {
            Some(text) => output::file(file, "the environment", text.as_bytes()),
            None => {
                output::message(&format!("pacecar: nothing is recommended, so {} is not written\n", file.display()))
            }
        }
    }
    for problem in &tuned.problems {
        output::error(problem);
    }
    tuned.exit
}

/// How wide standard output is; a common width where it is no terminal.
fn columns() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { COLUMNS } else { columns }
}
