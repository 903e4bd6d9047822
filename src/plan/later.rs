//! Parts of the format that are read whole, and that nothing implements yet.
//!
//! Refused in one place, so that a plan is never half obeyed; a line goes when its part works.

use super::diagnostics::Diagnostics;
use super::document::{Plan, When};

/// Reports each part of a plan that does not work yet.
pub fn refuse(plan: &Plan, diagnostics: &mut Diagnostics) {
    sections(plan, diagnostics);
    guard(plan, diagnostics);
    cleanup(plan, diagnostics);
    for output in &plan.outputs {
        diagnostics.not_yet(output.span, "`outputs`");
    }
    if let Some(report) = &plan.report {
        diagnostics.not_yet(report.span, "`report`");
    }
}

fn sections(plan: &Plan, diagnostics: &mut Diagnostics) {
    let later = &plan.later;
    if let Some(node) = &later.slo {
        diagnostics.not_yet(node.span, "the section `slo`");
    }
}

fn guard(plan: &Plan, diagnostics: &mut Diagnostics) {
    let Some(guard) = &plan.guard else { return };
    if let Some(budget) = &guard.budget {
        diagnostics.not_yet(budget.span, "`guard.budget`");
    }
    if let Some(first) = guard.pause_when.first() {
        diagnostics.not_yet(first.span, "`guard.pause_when`");
    }
    if let Some(file) = &guard.stop_file {
        diagnostics.not_yet(file.span, "`guard.stop_file`");
    }
}

fn cleanup(plan: &Plan, diagnostics: &mut Diagnostics) {
    let Some(cleanup) = &plan.cleanup else { return };
    if let When::Every(_) = cleanup.when.value {
        diagnostics.not_yet(cleanup.when.span, "`cleanup.when: every …`");
    }
    if !cleanup.keep_for.value.is_zero() {
        diagnostics.not_yet(cleanup.keep_for.span, "`cleanup.keep_for`");
    }
}
