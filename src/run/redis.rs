//! The keys in Redis that a run causes: judged before its first request, deleted after the rows.

use super::compile::Compiled;
use super::drive::explain;
use super::progress::{Phase, Progress};
use crate::cleanup::redis::{self, RedisPlan};
use crate::cleanup::{CleanupOutcome, RefusalKind};
use crate::plan::{Diagnostics, Plan, When};
use crate::report::Exit;
use crate::semconv::RunId;

/// What is to be deleted in Redis. None where nothing is, or the section is wrong.
pub(super) fn compile(plan: &Plan, run: RunId, diagnostics: &mut Diagnostics) -> Option<RedisPlan> {
    let section = plan.cleanup.as_ref()?;
    let redis = redis::compile(section.redis.as_ref()?, run, diagnostics)?;
    (section.when.value != When::Never).then_some(redis)
}

// === impl Compiled ===

impl Compiled {
    /// Proves before the first request that the keys could be deleted; else how the run ends, and why.
    pub(super) async fn preflight_redis(&self) -> Option<(Exit, String)> {
        let refusal = redis::preflight(self.redis.as_ref()?).await.err()?;
        let exit = match refusal.kind() {
            RefusalKind::Invalid => Exit::InvalidPlan,
            RefusalKind::Guard | RefusalKind::Unable => Exit::Refused,
        };
        Some((exit, format!("refused to start: cleanup: {}", explain(&refusal))))
    }

    /// Deletes the keys of `plan` too, and adds what that came to.
    pub(super) async fn sweep_keys(
        &self,
        plan: Option<RedisPlan>,
        outcome: &mut CleanupOutcome,
        show: &mut impl FnMut(&Progress),
    ) {
        let Some(plan) = plan else { return };
        let before = outcome.deleted();
        let swept = redis::sweep(&plan, |keys| {
            show(&Progress { phase: Phase::Cleanup { deleted: before + keys }, ..Progress::default() });
        });
        outcome.absorb(swept.await);
    }
}
