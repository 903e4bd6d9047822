//! The keys in Redis that a run causes: judged before its first request, deleted after the rows.

use super::compile::Compiled;
use super::completed::Findings;
use super::drive::{explain, told};
use super::progress::{Phase, Progress};
use crate::cleanup::RefusalKind;
use crate::cleanup::redis::{self, RedisPlan};
use crate::plan::{Diagnostics, Plan, When};
use crate::report::{CleanupReport, Exit};
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

    /// Deletes the keys, and adds what that came to.
    pub(super) async fn sweep_redis(
        &self,
        before: Option<CleanupReport>,
        show: &mut impl FnMut(&Progress),
        findings: &mut Findings,
    ) -> Option<CleanupReport> {
        let Some(plan) = &self.redis else { return before };
        let rows = before.as_ref().map_or(0, |report| report.tables.iter().map(|table| table.deleted).sum::<u64>());
        let outcome = redis::sweep(plan, |keys| {
            show(&Progress { phase: Phase::Cleanup { deleted: rows + keys }, ..Progress::default() });
        })
        .await;
        if !outcome.is_clean() {
            findings.exit(Exit::CleanupUnfinished);
            for problem in told(&outcome) {
                findings.note(problem);
            }
        }
        let mut report = before.unwrap_or_default();
        report.add(CleanupReport::from(&outcome));
        Some(report)
    }
}
