//! Holds the house together: who may import whom, and a few rules that no compiler knows.
//!
//! The sources are parsed, not searched: `use` trees, paths in expressions, types and patterns,
//! and the tokens inside macros. Each rule is a function over source text, and each is shown
//! here a source that breaks it, so that a rule which has gone blind is noticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says no by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Who may import whom. Downwards only; what is not listed is not allowed.
const TABLE: &[(&str, &[&str])] = &[
    ("semconv", &[]),
    ("stats", &[]),
    ("middleware", &["semconv"]),
    ("plan", &["semconv"]),
    // Where a database is and how it is connected to: cleanup and correlate both need it, and not each other.
    ("postgres", &[]),
    // A verifier that client and correlate both need, and not each other.
    ("tls", &[]),
    ("measure", &["plan", "stats", "semconv"]),
    ("load", &["plan", "measure", "stats", "semconv"]),
    ("client", &["plan", "tls", "measure", "stats", "semconv"]),
    ("workflow", &["plan", "measure", "stats", "semconv"]),
    ("cleanup", &["plan", "postgres", "measure", "stats", "semconv"]),
    ("correlate", &["plan", "postgres", "tls", "measure", "stats", "semconv"]),
    ("guard", &["plan", "measure", "stats", "semconv"]),
    ("judge", &["plan", "measure", "correlate", "stats", "semconv"]),
    ("tune", &["plan", "measure", "correlate", "stats", "semconv"]),
    ("export", &["plan", "measure", "correlate", "stats", "semconv"]),
    ("report", &["plan", "measure", "correlate", "stats", "semconv", "tune", "judge", "cleanup"]),
    (
        "run",
        &[
            "semconv",
            "stats",
            "plan",
            "postgres",
            "tls",
            "measure",
            "load",
            "client",
            "workflow",
            "cleanup",
            "correlate",
            "guard",
            "judge",
            "tune",
            "export",
            "report",
        ],
    ),
];

/// Where the machine's clock may be read past tokio's: the sample API is not under test,
/// it is what is tested against; and an API that embeds the layers has no tokio for their sake. There instants are
/// parameters of what decides by them.
const STD_INSTANT_ALLOWED: &[&str] = &["sidecar/src/demo/", "src/middleware/"];

/// One broken rule, at its place.
#[derive(Debug)]
struct Violation {
    file: String,
    line: usize,
    message: String,
}

/// A path that a source names, resolved as far as it can be without the compiler.
struct Named {
    line: usize,
    /// From the root of the crate (`load`, `pacer`) where `inside`, else as written.
    path: Vec<String>,
    /// Whether it leads into the library itself.
    inside: bool,
    /// Whether everything below it is meant (`*`).
    glob: bool,
}

// === impl Violation ===

