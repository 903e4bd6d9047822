//! One request of a workflow, with what it expects and captures.

use super::Text;
use crate::plan::node::Node;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// One request of a workflow.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where the step stands.
    pub span: Span,
    /// Its name. Without one, `METHOD /path`.
    pub name: Text,
    /// The HTTP method, in capitals.
    pub method: Spanned<String>,
    /// A template: a path below `base_url`, or an absolute URL.
    pub url: Text,
    /// Headers: name and template.
    pub headers: Vec<(Text, Text)>,
    /// Who asks.
    pub auth: Option<Auth>,
    /// What is sent.
    pub body: Option<Body>,
    /// What the answer must be; each key is one check.
    pub expect: Expect,
    /// What is kept of the answer, by name.
    pub capture: Vec<Capture>,
    /// The pause after the step.
    pub think: Option<Think>,
    /// An expression that must be true for the step to be sent. Text with `{{ }}`.
    pub when: Option<Text>,
    /// What a failed check does. None where the plan does not say.
    pub on_failure: Option<OnFailure>,
    /// The request that undoes this one. Refused until cleanup can journal it.
    pub undo: Option<Text>,
    /// Whether the answer is a stream of server-sent events.
    pub stream: Option<Spanned<Stream>>,
    /// Custom metrics, in the order of the document.
    pub metrics: Vec<CustomMetric>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Auth {
    /// `authorization: Bearer …`; a template.
    Bearer(Text),
    /// `authorization: Basic …`; templates.
    Basic {
        /// The user.
        user: Text,
        /// The password.
        password: Text,
    },
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// A JSON document, templates in its texts. `content-type: application/json`.
    Json(Node),
    /// A form: name and template. `content-type: application/x-www-form-urlencoded`.
    Form(Vec<(Text, Node)>),
    /// A template, sent as it is.
    Raw(Text),
}

/// What the answer must be. Each key that is there is one check named `STEP KEY`.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// `status`: the statuses that are expected. Empty where the plan does not say (200 to 399, and no check).
    pub status: Vec<Spanned<u16>>,
    /// Where `status` stands.
    pub status_span: Option<Span>,
    /// `json`: JSONPath and the value it must have (templates in texts). One check `STEP json`.
    pub json: Vec<(Text, Node)>,
    /// `headers`: name and the template its value must equal. One check `STEP headers`.
    pub headers: Vec<(Text, Text)>,
    /// `body`: a template that the body must contain. One check `STEP body`.
    pub body: Option<Text>,
    /// `max_duration`: the longest `http_req_duration`. One check `STEP max_duration`.
    pub max_duration: Option<Spanned<Duration>>,
}

/// One thing that is kept of an answer.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The variable's name.
    pub name: Text,
    /// Where it comes from.
    pub from: CaptureFrom,
}

/// Where a capture comes from.
#[derive(Clone, Debug)]
pub enum CaptureFrom {
    /// A JSONPath (RFC 9535) into the body.
    Json(Text),
    /// A header.
    Header(Text),
    /// A cookie that the answer sets.
    Cookie(Text),
    /// The first group of a regular expression over the body, or all of the match where it has no group.
    Regex(Text),
}

/// A pause, drawn evenly between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Think {
    /// The shortest.
    pub min: Duration,
    /// The longest; the same where the plan gives one figure.
    pub max: Duration,
}

/// What a failed check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The next step follows, as in k6.
    Continue,
    /// The iteration ends there.
    Stop,
}

/// The kind of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Server-sent events.
    Sse,
}

/// A custom metric of a step.
#[derive(Clone, Debug)]
pub struct CustomMetric {
    /// Its name: k6's rule, `^[a-zA-Z_][a-zA-Z0-9_]{1,128}$`, and none of k6's or pacecar's own.
    pub name: Text,
    /// Its type.
    pub kind: MetricKind,
    /// Where its value comes from.
    pub source: MetricSource,
}

/// k6's metric types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Keeps a distribution.
    Trend,
    /// The share of values that are true.
    Rate,
    /// A sum.
    Counter,
    /// The latest value.
    Gauge,
}

/// Where a custom metric's value comes from.
#[derive(Clone, Debug)]
pub enum MetricSource {
    /// `duration`: the request's `http_req_duration`. A trend of times.
    Duration,
    /// A JSONPath into the body.
    Json(Text),
    /// A template over the iteration's variables, or a number.
    Template(Text),
}
