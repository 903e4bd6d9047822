//! What a step sends: JSON, a form, or a text as it is.

use super::escape::Escape;
use super::expression::Expression;
use super::site::Site;
use super::template::{Part, Template};
use super::variable::{Context, Missing};
use crate::plan::{self, Kind, Node, Text};
use bytes::Bytes;
use serde_json::Value;

/// What a step sends.
#[derive(Debug)]
pub(crate) enum Body {
    /// Known when the plan is compiled; empty where the step has no body.
    Fixed(Bytes),
    /// A JSON document.
    Json(JsonTemplate),
    /// A form, its names and texts encoded.
    Form(Template),
    /// A text as it is.
    Raw(Template),
}

/// A JSON document, all that is fixed written out.
#[derive(Clone, Debug, Default)]
pub(crate) struct JsonTemplate {
    parts: Vec<JsonPart>,
}

#[derive(Clone, Debug)]
enum JsonPart {
    /// JSON as it is.
    Raw(String),
    /// A value, its type kept.
    Typed(Expression),
    /// A part of a text.
    Escaped(Expression),
}

// === impl Body ===

impl Body {
    /// Compiles what a step sends, and the `content-type` that goes with it.
    pub(crate) fn compile(document: Option<&plan::Body>, site: &mut Site<'_, '_>) -> (Self, Option<&'static str>) {
        match document {
            None => (Self::Fixed(Bytes::new()), None),
            Some(plan::Body::Json(node)) => {
                let json = JsonTemplate::compile(node, site);
                let body = json.constant().map_or_else(|| Self::Json(json.clone()), |text| Self::Fixed(text.into()));
                (body, Some("application/json"))
            }
            Some(plan::Body::Form(fields)) => {
                let form = form(fields, site);
                let body =
                    form.constant_text().map_or_else(|| Self::Form(form.clone()), |text| Self::Fixed(text.into()));
                (body, Some("application/x-www-form-urlencoded"))
            }
            Some(plan::Body::Raw(text)) => {
                let raw = Template::compile(text, site);
                let body = raw.constant_text().map_or_else(|| Self::Raw(raw.clone()), |text| Self::Fixed(text.into()));
                (body, None)
            }
        }
    }

    /// Fills it in.
    pub(crate) fn fill(&self, context: Context<'_>) -> Result<Bytes, Missing> {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Fixed(bytes) => return Ok(bytes.clone()),
            Self::Json(json) => json.render(context, &mut out)?,
            Self::Form(form) => form.render(context, Escape::Form, &mut out)?,
            Self::Raw(raw) => raw.render(context, Escape::None, &mut out)?,
        }
        Ok(Bytes::from(out))
    }
}

// === impl JsonTemplate ===

impl JsonTemplate {
    /// Compiles a document, templates in its texts.
    pub(crate) fn compile(node: &Node, site: &mut Site<'_, '_>) -> Self {
        let mut this = Self::default();
        this.add(node, site);
        this
    }

    /// The document where the plan alone gives it.
    pub(crate) fn constant(&self) -> Option<String> {
        match self.parts.as_slice() {
            [JsonPart::Raw(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// Appends the document.
    pub(crate) fn render(&self, context: Context<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        for part in &self.parts {
            match part {
                JsonPart::Raw(text) => out.extend_from_slice(text.as_bytes()),
                JsonPart::Typed(expression) => expression.get(context)?.write_json(out),
                JsonPart::Escaped(expression) => expression.get(context)?.write_text(Escape::Json, out),
            }
        }
        Ok(())
    }

    /// All that is filled in.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            JsonPart::Raw(_) => None,
            JsonPart::Typed(expression) | JsonPart::Escaped(expression) => Some(expression),
        })
    }

    fn add(&mut self, node: &Node, site: &mut Site<'_, '_>) {
        match &node.kind {
            Kind::Null => self.raw("null"),
            Kind::Bool(value) => self.raw(if *value { "true" } else { "false" }),
            Kind::Int(value) => self.raw(&value.to_string()),
            Kind::Float(value) => match serde_json::Number::from_f64(*value) {
                Some(number) => self.raw(&number.to_string()),
                // The plan's reader has said so.
                None => site.problems.failed(),
            },
            Kind::Text(text) => self.text(&Template::read(text, node.span, site)),
            Kind::List(items) => {
                self.raw("[");
                for (at, item) in items.iter().enumerate() {
                    self.raw(if at > 0 { "," } else { "" });
                    self.add(item, site);
                }
                self.raw("]");
            }
            Kind::Map(entries) => {
                self.raw("{");
                for (at, (name, value)) in entries.iter().enumerate() {
                    self.raw(if at > 0 { "," } else { "" });
                    self.raw(&Value::String(name.value.clone()).to_string());
                    self.raw(":");
                    self.add(value, site);
                }
                self.raw("}");
            }
        }
    }

    fn text(&mut self, template: &Template) {
        if let Some(value) = template.constant() {
            self.raw(&value.to_string());
            return;
        }
        if let Some(expression) = template.single() {
            self.parts.push(JsonPart::Typed(expression.clone()));
            return;
        }
        self.raw("\"");
        for part in &template.parts {
            match part {
                Part::Text(text) => {
                    let mut out = Vec::new();
                    Escape::Json.push(text, &mut out);
                    self.raw(&String::from_utf8(out).unwrap_or_default());
                }
                Part::Value(expression) => self.parts.push(JsonPart::Escaped(expression.clone())),
            }
        }
        self.raw("\"");
    }

    fn raw(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(JsonPart::Raw(last)) => last.push_str(text),
            _ => self.parts.push(JsonPart::Raw(text.to_owned())),
        }
    }
}

/// A form as one template, names and fixed texts encoded.
fn form(fields: &[(Text, Node)], site: &mut Site<'_, '_>) -> Template {
    let mut out = Template::default();
    for (at, (name, value)) in fields.iter().enumerate() {
        let mut head = if at > 0 { b"&".to_vec() } else { Vec::new() };
        Escape::Form.push(name, &mut head);
        head.push(b'=');
        push(&mut out, head);
        let template = match &value.kind {
            Kind::Text(text) => Template::read(text, value.span, site),
            Kind::Bool(value) => literal(value.to_string()),
            Kind::Int(value) => literal(value.to_string()),
            Kind::Float(value) => literal(value.to_string()),
            Kind::Null | Kind::List(_) | Kind::Map(_) => Template::default(),
        };
        if let Some(text) = template.constant_text() {
            let mut encoded = Vec::new();
            Escape::Form.push(&text, &mut encoded);
            push(&mut out, encoded);
            continue;
        }
        for part in template.parts {
            match part {
                Part::Text(text) => {
                    let mut encoded = Vec::new();
                    Escape::Form.push(&text, &mut encoded);
                    push(&mut out, encoded);
                }
                value => out.parts.push(value),
            }
        }
    }
    out
}

fn literal(text: String) -> Template {
    Template { parts: vec![Part::Text(text)] }
}

fn push(template: &mut Template, text: Vec<u8>) {
    let text = String::from_utf8(text).unwrap_or_default();
    match template.parts.last_mut() {
        Some(Part::Text(last)) => last.push_str(&text),
        _ => template.parts.push(Part::Text(text)),
    }
}
