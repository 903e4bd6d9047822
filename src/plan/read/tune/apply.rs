//! `apply`: how a value is set, exactly one way.

use crate::plan::document::{ApplyDocument, CommandDocument, Expect, KubernetesDocument, Step, Text};
use crate::plan::node::{Kind, Node};
use crate::plan::read::step;
use crate::plan::reader::{Reader, Section};
use crate::plan::span::Spanned;
use std::time::Duration;

/// How soon a command, and what it started, must be ready.
const WITHIN: Duration = Duration::from_secs(20);
/// How soon a rollout must be through.
const ROLLOUT: Duration = Duration::from_secs(300);
/// What a process is asked where the plan does not say.
const READY: &str = "/healthz";

pub(super) fn apply(reader: &mut Reader<'_>, node: &Node) -> Option<ApplyDocument> {
    let mut section = reader.section(node, "tune.apply");
    let process = section.get("process").map(|node| ApplyDocument::Process(command(reader, node, true)));
    let exec = section.get("exec").map(|node| ApplyDocument::Exec(command(reader, node, false)));
    let http = section.get("http").map(|node| ApplyDocument::Http(Box::new(request(reader, node))));
    let kubernetes = section.get("kubernetes").map(|node| kubernetes(reader, node).map(ApplyDocument::Kubernetes));
    let span = section.span;
    section.close(reader);
    let given = [process.map(Some), exec.map(Some), http.map(Some), kubernetes];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(only), None) => only,
        _ => {
            reader
                .error(span, "`apply` has exactly one of `process`, `exec`, `http` and `kubernetes`")
                .hint("a knob is set in one way");
            None
        }
    }
}

/// A command. What it starts is asked whether it is ready; a process always is.
fn command(reader: &mut Reader<'_>, node: &Node, process: bool) -> CommandDocument {
    let mut section: Section<'_> = reader.section(node, "tune.apply.command");
    let command = section.require(reader, "command").map(|node| words(reader, node)).unwrap_or_default();
    let ready = step::request_of(reader, &mut section, "ready", false);
    let within = section.read(reader, "within", Reader::positive_duration);
    section.close(reader);
    let default = || (Spanned::nowhere("GET".to_owned()), Spanned::new(READY.to_owned(), node.span));
    let ready = ready.or_else(|| process.then(default));
    CommandDocument {
        span: node.span,
        command,
        ready: ready.map(|(method, url)| Box::new(probe(method, url))),
        within: within.unwrap_or(Spanned::nowhere(WITHIN)),
    }
}

/// The program and its arguments.
fn words(reader: &mut Reader<'_>, node: &Node) -> Vec<Text> {
    let items = reader.items(node, "command");
    if items.is_empty() && matches!(node.kind, Kind::List(_)) {
        reader.error(node.span, "`command` is empty").hint("the program and its arguments: [node, server.mjs]");
    }
    let mut words = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let word = if at == 0 { reader.filled_text(item, "command") } else { reader.text(item, "command") };
        let Some(word) = word else { continue };
        if word.contains('\0') {
            reader.error(word.span, "no argument can hold a NUL").hint("leave it out");
        } else {
            words.push(word);
        }
    }
    words
}

/// What is asked until it succeeds: 2xx.
fn probe(method: Text, url: Text) -> Step {
    let status = (200..300).map(Spanned::nowhere).collect();
    Step {
        span: url.span,
        name: Spanned::nowhere(format!("{} {}", method.value, url.value)),
        method,
        url,
        headers: Vec::new(),
        auth: None,
        body: None,
        expect: Expect { status, ..Expect::default() },
        capture: Vec::new(),
        think: None,
        when: None,
        on_failure: None,
        undo: None,
        stream: None,
        metrics: Vec::new(),
    }
}

/// A request that sets the knobs: a step that is sent once, and so has nothing to keep.
fn request(reader: &mut Reader<'_>, node: &Node) -> Step {
    let step = step::step(reader, node, None);
    let has = [
        (!step.capture.is_empty(), "capture"),
        (!step.metrics.is_empty(), "metrics"),
        (step.undo.is_some(), "undo"),
        (step.stream.is_some(), "stream"),
        (step.think.is_some(), "think"),
        (step.when.is_some(), "when"),
        (step.on_failure.is_some(), "on_failure"),
    ];
    for (_, key) in has.into_iter().filter(|(has, _)| *has) {
        reader
            .error(node.span, format!("a request that sets knobs has no `{key}`"))
            .hint("it has `request`, `headers`, `auth`, `json`, `form`, `body` and `expect`");
    }
    step
}

fn kubernetes(reader: &mut Reader<'_>, node: &Node) -> Option<KubernetesDocument> {
    let mut section = reader.section(node, "tune.apply.kubernetes");
    let mut name =
        |reader: &mut Reader<'_>, key| section.require(reader, key).and_then(|node| label(reader, node, key));
    let (namespace, deployment) = (name(reader, "namespace"), name(reader, "deployment"));
    let container = name(reader, "container");
    let within = section.read(reader, "within", Reader::positive_duration);
    section.close(reader);
    Some(KubernetesDocument {
        span: node.span,
        namespace: namespace?,
        deployment: deployment?,
        container: container?,
        within: within.unwrap_or(Spanned::nowhere(ROLLOUT)),
    })
}

/// A name as Kubernetes has it: RFC 1123, and so part of no path but its own.
fn label(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Text> {
    let text = reader.filled_text(node, key)?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = text.as_bytes();
    if bytes.len() <= 253 && bytes.iter().all(|byte| inner(*byte)) && edge(bytes.first()) && edge(bytes.last()) {
        return Some(text);
    }
    let shown = reader.show_text(&text);
    reader
        .error(text.span, format!("{shown} cannot be the name of a {key}"))
        .hint("small letters of ASCII, digits, `-` and `.`");
    None
}
