//! `guard:`: what refuses to start, and what makes a running pacecar yield.

use super::Text;
use crate::plan::node::Node;
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
    /// `budget:` as it stands; refused until the canary.
    pub budget: Option<Node>,
    /// The conditions under which traffic pauses, as they stand.
    pub pause_when: Vec<Text>,
    /// No traffic while this file exists; none where empty.
    pub stop_file: Option<Text>,
}

/// A number of events in a time. Written `100/s`, `5/10s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many.
    pub count: f64,
    /// In which time.
    pub per: Duration,
}
