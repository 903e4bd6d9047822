//! `cleanup:`.

use crate::plan::document::{Cleanup, CleanupPostgres, CleanupRedis, Follow, Keep, Ledger, Root, Text, When};
use crate::plan::node::Node;
use crate::plan::reader::{Reader, Section};
use crate::plan::span::{Span, Spanned};
use crate::plan::units;
use std::time::Duration;

pub(super) fn cleanup(reader: &mut Reader<'_>, node: &Node, span: Span) -> Cleanup {
    let mut section = reader.section(node, "cleanup");
    let postgres = section.entry("postgres").map(|(span, node)| postgres(reader, node, span));
    let redis = section.entry("redis").map(|(span, node)| redis(reader, node, span));
    let when = section.read(reader, "when", when);
    let lease = section.read(reader, "lease", Reader::positive_duration);
    let settle = section.duration(reader, "settle");
    let keep_for = section.duration(reader, "keep_for");
    section.close(reader);
    Cleanup {
        span,
        postgres,
        redis,
        when: when.unwrap_or(Spanned::nowhere(When::End)),
        lease: lease.unwrap_or(Spanned::nowhere(Duration::from_secs(60))),
        settle: settle.unwrap_or(Spanned::nowhere(Duration::ZERO)),
        keep_for: keep_for.unwrap_or(Spanned::nowhere(Duration::ZERO)),
    }
}

fn postgres(reader: &mut Reader<'_>, node: &Node, span: Span) -> CleanupPostgres {
    let mut section = reader.section(node, "cleanup.postgres");
    let url = url(reader, &mut section, span, "cleanup.postgres");
    let database = section.some_text(reader, "database");
    let roots = list(reader, &mut section, "roots", root);
    let keep_roots = section.boolean(reader, "keep_roots");
    let keep = list(reader, &mut section, "keep", keep);
    let follows = [("none", Follow::None), ("foreign-keys", Follow::ForeignKeys)];
    let follow = section.read(reader, "follow", |reader, node, key| reader.choice(node, key, &follows));
    let ledgers = [("off", Ledger::Off), ("record", Ledger::Record), ("two-key", Ledger::TwoKey)];
    let ledger = section.read(reader, "ledger", |reader, node, key| reader.choice(node, key, &ledgers));
    let batch = section.read(reader, "batch", |reader, node, key| reader.integer32(node, key, 1..=1_000_000));
    let max_rows = section.read(reader, "max_rows", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
    let pace =
        section.read(reader, "max_rows_per_second", |reader, node, key| reader.integer32(node, key, 1..=u32::MAX));
    section.close(reader);
    CleanupPostgres {
        span,
        url,
        database,
        roots,
        keep_roots: keep_roots.unwrap_or(Spanned::nowhere(false)),
        keep,
        follow: follow.unwrap_or(Spanned::nowhere(Follow::ForeignKeys)),
        ledger: ledger.unwrap_or(Spanned::nowhere(Ledger::Off)),
        batch: batch.unwrap_or(Spanned::nowhere(1_000)),
        max_rows: max_rows.unwrap_or(Spanned::nowhere(1_000_000)),
        max_rows_per_second: pace.unwrap_or(Spanned::nowhere(20_000)),
    }
}

fn redis(reader: &mut Reader<'_>, node: &Node, span: Span) -> CleanupRedis {
    let mut section = reader.section(node, "cleanup.redis");
    let url = url(reader, &mut section, span, "cleanup.redis");
    let patterns = section.get("match").map(|node| reader.texts(node, "match")).unwrap_or_default();
    let max_keys = section.read(reader, "max_keys", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
    let pace =
        section.read(reader, "max_keys_per_second", |reader, node, key| reader.integer32(node, key, 1..=u32::MAX));
    section.close(reader);
    CleanupRedis {
        span,
        url,
        patterns,
        max_keys: max_keys.unwrap_or(Spanned::nowhere(1_000_000)),
        max_keys_per_second: pace.unwrap_or(Spanned::nowhere(20_000)),
    }
}

fn root(reader: &mut Reader<'_>, node: &Node) -> Option<Root> {
    let mut section = reader.section(node, "cleanup.postgres.roots");
    let table = section.require(reader, "table").and_then(|node| reader.filled_text(node, "table"));
    let where_ = section.text(reader, "where");
    let max_share = section.read(reader, "max_share", |reader, node, key| {
        reader.number(node, key, "a number above 0 and at most 1", |n| n > 0.0 && n <= 1.0)
    });
    let age = section.some_text(reader, "age");
    section.close(reader);
    Some(Root { table: table?, where_, max_share: max_share.unwrap_or(Spanned::nowhere(0.5)), age })
}

fn keep(reader: &mut Reader<'_>, node: &Node) -> Option<Keep> {
    let mut section = reader.section(node, "cleanup.postgres.keep");
    let table = section.require(reader, "table").and_then(|node| reader.filled_text(node, "table"));
    let where_ = section.require(reader, "where").and_then(|node| reader.filled_text(node, "where"));
    section.close(reader);
    Some(Keep { table: table?, where_: where_? })
}

/// `end`, `never`, or `every D`.
fn when(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<When>> {
    let text = reader.text(node, key)?;
    let when = match text.as_str() {
        "end" => Some(When::End),
        "never" => Some(When::Never),
        other => other
            .strip_prefix("every ")
            .and_then(|every| units::duration(every.trim()).ok())
            .filter(|every| !every.is_zero())
            .map(When::Every),
    };
    if when.is_none() {
        let shown = reader.show(node);
        reader.error(node.span, format!("`{key}` cannot be {shown}")).hint("it is `end`, `never`, or `every 10m`");
    }
    when.map(|when| Spanned::new(when, node.span))
}

/// The `url` of what is cleaned; an empty one, or none, is off, with a warning.
fn url(reader: &mut Reader<'_>, section: &mut Section<'_>, span: Span, name: &str) -> Text {
    let url = section.text(reader, "url").unwrap_or_else(|| Spanned::new(String::new(), span));
    if url.is_empty() {
        reader
            .diagnostics
            .warning(url.span, format!("{name} is off, because its `url` is empty: nothing is deleted there"))
            .hint("give the address, for example with `-e DATABASE_URL=…` or `-e REDIS_URL=…`");
    }
    url
}

fn list<T>(
    reader: &mut Reader<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&mut Reader<'_>, &Node) -> Option<T>,
) -> Vec<T> {
    let Some(node) = section.get(key) else { return Vec::new() };
    reader.items(node, key).iter().filter_map(|item| read(reader, item)).collect()
}
