//! The windows of objectives as they outlive a restart.
//!
//! What comes back was written by an older pacecar, or by hand: what does not fit is left out. An
//! objective that means something else now begins anew.

use super::super::tally::Tally;
use super::book::{Entry, SloBook};
use serde_json::{Map, Number, Value, json};
use std::time::Duration;

/// Of what is written. Another one is not read.
const VERSION: u64 = 1;

// === impl SloBook ===

impl SloBook {
    /// All that is counted, as of `at`.
    #[must_use]
    pub fn save(&mut self, at: Duration) -> Value {
        let slos: Map<String, Value> =
            self.entries.iter_mut().map(|entry| (entry.slo.name.clone(), entry.save(at))).collect();
        json!({ "version": VERSION, "slos": slos })
    }

    /// Takes back what was saved so long `ago`. Answers with how many objectives came back.
    pub fn restore(&mut self, saved: &Value, at: Duration, ago: Duration) -> usize {
        if saved.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return 0;
        }
        let of = |entry: &Entry| saved.get("slos")?.get(&entry.slo.name).cloned();
        let back = self.entries.iter_mut().filter_map(|entry| {
            let saved = of(entry)?;
            (saved.get("good")?.as_str()? == entry.slo.good).then(|| entry.restore(&saved, at, ago))
        });
        back.count()
    }
}

// === impl Entry ===

impl Entry {
    fn save(&mut self, at: Duration) -> Value {
        let lengths = self.slo.windows.iter().map(|window| length(window.length));
        let windows: Vec<Value> = lengths
            .zip(&mut self.windows)
            .map(|(length, window)| {
                let slots: Vec<Value> =
                    window.save(at).into_iter().flat_map(|tally| [number(tally.bad), number(tally.total)]).collect();
                json!({ "length_ms": length, "slots": slots })
            })
            .collect();
        let alerts = self.slo.alerts.iter().zip(&self.firing);
        let firing: Vec<Value> = alerts.filter(|(_, since)| since.is_some()).map(|(alert, since)| {
            let since = at.saturating_sub(since.unwrap_or(at));
            json!({ "severity": alert.severity.as_str(), "long": alert.long.text, "short": alert.short.text, "for_ms": length(since) })
        }).collect();
        json!({ "good": self.slo.good, "windows": windows, "firing": firing })
    }

    fn restore(&mut self, saved: &Value, at: Duration, ago: Duration) {
        for (window, counted) in self.slo.windows.iter().zip(&mut self.windows) {
            let same = |saved: &&Value| saved.get("length_ms").and_then(Value::as_u64) == Some(length(window.length));
            let found = list(saved, "windows").iter().find(same);
            let slots: Vec<f64> = found.map(|found| figures(list(found, "slots"))).unwrap_or_default();
            let tally = |pair: &[f64]| Tally { bad: pair[0].min(pair[1]), total: pair[1] };
            let slots: Vec<Tally> = slots.chunks_exact(2).map(tally).collect();
            counted.restore(at, ago, &slots);
        }
        for (alert, since) in self.slo.alerts.iter().zip(&mut self.firing) {
            let text = |saved: &Value, key: &str| saved.get(key).and_then(Value::as_str).map(str::to_owned);
            let same = |saved: &&Value| {
                text(saved, "severity").as_deref() == Some(alert.severity.as_str())
                    && text(saved, "long").as_deref() == Some(&alert.long.text)
                    && text(saved, "short").as_deref() == Some(&alert.short.text)
            };
            if let Some(found) = list(saved, "firing").iter().find(same) {
                let lasted = Duration::from_millis(found.get("for_ms").and_then(Value::as_u64).unwrap_or(0));
                *since = Some(at.saturating_sub(lasted.saturating_add(ago)));
            }
        }
    }
}

// === helpers ===

fn list<'a>(saved: &'a Value, key: &str) -> &'a [Value] {
    saved.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Counts that can be: nothing at the first that cannot.
fn figures(values: &[Value]) -> Vec<f64> {
    let sound = |value: &Value| value.as_f64().filter(|value| (0.0..=1e15).contains(value));
    values.iter().map_while(sound).collect()
}

fn length(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// A count, as short as it can be written.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole count below 2^53")]
fn number(count: f64) -> Value {
    let rounded = (count * 1e3).round() / 1e3;
    if rounded.fract() == 0.0 && rounded < 9e15 {
        Value::from(rounded as u64)
    } else {
        Number::from_f64(rounded).map_or(Value::Null, Value::Number)
    }
}
