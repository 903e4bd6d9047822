//! `pacecar report`: a result, rendered again.

use crate::cli::ReportArgs;
use crate::results;
use pacecar::report::Exit;

pub(crate) fn execute(args: &ReportArgs) -> Exit {
    let opened = results::read(&args.result).and_then(|run| results::open(&args.result, run));
    match opened {
        Ok(opened) => {
            results::print(&opened.report);
            args.write.wanted().write(&opened.report, Some(&opened.saved));
            Exit::Passed
        }
        Err(exit) => exit,
    }
}
