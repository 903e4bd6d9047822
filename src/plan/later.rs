//! Parts of the format that are read whole, and that nothing implements yet.
//!
//! Refused in one place, so that a plan is never half obeyed; a line goes when its part works.

use super::diagnostics::Diagnostics;
use super::document::Plan;

/// Reports each part of a plan that does not work yet.
pub fn refuse(plan: &Plan, diagnostics: &mut Diagnostics) {
    for webhook in plan.later.slo.iter().flat_map(|slo| &slo.alerts).filter_map(|alert| alert.webhook.as_ref()) {
        diagnostics.not_yet(webhook.span, "`slo.alerts.webhook`");
    }
}
