//! Figures beside an axis: short, and alike along it.

use crate::report::format;
use std::time::Duration;

/// What the values of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Time,
    /// Things: requests, VUs.
    Count,
    /// Things per second.
    PerSecond,
    /// A share, 0 to 1.
    Share,
}

// === impl Unit ===

impl Unit {
    /// A value as a tick's label.
    #[must_use]
    pub fn label(self, value: f64) -> String {
        match self {
            Self::Time => time(value),
            Self::Count => short(value),
            Self::PerSecond => format!("{}/s", short(value)),
            Self::Share => format!("{} %", format::trimmed(value * 100.0, 1)),
        }
    }

    /// A value as it is told: three digits of it.
    #[must_use]
    pub fn told(self, value: f64) -> String {
        match self {
            Self::Time => time(three(value)),
            Self::Count => short(three(value)),
            Self::PerSecond => format!("{}/s", short(three(value))),
            Self::Share => format!("{} %", format::trimmed(value * 100.0, 2)),
        }
    }
}

/// A time of the run beside its axis.
pub(super) fn instant(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{}s", format::trimmed(seconds, 1));
    }
    humantime::format_duration(Duration::from_secs(seconds.round() as u64)).to_string().replace(' ', "")
}

fn time(ms: f64) -> String {
    match ms.abs() {
        0.0 => "0".to_owned(),
        // Longer than anything lasts: the powers of ten alone.
        above if above >= 1e15 => format!("{:.0e}h", ms / 36e5),
        below if below < 1.0 => format!("{}µs", format::trimmed(ms * 1e3, 1)),
        below if below < 1e3 => format!("{}ms", format::trimmed(ms, 2)),
        below if below < 6e4 => format!("{}s", format::trimmed(ms / 1e3, 2)),
        below if below < 36e5 => format!("{}m", format::trimmed(ms / 6e4, 2)),
        _ => format!("{}h", format::trimmed(ms / 36e5, 2)),
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        above if above >= 1e15 => format!("{value:.0e}"),
        above if above >= 1e9 => format!("{}G", format::trimmed(value / 1e9, 2)),
        above if above >= 1e6 => format!("{}M", format::trimmed(value / 1e6, 2)),
        above if above >= 1e4 => format!("{}k", format::trimmed(value / 1e3, 2)),
        above if above >= 10.0 => format::trimmed(value, 1),
        // Three digits of what is small.
        above if above > 0.0 => format::trimmed(value, (2.0 - above.log10().floor()).clamp(0.0, 12.0) as usize),
        _ => "0".to_owned(),
    }
}

/// Rounded to three digits.
fn three(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}
