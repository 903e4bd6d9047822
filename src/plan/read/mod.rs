//! The document as a whole: its top-level keys, and what must hold between sections.

mod cleanup;
mod guard;
mod later;
mod scenario;
mod settings;
mod step;
mod threshold;
mod tune;

use super::document::{Plan, Scenario, Text, WorkflowDocument};
use super::node::{Kind, Node};
use super::reader::{Reader, Section, suggestion};
use super::span::{Span, Spanned};
use std::collections::HashMap;

/// What a plan without a `name` is called.
const UNNAMED: &str = "plan";
/// What `workflow:` is called.
const ONLY_WORKFLOW: &str = "default";

/// Reads the whole document.
pub(crate) fn plan(reader: &mut Reader<'_>, node: &Node) -> Plan {
    let mut section = reader.section(node, "plan");
    let name = section.get("name").and_then(|node| name(reader, node, "name"));
    let environment = section.some_text(reader, "environment");
    let base_url = section.some_text(reader, "base_url").filter(|url| settings::base_url(reader, url));
    let tenants = settings::tenants(reader, section.get("tenants"), section.span);
    let data = section.get("data").map(|node| settings::data(reader, node)).unwrap_or_default();
    let http = settings::http(reader, section.get("http"));
    let setup = section.get("setup").map(|node| step::steps(reader, node, "setup")).unwrap_or_default();
    let teardown = section.get("teardown").map(|node| step::steps(reader, node, "teardown")).unwrap_or_default();
    let workflows = workflows(reader, &mut section);
    let scenarios_at = section.entry("scenarios");
    let scenarios = scenarios_at.map(|(_, node)| scenario::scenarios(reader, node)).unwrap_or_default();
    let thresholds = section.get("thresholds").map(|node| threshold::thresholds(reader, node)).unwrap_or_default();
    let outputs = section.get("outputs").map(|node| reader.texts(node, "outputs")).unwrap_or_default();
    let summary = section.some_text(reader, "summary");
    let report = section.some_text(reader, "report");
    let cleanup = section.entry("cleanup").map(|(span, node)| cleanup::cleanup(reader, node, span));
    let guard = section.entry("guard").map(|(span, node)| guard::guard(reader, node, span));
    let mut later = later::later(reader, &mut section);
    section.close(reader);
    if let Some(tune) = &mut later.tune {
        tune::choose_scenario(reader, tune, &scenarios);
    }

    one_type_a_metric(reader, setup.iter().chain(&teardown).chain(workflows.iter().flat_map(|w| &w.steps)));
    scenarios_have_workflows(reader, &scenarios, &workflows, scenarios_at.map_or(Span::NONE, |(span, _)| span));
    Plan {
        name: name.unwrap_or_else(|| Spanned::nowhere(UNNAMED.to_owned())),
        environment,
        base_url,
        tenants,
        data,
        http,
        setup,
        teardown,
        workflows,
        scenarios,
        thresholds,
        outputs,
        summary,
        report,
        cleanup,
        guard,
        later,
    }
}

/// A name by k6's rule: `^[0-9a-zA-Z_-]+$`.
fn name(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<Text> {
    let text = reader.text(node, key)?;
    proper_name(reader, &text, key).then_some(text)
}

/// Whether a text is a name by k6's rule; says so where it is none.
fn proper_name(reader: &mut Reader<'_>, text: &Text, what: &str) -> bool {
    let proper =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !proper {
        let shown = reader.show_text(text);
        reader
            .error(text.span, format!("{shown} cannot be a name ({what})"))
            .hint("letters of ASCII, digits, `_` and `-`, at least one of them");
    }
    proper
}

/// Whether a text is an identifier of templates; says so where it is none.
fn identifier(reader: &mut Reader<'_>, text: &Text, what: &str) -> bool {
    let proper = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !proper {
        let shown = reader.show_text(text);
        reader
            .error(text.span, format!("{shown} cannot be a name in templates ({what})"))
            .hint("letters of ASCII, digits and `_`, not a digit first");
    }
    proper
}

/// `workflow:`, or `workflows:` by name and weight.
fn workflows(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Vec<WorkflowDocument> {
    let one = section.entry("workflow");
    let several = section.entry("workflows");
    if let (Some(_), Some((span, _))) = (one, several) {
        reader
            .error(span, "a plan has `workflow` or `workflows`, not both")
            .hint("move the steps of `workflow` into `workflows: { NAME: { steps: […] } }`");
    }
    let mut workflows = Vec::new();
    if let Some((span, node)) = one {
        let steps = step::steps(reader, node, "workflow");
        let name = Spanned::new(ONLY_WORKFLOW.to_owned(), span);
        workflows.push(WorkflowDocument { name, weight: Spanned::nowhere(1.0), steps });
    }
    if let Some((span, node)) = several {
        let first = workflows.len();
        for (name, node) in reader.entries(node, "workflows") {
            proper_name(reader, name, "of a workflow");
            let mut section = reader.section(node, "workflows");
            let weight = section.read(reader, "weight", |reader, node, key| {
                reader.number(node, key, "a number of at least 0", |n| n >= 0.0)
            });
            let steps = section.require(reader, "steps").map(|node| step::steps(reader, node, "steps"));
            section.close(reader);
            workflows.push(WorkflowDocument {
                name: name.clone(),
                weight: weight.unwrap_or(Spanned::nowhere(1.0)),
                steps: steps.unwrap_or_default(),
            });
        }
        if workflows.len() == first && matches!(node.kind, Kind::Map(_)) {
            reader.error(span, "`workflows` is empty").hint("write `workflows: { NAME: { weight: 1, steps: […] } }`");
        } else if workflows.len() > first && workflows[first..].iter().all(|workflow| workflow.weight.value == 0.0) {
            reader.error(span, "every workflow has the weight 0").hint("one at least must be drawn");
        }
    }
    workflows
}

/// A metric that several steps feed has one type.
fn one_type_a_metric<'s>(reader: &mut Reader<'_>, steps: impl Iterator<Item = &'s super::document::Step>) {
    let mut kinds = HashMap::new();
    for metric in steps.flat_map(|step| &step.metrics) {
        let first = *kinds.entry(metric.name.as_str()).or_insert(metric.kind);
        if first != metric.kind {
            let shown = reader.show_text(&metric.name);
            reader
                .error(metric.name.span, format!("the metric {shown} has another type in a step before"))
                .hint("a metric has one type; give this one another name");
        }
    }
}

/// `exec` names a workflow, and there is something to run.
fn scenarios_have_workflows(
    reader: &mut Reader<'_>,
    scenarios: &[Scenario],
    workflows: &[WorkflowDocument],
    span: Span,
) {
    if scenarios.is_empty() {
        return;
    }
    if workflows.is_empty() {
        reader
            .error(span, "there are scenarios, but no workflow for them to run")
            .hint("add `workflow:` with at least one step");
        return;
    }
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow.name.as_str()).collect();
    for exec in scenarios.iter().filter_map(|scenario| scenario.exec.as_ref()) {
        if !names.contains(&exec.as_str()) {
            let shown = reader.show_text(exec);
            let hint = suggestion(exec, &names, "workflows are");
            reader.error(exec.span, format!("`exec` names no workflow: {shown}")).hint(hint);
        }
    }
}
