//! What a request sends: exactly one of `json`, `form` and `body`.

use crate::plan::document::{Body, Text};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, Section};

pub(super) fn body(reader: &mut Reader<'_>, section: &mut Section<'_>) -> Option<Body> {
    let json = section.entry("json");
    let form = section.entry("form");
    let raw = section.entry("body");
    let mut given = [json, form, raw].into_iter().flatten();
    if let (Some(_), Some((span, _))) = (given.next(), given.next()) {
        reader.error(span, "a request sends one of `json`, `form` and `body`").hint("keep one of them");
    }
    if let Some((_, node)) = json {
        finite(reader, node);
        return Some(Body::Json(node.clone()));
    }
    if let Some((_, node)) = form {
        return Some(Body::Form(fields(reader, node)));
    }
    raw.and_then(|(_, node)| reader.text(node, "body")).map(Body::Raw)
}

/// The fields of a form: scalars by name.
fn fields(reader: &mut Reader<'_>, node: &Node) -> Vec<(Text, Node)> {
    let mut fields = reader.entries(node, "form").to_vec();
    fields.retain(|(name, value)| {
        let proper = !matches!(value.kind, Kind::List(_) | Kind::Map(_));
        if !proper {
            let shown = reader.show_text(name);
            reader.mismatch(value, format_args!("form.{}", shown.trim_matches('`')), "text or a number");
        }
        proper
    });
    fields
}

/// Says where a number has no JSON: `.inf` and `.nan`.
pub(super) fn finite(reader: &mut Reader<'_>, node: &Node) {
    match &node.kind {
        Kind::Float(number) if !number.is_finite() => {
            reader.error(node.span, "JSON has no such number").hint("put quotes around it to send text");
        }
        Kind::List(items) => items.iter().for_each(|item| finite(reader, item)),
        Kind::Map(entries) => entries.iter().for_each(|(_, value)| finite(reader, value)),
        _ => {}
    }
}
