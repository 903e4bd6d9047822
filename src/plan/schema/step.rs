//! Steps.

use super::values::{Pause, Statuses, Text, Time, Word};
use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// One request, with what it expects and captures.
#[derive(JsonSchema)]
#[schemars(rename = "step", deny_unknown_fields)]
pub(super) struct Step {
    /// Its name. Default `METHOD /path`.
    name: Option<Text>,
    /// Method and URL: `POST /api/chat`, or an absolute URL.
    request: String,
    /// Headers, by name.
    headers: Option<BTreeMap<String, Text>>,
    /// Who asks.
    auth: Option<Auth>,
    /// A JSON body; templates in its texts.
    json: Option<Value>,
    /// A form, by field.
    form: Option<BTreeMap<String, Text>>,
    /// A body that is sent as it is.
    body: Option<Text>,
    /// What the answer must be; each key is one check.
    expect: Option<Expect>,
    /// What is kept of the answer, by name.
    capture: Option<BTreeMap<String, Capture>>,
    /// The pause after the step: `2s`, or `1s..3s` to draw one between the two.
    think: Option<Pause>,
    /// An expression that must be true for the step to be sent: `{{ token is defined }}`.
    when: Option<When>,
    /// What a failed check does. Default continue, unless a capture failed.
    on_failure: Option<Word<OnFailure>>,
    /// The request that undoes this one.
    undo: Option<String>,
    /// Whether the answer is streamed.
    stream: Option<Word<Stream>>,
    /// Custom metrics, by name.
    metrics: Option<BTreeMap<String, Metric>>,
}

/// An expression in braces, or plain true or false.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
enum When {
    Expression(String),
    Plain(bool),
}

/// Who asks: one of the two.
#[derive(JsonSchema)]
#[schemars(rename = "step.auth", deny_unknown_fields)]
struct Auth {
    /// `authorization: Bearer …`.
    bearer: Option<Text>,
    /// `authorization: Basic …`.
    basic: Option<Basic>,
}

/// A user and a password.
#[derive(JsonSchema)]
#[schemars(rename = "step.auth.basic", deny_unknown_fields)]
struct Basic {
    /// The user.
    user: Text,
    /// The password. Default empty.
    password: Option<Text>,
}

/// What the answer must be.
#[derive(JsonSchema)]
#[schemars(rename = "step.expect", deny_unknown_fields)]
struct Expect {
    /// The statuses that are expected. Default 200 to 399.
    status: Option<Statuses>,
    /// Values, by JSONPath.
    json: Option<BTreeMap<String, Value>>,
    /// Values, by header.
    headers: Option<BTreeMap<String, Text>>,
    /// What the body must contain.
    body: Option<Text>,
    /// The longest `http_req_duration`.
    max_duration: Option<Time>,
}

/// Where a kept value comes from.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "capture-source")]
enum Capture {
    /// A JSONPath (RFC 9535) into the body.
    Path(String),
    /// A header, a cookie, or a regular expression.
    Long(CaptureFrom),
}

/// Where a kept value comes from: one of the three.
#[derive(JsonSchema)]
#[schemars(rename = "step.capture", deny_unknown_fields)]
struct CaptureFrom {
    /// A header.
    header: Option<Text>,
    /// A cookie that the answer sets.
    cookie: Option<Text>,
    /// The first group of a regular expression over the body.
    regex: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum OnFailure {
    /// The iteration ends there.
    Stop,
    /// The next step follows.
    Continue,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Stream {
    /// Server-sent events.
    Sse,
}

/// A custom metric: one of k6's types, and where its value comes from.
#[derive(JsonSchema)]
#[schemars(rename = "step.metrics", deny_unknown_fields)]
struct Metric {
    /// Keeps a distribution: of `duration`, of a JSONPath, of a template.
    trend: Option<Text>,
    /// The share of values that are true.
    rate: Option<Text>,
    /// A sum.
    counter: Option<Text>,
    /// The latest value.
    gauge: Option<Text>,
}
