//! One request of a workflow, compiled: what it sends, expects, keeps and counts.

use super::answer::StreamMetrics;
use super::body::Body;
use super::capture::Capture;
use super::check::Expectations;
use super::expression::{Condition, Expression};
use super::header::Headers;
use super::metric::Metric;
use super::query::Queries;
use super::site::Site;
use super::template::compile_condition;
use super::undo::Undo;
use super::url::Url;
use super::variable::{Source, Variable};
use crate::measure::{CheckId, SiteId};
use crate::plan::{self, HttpSettings, OnFailure};
use crate::semconv::metric::{LLM_TOKEN_GAP, LLM_TTFT};
use http::Method;
use std::time::Duration;

/// A step of a sequence.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Its place among all steps of the program.
    pub(crate) index: usize,
    pub(crate) site: SiteId,
    /// What `baggage` calls its scenario.
    pub(crate) scenario: String,
    pub(crate) when: Option<Condition>,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    /// What must have a value before the request is sent though only its checks use it.
    pub(crate) needed: Vec<Variable>,
    pub(crate) queries: Queries,
    /// Whether anything looks into the text of the answer itself.
    pub(crate) wants_text: bool,
    pub(crate) captures: Vec<Capture>,
    pub(crate) expect: Expectations,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) stream: Option<StreamMetrics>,
    pub(crate) think: Option<Think>,
    pub(crate) on_failure: Option<OnFailure>,
    /// What undoes it.
    pub(crate) undo: Option<Undo>,
    /// The check that fails where nothing else says that an account was not made.
    pub(crate) refused: Option<CheckId>,
}

/// A pause, drawn evenly between two bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Think {
    min: Duration,
    max: Duration,
}

// === impl Step ===

impl Step {
    /// Compiles a step at a site. The names it captures are known to what is compiled after it.
    pub(crate) fn compile(
        document: &plan::Step,
        index: usize,
        scenario: &str,
        base: Option<&str>,
        http: &HttpSettings,
        site: &mut Site<'_, '_>,
    ) -> Option<Self> {
        let id = site.counted.as_ref()?.1;
        let method = Method::from_bytes(document.method.as_bytes());
        if method.is_err() {
            site.error(document.method.span, format!("`{}` is no method", document.method.value), None);
        }
        let when = document.when.as_ref().and_then(|when| compile_condition(when, site));
        let url = Url::compile(&document.url, base, site);
        let (body, content_type) = Body::compile(document.body.as_ref(), site);
        let headers = Headers::compile(&http.headers, document.auth.as_ref(), &document.headers, content_type, site);

        let mut queries = Queries::default();
        let captures: Vec<Capture> =
            document.capture.iter().filter_map(|capture| Capture::compile(capture, &mut queries, site)).collect();
        // From here on the step's own captures are known.
        let expect = Expectations::compile(&document.expect, &mut queries, site);
        let metrics =
            document.metrics.iter().filter_map(|metric| Metric::compile(metric, &mut queries, site)).collect();
        let needed = needed(&expect, &captures);
        let stream = document.stream.as_ref().and_then(|_| {
            let (layout, _) = site.counted.as_ref()?;
            Some(StreamMetrics { first: layout.find(LLM_TTFT)?, gap: layout.find(LLM_TOKEN_GAP)? })
        });
        Some(Self {
            name: document.name.value.clone(),
            index,
            site: id,
            scenario: scenario.to_owned(),
            when,
            method: method.ok()?,
            url,
            headers,
            body,
            needed,
            wants_text: expect.need_text() || captures.iter().any(Capture::needs_text),
            queries,
            captures,
            expect,
            metrics,
            stream,
            think: document.think.map(|think| Think { min: think.min, max: think.max }),
            on_failure: document.on_failure,
            undo: Undo::compile(document, base, http, site),
            refused: None,
        })
    }
}

// === impl Think ===

impl Think {
    /// Draws a pause.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Duration {
        let spread = self.max.saturating_sub(self.min);
        if spread.is_zero() {
            return self.min;
        }
        self.min + spread.mul_f64(random.f64())
    }
}

/// The captured variables that checks use and the step does not itself capture.
fn needed(expect: &Expectations, captures: &[Capture]) -> Vec<Variable> {
    let own = |slot: usize| captures.iter().any(|capture| capture.slot == slot);
    let variables = expect.expressions().into_iter().filter_map(Expression::variable);
    variables
        .filter(|variable| match variable.source {
            Source::Slot(slot) => !own(slot),
            Source::Setup(_) | Source::Row(_) => true,
            _ => false,
        })
        .cloned()
        .collect()
}
