//! `correlate:`: where the other half of a request's story comes from.

use super::share;
use crate::plan::node::Node;
use crate::plan::read::step;
use crate::plan::reader::{Reader, Section};

pub(super) fn correlate(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "correlate");
    if let Some(node) = section.get("traces") {
        traces(reader, node);
    }
    if let Some(node) = section.get("postgres") {
        let mut section = reader.section(node, "correlate.postgres");
        section.text(reader, "url");
        section.text(reader, "application_name");
        every(reader, &mut section);
        section.close(reader);
    }
    if let Some(node) = section.get("pool") {
        pool(reader, node);
    }
    if let Some(node) = section.get("redis") {
        let mut section = reader.section(node, "correlate.redis");
        section.text(reader, "url");
        every(reader, &mut section);
        section.close(reader);
    }
    if let Some(node) = section.get("endpoints") {
        for item in reader.items(node, "endpoints") {
            endpoint(reader, item);
        }
    }
    section.close(reader);
}

fn traces(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "correlate.traces");
    for key in ["listen", "grpc"] {
        section.read(reader, key, socket);
    }
    section.text(reader, "forward");
    section.read(reader, "sample", share);
    section.duration(reader, "linger");
    section.boolean(reader, "random_flag");
    section.close(reader);
}

fn pool(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "correlate.pool");
    section.boolean(reader, "otel");
    section.read(reader, "max", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
    if let Some(node) = section.get("scrape") {
        let mut section = reader.section(node, "correlate.pool.scrape");
        step::request_of(reader, &mut section, "request", true);
        figures(reader, &mut section);
        section.close(reader);
    }
    if let Some(node) = section.get("http") {
        let mut section = reader.section(node, "correlate.pool.http");
        if let Some(node) = section.require(reader, "url") {
            reader.filled_text(node, "url");
        }
        figures(reader, &mut section);
        section.close(reader);
    }
    section.close(reader);
}

/// Where a source's figures stand, and how often it is asked.
fn figures(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    every(reader, section);
    for key in ["max", "used", "pending"] {
        section.read(reader, key, |reader, node, key| reader.filled_text(node, key));
    }
}

fn endpoint(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "correlate.endpoints");
    for key in ["name", "url"] {
        if let Some(node) = section.require(reader, key) {
            reader.filled_text(node, key);
        }
    }
    every(reader, &mut section);
    if let Some(node) = section.require(reader, "values") {
        reader.pairs(node, "values");
    }
    section.close(reader);
}

fn every(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    section.read(reader, "every", Reader::positive_duration);
}

/// `HOST:PORT`.
fn socket(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<()> {
    let text = reader.filled_text(node, key)?;
    let proper = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok() && !host.contains('/'));
    if !proper {
        let shown = reader.show(node);
        reader.error(node.span, format!("`{key}` is no address: {shown}")).hint("write `127.0.0.1:4318`");
    }
    proper.then_some(())
}
