//! `base_url`, `tenants`, `data`, `http`: what holds for all of a run.

use super::step;
use crate::plan::document::{DataSource, HttpSettings, HttpVersion, Pick, Tenants, Text};
use crate::plan::node::{Kind, Node};
use crate::plan::reader::Reader;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// More tenants, or users of one, than any test has.
const MOST_TENANTS: u32 = 1_000_000;
/// What data files may be.
const DATA_FORMATS: [&str; 4] = ["json", "ndjson", "jsonl", "csv"];

/// Whether a step's path can be appended to this; says so where it cannot.
pub(super) fn base_url(reader: &mut Reader<'_>, url: &Text) -> bool {
    let hint = "write scheme and host, for example `http://127.0.0.1:8080`; a path may follow";
    let why = match url::Url::parse(url) {
        _ if url.contains("{{") => "holds a template",
        Err(_) => "is no absolute URL",
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => "is neither http:// nor https://",
        Ok(parsed) if parsed.query().is_some() || parsed.fragment().is_some() => "has a query or a fragment",
        Ok(_) => return true,
    };
    let shown = reader.show_text(url);
    reader.error(url.span, format!("`base_url` {why}: {shown}")).hint(hint);
    false
}

/// `tenants:`; all defaults where there is none.
pub(super) fn tenants(reader: &mut Reader<'_>, node: Option<&Node>, span: Span) -> Tenants {
    let nothing = Node { span, kind: Kind::Null };
    let mut section = reader.section(node.unwrap_or(&nothing), "tenants");
    let count = section.read(reader, "count", |reader, node, key| reader.integer32(node, key, 1..=MOST_TENANTS));
    let users = section.read(reader, "users", |reader, node, key| reader.integer32(node, key, 1..=MOST_TENANTS));
    let email = section.some_text(reader, "email");
    let password = section.text(reader, "password");
    let create = section.get("create").map(|node| step::step(reader, node, Some("create")));
    section.close(reader);
    Tenants {
        count: count.unwrap_or(Spanned::nowhere(20)),
        users: users.unwrap_or(Spanned::nowhere(5)),
        email: email.unwrap_or_else(|| Spanned::nowhere("test-{{ tenant }}-{{ user }}@example.com".to_owned())),
        password: password.unwrap_or_else(|| Spanned::nowhere("secret".to_owned())),
        create,
    }
}

/// `data:`: a file by name, or a mapping with `file` and `pick`.
pub(super) fn data(reader: &mut Reader<'_>, node: &Node) -> Vec<DataSource> {
    let mut sources = Vec::new();
    for (name, node) in reader.entries(node, "data") {
        super::identifier(reader, name, "of a data file");
        let (file, pick) = if matches!(node.kind, Kind::Map(_)) {
            let mut section = reader.section(node, "data");
            let file = section.require(reader, "file").and_then(|node| reader.filled_text(node, "file"));
            let picks = [("random", Pick::Random), ("sequential", Pick::Sequential), ("shuffled", Pick::Shuffled)];
            let pick = section.read(reader, "pick", |reader, node, key| reader.choice(node, key, &picks));
            section.close(reader);
            (file, pick)
        } else {
            (reader.filled_text(node, "data"), None)
        };
        let Some(file) = file else { continue };
        let format = file.rsplit_once('.').map(|(_, format)| format.to_ascii_lowercase());
        if !format.is_some_and(|format| DATA_FORMATS.contains(&format.as_str())) {
            let shown = reader.show_text(&file);
            reader
                .error(file.span, format!("{shown} has no known format"))
                .hint("data is a JSON array (.json), one JSON value a line (.ndjson, .jsonl), or .csv");
        }
        sources.push(DataSource { name: name.clone(), file, pick: pick.map(|pick| pick.value).unwrap_or_default() });
    }
    sources
}

/// `http:`; all defaults where there is none.
pub(super) fn http(reader: &mut Reader<'_>, node: Option<&Node>) -> HttpSettings {
    let nothing = Node { span: Span::NONE, kind: Kind::Null };
    let mut section = reader.section(node.unwrap_or(&nothing), "http");
    let timeout = section.read(reader, "timeout", Reader::positive_duration);
    let redirects = section.read(reader, "redirects", |reader, node, key| reader.integer32(node, key, 0..=1000));
    let versions = [("auto", HttpVersion::Auto), ("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];
    let version = section.read(reader, "version", |reader, node, key| reader.choice(node, key, &versions));
    let keep_alive = section.boolean(reader, "keep_alive");
    let insecure_skip_verify = section.boolean(reader, "insecure_skip_verify");
    let headers = section.get("headers").map(|node| step::headers(reader, node)).unwrap_or_default();
    section.close(reader);
    HttpSettings {
        timeout: timeout.unwrap_or(Spanned::nowhere(Duration::from_secs(60))),
        redirects: redirects.unwrap_or(Spanned::nowhere(10)),
        version: version.map(|version| version.value).unwrap_or_default(),
        keep_alive: keep_alive.is_none_or(|it| it.value),
        insecure_skip_verify: insecure_skip_verify.is_some_and(|it| it.value),
        headers,
    }
}
