//! Steps: `request: METHOD URL` and what belongs to it.

mod body;
mod metric;

use super::identifier;
use crate::plan::document::{Auth, Capture, CaptureFrom, Expect, OnFailure, Step, Stream, Text};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, Section, suggestion};
use crate::plan::span::Spanned;
use crate::plan::units;
use std::collections::HashSet;

/// The methods a request may have.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// What a request looks like.
const REQUEST_HINT: &str = "write method and URL, for example `POST /api/chat` or `GET https://host/path`";

/// A list of steps whose names differ.
pub(super) fn steps(reader: &mut Reader<'_>, node: &Node, key: &str) -> Vec<Step> {
    let mut names = HashSet::new();
    let mut steps = Vec::new();
    for item in reader.items(node, key) {
        let step = step(reader, item, None);
        if !names.insert(step.name.value.clone()) {
            let shown = reader.show_text(&step.name);
            reader
                .error(step.name.span, format!("two steps of `{key}` are called {shown}"))
                .hint("give each step its own `name`: checks and metrics are told apart by it");
        }
        steps.push(step);
    }
    steps
}

/// One step. `name` is what it is called where it has no name of its own to give.
pub(super) fn step(reader: &mut Reader<'_>, node: &Node, name: Option<&str>) -> Step {
    let mut section = reader.section(node, "step");
    let request = section.require(reader, "request").and_then(|node| request(reader, node, "request"));
    let (method, url) =
        request.unwrap_or_else(|| (Spanned::new("GET".to_owned(), node.span), Spanned::new("/".to_owned(), node.span)));
    let given = section.get("name").and_then(|node| step_name(reader, node));
    let headers = section.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let auth = section.get("auth").and_then(|node| auth(reader, node));
    let body = body::body(reader, &mut section);
    let expect = section.get("expect").map(|node| expect(reader, node)).unwrap_or_default();
    let capture = section.get("capture").map(|node| captures(reader, node)).unwrap_or_default();
    let think = section.read(reader, "think", think);
    let when = section.get("when").and_then(|node| condition(reader, node));
    let on_failures = [("continue", OnFailure::Continue), ("stop", OnFailure::Stop)];
    let on_failure = section.read(reader, "on_failure", |reader, node, key| reader.choice(node, key, &on_failures));
    let undo = section.get("undo").and_then(|node| {
        self::request(reader, node, "undo")?;
        reader.text(node, "undo")
    });
    let stream = section.read(reader, "stream", |reader, node, key| reader.choice(node, key, &[("sse", Stream::Sse)]));
    let metrics = section.get("metrics").map(|node| metric::metrics(reader, node)).unwrap_or_default();
    section.close(reader);
    let name = given.unwrap_or_else(|| match name {
        Some(name) => Spanned::new(name.to_owned(), node.span),
        None => Spanned::new(format!("{} {}", method.value, path(&url)), url.span),
    });
    Step {
        span: node.span,
        name,
        method,
        url,
        headers,
        auth,
        body,
        expect,
        capture,
        think,
        when,
        on_failure: on_failure.map(|it| it.value),
        undo,
        stream,
        metrics,
    }
}

/// Headers by name: proper names, each once, and values that stay on one line.
pub(super) fn headers(reader: &mut Reader<'_>, node: &Node) -> Vec<(Text, Text)> {
    let mut names = HashSet::new();
    let mut headers = reader.pairs(node, "headers");
    headers.retain(|(name, value)| {
        let shown = reader.show_text(name);
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            reader.error(name.span, format!("{shown} cannot be the name of a header")).hint("letters, digits and `-`");
            return false;
        }
        if !names.insert(name.to_ascii_lowercase()) {
            reader
                .error(name.span, format!("the header {shown} stands here twice"))
                .hint("headers differ in more than case");
            return false;
        }
        if value.contains(['\r', '\n', '\0']) {
            reader
                .error(value.span, format!("the value of the header {shown} holds a line break or NUL"))
                .hint("a header is one line; a text after `|` or `>` ends with a line break");
            return false;
        }
        true
    });
    headers
}

