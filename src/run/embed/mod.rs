//! A run inside the process of the API that it drives: in a test, or beside the API's own work.
//!
//! The target is any `tower::Service`, such as an axum `Router`; there is no socket between it and the run. The plan is
//! the one that the sidecar runs in staging.
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use pacecar::run::{Run, Verdict};
//!
//! const PLAN: &str = "
//! workflow: [ { name: profile, request: GET /api/user/profile, expect: { status: 200 } } ]
//! scenarios: { some: { executor: shared-iterations, vus: 2, iterations: 10 } }
//! thresholds: { http_req_failed: ['rate==0'] }
//! ";
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), pacecar::run::RunError> {
//! let router = Router::new().route("/api/user/profile", get(async || "you"));
//! let result = Run::from_plan(PLAN).target(router).execute().await?;
//! // `Pass`; or `Invalid`, where the machine was too busy to measure anything.
//! assert_ne!(result.verdict, Verdict::Fail, "{result}");
//! assert_eq!(result.figure("http_reqs", "count"), Some(10.0));
//! # Ok(())
//! # }
//! ```
//!
//! # What runs where
//!
//! The load is made on threads of its own, as always. The target runs on the runtime that called [`Run::execute`], as
//! its requests in production do, because what a handler holds (connections of a pool, tasks it spawned) belongs to
//! that runtime; so on the runtime of `#[tokio::test]`, which has one thread, requests are worked on one at a time
//! between their waits.
//!
//! # What a plan's sections do here
//!
//! Nothing listens, and no request leaves the process, whatever its URL. `correlate` and `outputs` are left out, with a
//! note: they would need sockets. `cleanup` does what it always does, because rows that a test makes in a real database
//! are rows all the same; it is all that connects anywhere, and a plan whose `cleanup` URLs are empty does not.

mod outcome;
mod target;
#[cfg(test)]
mod tests;

pub use outcome::{RunError, RunResult};
pub use target::BoxError;
pub(super) use target::{InProcess, vus_over};

use super::compile::{self, Compiled};
use super::{Settings, Source};
use crate::plan::{self, Diagnostics, Plan, Spanned, Variables};
use crate::semconv::RunId;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;
use tower::Service;

/// What URLs begin with where the plan does not say: nobody is asked there.
const HOME: &str = "http://localhost";

/// A run that drives a service of this process. See the [module](self).
#[derive(Clone, Debug)]
pub struct Run<S = ()> {
    source: Source,
    variables: Vec<(String, String)>,
    workers: Option<NonZeroUsize>,
    target: S,
}

// === impl Run ===

impl Run {
    /// A run of this plan: YAML text, or a [`Source`] such as [`Source::from_file`] gives.
    #[must_use]
    pub fn from_plan(plan: impl Into<Source>) -> Self {
        Self { source: plan.into(), variables: Vec::new(), workers: None, target: () }
    }

    /// What it drives.
    #[must_use]
    pub fn target<S>(self, service: S) -> Run<S> {
        let Self { source, variables, workers, target: () } = self;
        Run { source, variables, workers, target: service }
    }
}

impl<S> Run<S> {
    /// A value for `${NAME}` in the plan; goes before the environment's, as `-e NAME=VALUE` does.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// How many threads make the load; without it as many as the plan can use and the machine has cores.
    #[must_use]
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
        self
    }
}

impl<S, B> Run<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Drives the run to its verdict.
    ///
    /// # Errors
    /// Where the plan has errors, the run was refused, setup failed, or cleanup did not finish: a run that has no
    /// verdict, or one that must not be believed. A failed threshold is a verdict.
    ///
    /// The future must be polled by a tokio runtime with its timer on; dropping it cuts the load off and deletes nothing.
    pub fn execute(self) -> impl Future<Output = Result<RunResult, RunError>> + Send + use<S, B> {
        let Self { source, variables, workers, target } = self;
        async move {
            let runtime = Handle::try_current().map_err(|source| RunError::NoRuntime { source })?;
            let environment = std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
            let mut settings = Settings::new(RunId::new(fastrand::u64(..)), Variables::new(variables, environment));
            settings.workers = workers;
            let (compiled, notes) = compile_for(&source, settings, InProcess::new(target, runtime))?;
            RunResult::of(compiled.execute(|_| ()).await, notes)
        }
    }
}

// === impl Source ===

impl Source {
    /// A plan as YAML text. Data files that it names are looked for in the working directory.
    #[must_use]
    pub fn from_yaml(text: impl Into<String>) -> Self {
        Self { name: "plan".to_owned(), bytes: text.into().into_bytes(), directory: PathBuf::from(".") }
    }

    /// A plan as a file. Data files that it names are looked for beside it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, RunError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| RunError::Plan(plan::unreadable(&name, &error)))?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Ok(Self { name, bytes, directory: directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf) })
    }
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self::from_yaml(text)
    }
}

impl From<String> for Source {
    fn from(text: String) -> Self {
        Self::from_yaml(text)
    }
}

// === helpers ===

/// Compiles a plan for a target in this process, and says what of it is left out.
fn compile_for(source: &Source, settings: Settings, target: InProcess) -> Result<(Compiled, Vec<String>), RunError> {
    let mut notes = Vec::new();
    let (compiled, diagnostics) = compile::compile_changed(source, settings, |plan| notes = prepare(plan));
    notes.extend(warnings(&diagnostics));
    let mut compiled = compiled.ok_or(RunError::Plan(diagnostics))?;
    compiled.target = Some(target);
    Ok((compiled, notes))
}

/// Takes out of a plan what would need a socket.
fn prepare(plan: &mut Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.base_url.as_ref().is_none_or(|base| base.value.is_empty()) {
        plan.base_url = Some(Spanned::nowhere(HOME.to_owned()));
    }
    if plan.later.correlate.take().is_some() {
        notes.push("`correlate` is left out: a run inside the process opens no socket".to_owned());
    }
    if !std::mem::take(&mut plan.outputs).is_empty() {
        notes.push("`outputs` are left out: a run inside the process opens no socket".to_owned());
    }
    // Its figures are the result's; files are the caller's to write.
    plan.summary = None;
    plan.report = None;
    notes
}

fn warnings(diagnostics: &Diagnostics) -> impl Iterator<Item = String> {
    let warnings = diagnostics.sorted();
    let told =
        |problem: &plan::Diagnostic| (problem.severity == plan::Severity::Warning).then(|| problem.message.clone());
    warnings.iter().filter_map(|problem| told(problem)).collect::<Vec<_>>().into_iter()
}
