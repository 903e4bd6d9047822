//! `tune:`: an experiment over knobs.

use super::{above_zero, at_least_zero, scalars, series};
use crate::plan::node::Node;
use crate::plan::read::step;
use crate::plan::reader::{Reader, Section};

pub(super) fn tune(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "tune");
    if let Some(node) = section.require(reader, "knobs") {
        for (knob, values) in reader.entries(node, "knobs") {
            super::super::identifier(reader, knob, "of a knob");
            scalars(reader, values, "knobs");
        }
    }
    if let Some(node) = section.get("original") {
        reader.pairs(node, "original");
    }
    if let Some(node) = section.require(reader, "apply") {
        apply(reader, node);
    }
    section.some_text(reader, "scenario");
    section.boolean(reader, "allow_closed");
    if let Some(node) = section.get("trial") {
        let mut section = reader.section(node, "tune.trial");
        section.duration(reader, "warmup");
        section.read(reader, "duration", Reader::positive_duration);
        section.close(reader);
    }
    if let Some(node) = section.get("objective") {
        let mut section = reader.section(node, "tune.objective");
        series(reader, &mut section);
        section.close(reader);
    }
    if let Some(node) = section.get("constraints") {
        reader.pairs(node, "constraints");
    }
    if let Some(node) = section.get("hold") {
        let mut section = reader.section(node, "tune.hold");
        section.read(reader, "factor", above_zero);
        section.read(reader, "duration", Reader::positive_duration);
        section.close(reader);
    }
    if let Some(node) = section.get("capacity") {
        let mut section = reader.section(node, "tune.capacity");
        section.read(reader, "replicas", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
        section.read(reader, "surge", at_least_zero);
        section.read(reader, "reserve", |reader, node, key| reader.integer(node, key, 0..=u64::MAX));
        section.close(reader);
    }
    if let Some(node) = section.get("budget") {
        let mut section = reader.section(node, "tune.budget");
        section.read(reader, "trials", |reader, node, key| reader.integer(node, key, 1..=u64::MAX));
        section.read(reader, "time", Reader::positive_duration);
        section.close(reader);
    }
    section.close(reader);
}

/// How a value is set: exactly one way.
fn apply(reader: &mut Reader<'_>, node: &Node) {
    let mut section = reader.section(node, "tune.apply");
    let process = section.get("process");
    let exec = section.get("exec");
    let http = section.get("http");
    let kubernetes = section.get("kubernetes");
    let span = section.span;
    section.close(reader);
    if [process, exec, http, kubernetes].iter().flatten().count() != 1 {
        reader
            .error(span, "`apply` has exactly one of `process`, `exec`, `http` and `kubernetes`")
            .hint("a knob is set in one way");
    }
    for node in [process, exec].into_iter().flatten() {
        command(reader, node);
    }
    if let Some(node) = http {
        step::step(reader, node, Some("apply"));
    }
    if let Some(node) = kubernetes {
        let mut section = reader.section(node, "tune.apply.kubernetes");
        for key in ["namespace", "deployment", "container"] {
            if let Some(node) = section.require(reader, key) {
                reader.filled_text(node, key);
            }
        }
        section.close(reader);
    }
}

/// A command that is started, and when what it started is ready.
fn command(reader: &mut Reader<'_>, node: &Node) {
    let mut section: Section<'_> = reader.section(node, "tune.apply.command");
    if let Some(node) = section.require(reader, "command") {
        scalars(reader, node, "command");
    }
    step::request_of(reader, &mut section, "ready", false);
    section.read(reader, "within", Reader::positive_duration);
    section.close(reader);
}
