//! `pacecar merge`: the results of several workers as one run.

use crate::cli::MergeArgs;
use crate::{output, results};
use pacecar::report::{self, Exit, SavedRun};
use pacecar::run::chain;

pub(crate) fn execute(args: &MergeArgs) -> Exit {
    let wanted = args.write.wanted();
    if let Err(exit) = results::refuse(wanted.check()) {
        return exit;
    }
    // Every file that is none is told at once.
    let read: Vec<(String, Result<SavedRun, Exit>)> =
        args.results.iter().map(|name| (name.clone(), results::read(name))).collect();
    if let Some(exit) = read.iter().find_map(|(_, run)| run.as_ref().err()) {
        return *exit;
    }
    let runs = read.into_iter().filter_map(|(name, run)| Some((name, run.ok()?))).collect();
    let (whole, warnings) = match report::saved::merge(runs) {
        Ok(merged) => merged,
        Err(error) => {
            output::error(&format!("merge: {}", chain(&error)));
            return Exit::InvalidPlan;
        }
    };
    for warning in warnings {
        output::message(&format!("pacecar: warning: {warning}\n"));
    }
    let exit = whole.exit();
    match results::open("the merged result", whole) {
        Ok(opened) => {
            results::print(&opened.report);
            wanted.write(&opened.report, Some(&opened.saved));
            for problem in &opened.saved.run.problems {
                output::error(problem);
            }
            exit
        }
        Err(exit) => exit,
    }
}