/// `METHOD URL`, with the URL's place.
pub(super) fn request(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<(Spanned<String>, Text)> {
    let text = reader.filled_text(node, key)?;
    let (method, url) = match text.trim().split_once([' ', '\t']) {
        Some(parts) => parts,
        None if METHODS.contains(&text.trim().to_ascii_uppercase().as_str()) => (text.trim(), ""),
        None => ("", text.trim()),
    };
    let method = method.to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        let shown = reader.show_text(&text);
        let word = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let hint = match METHODS.contains(&word.as_str()) || word.starts_with(['/', '{']) || word.contains("://") {
            true => REQUEST_HINT.to_owned(),
            false => suggestion(&word, &METHODS, "methods are"),
        };
        reader.error(node.span, format!("`{key}` does not begin with a method: {shown}")).hint(hint);
        return None;
    }
    let url = url.trim();
    if let Some(why) = unusable(url) {
        let shown = reader.show_text(&text);
        reader.error(node.span, format!("the URL of `{key}` {why}: {shown}")).hint(REQUEST_HINT);
        return None;
    }
    Some((Spanned::new(method, node.span), Spanned::new(url.to_owned(), node.span)))
}

/// Why a URL cannot be used, if so. What stands in `{{ }}` is not looked at.
fn unusable(url: &str) -> Option<&'static str> {
    let scheme = |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if url.is_empty() {
        return Some("is missing");
    }
    if !(url.starts_with('/') || url.starts_with("{{") || scheme("http://") || scheme("https://")) {
        return Some("is neither a path nor absolute");
    }
    let mut rest = url;
    loop {
        let (plain, template) = rest.split_once("{{").unwrap_or((rest, ""));
        if plain.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Some("holds a blank (write `%20`)");
        }
        match template.split_once("}}") {
            Some((_, after)) => rest = after,
            None => return None,
        }
    }
}

/// The path of a URL template, without its query.
fn path(url: &str) -> &str {
    let below = match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '{']) => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => url,
    };
    &below[..query(below).unwrap_or(below.len())]
}

/// Where the query or fragment begins, outside of `{{ }}`.
fn query(url: &str) -> Option<usize> {
    let mut inside = false;
    let bytes = url.as_bytes();
    (0..bytes.len()).find(|&at| {
        match bytes.get(at..at + 2) {
            Some(b"{{") => inside = true,
            Some(b"}}") => inside = false,
            _ => {}
        }
        !inside && matches!(bytes[at], b'?' | b'#')
    })
}

fn step_name(reader: &mut Reader<'_>, node: &Node) -> Option<Text> {
    let name = reader.filled_text(node, "name")?;
    // k6 joins groups by `::`, and the summary's paths would no longer be one-to-one.
    if name.contains("::") || name.contains(char::is_control) {
        let shown = reader.show_text(&name);
        reader
            .error(name.span, format!("{shown} cannot be the name of a step"))
            .hint("leave out `::` and control characters");
        return None;
    }
    Some(name)
}

fn auth(reader: &mut Reader<'_>, node: &Node) -> Option<Auth> {
    let mut section = reader.section(node, "step.auth");
    let bearer = section.entry("bearer");
    let basic = section.entry("basic");
    let span = section.span;
    section.close(reader);
    match (bearer, basic) {
        (Some((_, bearer)), None) => reader.filled_text(bearer, "bearer").map(Auth::Bearer),
        (None, Some((_, basic))) => {
            let mut section = reader.section(basic, "step.auth.basic");
            let user = section.require(reader, "user").and_then(|node| reader.text(node, "user"));
            let password = section.text(reader, "password").unwrap_or_else(|| Spanned::nowhere(String::new()));
            section.close(reader);
            Some(Auth::Basic { user: user?, password })
        }
        (None, None) => {
            reader.error(span, "`auth` says nothing").hint("write `bearer: …` or `basic: { user: …, password: … }`");
            None
        }
        (Some(_), Some((span, _))) => {
            reader.error(span, "`auth` is `bearer` or `basic`, not both").hint("keep one of them");
            None
        }
    }
}

fn expect(reader: &mut Reader<'_>, node: &Node) -> Expect {
    let mut section = reader.section(node, "step.expect");
    let status = section.entry("status");
    let json = section.get("json").map(|node| reader.entries(node, "json").to_vec()).unwrap_or_default();
    for (path, value) in &json {
        json_path(reader, path);
        body::finite(reader, value);
    }
    let headers = section.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let body = section.read(reader, "body", |reader, node, key| reader.filled_text(node, key));
    let max_duration = section.read(reader, "max_duration", Reader::positive_duration);
    section.close(reader);
    Expect {
        status: status.map(|(_, node)| statuses(reader, node)).unwrap_or_default(),
        status_span: status.map(|(span, _)| span),
        json,
        headers,
        body,
        max_duration,
    }
}

