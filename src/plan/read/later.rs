//! `judge`, `correlate`, `slo` and `tune`: sections beside the run itself.

mod correlate;
mod judge;
mod slo;

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
    let slo = slo.map(|node| slo::objectives(reader, node)).unwrap_or_default();
    let tune = tune.map(|node| super::tune::tune(reader, node));
    Later { judge, correlate, slo, tune }
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
