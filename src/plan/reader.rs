//! The one way from a [`Node`] to a typed value.
//!
//! A [`Reader`] records every problem and goes on with nothing, which the caller turns into
//! the default; a [`Section`] is one mapping whose keys are asked for by name, so that what
//! nobody asked for is an unknown key. Each asked-for key is registered, which is how a test
//! holds the schema and the reading together.

use super::diagnostics::{Diagnostic, Diagnostics};
use super::document::Text;
use super::node::{Kind, Node};
use super::scalar;
use super::span::{Span, Spanned};
use super::units::{self, UnitError};
use super::yaml::Marks;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many unknown keys of one section get a hint: finding the nearest takes time.
const MOST_SUGGESTIONS: usize = 100;

/// The keys that were asked for, by section.
pub(crate) type Registry = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// Reads values and records what is wrong with them.
pub(crate) struct Reader<'a> {
    /// Where problems go.
    pub(crate) diagnostics: &'a mut Diagnostics,
    marks: &'a Marks,
    registry: Registry,
}

/// One mapping while it is read.
pub(crate) struct Section<'n> {
    /// What it is called in messages and in the schema: `cleanup.postgres`.
    name: &'static str,
    /// Where it stands.
    pub(crate) span: Span,
    entries: &'n [(Spanned<String>, Node)],
    known: Vec<&'static str>,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    pub(crate) const fn new(diagnostics: &'a mut Diagnostics, marks: &'a Marks) -> Self {
        Self { diagnostics, marks, registry: Registry::new() }
    }

    #[cfg(test)]
    pub(crate) fn into_registry(self) -> Registry {
        self.registry
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.diagnostics.error(span, message)
    }

    /// A value as a message may show it: quoted, or hidden where it was filled in and may be a secret.
    pub(crate) fn show(&self, node: &Node) -> String {
        if self.marks.filled.contains(&node.span) {
            return "what was filled in".to_owned();
        }
        match &node.kind {
            Kind::Text(text) => quote(text),
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => quote(&self.lexeme(node).unwrap_or_default()),
            _ => node.describe().to_owned(),
        }
    }

    /// As [`show`](Self::show), of a text that was read before.
    pub(crate) fn show_text(&self, text: &Text) -> String {
        if self.marks.filled.contains(&text.span) { "what was filled in".to_owned() } else { quote(text) }
    }

    /// Records that a value has the wrong type.
    pub(crate) fn mismatch(&mut self, node: &Node, key: impl Display, expected: &str) -> &mut Diagnostic {
        let found = match &node.kind {
            Kind::Text(text) if text.is_empty() => "empty text".to_owned(),
            Kind::Text(_) if self.marks.filled.contains(&node.span) => self.show(node),
            Kind::Text(_) => format!("the text {}", self.show(node)),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => self.show(node),
            _ => node.describe().to_owned(),
        };
        self.error(node.span, format!("`{key}` must be {expected}, not {found}"))
    }

    /// A mapping by its keys. What is none is an error, and reads as an empty one.
    pub(crate) fn section<'n>(&mut self, node: &'n Node, name: &'static str) -> Section<'n> {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            Kind::Null => &[],
            _ => {
                self.mismatch(node, name, "a mapping");
                &[]
            }
        };
        self.registry.entry(name).or_default();
        Section { name, span: node.span, entries, known: Vec::new() }
    }

    /// The entries of a mapping whose keys are the user's.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, key: &str) -> &'n [(Spanned<String>, Node)] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => {
                self.mismatch(node, key, "a mapping");
                &[]
            }
        }
    }

    /// The items of a list.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, key: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => {
                self.mismatch(node, key, "a list")
                    .hint(format!("write `{key}: [ … ]`, or one item a line after a dash"));
                &[]
            }
        }
    }

    /// A text. Numbers and the like are taken as they are written.
    pub(crate) fn text(&mut self, node: &Node, key: impl Display) -> Option<Text> {
        match &node.kind {
            Kind::Text(text) => Some(Spanned::new(text.clone(), node.span)),
            Kind::List(_) | Kind::Map(_) | Kind::Null => {
                let templated =
                    matches!(&node.kind, Kind::Map(entries) if entries.iter().any(|(_, node)| node.kind == Kind::Null));
                let problem = self.mismatch(node, key, "text");
                if templated {
                    problem.hint("text that begins with `{` wants quotes, templates too: \"{{ … }}\"");
                }
                None
            }
            _ => self.lexeme(node).map(|text| Spanned::new(text.into_owned(), node.span)),
        }
    }

    /// A text that is not empty.
    pub(crate) fn filled_text(&mut self, node: &Node, key: impl Display) -> Option<Text> {
        if matches!(&node.kind, Kind::Text(text) if text.is_empty()) {
            self.mismatch(node, key, "text");
            return None;
        }
        self.text(node, key)
    }

    /// A list of texts, or a single one.
    pub(crate) fn texts(&mut self, node: &Node, key: &str) -> Vec<Text> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.filled_text(item, key)).collect(),
            Kind::Null => Vec::new(),
            _ => self.text(node, key).into_iter().filter(|text| !text.is_empty()).collect(),
        }
    }

    /// A mapping of names to texts.
    pub(crate) fn pairs(&mut self, node: &Node, key: &str) -> Vec<(Text, Text)> {
        let mut pairs = Vec::new();
        for (name, value) in self.entries(node, key) {
            let shown = self.show_text(name);
            if let Some(value) = self.text(value, format_args!("{key}.{}", shown.trim_matches('`'))) {
                pairs.push((name.clone(), value));
            }
        }
        pairs
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, node: &Node, key: &str, range: RangeInclusive<u64>) -> Option<Spanned<u64>> {
        let (low, high) = (*range.start(), *range.end());
        let expected = match high {
            u64::MAX => format!("a whole number of at least {low}"),
            _ => format!("a whole number from {low} to {high}"),
        };
        match *self.typed(node) {
            Kind::Int(number) => match u64::try_from(number) {
                Ok(number) if range.contains(&number) => Some(Spanned::new(number, node.span)),
                _ => {
                    self.mismatch(node, key, &expected);
                    None
                }
            },
            _ => {
                let quoted = matches!(node.kind, Kind::Text(_));
                let problem = self.mismatch(node, key, &expected);
                if quoted {
                    problem.hint("a number stands without quotes");
                }
                None
            }
        }
    }

    /// As [`integer`](Self::integer), of 32 bits.
    pub(crate) fn integer32(&mut self, node: &Node, key: &str, range: RangeInclusive<u32>) -> Option<Spanned<u32>> {
        let number = self.integer(node, key, u64::from(*range.start())..=u64::from(*range.end()))?;
        u32::try_from(number.value).ok().map(|value| Spanned::new(value, number.span))
    }

    /// A number that `accept` takes; `expected` says in words which those are.
    pub(crate) fn number(
        &mut self,
        node: &Node,
        key: &str,
        expected: &str,
        accept: impl FnOnce(f64) -> bool,
    ) -> Option<Spanned<f64>> {
        #[allow(clippy::cast_precision_loss, reason = "figures of a plan are far below 2^53")]
        let number = match *self.typed(node) {
            Kind::Int(number) => Some(number as f64),
            Kind::Float(number) => Some(number),
            _ => None,
        };
        match number {
            Some(number) if number.is_finite() && accept(number) => Some(Spanned::new(number, node.span)),
            _ => {
                self.mismatch(node, key, expected);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, node: &Node, key: &str) -> Option<Spanned<bool>> {
        match *self.typed(node) {
            Kind::Bool(value) => Some(Spanned::new(value, node.span)),
            _ => {
                self.mismatch(node, key, "true or false");
                None
            }
        }
    }

    /// A duration; a bare number is milliseconds.
    pub(crate) fn duration(&mut self, node: &Node, key: &str) -> Option<Spanned<Duration>> {
        #[allow(clippy::cast_precision_loss, reason = "beyond 2^53 it is refused as too long")]
        let read = match &*self.typed(node) {
            Kind::Int(number) => units::milliseconds(*number as f64),
            Kind::Float(number) => units::milliseconds(*number),
            Kind::Text(text) => units::duration(text),
            _ => Err(UnitError::NoNumber),
        };
        self.unit(node, key, "a duration", units::DURATION_HINT, read)
    }

    /// A duration that is not zero.
    pub(crate) fn positive_duration(&mut self, node: &Node, key: &str) -> Option<Spanned<Duration>> {
        let duration = self.duration(node, key)?;
        if duration.value.is_zero() {
            self.error(node.span, format!("`{key}` must be longer than zero")).hint(units::DURATION_HINT);
            return None;
        }
        Some(duration)
    }

    /// A text that one of the functions of [`units`] reads.
    pub(crate) fn quantity<T>(
        &mut self,
        node: &Node,
        key: &str,
        expected: &str,
        hint: &str,
        read: impl FnOnce(&str) -> Result<T, UnitError>,
    ) -> Option<Spanned<T>> {
        let read = match &node.kind {
            Kind::Text(text) => read(text),
            _ => match self.lexeme(node) {
                Some(text) => read(&text),
                None => Err(UnitError::Empty),
            },
        };
        self.unit(node, key, expected, hint, read)
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        key: &str,
        words: &[(&'static str, T)],
    ) -> Option<Spanned<T>> {
        let text = self.text(node, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Spanned::new(*value, node.span));
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let shown = self.show(node);
        let hint = suggestion(&text, &known, "it is one of");
        self.error(node.span, format!("`{key}` cannot be {shown}")).hint(hint);
        None
    }

    /// The type of a value after filling: a quoted text that was filled and holds a number is one
    /// here, because inside `{ }` and `[ ]` YAML wants `${…}` quoted.
    pub(crate) fn typed<'n>(&self, node: &'n Node) -> Cow<'n, Kind> {
        match &node.kind {
            Kind::Text(text) if self.marks.filled.contains(&node.span) => Cow::Owned(scalar::resolve(text)),
            kind => Cow::Borrowed(kind),
        }
    }

    /// How a scalar that is no text was written.
    fn lexeme(&self, node: &Node) -> Option<Cow<'a, str>> {
        if let Some(text) = self.marks.lexemes.get(&node.span) {
            return Some(Cow::Borrowed(text));
        }
        match node.kind {
            Kind::Bool(value) => Some(Cow::Owned(value.to_string())),
            Kind::Int(value) => Some(Cow::Owned(value.to_string())),
            Kind::Float(value) => Some(Cow::Owned(value.to_string())),
            _ => None,
        }
    }

    fn unit<T>(
        &mut self,
        node: &Node,
        key: &str,
        expected: &str,
        hint: &str,
        read: Result<T, UnitError>,
    ) -> Option<Spanned<T>> {
        match read {
            Ok(value) => Some(Spanned::new(value, node.span)),
            Err(error) => {
                let found = self.show(node);
                self.error(node.span, format!("`{key}` must be {expected}, not {found}: {error}")).hint(hint);
                None
            }
        }
    }
}

