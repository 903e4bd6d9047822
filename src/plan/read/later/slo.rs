//! `slo:`, a list of objectives.

use super::super::name;
use super::above_zero;
use crate::plan::document::{SloAlertDocument, SloDocument, SloSeverity, SloWindow};
use crate::plan::node::Node;
use crate::plan::reader::Reader;
use crate::plan::span::Span;
use url::Url;

pub(super) fn objectives(reader: &mut Reader<'_>, node: &Node) -> Vec<SloDocument> {
    let read: Vec<_> = reader.items(node, "slo").iter().map(|item| objective(reader, item)).collect();
    let known: Vec<SloDocument> = read.into_iter().flatten().collect();
    for (at, slo) in known.iter().enumerate() {
        if known.iter().take(at).any(|other| other.name.value == slo.name.value) {
            let shown = reader.show_text(&slo.name);
            reader.error(slo.name.span, format!("two objectives are called {shown}")).hint("give each its own name");
        }
    }
    known
}

fn objective(reader: &mut Reader<'_>, node: &Node) -> Option<SloDocument> {
    let mut section = reader.section(node, "slo");
    let span = section.span;
    let name = section.require(reader, "name").and_then(|node| name(reader, node, "name"));
    let good = section.require(reader, "good").and_then(|node| reader.filled_text(node, "good"));
    let objective = section.require(reader, "objective").and_then(|node| {
        reader.number(node, "objective", "a percentage above 0 and below 100", |n| n > 0.0 && n < 100.0)
    });
    let length = section.read(reader, "window", window);
    let alerts = match section.get("alerts") {
        Some(node) => reader.items(node, "alerts").iter().map(|item| alert(reader, item)).collect(),
        None => SloAlertDocument::workbook(),
    };
    section.close(reader);
    told_apart(reader, &alerts);
    Some(SloDocument {
        span,
        name: name?,
        good: good?,
        objective: objective?,
        window: length.unwrap_or_else(SloWindow::month),
        alerts,
    })
}

fn alert(reader: &mut Reader<'_>, node: &Node) -> SloAlertDocument {
    let mut section = reader.section(node, "slo.alerts");
    let span = section.span;
    let words = [("page", SloSeverity::Page), ("ticket", SloSeverity::Ticket)];
    let severity = section.read(reader, "severity", |reader, node, key| reader.choice(node, key, &words));
    let burn = section.read(reader, "burn", above_zero);
    let long = section.read(reader, "long", window).unwrap_or_else(SloWindow::hour);
    let short = section.read(reader, "short", window).unwrap_or_else(SloWindow::five_minutes);
    let webhook = section.some_text(reader, "webhook");
    section.close(reader);
    if short.length > long.length {
        reader
            .error(span, "the `short` window of an alert must not be longer than its `long` one")
            .hint("the long one says that it matters, the short one that it still goes on: `long: 1h, short: 5m`");
    }
    if let Some(webhook) = webhook.as_ref().filter(|webhook| !is_address(webhook)) {
        // The text is not shown: whoever has such an address may use it.
        reader.error(webhook.span, "`webhook` is no URL").hint("an absolute one, of `http://` or `https://`");
    }
    SloAlertDocument {
        span,
        severity: severity.map_or(SloSeverity::Page, |severity| severity.value),
        burn: burn.map_or(14.4, |burn| burn.value),
        long,
        short,
        webhook,
    }
}

/// A duration that is more than zero, with its text.
fn window(reader: &mut Reader<'_>, node: &Node, key: &'static str) -> Option<SloWindow> {
    let length = reader.positive_duration(node, key)?.value;
    let text = reader.text(node, key)?.value.trim().to_owned();
    Some(SloWindow { text, length })
}

/// Alerts are told apart by severity and windows, wherever they are shown.
fn told_apart(reader: &mut Reader<'_>, alerts: &[SloAlertDocument]) {
    let key = |alert: &SloAlertDocument| (alert.severity, alert.long.text.clone(), alert.short.text.clone());
    for (at, alert) in alerts.iter().enumerate().filter(|(_, alert)| alert.span != Span::NONE) {
        if alerts.iter().take(at).any(|other| key(other) == key(alert)) {
            reader
                .error(alert.span, "two alerts of one objective have the same severity and windows")
                .hint("the one with the higher `burn` never says more: leave it out");
        }
    }
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some())
}
