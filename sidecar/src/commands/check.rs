//! `pacecar check`: every error of a plan at once, and what it could do better; nothing is sent.

use super::plan::{self, PlanFile};
use crate::cli::CheckArgs;
use crate::output;
use pacecar::report::Exit;
use pacecar::run;

pub(crate) fn execute(args: &CheckArgs) -> Exit {
    let variables = match plan::variables(&args.env) {
        Ok(variables) => variables,
        Err(problem) => {
            output::error(&problem);
            return Exit::InvalidPlan;
        }
    };
    let source = match plan::read(&args.plan) {
        PlanFile::Read(source) => source,
        PlanFile::Refused => return Exit::InvalidPlan,
    };
    let (compiled, diagnostics) = run::check(&source, run::Settings::new(super::new_run_id(), variables));
    output::message(&diagnostics.to_string());
    match compiled {
        Some(compiled) => {
            output::result(&format!("{}: ok: {}\n", source.name, compiled.outline()));
            Exit::Passed
        }
        None => Exit::InvalidPlan,
    }
}
