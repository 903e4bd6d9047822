//! YAML events to one tree of [`Node`]s, `${}` filled scalar by scalar on the way.
//!
//! Everything is bounded (nesting, nodes, text), and only what a plan needs is taken: no tags,
//! no merge keys, one document. Aliases work within the bounds, so no plan can expand without end.
//! Keys are filled too; a key stays text whatever is filled in.

use super::diagnostics::Diagnostics;
use super::fill::{self, Problem};
use super::node::{Kind, Node};
use super::scalar;
use super::span::{Span, Spanned};
use super::variables::Variables;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// How deep lists and mappings may stand in each other.
const DEEPEST: usize = 64;
/// The most nodes of one plan, aliases expanded.
const MOST_NODES: usize = 100_000;
/// The most text of one plan in bytes, aliases expanded and `${}` filled.
const MOST_TEXT: usize = 16 << 20;

/// What to do about a key that is none.
const PLAIN_KEY: &str = "write the key as plain text";

/// A tree, and what its nodes cannot say themselves.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The document.
    pub(crate) root: Node,
    /// Beside the tree.
    pub(crate) marks: Marks,
}

/// What is known of scalars by their place.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Where something was filled in. Such a value may be a secret: it is never quoted in a message.
    pub(crate) filled: HashSet<Span>,
    /// The text of unquoted scalars that became something else, so that `007` can still be a password.
    pub(crate) lexemes: HashMap<Span, Box<str>>,
}

/// Reads the one document of `text`. None where there is no tree to read on with.
pub(crate) fn parse(text: &str, variables: &Variables, diagnostics: &mut Diagnostics) -> Option<Tree> {
    let mut builder = Builder {
        variables,
        diagnostics,
        marks: Marks::default(),
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        text_left: MOST_TEXT,
    };
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, place) = match event {
            Ok(event) => event,
            Err(error) => {
                malformed(text, &error, builder.diagnostics);
                return None;
            }
        };
        let span = span_at(place.start.line(), place.start.col());
        let outcome = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 { Err(Stop::Documents) } else { Ok(()) }
            }
            Event::Scalar(text, style, anchor, tag) => {
                builder.refuse_tag(span, tag.is_some());
                builder.scalar(&text, style == ScalarStyle::Plain, anchor, span)
            }
            Event::SequenceStart(anchor, tag) => {
                builder.refuse_tag(span, tag.is_some());
                builder.open(span, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                builder.refuse_tag(span, tag.is_some());
                let content = Content::Map { entries: Vec::new(), names: HashSet::new(), slot: Slot::Key };
                builder.open(span, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(anchor) => builder.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        };
        if let Err(stop) = outcome {
            stop.tell(span, builder.diagnostics);
            return None;
        }
    }
    let Builder { root, marks, .. } = builder;
    match root {
        Some(root) if root.kind != Kind::Null => Some(Tree { root, marks }),
        _ => {
            diagnostics
                .error(Span::new(1, 1), "the plan is empty")
                .hint("a plan is a mapping with `workflow` and `scenarios`; see config/ for ready ones");
            None
        }
    }
}

/// Reads a document that is no plan: nothing is filled in. None where it is no YAML.
pub(crate) fn plain(text: &str) -> Option<Node> {
    // `$${` is how a plan writes what is not to be filled in.
    let mut problems = Diagnostics::new("");
    let tree = parse(&text.replace("${", "$${"), &Variables::default(), &mut problems);
    tree.map(|tree| tree.root).filter(|_| !problems.has_errors())
}

/// Why reading ends early.
enum Stop {
    Documents,
    Deep,
    Nodes,
    Text,
}

/// The tree while it grows.
struct Builder<'a> {
    variables: &'a Variables,
    diagnostics: &'a mut Diagnostics,
    marks: Marks,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    nodes: usize,
    text_left: usize,
}

/// A list or mapping that is not finished.
struct Frame {
    span: Span,
    anchor: usize,
    content: Content,
    /// What `nodes` and `text_left` were when it began.
    began: (usize, usize),
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Spanned<String>, Node)>, names: HashSet<String>, slot: Slot },
}

/// What a mapping waits for.
enum Slot {
    Key,
    Value(Spanned<String>),
    /// The value of a key that cannot be used.
    Discard,
}

/// A finished part that an alias may repeat.
struct Anchored {
    /// None where the part is as if it were not there.
    node: Option<Node>,
    nodes: usize,
    text: usize,
    height: usize,
}

// === impl Builder ===