impl Violation {
    fn new(file: &str, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

// === the reading ===

/// Collects the paths of one file.
struct Collector {
    /// The module that is being read, from the root of its crate.
    module: Vec<String>,
    named: Vec<Named>,
    /// Lines of `#[path]` attributes.
    path_attributes: Vec<usize>,
    /// What a short name stands for, from the `use` lines: `time` for `tokio::time`.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Collector {
    /// Reads a file that is the module `module` of its crate.
    fn read(module: &[String], source: &str) -> Self {
        let file = syn::parse_file(source)
            .unwrap_or_else(|error| panic!("the compiler would not take {}: {error}", module.join("::")));
        let mut collector =
            Self { module: module.to_vec(), named: Vec::new(), path_attributes: Vec::new(), aliases: BTreeMap::new() };
        collector.visit_file(&file);
        collector
    }

    /// Notes a path: `crate::`, `self::`, `super::` and `pacecar::` are followed to the root.
    fn note(&mut self, span: Span, segments: &[String], glob: bool) {
        let line = span.start().line;
        let mut at = self.module.clone();
        let mut inside = true;
        let mut rest = segments;
        match segments.first().map(String::as_str) {
            Some("crate" | "pacecar") => {
                at.clear();
                rest = &segments[1..];
            }
            Some("self" | "super") => {
                while let Some(first) = rest.first() {
                    match first.as_str() {
                        "self" => {}
                        "super" => drop(at.pop()),
                        _ => break,
                    }
                    rest = &rest[1..];
                }
            }
            _ => {
                inside = false;
                at.clear();
            }
        }
        at.extend(rest.iter().cloned());
        self.named.push(Named { line, path: at, inside, glob });
    }

    fn use_tree(&mut self, prefix: &mut Vec<String>, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(prefix, &path.tree);
                prefix.pop();
            }
            syn::UseTree::Name(name) => {
                let full = leaf(prefix, &name.ident.to_string());
                if let Some(last) = full.last() {
                    self.aliases.insert(last.clone(), full.clone());
                }
                // `use super::super;` does not exist, but `use crate::{self};` names the whole crate.
                self.note(name.ident.span(), &full, false);
            }
            syn::UseTree::Rename(rename) => {
                let full = leaf(prefix, &rename.ident.to_string());
                self.aliases.insert(rename.rename.to_string(), full.clone());
                self.note(rename.ident.span(), &full, false);
            }
            syn::UseTree::Glob(glob) => self.note(glob.star_token.spans[0], &prefix.clone(), true),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(prefix, tree);
                }
            }
        }
    }

    /// Paths among loose tokens: the arguments of a macro, the body of `macro_rules!`.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < trees.len() {
            match &trees[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let (Some(TokenTree::Punct(a)), Some(TokenTree::Punct(b)), Some(TokenTree::Ident(next))) =
                        (trees.get(at + 1), trees.get(at + 2), trees.get(at + 3))
                    {
                        if a.as_char() != ':' || b.as_char() != ':' {
                            break;
                        }
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.note(first.span(), &path, false);
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&mut Vec::new(), &item.tree);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let name = item.ident.to_string();
        if name == "self" || name == "pacecar" {
            self.note(item.ident.span(), &["crate".to_owned()], false);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1
            && let Some(first) = path.segments.first()
        {
            self.note(first.ident.span(), &segments, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(in crate::plan)` says who may look in; it imports nothing.
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("path") {
            self.path_attributes.push(attribute.pound_token.spans[0].start().line);
        }
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            if list.path.is_ident("cfg_attr") && list.tokens.clone().into_iter().any(is_path_attribute) {
                self.path_attributes.push(attribute.pound_token.spans[0].start().line);
            }
        }
    }
}

/// `prefix::name`, where `prefix::self` is `prefix`.
fn leaf(prefix: &[String], name: &str) -> Vec<String> {
    let mut full = prefix.to_vec();
    if name != "self" || full.is_empty() {
        full.push(name.to_owned());
    }
    full
}

fn is_path_attribute(token: TokenTree) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == "path")
}

// === the rules ===

/// What a file of the library imports against the table.
fn import_violations(file: &str, source: &str) -> Vec<Violation> {
    let module = module_of(file);
    let Some(room) = module.first() else { return Vec::new() };
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| name == room) else {
        return vec![Violation::new(
            file,
            1,
            format!("the room `{room}` is not in the table of tests/architecture.rs"),
        )];
    };
    let collector = Collector::read(&module, source);
    let mut violations = Vec::new();
    for named in collector.named.iter().filter(|named| named.inside) {
        match named.path.first() {
            None => violations.push(Violation::new(file, named.line, "takes the whole crate: name the rooms")),
            Some(target) if target == room || allowed.contains(&target.as_str()) => {}
            Some(target) if TABLE.iter().any(|(name, _)| name == target) => {
                violations.push(Violation::new(file, named.line, format!("`{room}` may not import `{target}`")));
            }
            Some(target) => violations.push(Violation::new(
                file,
                named.line,
                format!("`{}` is no room: import it from the room where it lives", target),
            )),
        }
    }
    violations.extend(borrowed_files(file, &collector));
    violations.dedup_by_key(|violation| violation.to_string());
    violations
}

/// Tests of the library that start a Postgres use the demo's starter: a second way to start one would be a second
/// way to leave one behind. The sidecar compiles that starter's tests once, from where it has them.
const PATH_ALLOWED: [&str; 2] = ["src/cleanup/sweep/tests/mod.rs", "sidecar/src/demo/mod.rs"];

/// Files that are compiled at a place where they do not stand.
fn borrowed_files(file: &str, collector: &Collector) -> Vec<Violation> {
    let message = "`#[path]` takes a file past the import table";
    if PATH_ALLOWED.contains(&file) {
        return Vec::new();
    }
    collector.path_attributes.iter().map(|line| Violation::new(file, *line, message)).collect()
}

/// What a file of the sidecar does past the library's public API.
fn sidecar_violations(file: &str, source: &str) -> Vec<Violation> {
    let collector = Collector::read(&module_of(file), source);
    let mut violations = borrowed_files(file, &collector);
    if source.contains("include!(") {
        violations.push(Violation::new(file, 1, "`include!` takes a file past the library's public API"));
    }
    violations
}

/// Where a file reads a clock that tests cannot pause.
fn clock_violations(file: &str, source: &str) -> Vec<Violation> {
    if STD_INSTANT_ALLOWED.iter().any(|allowed| file.starts_with(allowed)) {
        return Vec::new();
    }
    let collector = Collector::read(&module_of(file), source);
    let mut violations = Vec::new();
    for named in collector.named.iter().filter(|named| !named.inside) {
        let mut path = named.path.clone();
        // One step through the `use` lines: `time::Instant` is whatever `time` was imported as.
        if let Some(full) = path.first().and_then(|first| collector.aliases.get(first))
            && path.len() > 1
        {
            path.splice(0..1, full.iter().cloned());
        }
        let text = path.join("::");
        if text.starts_with("std::time::Instant") || (named.glob && text == "std::time") {
            violations.push(Violation::new(
                file,
                named.line,
                "std::time::Instant cannot be paused by a test: use tokio::time::Instant",
            ));
        }
    }
    violations
}

/// A file must say what it is before anything else.
fn opening_violations(file: &str, source: &str) -> Vec<Violation> {
    if source.starts_with("//! ") {
        Vec::new()
    } else {
        vec![Violation::new(file, 1, "does not open with `//!`: say what the file is, then why")]
    }
}

/// Names of places that exist on one machine only.
fn machine_path_violations(file: &str, text: &str) -> Vec<Violation> {
    // Put together here, so that this file does not name one.
    let places = ["work", "home", "root", "Users"].map(|place| format!("/{place}/"));
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for place in &places {
            let named = line.match_indices(place.as_str()).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                !before
                    .is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '*' | ')' | '<' | '>'))
            });
            if named {
                violations.push(Violation::new(file, index + 1, format!("names a path of one machine ({place}…)")));
            }
        }
    }
    violations
}

