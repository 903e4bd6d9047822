//! After a trial whose database did not answer: what it made is deleted, so that the experiment may go on.

use crate::cleanup::{self, CleanupPlan};
use crate::run::compile::Compiled;
use crate::run::completed::Findings;
use crate::semconv::RunId;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the database gets to come back; beyond a lease where that must run out first.
const MARGIN: Duration = Duration::from_secs(5);
/// How often is looked.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether a run as this one may begin again, and what `failed` made is deleted: as soon as its lease has run out.
pub(super) async fn recovered(compiled: &Compiled, failed: Option<RunId>) -> bool {
    let lease = compiled.cleanup.as_ref().filter(|_| failed.is_some()).map_or(Duration::ZERO, CleanupPlan::lease);
    let until = Instant::now() + lease + MARGIN;
    loop {
        match again(compiled, failed).await {
            Again::Yes => return true,
            Again::Never => return false,
            Again::Later if Instant::now() >= until => return false,
            Again::Later => sleep(AGAIN).await,
        }
    }
}

/// Whether it may go on.
enum Again {
    Yes,
    /// The lease has not run out, or the database does not answer yet.
    Later,
    /// A row is kept by a real one: no time will change that.
    Never,
}

async fn again(compiled: &Compiled, failed: Option<RunId>) -> Again {
    if let (Some(failed), Some(plan)) = (failed, &compiled.cleanup) {
        return match cleanup::reap(plan, compiled.name(), false, |_| ()).await {
            Ok(reaped) if !reaped.outcome.is_clean() => Again::Never,
            Ok(reaped) if reaped.runs.contains(&failed.to_string()) => Again::Yes,
            Ok(_) | Err(_) => Again::Later,
        };
    }
    if compiled.admit(true, &mut Findings::default()).await { Again::Yes } else { Again::Later }
}
