//! `slo:`: service level objectives, judged over long windows.

use super::Text;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// What share of something must be good.
#[derive(Clone, Debug)]
pub struct SloDocument {
    /// Where it stands.
    pub span: Span,
    /// Its name.
    pub name: Text,
    /// Which samples are good: `metric operator number`, kept as text until `measure` compiles it.
    pub good: Text,
    /// The percentage that must be good, above 0 and below 100.
    pub objective: Spanned<f64>,
    /// The window that the error budget is of. Default `30d`.
    pub window: SloWindow,
    /// When somebody is told. Default: the SRE Workbook's three pairs.
    pub alerts: Vec<SloAlertDocument>,
}

/// When somebody is told: the budget burns too fast over both windows.
#[derive(Clone, Debug)]
pub struct SloAlertDocument {
    /// Where it stands; nowhere for those that are the default.
    pub span: Span,
    /// How urgent it is. Default page.
    pub severity: SloSeverity,
    /// The burn rate from which on it fires: how many times faster than the budget lasts. Default 14.4.
    pub burn: f64,
    /// The window that says that it matters. Default `1h`.
    pub long: SloWindow,
    /// The window that says that it still goes on. Default `5m`.
    pub short: SloWindow,
    /// A URL that is told; none where empty.
    pub webhook: Option<Text>,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SloSeverity {
    /// Somebody gets up.
    Page,
    /// It can wait until morning.
    Ticket,
}

/// A window of time, and how the plan writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloWindow {
    /// As the plan writes it: `5m`, `3d`.
    pub text: String,
    /// Its length: more than zero.
    pub length: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

// === impl SloSeverity ===

impl SloSeverity {
    /// As the plan writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

// === impl SloWindow ===

impl SloWindow {
    /// The window of a budget where the plan names none.
    #[must_use]
    pub fn month() -> Self {
        Self::new("30d", 30 * DAY)
    }

    /// The long window of an alert where the plan names none.
    #[must_use]
    pub fn hour() -> Self {
        Self::new("1h", HOUR)
    }

    /// The short window of an alert where the plan names none.
    #[must_use]
    pub fn five_minutes() -> Self {
        Self::new("5m", 5 * MINUTE)
    }

    fn new(text: &str, length: Duration) -> Self {
        Self { text: text.to_owned(), length }
    }
}

// === impl SloAlertDocument ===

impl SloAlertDocument {
    /// The three pairs of the SRE Workbook, chapter 5, table 5-8.
    #[must_use]
    pub fn workbook() -> Vec<Self> {
        let pair = |severity, burn, long, short| Self { span: Span::NONE, severity, burn, long, short, webhook: None };
        vec![
            pair(SloSeverity::Page, 14.4, SloWindow::hour(), SloWindow::five_minutes()),
            pair(SloSeverity::Page, 6.0, SloWindow::new("6h", 6 * HOUR), SloWindow::new("30m", 30 * MINUTE)),
            pair(SloSeverity::Ticket, 1.0, SloWindow::new("3d", 3 * DAY), SloWindow::new("6h", 6 * HOUR)),
        ]
    }
}
