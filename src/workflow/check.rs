//! What an answer must be: each key of `expect` is one check.

use super::answer::{Answer, Text};
use super::body::JsonTemplate;
use super::escape::Escape;
use super::expression::Expression;
use super::query::{Found, Queries};
use super::site::Site;
use super::template::Template;
use super::value::matches;
use super::variable::Context;
use crate::measure::CheckId;
use crate::plan;
use http::HeaderName;
use serde_json::Value;
use std::time::Duration;

/// What an answer must be.
#[derive(Debug, Default)]
pub(crate) struct Expectations {
    statuses: Vec<u16>,
    checks: Vec<Check>,
}

/// One key of `expect`.
#[derive(Debug)]
pub(crate) struct Check {
    /// The key.
    pub(crate) key: &'static str,
    /// Where it is counted.
    pub(crate) id: Option<CheckId>,
    must: Must,
}

#[derive(Debug)]
enum Must {
    Status,
    Json(Vec<(usize, Expected)>),
    Headers(Vec<(HeaderName, Template)>),
    Body(Template),
    MaxDuration(Duration),
}

/// A value that an answer must have.
#[derive(Debug)]
enum Expected {
    Fixed(Value),
    Filled(JsonTemplate),
}

// === impl Expectations ===

impl Expectations {
    /// Compiles `expect`. Its JSONPaths join the step's queries.
    pub(crate) fn compile(document: &plan::Expect, queries: &mut Queries, site: &mut Site<'_, '_>) -> Self {
        let mut this =
            Self { statuses: document.status.iter().map(|status| status.value).collect(), checks: Vec::new() };
        if !this.statuses.is_empty() {
            this.add("status", Must::Status, site);
        }
        if !document.json.is_empty() {
            let values = document.json.iter().filter_map(|(path, value)| {
                let query = queries.add(path, site)?;
                let template = JsonTemplate::compile(value, site);
                let fixed = template.constant().and_then(|text| serde_json::from_str(&text).ok());
                Some((query, fixed.map_or(Expected::Filled(template), Expected::Fixed)))
            });
            let values = values.collect();
            this.add("json", Must::Json(values), site);
        }
        if !document.headers.is_empty() {
            let headers = document.headers.iter().filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Some((name, Template::compile(value, site)))
            });
            let headers = headers.collect();
            this.add("headers", Must::Headers(headers), site);
        }
        if let Some(body) = &document.body {
            let body = Template::compile(body, site);
            this.add("body", Must::Body(body), site);
        }
        if let Some(longest) = document.max_duration {
            this.add("max_duration", Must::MaxDuration(longest.value), site);
        }
        this
    }

    /// Whether this is one of the statuses that are expected: 200 to 399 where the plan names none.
    pub(crate) fn expects(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..400).contains(&status) } else { self.statuses.contains(&status) }
    }

    /// Whether the status is a check.
    pub(crate) const fn checks_status(&self) -> bool {
        !self.statuses.is_empty()
    }

    /// Whether any check looks into the text of the answer itself.
    pub(crate) fn need_text(&self) -> bool {
        self.checks.iter().any(|check| matches!(check.must, Must::Body(_)))
    }

    /// All checks, each with whether the answer passes it.
    pub(crate) fn judge<'a>(
        &'a self,
        answer: &'a Answer,
        found: &'a [Option<Found>],
        context: Context<'a>,
    ) -> impl Iterator<Item = (&'a Check, bool)> {
        self.checks.iter().map(move |check| (check, self.passes(&check.must, answer, found, context)))
    }

    /// All that is filled in.
    pub(crate) fn expressions(&self) -> Vec<&Expression> {
        let mut all = Vec::new();
        for check in &self.checks {
            match &check.must {
                Must::Json(values) => {
                    for (_, expected) in values {
                        if let Expected::Filled(template) = expected {
                            all.extend(template.expressions());
                        }
                    }
                }
                Must::Headers(headers) => all.extend(headers.iter().flat_map(|(_, value)| value.expressions())),
                Must::Body(body) => all.extend(body.expressions()),
                Must::Status | Must::MaxDuration(_) => {}
            }
        }
        all
    }

    fn add(&mut self, key: &'static str, must: Must, site: &mut Site<'_, '_>) {
        self.checks.push(Check { key, id: site.check(key), must });
    }

    fn passes(&self, must: &Must, answer: &Answer, found: &[Option<Found>], context: Context<'_>) -> bool {
        match must {
            Must::Status => self.statuses.contains(&answer.status),
            Must::Json(values) => values.iter().all(|(query, expected)| {
                found.get(*query).and_then(Option::as_ref).is_some_and(|found| expected.is(found, context))
            }),
            Must::Headers(headers) => headers.iter().all(|(name, expected)| {
                let mut wanted = Vec::new();
                expected.render(context, Escape::None, &mut wanted).is_ok()
                    && answer.headers.get_all(name).iter().any(|value| value.as_bytes() == wanted)
            }),
            Must::Body(expected) => {
                let mut wanted = Vec::new();
                let Text::Whole(body) = &answer.text else { return false };
                expected.render(context, Escape::None, &mut wanted).is_ok() && contains(body, &wanted)
            }
            // What never came was not in time.
            Must::MaxDuration(longest) => answer.failure.is_none() && answer.timings.duration() <= *longest,
        }
    }
}

// === impl Expected ===

impl Expected {
    fn is(&self, found: &Found, context: Context<'_>) -> bool {
        let same = |expected: &Value| match found {
            Found::One(actual) => matches(expected, actual),
            Found::Many(actual) => expected.as_array().is_some_and(|expected| {
                expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| matches(e, a))
            }),
        };
        match self {
            Self::Fixed(expected) => same(expected),
            Self::Filled(template) => {
                let mut out = Vec::new();
                template.render(context, &mut out).is_ok()
                    && serde_json::from_slice::<Value>(&out).is_ok_and(|expected| same(&expected))
            }
        }
    }
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    match (std::str::from_utf8(body), std::str::from_utf8(wanted)) {
        (Ok(body), Ok(wanted)) => body.contains(wanted),
        _ => wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted),
    }
}
