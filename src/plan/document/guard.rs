//! `guard:`: what refuses to start, and what makes a running pacecar yield.

use super::Text;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// What refuses to start, and what makes a running pacecar yield.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Where the section stands.
    pub span: Span,
    /// The environments that are allowed; empty: all but `production` and `prod`.
    pub environments: Vec<Text>,
    /// The hosts that are allowed, `*.` at the front at most; empty: all.
    pub hosts: Vec<Text>,
    /// The most requests in a time.
    pub max_rate: Option<Spanned<Rate>>,
    /// What any window may sum up to, by metric.
    pub budget: Vec<BudgetLimit>,
    /// The conditions under which traffic pauses, as they stand.
    pub pause_when: Vec<Text>,
    /// No traffic while this file exists; none where empty.
    pub stop_file: Option<Text>,
}

/// What any window of a length may sum up to.
#[derive(Clone, Debug)]
pub struct BudgetLimit {
    /// The custom metric that is summed up.
    pub metric: Text,
    /// The most in any window.
    pub sum: Spanned<f64>,
    /// The window's length.
    pub per: Spanned<Duration>,
    /// What is reserved before each request.
    pub each: Option<Spanned<f64>>,
}

/// A number of events in a time. Written `100/s`, `5/10s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many.
    pub count: f64,
    /// In which time.
    pub per: Duration,
}
