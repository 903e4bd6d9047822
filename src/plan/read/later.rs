//! `judge`, `correlate`, `slo` and `tune`: every key and value is checked. All but `slo` are read into their types; it is
//! kept as it stands, and what uses it will turn it into types of its own.

mod correlate;
mod judge;

use crate::plan::document::Later;
use crate::plan::node::Node;
use crate::plan::reader::{Reader, Section};
use crate::plan::span::Spanned;

pub(super) use judge::{default_figure, figure};

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
    let tune = tune.map(|node| super::tune::tune(reader, node));
    Later { judge, correlate, slo: slo.cloned(), tune }
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

pub(super) fn above_zero(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<f64>> {
    reader.number(node, key, "a number above 0", |n| n > 0.0)
}

pub(super) fn at_least_zero(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<f64>> {
    reader.number(node, key, "a number of at least 0", |n| n >= 0.0)
}

fn share(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<Spanned<f64>> {
    reader.number(node, key, "a share from 0 to 1", |n| (0.0..=1.0).contains(&n))
}
