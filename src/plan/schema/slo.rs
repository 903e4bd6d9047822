//! `slo:`, as an editor sees it.

use super::values::{Number, Text, Time, Word};
use schemars::JsonSchema;

/// A service level objective.
#[derive(JsonSchema)]
#[schemars(rename = "slo", deny_unknown_fields)]
pub(super) struct Objective {
    /// Its name.
    name: Text,
    /// Which samples are good: `http_req_response_time<200`. `http_req_failed` is short for `http_req_failed==0`.
    good: Text,
    /// The percentage that must be good.
    objective: Number,
    /// The window that the error budget is of. Default 30d.
    window: Option<Time>,
    /// When somebody is told. Default: the SRE Workbook's three pairs.
    alerts: Option<Vec<Alert>>,
}

/// When somebody is told: both windows burn too fast.
#[derive(JsonSchema)]
#[schemars(rename = "slo.alerts", deny_unknown_fields)]
struct Alert {
    /// `page` or `ticket`. Default page.
    severity: Option<Word<Severity>>,
    /// How many times faster than the budget lasts. Default 14.4.
    burn: Option<Number>,
    /// The window that says that it matters. Default 1h.
    long: Option<Time>,
    /// The window that says that it still goes on. Default 5m.
    short: Option<Time>,
    /// A URL that is told when it fires and when it clears.
    webhook: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Severity {
    /// Somebody gets up.
    Page,
    /// It can wait until morning.
    Ticket,
}
