//! What the run itself did, as log records.

use super::super::news::{Event, EventKind};
use crate::correlate::otlp::Writer;
use crate::correlate::{OwnValue, attribute, nanoseconds, scope};
use crate::measure::WallClock;
use crate::measure::slo::AlertChange;

/// Makes messages of events.
pub(super) struct Logs {
    clock: WallClock,
    /// Encoded.
    resource: Vec<u8>,
    scope: Vec<u8>,
}

/// OpenTelemetry's numbers for how grave something is.
const INFO: (u64, &str) = (9, "INFO");
const WARN: (u64, &str) = (13, "WARN");

// === impl Logs ===

impl Logs {
    pub(super) fn new(clock: WallClock, resource: Vec<u8>) -> Self {
        Self { clock, resource, scope: scope() }
    }

    /// An `ExportLogsServiceRequest` of one event.
    pub(super) fn encode(&self, event: &Event) -> Vec<u8> {
        let at = nanoseconds(self.clock.unix(event.at));
        let ((number, text), name, body) = told(&event.kind);
        let mut writer = Writer::default();
        writer.message(1, |writer| {
            writer.raw(&self.resource);
            writer.message(2, |writer| {
                writer.raw(&self.scope);
                writer.message(2, |writer| {
                    writer.fixed64(1, at);
                    writer.varint(2, number);
                    writer.bytes(3, text.as_bytes());
                    writer.message(5, |writer| writer.bytes(1, body.as_bytes()));
                    if let EventKind::Aborted { metric, expression } = &event.kind {
                        attribute(writer, 6, "pacecar.metric", OwnValue::Text(metric));
                        attribute(writer, 6, "pacecar.threshold", OwnValue::Text(expression));
                    }
                    if let EventKind::Alert(change) = &event.kind {
                        alert(writer, change);
                    }
                    writer.fixed64(11, at);
                    writer.bytes(12, name.as_bytes());
                });
            });
        });
        writer.take()
    }
}

/// How grave an event is, its name, and what it says.
fn told(kind: &EventKind) -> ((u64, &'static str), &'static str, String) {
    match kind {
        EventKind::Started => (INFO, "pacecar.run.start", "the run starts".to_owned()),
        EventKind::Paused => (WARN, "pacecar.run.pause", "the run is paused".to_owned()),
        EventKind::Resumed => (INFO, "pacecar.run.resume", "the run goes on".to_owned()),
        EventKind::Aborted { metric, expression } => {
            (WARN, "pacecar.run.abort", format!("the run is aborted: {metric} {expression} failed"))
        }
        EventKind::Stopped => (WARN, "pacecar.run.stop", "the run was stopped".to_owned()),
        EventKind::Ended => (INFO, "pacecar.run.end", "the load is over".to_owned()),
        EventKind::Alert(change) => {
            let (slo, severity) = (&change.slo, change.alert.severity.as_str());
            match change.alert.firing {
                Some(_) => (WARN, "pacecar.slo.alert.firing", format!("the {severity} of the SLO {slo} fires")),
                None => (INFO, "pacecar.slo.alert.resolved", format!("the {severity} of the SLO {slo} is over")),
            }
        }
    }
}

/// What an alert is about.
fn alert(writer: &mut Writer, change: &AlertChange) {
    let AlertChange { slo, alert, burns: [long, short], budget_remaining, .. } = change;
    for (key, value) in [
        ("pacecar.slo.name", OwnValue::Text(slo)),
        ("pacecar.slo.severity", OwnValue::Text(alert.severity.as_str())),
        ("pacecar.slo.window.long", OwnValue::Text(&alert.long)),
        ("pacecar.slo.window.short", OwnValue::Text(&alert.short)),
        ("pacecar.slo.burn_rate.long", OwnValue::Real(*long)),
        ("pacecar.slo.burn_rate.short", OwnValue::Real(*short)),
        ("pacecar.slo.error_budget_remaining", OwnValue::Real(*budget_remaining)),
    ] {
        attribute(writer, 6, key, value);
    }
}