impl Builder<'_> {
    fn scalar(&mut self, text: &str, plain: bool, anchor: usize, span: Span) -> Result<(), Stop> {
        let before = self.text_left;
        let filled = if text.contains("${") {
            let filled = fill::fill(text, self.variables, &mut self.text_left);
            for problem in &filled.problems {
                self.tell(problem, span)?;
            }
            filled
        } else {
            self.text_left = self.text_left.checked_sub(text.len()).ok_or(Stop::Text)?;
            fill::Filled { text: text.to_owned(), ..fill::Filled::default() }
        };
        if filled.touched {
            self.marks.filled.insert(span);
        }
        if anchor == 0 && self.waits_for_key() {
            self.key(filled.text, span, plain);
            return Ok(());
        }
        if self.waits_for_key() {
            self.refuse_key(span, "a key cannot carry an anchor", PLAIN_KEY);
            return Ok(());
        }
        self.count(1)?;
        let kind = if plain { scalar::resolve(&filled.text) } else { Kind::Text(filled.text.clone()) };
        // An unquoted scalar that was filled with nothing is as if it were not there.
        let absent = plain && filled.touched && filled.text.is_empty();
        if !absent && !matches!(kind, Kind::Text(_)) {
            self.marks.lexemes.insert(span, filled.text.into_boxed_str());
        }
        let node = (!absent).then_some(Node { span, kind });
        self.remember(anchor, node.as_ref(), 1, before - self.text_left)?;
        self.attach(node);
        Ok(())
    }

    fn open(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.stack.len() >= DEEPEST {
            return Err(Stop::Deep);
        }
        if self.waits_for_key() {
            let hint = "a text that begins with `{{` wants quotes, and so does one that begins with `{` or `[`";
            self.refuse_key(span, "a key must be text, not a list or a mapping", hint);
            // Its content is read and thrown away as the first half of a discarded entry.
            if let Some(Frame { content: Content::Map { slot, .. }, .. }) = self.stack.last_mut() {
                *slot = Slot::Key;
            }
        }
        let began = (self.nodes, self.text_left);
        self.count(1)?;
        self.stack.push(Frame { span, anchor, content, began });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(Frame { span, anchor, content, began }) = self.stack.pop() else { return Ok(()) };
        let kind = match content {
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        let node = Node { span, kind };
        self.remember(anchor, Some(&node), self.nodes - began.0, began.1 - self.text_left)?;
        if self.waits_for_key() {
            // The end of a key that was refused when it began.
            if let Some(Frame { content: Content::Map { slot, .. }, .. }) = self.stack.last_mut() {
                *slot = Slot::Discard;
            }
        } else {
            self.attach(Some(node));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        if self.waits_for_key() {
            self.refuse_key(span, "a key cannot be an alias", PLAIN_KEY);
            return Ok(());
        }
        let Some(anchored) = self.anchors.get(&anchor) else {
            self.diagnostics
                .error(span, "this alias stands inside the part that it repeats")
                .hint("write the part out");
            self.attach(None);
            return Ok(());
        };
        if self.stack.len() + anchored.height > DEEPEST {
            return Err(Stop::Deep);
        }
        let (nodes, text, node) = (anchored.nodes, anchored.text, anchored.node.clone());
        self.count(nodes)?;
        self.text_left = self.text_left.checked_sub(text).ok_or(Stop::Text)?;
        self.attach(node);
        Ok(())
    }

    /// Keeps a finished part for aliases. The copy counts as any other.
    fn remember(&mut self, anchor: usize, node: Option<&Node>, nodes: usize, text: usize) -> Result<(), Stop> {
        if anchor != 0 {
            self.count(nodes)?;
            self.text_left = self.text_left.checked_sub(text).ok_or(Stop::Text)?;
            let height = node.map_or(0, height);
            self.anchors.insert(anchor, Anchored { node: node.cloned(), nodes, text, height });
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES { Err(Stop::Nodes) } else { Ok(()) }
    }

    fn waits_for_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Map { slot: Slot::Key, .. }, .. }))
    }

    fn key(&mut self, name: String, span: Span, plain: bool) {
        if plain && name == "<<" {
            self.refuse_key(
                span,
                "merge keys (`<<`) are not YAML 1.2",
                "write the part out, or repeat it whole by an alias",
            );
            return;
        }
        if name.is_empty() {
            self.refuse_key(span, "a key is empty", PLAIN_KEY);
            return;
        }
        let hidden = self.marks.filled.contains(&span);
        let Some(Frame { content: Content::Map { names, slot, .. }, .. }) = self.stack.last_mut() else { return };
        if names.insert(name.clone()) {
            *slot = Slot::Value(Spanned::new(name, span));
        } else {
            *slot = Slot::Discard;
            let name = if hidden { Cow::Borrowed("a filled-in key") } else { Cow::Owned(super::reader::quote(&name)) };
            self.diagnostics.error(span, format!("{name} stands here twice")).hint("keep one of the two");
        }
    }

    fn refuse_key(&mut self, span: Span, why: &str, hint: &str) {
        self.diagnostics.error(span, why).hint(hint);
        if let Some(Frame { content: Content::Map { slot, .. }, .. }) = self.stack.last_mut() {
            *slot = Slot::Discard;
        }
    }

    fn refuse_tag(&mut self, span: Span, tagged: bool) {
        if tagged {
            self.diagnostics
                .error(span, "a plan has no YAML tags (`!…`)")
                .hint("quotes make text of a number; a text that begins with `!` wants quotes");
        }
    }

    /// Puts a finished part where it belongs; none is as if it were not there.
    fn attach(&mut self, node: Option<Node>) {
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            Some(Content::List(items)) => items.extend(node),
            Some(Content::Map { entries, slot, .. }) => {
                if let (Slot::Value(key), Some(node)) = (std::mem::replace(slot, Slot::Key), node) {
                    entries.push((key, node));
                }
            }
            None => self.root = node,
        }
    }

    fn tell(&mut self, problem: &Problem, span: Span) -> Result<(), Stop> {
        match problem {
            Problem::Unset(name) => self
                .diagnostics
                .warning(span, format!("`{name}` is not set and has no default, so nothing stands here"))
                .hint(format!("set it with `-e {name}=…` or in the environment, or write `${{{name}:-default}}`")),
            Problem::Required { name, message } if message.is_empty() => self
                .diagnostics
                .error(span, format!("`{name}` is not set"))
                .hint(format!("set it with `-e {name}=…` or in the environment")),
            Problem::Required { name, message } => self
                .diagnostics
                .error(span, format!("`{name}` is not set: {}", super::reader::printable(message, 200)))
                .hint(format!("set it with `-e {name}=…` or in the environment")),
            Problem::Unclosed => self
                .diagnostics
                .error(span, "`${` without its `}`")
                .hint("braces balance, those of `{{ … }}` too; `$${` is a literal `${`"),
            Problem::Form => self
                .diagnostics
                .error(span, "`${…}` holds no name")
                .hint("write `${NAME}`, `${NAME:-default}` or `${NAME:?message}`; `$${` is a literal `${`"),
            Problem::Deep => {
                self.diagnostics.error(span, "defaults stand too deep in defaults").hint("16 levels are the most")
            }
            Problem::Large => return Err(Stop::Text),
        };
        Ok(())
    }
}

