//! Parts of the format that are read whole, and that nothing implements yet.
//!
//! Refused in one place, so that a plan is never half obeyed; a line goes when its part works.

use super::diagnostics::Diagnostics;
use super::document::Plan;

/// Reports each part of a plan that does not work yet.
pub fn refuse(plan: &Plan, diagnostics: &mut Diagnostics) {
    sections(plan, diagnostics);
}

fn sections(plan: &Plan, diagnostics: &mut Diagnostics) {
    let later = &plan.later;
    if let Some(node) = &later.slo {
        diagnostics.not_yet(node.span, "the section `slo`");
    }
}
