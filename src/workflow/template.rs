//! Texts with `{{ … }}`, compiled once into segments.
//!
//! Templates are filled inside parsed values, never in the plan's text: what is filled in is
//! escaped for where it stands and can never become structure.

use super::escape::Escape;
use super::expression::{Condition, Expression};
use super::site::Site;
use super::value::Got;
use super::variable::{Context, Missing};
use crate::plan::{Span, Text};
use serde_json::Value;

/// A text with `{{ … }}`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// What stands in the plan.
    Text(String),
    /// What is filled in.
    Value(Expression),
}

/// A part of a text as it is written.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Expression(&'a str),
    Unclosed,
}

// === impl Template ===

impl Template {
    /// Compiles a text. Problems are recorded, and what is wrong is left out.
    pub(crate) fn compile(text: &Text, site: &mut Site<'_, '_>) -> Self {
        Self::read(&text.value, text.span, site)
    }

    /// Compiles a text that stands at `span`.
    pub(crate) fn read(text: &str, span: Span, site: &mut Site<'_, '_>) -> Self {
        let all = Self::unfolded(text, span, site);
        if all.parts.len() < 2 {
            return all;
        }
        // What the plan alone knows becomes text, unless it is the whole and keeps its type.
        let mut parts = Vec::new();
        for part in all.parts {
            match part {
                Part::Text(text) => push_text(&mut parts, &text),
                Part::Value(expression) => match expression.constant() {
                    Some(value) => push_text(&mut parts, &Got::Json(value).text()),
                    None => parts.push(Part::Value(expression)),
                },
            }
        }
        Self { parts }
    }

    /// Compiles a text that stands at `span`, and leaves what the plan alone knows apart, to be escaped.
    pub(crate) fn unfolded(text: &str, span: Span, site: &mut Site<'_, '_>) -> Self {
        let mut parts = Vec::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => push_text(&mut parts, text),
                Piece::Expression(source) => parts.extend(Expression::compile(source, span, site).map(Part::Value)),
                Piece::Unclosed => {
                    site.error(span, "`{{` without `}}`", Some("a literal `{{` is written `{{ \"{{\" }}`"));
                }
            }
        }
        Self { parts }
    }

    /// The one expression that it is, where it is exactly one.
    pub(crate) fn single(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Value(expression)] => Some(expression),
            _ => None,
        }
    }

    /// Its value where the plan alone gives it: typed where it is exactly one expression.
    pub(crate) fn constant(&self) -> Option<Value> {
        match self.parts.as_slice() {
            [] => Some(Value::String(String::new())),
            [Part::Text(text)] => Some(Value::String(text.clone())),
            [Part::Value(expression)] => expression.constant().cloned(),
            _ => None,
        }
    }

    /// Its text where the plan alone gives it.
    pub(crate) fn constant_text(&self) -> Option<String> {
        self.constant().map(|value| Got::Json(&value).text().into_owned())
    }

    /// Appends its text, what is filled in escaped.
    pub(crate) fn render(&self, context: Context<'_>, escape: Escape, out: &mut Vec<u8>) -> Result<(), Missing> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Value(expression) => expression.get(context)?.write_text(escape, out),
            }
        }
        Ok(())
    }

    /// Its value: typed where it is exactly one expression, else a text.
    pub(crate) fn value(&self, context: Context<'_>) -> Result<Value, Missing> {
        if let Some(expression) = self.single() {
            return expression.get(context).map(Got::into_value);
        }
        let mut out = Vec::new();
        self.render(context, Escape::None, &mut out)?;
        Ok(Value::String(String::from_utf8_lossy(&out).into_owned()))
    }

    /// All that is filled in.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(expression) => Some(expression),
            Part::Text(_) => None,
        })
    }
}

/// Compiles `when:`, which is exactly one expression, or `true` or `false`.
pub(crate) fn compile_condition(text: &Text, site: &mut Site<'_, '_>) -> Option<Condition> {
    match pieces(text.value.trim()).as_slice() {
        [Piece::Expression(source)] => Condition::compile(source, text.span, site),
        [Piece::Text(word @ ("true" | "false"))] => Condition::compile(word, text.span, site),
        _ => {
            site.error(
                text.span,
                "`when` must be one `{{ expression }}`",
                Some("join conditions with `and` and `or` inside the braces"),
            );
            None
        }
    }
}

/// A text without its query, `{{ … }}` left alone: what stands in the tags `url` and `name`.
pub(crate) fn without_query(text: &str) -> String {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => {
                if let Some(end) = text.find(['?', '#']) {
                    out.push_str(&text[..end]);
                    break;
                }
                out.push_str(text);
            }
            Piece::Expression(source) => {
                out.push_str("{{");
                out.push_str(source);
                out.push_str("}}");
            }
            Piece::Unclosed => {}
        }
    }
    out
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(last)) => last.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

/// Cuts a text at its `{{ … }}`. Texts and braces inside an expression do not end it.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            pieces.push(Piece::Text(&rest[..open]));
        }
        let inside = &rest[open + 2..];
        let Some(end) = expression_end(inside) else {
            pieces.push(Piece::Unclosed);
            return pieces;
        };
        pieces.push(Piece::Expression(&inside[..end]));
        rest = &inside[end + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// Where the `}}` of an expression stands.
fn expression_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut quote, mut at) = (0_usize, None, 0);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth == 0 && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn braces_and_texts_inside_an_expression_do_not_end_it() {
        assert_eq!(
            pieces(r#"a{{ {"x": {"y": 1}} }}b{{ "}}" }}"#),
            [
                Piece::Text("a"),
                Piece::Expression(r#" {"x": {"y": 1}} "#),
                Piece::Text("b"),
                Piece::Expression(r#" "}}" "#),
            ]
        );
        assert_eq!(pieces("a {{ b"), [Piece::Text("a "), Piece::Unclosed]);
        assert_eq!(pieces("{ } {% if %}"), [Piece::Text("{ } {% if %}")]);
    }

    #[test]
    fn the_tag_of_a_url_has_no_query_and_its_braces_unfilled() {
        assert_eq!(without_query("/a/{{ x['?'] }}/b?c={{ d }}"), "/a/{{ x['?'] }}/b");
        assert_eq!(without_query("/a#b"), "/a");
        assert_eq!(without_query("{{ next }}"), "{{ next }}");
    }
}
