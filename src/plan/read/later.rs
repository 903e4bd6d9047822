//! `judge`, `correlate`, `slo` and `tune`: every key and value is checked. `judge` and `correlate` are read into their
//! types; the others are kept as they stand, and what uses one will turn it into types of its own.

mod correlate;
mod judge;
mod tune;

use crate::plan::document::Later;
use crate::plan::node::{Kind, Node};
use crate::plan::reader::{Reader, Section};
use crate::plan::span::Spanned;

pub(super) fn later(reader: &mut Reader<'_>, plan: &mut Section<'_>) -> Later {
    let judge = plan.get("judge");
    let correlate = plan.get("correlate");
    let slo = plan.get("slo");
    let tune = plan.get("tune");
    let judge = judge.map(|node| judge::judge(reader, node));
    let correlate = correlate.map(|node| correlate::correlate(reader, node));
    if let Some(node) = slo {
        objectives(reader, node);
    }
    if let Some(node) = tune {
        tune::tune(reader, node);
    }
    Later { judge, correlate, slo: slo.cloned(), tune: tune.cloned() }
}

/// `slo:`, a list.
fn objectives(reader: &mut Reader<'_>, node: &Node) {
    for item in reader.items(node, "slo") {
        let mut section = reader.section(item, "slo");
        if let Some(node) = section.require(reader, "name") {
            super::name(reader, node, "name");
        }
        if let Some(node) = section.require(reader, "good") {
            reader.filled_text(node, "good");
        }
        if let Some(node) = section.require(reader, "objective") {
            reader.number(node, "objective", "a percentage above 0 and below 100", |n| n > 0.0 && n < 100.0);
        }
        section.read(reader, "window", Reader::positive_duration);
        if let Some(node) = section.get("alerts") {
            for item in reader.items(node, "alerts") {
                alert(reader, item);
            }
        }
        section.close(reader);
    }
}

fn alert(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "slo.alerts");
    section.read(reader, "severity", |reader, node, key| reader.choice(node, key, &[("page", ()), ("ticket", ())]));
    section.read(reader, "burn", above_zero);
    section.read(reader, "long", Reader::positive_duration);
    section.read(reader, "short", Reader::positive_duration);
    section.text(reader, "webhook");
    section.close(reader);
}

/// `metric` and `stat`: which figure is meant.
fn series(reader: &mut Reader<'_>, section: &mut Section<'_>) {
    section.read(reader, "metric", |reader, node, key| reader.filled_text(node, key));
    section.read(reader, "stat", |reader, node, key| reader.filled_text(node, key));
}

fn above_zero(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<f64>> {
    reader.number(node, key, "a number above 0", |n| n > 0.0)
}

fn at_least_zero(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<f64> {
    reader.number(node, key, "a number of at least 0", |n| n >= 0.0).map(|it| it.value)
}

fn share(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<f64>> {
    reader.number(node, key, "a share from 0 to 1", |n| (0.0..=1.0).contains(&n))
}

/// A list of scalars that is not empty.
fn scalars(reader: &mut Reader<'_>, node: &Node, key: &str) {
    let items = reader.items(node, key);
    if items.is_empty() && matches!(node.kind, Kind::List(_)) {
        reader.error(node.span, format!("`{key}` is empty")).hint("name at least one");
    }
    for item in items {
        reader.filled_text(item, key);
    }
}
