//! `pacecar report`: a result, rendered again.

use crate::cli::ReportArgs;
use crate::{output, results};
use pacecar::report::{self, Exit};

pub(crate) fn execute(args: &ReportArgs) -> Exit {
    let wanted = args.write.wanted();
    if let Err(exit) = results::refuse(wanted.check()) {
        return exit;
    }
    let opened = results::read(&args.result).and_then(|run| results::open(&args.result, run));
    match opened {
        Ok(opened) => {
            if args.markdown {
                output::result(&report::markdown(&opened.report));
            } else {
                results::print(&opened.report);
            }
            wanted.write(&opened.report, Some(&opened.saved));
            Exit::Passed
        }
        Err(exit) => exit,
    }
}
