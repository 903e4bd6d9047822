//! Objectives in `/metrics`: burn rates, alerts, what is left of the budget.

use super::metrics::Text;
use pacecar::measure::slo::SloStatus;

// === impl Text ===

impl Text {
    /// The objectives, where the plan has any.
    pub(super) fn slos(&mut self, slos: &[SloStatus]) {
        if slos.is_empty() {
            return;
        }
        let rates = "How many times faster than the error budget lasts, over what there is of the window.";
        self.head("pacecar_slo_burn_rate", "gauge", rates);
        for slo in slos {
            for burn in &slo.burns {
                let labels = [("slo", slo.name.clone()), ("window", burn.window.clone())];
                self.line("pacecar_slo_burn_rate", &labels, burn.rate);
            }
        }
        if slos.iter().any(|slo| !slo.alerts.is_empty()) {
            self.head("pacecar_slo_alert", "gauge", "1 while the alert fires.");
        }
        for slo in slos {
            for alert in &slo.alerts {
                let labels = [
                    ("slo", slo.name.clone()),
                    ("severity", alert.severity.as_str().to_owned()),
                    ("long", alert.long.clone()),
                    ("short", alert.short.clone()),
                ];
                self.line("pacecar_slo_alert", &labels, f64::from(u8::from(alert.firing.is_some())));
            }
        }
        let left = "The share of the error budget of the window that is left; below 0 where it is overspent.";
        self.head("pacecar_slo_error_budget_remaining", "gauge", left);
        for slo in slos {
            self.line("pacecar_slo_error_budget_remaining", &[("slo", slo.name.clone())], slo.budget_remaining);
        }
    }
}