// === impl Stop ===

impl Stop {
    fn tell(&self, span: Span, diagnostics: &mut Diagnostics) {
        match self {
            Self::Documents => diagnostics
                .error(span, "a second YAML document begins here; a plan is one")
                .hint("keep one document a file, and take the `---` away"),
            Self::Deep => diagnostics
                .error(span, format!("the plan is nested more than {DEEPEST} levels deep"))
                .hint("no section goes deeper than ten levels: look for brackets or dashes that are never closed"),
            Self::Nodes => diagnostics
                .error(span, format!("the plan has more than {MOST_NODES} parts, aliases expanded"))
                .hint("put data into files and name them under `data:`"),
            Self::Text => diagnostics
                .error(span, format!("the plan has more than {} MiB of text, all filled in", MOST_TEXT >> 20))
                .hint("put data into files and name them under `data:`"),
        };
    }
}

/// Records what the parser could not make sense of.
fn malformed(text: &str, error: &ScanError, diagnostics: &mut Diagnostics) {
    let marker = error.marker();
    let mut lines = text.lines().skip(marker.line().saturating_sub(1));
    let (line, next) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let tabbed = |line: &str| line.trim_start_matches(' ').starts_with('\t');
    let hint = if tabbed(line) || tabbed(next) {
        "YAML is indented with spaces, never with tabs"
    } else if line.contains("${") && line.contains(['{', '[']) {
        "inside `{ }` and `[ ]`, text with `${…}` or `{{ … }}` wants quotes around it"
    } else if line.contains("{{") {
        "text that begins with `{{` wants quotes around it"
    } else {
        "check indentation and quotes; text that holds `: ` or ` #`, or begins with one of `{[*&!|>%@`, wants quotes"
    };
    diagnostics
        .error(
            span_at(marker.line(), marker.col()),
            format!("not YAML: {}", super::reader::printable(error.info(), 200)),
        )
        .hint(hint);
}

/// How many levels stand below a node and itself, scalars not counted.
fn height(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Kind::Map(entries) => 1 + entries.iter().map(|(_, node)| height(node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// A place from the parser's: its lines count from 1, its columns from 0.
fn span_at(line: usize, column: usize) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span::new(number(line.max(1)), number(column.saturating_add(1)))
}
