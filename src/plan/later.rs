//! Parts of the format that are read whole, and that nothing implements yet.
//!
//! Refused in one place, so that a plan is never half obeyed; a line goes when its part works.

use super::diagnostics::Diagnostics;
use super::document::Plan;

/// Reports each part of a plan that does not work yet.
pub fn refuse(plan: &Plan, diagnostics: &mut Diagnostics) {
    sections(plan, diagnostics);
    if let Some(report) = &plan.report {
        diagnostics.not_yet(report.span, "`report`");
    }
}

fn sections(plan: &Plan, diagnostics: &mut Diagnostics) {
    let later = &plan.later;
    for (name, section) in [("slo", &later.slo), ("tune", &later.tune)] {
        if let Some(node) = section {
            diagnostics.not_yet(node.span, &format!("the section `{name}`"));
        }
    }
}