/// The module that a file is: `src/load/pacer.rs` is `load::pacer`, `src/lib.rs` is the root.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.split_once("src/").map_or(file, |(_, inner)| inner).trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

// === the house as it stands ===

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` that `wanted` takes, with its path from the root and its text.
fn files(folder: &str, wanted: fn(&Path) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            if !path.file_name().is_some_and(|name| name == "target" || name == "node_modules" || name == ".git") {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        } else if wanted(&path)
            && let Ok(text) = fs::read_to_string(&path)
        {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            found.push((name, text));
        }
    }
    found.sort();
    found
}

fn rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn sources(folders: &[&str]) -> Vec<(String, String)> {
    folders.iter().filter(|folder| root().join(folder).exists()).flat_map(|folder| files(folder, rust)).collect()
}

fn hold(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
}

#[test]
fn rooms_import_downwards_only() {
    let sources = sources(&["src"]);
    assert!(sources.len() > 10, "the sources were not found");
    hold(sources.iter().flat_map(|(file, text)| import_violations(file, text)).collect());
}

#[test]
fn the_sidecar_uses_the_public_api_only() {
    let sources = sources(&["sidecar/src"]);
    assert!(!sources.is_empty(), "the sources were not found");
    hold(sources.iter().flat_map(|(file, text)| sidecar_violations(file, text)).collect());
}

#[test]
fn time_comes_from_a_clock_that_tests_can_pause() {
    let sources = sources(&["src", "sidecar/src"]);
    hold(sources.iter().flat_map(|(file, text)| clock_violations(file, text)).collect());
}

#[test]
fn every_file_says_what_it_is() {
    let sources = sources(&["src", "sidecar/src", "tests", "benches", "examples"]);
    hold(sources.iter().flat_map(|(file, text)| opening_violations(file, text)).collect());
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let every = files("", |path| path.file_name().is_some_and(|name| name != ".git" && name != "Cargo.lock"));
    hold(every.iter().flat_map(|(file, text)| machine_path_violations(file, text)).collect());
}

#[test]
fn the_table_has_no_circles_and_every_room_stands_in_it() {
    let mut below: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<&(&str, &[&str])> = TABLE.iter().collect();
    while !waiting.is_empty() {
        let before = waiting.len();
        waiting.retain(|(room, allowed)| {
            let ready = allowed.iter().all(|other| below.contains(other));
            if ready {
                below.insert(room);
            }
            !ready
        });
        assert!(waiting.len() < before, "a circle among {waiting:?}");
    }
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let room = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(room == "lib" || below.contains(room.as_str()), "src/{room} is not in the table");
    }
}

// === the rules themselves ===

#[test]
fn an_import_against_the_table_is_caught_however_it_is_written() {
    for (file, source) in [
        ("src/load/mod.rs", "use crate::client::Client;"),
        ("src/load/mod.rs", "use super::client::Client;"),
        ("src/load/pacer.rs", "use super::super::client::Client;"),
        ("src/load/mod.rs", "use crate::{plan::Plan, workflow::{self, Step}};"),
        ("src/load/mod.rs", "use pacecar::run::Run;"),
        ("src/load/mod.rs", "use ::pacecar::run::Run;"),
        ("src/load/mod.rs", "fn f() -> crate::cleanup::Report { todo!() }"),
        ("src/load/mod.rs", "fn f() { let x = crate::guard::Guard::new(); }"),
        ("src/load/mod.rs", "fn f() { match 1 { crate::run::ONE => {} _ => {} } }"),
        ("src/load/mod.rs", "fn f() { println!(\"{}\", crate::client::NAME); }"),
        ("src/load/mod.rs", "macro_rules! m { () => { $crate::client::call() } }"),
        ("src/load/mod.rs", "impl crate::workflow::Step for u8 {}"),
        ("src/load/mod.rs", "fn f(x: Vec<Option<crate::client::Client>>) {}"),
        ("src/load/mod.rs", "#[derive(crate::client::Derive)] struct S;"),
        ("src/load/mod.rs", "mod tests { use super::super::client::Client; }"),
        ("src/load/mod.rs", "#[cfg(test)] mod tests { fn f() { crate::run::go(); } }"),
        ("src/load/mod.rs", "use crate as house;"),
        ("src/load/mod.rs", "use super as house;"),
        ("src/load/mod.rs", "use crate::*;"),
        ("src/load/mod.rs", "use crate::{self as house};"),
        ("src/load/mod.rs", "extern crate self as house;"),
        ("src/load/mod.rs", "use crate::Run;"),
        ("src/load/mod.rs", "pub use crate::client as other;"),
        ("src/load/mod.rs", "#[path = \"../client/mod.rs\"] mod client;"),
        ("src/load/mod.rs", "#[cfg_attr(test, path = \"../client/mod.rs\")] mod client;"),
        ("src/semconv/ids.rs", "use crate::plan::Span;"),
        ("src/plan/mod.rs", "use crate::measure::Outcome;"),
        ("src/stats/mod.rs", "use crate::semconv::RunId;"),
        ("src/attic/mod.rs", "fn f() {}"),
    ] {
        assert_eq!(import_violations(file, source).len(), 1, "{file}: {source}");
    }
}

#[test]
fn an_import_within_the_table_passes() {
    for (file, source) in [
        ("src/load/mod.rs", "use crate::plan::Plan; use crate::measure::{self, Recorder};"),
        ("src/load/mod.rs", "use super::stats::mean; use self::client::X; mod client {}"),
        ("src/load/pacer.rs", "use super::client::X; fn f() { super::client::go() }"),
        ("src/load/mod.rs", "mod tests { use super::*; use super::client::X; }"),
        ("src/load/mod.rs", "use hyper::client::conn; fn f(x: other::crate_::client::Y) {}"),
        ("src/load/mod.rs", "pub(in crate::load) struct S; pub(crate) struct T;"),
        ("src/run/mod.rs", "use crate::{client, load, report, workflow}; use std::fmt as f;"),
        ("src/lib.rs", "pub mod run; pub use run::Run; pub use crate::plan::Plan;"),
    ] {
        hold(import_violations(file, source));
    }
}

#[test]
fn a_clock_that_cannot_be_paused_is_caught() {
    for source in [
        "use std::time::Instant;",
        "use std::time::{Duration, Instant};",
        "use std::{fmt, time::Instant as Clock};",
        "use std::time::*;",
        "fn f() { let now = std::time::Instant::now(); }",
        "use std::time; fn f(at: time::Instant) {}",
        "use std::time as t; fn f(at: t::Instant) {}",
        "fn f() { assert!(std::time::Instant::now() > then); }",
    ] {
        assert_eq!(clock_violations("src/load/mod.rs", source).len(), 1, "{source}");
    }
    for source in [
        "use std::time::Duration; use tokio::time::Instant;",
        "use tokio::time; fn f(at: time::Instant) {}",
        "use std::time::{Duration, SystemTime};",
    ] {
        hold(clock_violations("src/load/mod.rs", source));
    }
}

#[test]
fn a_borrowed_file_in_the_sidecar_is_caught() {
    let borrowed = "#[path = \"../../src/plan/reader.rs\"] mod reader;";
    assert_eq!(sidecar_violations("sidecar/src/main.rs", borrowed).len(), 1);
    assert_eq!(sidecar_violations("sidecar/src/main.rs", "include!(\"../../src/lib.rs\");").len(), 1);
    hold(sidecar_violations("sidecar/src/main.rs", "mod reader; use pacecar::plan::Plan;"));
}

#[test]
fn a_file_that_does_not_say_what_it_is_is_caught() {
    for source in ["", "use std::fmt;", "// a comment\n//! late", "//!\n//! empty", "/// of the next item\nfn f() {}"] {
        assert_eq!(opening_violations("src/x.rs", source).len(), 1, "{source:?}");
    }
    hold(opening_violations("src/x.rs", "//! What it is.\n"));
}

#[test]
fn a_path_of_one_machine_is_caught() {
    for place in ["work", "home", "root", "Users"] {
        assert_eq!(machine_path_violations("x", &format!("see /{place}/someone/file")).len(), 1);
        assert_eq!(machine_path_violations("x", &format!("\"/{place}/\"")).len(), 1);
        hold(machine_path_violations("x", &format!("docs/{place}/file and https://example.com/{place}/x")));
    }
}