// === impl Section ===

impl<'n> Section<'n> {
    /// The value of a key, where it is there and not `null`.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// As [`get`](Self::get), with the key's place.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<(Span, &'n Node)> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (name, node) = self.entries.iter().find(|(name, _)| name.value == key)?;
        (node.kind != Kind::Null).then_some((name.span, node))
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'n Node> {
        let node = self.get(key);
        if node.is_none() {
            reader.error(self.span, format!("{} needs `{key}`", self.name));
        }
        node
    }

    /// A key whose value a method of [`Reader`] reads.
    pub(crate) fn read<'r, T>(
        &mut self,
        reader: &mut Reader<'r>,
        key: &'static str,
        read: impl FnOnce(&mut Reader<'r>, &Node, &'static str) -> Option<T>,
    ) -> Option<T> {
        self.get(key).and_then(|node| read(reader, node, key))
    }

    /// A text.
    pub(crate) fn text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Text> {
        self.read(reader, key, |reader, node, key| reader.text(node, key))
    }

    /// A text; an empty one is none.
    pub(crate) fn some_text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Text> {
        self.text(reader, key).filter(|text| !text.is_empty())
    }

    /// A duration.
    pub(crate) fn duration(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Spanned<Duration>> {
        self.read(reader, key, Reader::duration)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Spanned<bool>> {
        self.read(reader, key, Reader::boolean)
    }

    /// Ends the section: what nobody asked for is an unknown key.
    pub(crate) fn close(self, reader: &mut Reader<'_>) {
        self.close_with(reader, |_| None);
    }

    /// As [`close`](Self::close); `elsewhere` may know that a key belongs to something else.
    pub(crate) fn close_with(self, reader: &mut Reader<'_>, elsewhere: impl Fn(&str) -> Option<String>) {
        reader.registry.entry(self.name).or_default().extend(&self.known);
        let unknown = self.entries.iter().filter(|(key, _)| !self.known.contains(&key.value.as_str()));
        for (at, (key, _)) in unknown.enumerate() {
            let shown = reader.show_text(key);
            match elsewhere(key) {
                Some(message) => {
                    reader.error(key.span, message).hint(format!("here are known: {}", self.known.join(", ")))
                }
                None => {
                    let problem = reader.error(key.span, format!("unknown key {shown} in {}", self.name));
                    if at < MOST_SUGGESTIONS {
                        problem.hint(suggestion(key, &self.known, "known are"));
                    }
                    problem
                }
            };
        }
    }
}

/// The nearest of some words, and all of them.
pub(crate) fn suggestion(word: &str, known: &[&str], lead: &str) -> String {
    let all = known.join(", ");
    // Long texts are no typos, and comparing them takes time.
    let near = (word.len() <= 64)
        .then(|| {
            let distance = |other: &&&str| strsim::damerau_levenshtein(&word.to_lowercase(), &other.to_lowercase());
            known.iter().map(|other| (distance(&other), other)).min_by_key(|(distance, _)| *distance)
        })
        .flatten()
        .filter(|(distance, other)| *distance <= 1.max(other.len().min(word.len()) / 3));
    match near {
        Some((_, near)) => format!("did you mean `{near}`? {lead}: {all}"),
        None => format!("{lead}: {all}"),
    }
}

/// A text in backticks, as [`printable`].
pub(crate) fn quote(text: &str) -> String {
    format!("`{}`", printable(text, 60))
}

/// At most so many characters of a text, on one line, without control characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == most {
            shown.push('…');
            break;
        }
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}
