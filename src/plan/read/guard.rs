//! `guard:`.

use crate::plan::document::{BudgetLimit, Guard, Text};
use crate::plan::node::Node;
use crate::plan::reader::Reader;
use crate::plan::span::Span;
use crate::plan::units;

/// What a rate looks like.
const RATE_HINT: &str = "write a rate as `100/s` or `5/10s`";

pub(super) fn guard(reader: &mut Reader<'_>, node: &Node, span: Span) -> Guard {
    let mut section = reader.section(node, "guard");
    let environments = section.get("environments").map(|node| reader.texts(node, "environments")).unwrap_or_default();
    let mut hosts = section.get("hosts").map(|node| reader.texts(node, "hosts")).unwrap_or_default();
    hosts.retain(|host| proper_host(reader, host));
    let max_rate = section
        .read(reader, "max_rate", |reader, node, key| reader.quantity(node, key, "a rate", RATE_HINT, units::rate));
    let budget = section.get("budget").map(|node| read_budget(reader, node)).unwrap_or_default();
    let pause_when = section.get("pause_when").map(|node| reader.texts(node, "pause_when")).unwrap_or_default();
    let stop_file = section.some_text(reader, "stop_file");
    section.close(reader);
    Guard { span, environments, hosts, max_rate, budget, pause_when, stop_file }
}

/// `budget:`: by metric, what any window of a length may sum up to.
fn read_budget(reader: &mut Reader<'_>, node: &Node) -> Vec<BudgetLimit> {
    let amount = |reader: &mut Reader<'_>, node: &Node, key: &'static str| {
        reader.number(node, key, "a number above 0", |n| n > 0.0)
    };
    let mut limits = Vec::new();
    for (metric, limit) in reader.entries(node, "budget") {
        let mut section = reader.section(limit, "guard.budget");
        let sum = section.require(reader, "sum").and_then(|sum| amount(reader, sum, "sum"));
        let per = section.require(reader, "per").and_then(|per| reader.positive_duration(per, "per"));
        let each = section.read(reader, "each", amount);
        section.close(reader);
        if let (Some(sum), Some(per)) = (sum, per) {
            limits.push(BudgetLimit { metric: metric.clone(), sum, per, each });
        }
    }
    limits
}

/// Whether this is a host name or an address, `*.` at its front at most.
fn proper_host(reader: &mut Reader<'_>, host: &Text) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let proper = address || name.split('.').all(label);
    if !proper {
        let shown = reader.show_text(host);
        reader.error(host.span, format!("{shown} is no host")).hint(
            "write a name or an address without scheme, port and path; `*.` at the front stands for any names below",
        );
    }
    proper
}
