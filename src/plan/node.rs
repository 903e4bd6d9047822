//! A YAML tree that remembers where each part stood.

use super::span::{Span, Spanned};

/// One part of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction, or one past `i64`.
    Float(f64),
    /// Text, quoted or not.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the document. Keys are unique.
    Map(Vec<(Spanned<String>, Node)>),
}

// === impl Node ===

impl Node {
    /// What it is, in words, for a message: `a list`, `text`.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}
