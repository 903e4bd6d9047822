//! `knobs` and `original`: what is turned, and where it stands today.

use crate::plan::document::{KnobDocument, KnobValue, Text};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, suggestion};

/// More combinations than anybody tries.
const MOST: usize = 4096;

/// Knobs by name, each with its values.
pub(super) fn knobs(reader: &mut Reader<'_>, node: &Node) -> Vec<KnobDocument> {
    let mut knobs: Vec<KnobDocument> = Vec::new();
    for (name, node) in reader.entries(node, "knobs") {
        let proper = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !proper {
            let shown = reader.show_text(name);
            reader
                .error(name.span, format!("{shown} cannot be the name of a knob"))
                .hint("a knob is an environment variable: letters of ASCII, digits and `_`, not a digit first");
        }
        let items = reader.items(node, "knobs");
        if items.is_empty() && matches!(node.kind, Kind::List(_) | Kind::Null) {
            let shown = reader.show_text(name);
            reader.error(node.span, format!("the knob {shown} has no values")).hint("name at least one: [4, 8, 16]");
        }
        let mut values: Vec<KnobValue> = Vec::new();
        for item in items {
            let Some(value) = value(reader, item, "knobs") else { continue };
            if values.iter().any(|other| other.text.value == value.text.value) {
                let shown = reader.show_text(&value.text);
                reader.error(value.text.span, format!("{shown} stands here twice")).hint("each value is tried once");
            } else {
                values.push(value);
            }
        }
        knobs.push(KnobDocument { name: name.clone(), values });
    }
    if knobs.is_empty() && matches!(node.kind, Kind::Map(_) | Kind::Null) {
        reader.error(node.span, "`knobs` is empty").hint("knobs: { PG_POOL_MAX: [4, 8, 16] }");
    }
    let combinations = knobs.iter().fold(1_usize, |all, knob| all.saturating_mul(knob.values.len().max(1)));
    if combinations > MOST {
        reader
            .error(node.span, format!("the knobs have {combinations} combinations; the most is {MOST}"))
            .hint("name fewer values, a factor of two apart");
    }
    knobs
}

/// Today's value of each knob.
pub(super) fn original(reader: &mut Reader<'_>, node: &Node, knobs: &[KnobDocument]) -> Vec<(Text, KnobValue)> {
    let mut original: Vec<(Text, KnobValue)> = Vec::new();
    let names: Vec<&str> = knobs.iter().map(|knob| knob.name.value.as_str()).collect();
    for (name, node) in reader.entries(node, "original") {
        if !names.contains(&name.value.as_str()) {
            let shown = reader.show_text(name);
            let hint = suggestion(name, &names, "knobs are");
            reader.error(name.span, format!("`original` names no knob: {shown}")).hint(hint);
        }
        if let Some(value) = value(reader, node, "original") {
            original.push((name.clone(), value));
        }
    }
    let named = |name: &str| match &node.kind {
        Kind::Map(entries) => entries.iter().any(|(other, _)| other.value == name),
        _ => true,
    };
    let missing: Vec<&str> = names.iter().copied().filter(|name| !named(name)).collect();
    if !missing.is_empty() {
        reader
            .error(node.span, format!("`original` lacks {}", missing.join(", ")))
            .hint("name today's value of each knob, or leave `original` out");
    }
    original
}

/// A value as an environment can hold it.
fn value(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<KnobValue> {
    let text = reader.filled_text(node, key)?;
    if text.contains('\0') {
        reader.error(text.span, "no environment can hold a NUL").hint("leave it out");
        return None;
    }
    Some(KnobValue { text, kind: reader.typed(node).into_owned() })
}
