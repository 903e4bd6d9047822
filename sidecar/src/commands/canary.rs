//! `pacecar canary`: always on, until it is stopped; and being stopped is how it ends well.

use super::plan;
use super::run::{self, Left};
use super::serve::Control;
use crate::cli::{CanaryArgs, assignments};
use crate::output;
use crate::results::{self, Wanted};
use pacecar::report::Exit;
use pacecar::run::{Mode, Overrides, Settings};
use std::num::NonZeroUsize;

pub(crate) async fn execute(args: CanaryArgs) -> Exit {
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
    let (compiled, _serving) = match run::begin(&args.plan, settings, control).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    let wanted = Wanted {
        summary: results::path(compiled.summary_file().as_ref()),
        report: compiled.report_file().map(str::to_owned),
        ..Wanted::default()
    };
    let cleans_up = compiled.cleans_up();
    match run::watch(compiled, args.quiet).await {
        // Whoever sent two signals wanted it gone; nothing that was to be done is left.
        Err(Left::AtOnce) if !cleans_up => Exit::Passed,
        watched => run::conclude(watched, cleans_up, &wanted),
    }
}

/// What the flags say, or every flag that cannot be right.
fn settings(args: &CanaryArgs) -> Result<Settings, Vec<String>> {
    let (tags, variables) = (assignments("--tag", &args.tags), plan::variables(&args.env));
    match (tags, variables) {
        (Ok(tags), Ok(variables)) => Ok(Settings {
            mode: Mode::Canary,
            tags,
            overrides: Overrides { outputs: args.outputs.clone(), no_cleanup: args.no_cleanup, ..Overrides::default() },
            // One thread is enough for a few requests a second, and each costs memory and wakes up.
            workers: Some(NonZeroUsize::MIN),
            ..Settings::new(super::new_run_id(), variables)
        }),
        (tags, variables) => Err(tags.err().into_iter().chain(variables.err()).collect()),
    }
}