/// One status, or a list of them.
fn statuses(reader: &mut Reader<'_>, node: &Node) -> Vec<Spanned<u16>> {
    let items = match &node.kind {
        Kind::List(items) if items.is_empty() => {
            reader.error(node.span, "`status` is an empty list").hint("without `status` 200 to 399 are expected");
            return Vec::new();
        }
        Kind::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let status = |item: &Node| {
        let status = reader.integer(item, "status", 100..=599)?;
        u16::try_from(status.value).ok().map(|value| Spanned::new(value, status.span))
    };
    items.iter().filter_map(status).collect()
}

fn captures(reader: &mut Reader<'_>, node: &Node) -> Vec<Capture> {
    let mut captures = Vec::new();
    for (name, value) in reader.entries(node, "capture") {
        identifier(reader, name, "of a capture");
        let from = match &value.kind {
            Kind::Map(_) => capture_from(reader, value),
            _ => reader.filled_text(value, "capture").filter(|path| json_path(reader, path)).map(CaptureFrom::Json),
        };
        captures.extend(from.map(|from| Capture { name: name.clone(), from }));
    }
    captures
}

/// `{ header: N }`, `{ cookie: N }` or `{ regex: R }`.
fn capture_from(reader: &mut Reader<'_>, node: &Node) -> Option<CaptureFrom> {
    let mut section = reader.section(node, "step.capture");
    let header =
        section.read(reader, "header", |reader, node, key| reader.filled_text(node, key)).map(CaptureFrom::Header);
    let cookie =
        section.read(reader, "cookie", |reader, node, key| reader.filled_text(node, key)).map(CaptureFrom::Cookie);
    let regex =
        section.read(reader, "regex", |reader, node, key| reader.filled_text(node, key)).map(CaptureFrom::Regex);
    let span = section.span;
    section.close(reader);
    if let Some(CaptureFrom::Regex(regex)) = &regex
        && let Err(error) = regex::Regex::new(regex)
    {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        reader
            .error(regex.span, format!("`regex` is no regular expression: {why}"))
            .hint("single quotes keep backslashes");
    }
    let mut given = [header, cookie, regex].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(only), None) => Some(only),
        _ => {
            reader.error(span, "a capture has exactly one source").hint(
                "write a JSONPath such as `$.id`, or one of `{ header: N }`, `{ cookie: N }`, `{ regex: 'id=(\\d+)' }`",
            );
            None
        }
    }
}

/// Whether a text begins as a JSONPath does; says so where it does not.
fn json_path(reader: &mut Reader<'_>, path: &Text) -> bool {
    let proper = path.starts_with('$');
    if !proper {
        let shown = reader.show_text(path);
        reader
            .error(path.span, format!("{shown} is no JSONPath"))
            .hint("a JSONPath begins with `$`, for example `$.user.id`");
    }
    proper
}

/// A pause: a duration, or two with `..` between them.
fn think(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<crate::plan::document::Think> {
    let hint = "write a pause as `2s`, or `1s..3s` to draw one between the two";
    reader.quantity(node, key, "a pause", hint, units::think).map(|think| think.value)
}

/// An expression in `{{ }}`; plain true or false is wrapped.
fn condition(reader: &mut Reader<'_>, node: &Node) -> Option<Text> {
    let text = reader.filled_text(node, "when")?;
    if text.contains("{{") {
        return Some(text);
    }
    if matches!(text.as_str(), "true" | "false") {
        return Some(Spanned::new(format!("{{{{ {} }}}}", text.value), text.span));
    }
    let shown = reader.show_text(&text);
    reader
        .error(text.span, format!("`when` is no expression: {shown}"))
        .hint("put it between braces, and quotes around them: \"{{ token is defined }}\"");
    None
}

/// Reads a section's `request` that is none of a step: for sources and knobs.
pub(super) fn request_of(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    required: bool,
) -> Option<(Text, Text)> {
    let node = if required { section.require(reader, key) } else { section.get(key) };
    node.and_then(|node| request(reader, node, key))
}
