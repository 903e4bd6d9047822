//! Requests of a tune that are no load: whether what was started is ready, and the one that sets knobs.
//!
//! They go through the one client, so the guard's hosts hold for them, and stand in no figure.

use crate::client;
use crate::measure::{Layout, LayoutBuilder, Recorder, RecorderHandle, Traffic};
use crate::plan::{Diagnostics, Plan, Severity, Step};
use crate::run::completed::chain;
use crate::run::local;
use crate::semconv::RunId;
use crate::workflow::{self, Environment, Program};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// What requests are compiled with.
#[derive(Clone)]
pub(super) struct Asker {
    /// The plan without what it plays.
    plan: Plan,
    client: client::Overrides,
    environment: Environment,
    directory: PathBuf,
}

/// One request, compiled.
#[derive(Clone)]
pub(super) struct Ask {
    /// `GET /healthz`
    pub(super) name: String,
    program: Arc<Program>,
    client: client::Shared,
    layout: Arc<Layout>,
}

/// Tells the thread that asks that nobody waits any more.
struct Waiting(Arc<AtomicBool>);

/// How long one question whether something is ready may take.
const ONE: Duration = Duration::from_secs(2);
/// How often it is asked.
const AGAIN: Duration = Duration::from_millis(50);

// === impl Asker ===

impl Asker {
    pub(super) fn new(plan: &Plan, client: client::Overrides, environment: Environment, directory: PathBuf) -> Self {
        let mut plan = plan.clone();
        plan.data.clear();
        plan.setup.clear();
        plan.teardown.clear();
        plan.workflows.clear();
        plan.scenarios.clear();
        plan.tenants.create = None;
        Self { plan, client, environment, directory }
    }

    /// How long a request of the plan may take.
    pub(super) const fn timeout(&self) -> Duration {
        self.plan.http.timeout.value
    }

    /// Compiles a request. What is wrong with it is told once.
    pub(super) fn compile(
        &self,
        step: &Step,
        knobs: Option<Map<String, Value>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Ask> {
        let mut plan = self.plan.clone();
        plan.setup = vec![step.clone()];
        let environment = match knobs {
            Some(knobs) => self.environment.clone().with_knobs(knobs),
            None => self.environment.clone(),
        };
        let mut found = Diagnostics::new(diagnostics.file.clone());
        let client = client::compile(&plan, &self.client, &mut found);
        let mut layout = LayoutBuilder::new(Vec::new());
        let run = RunId::new(fastrand::u64(..));
        let program = workflow::compile(&plan, &environment, &self.directory, run, &mut layout, &mut found);
        for problem in found.sorted() {
            if diagnostics.sorted().contains(&problem) {
                continue;
            }
            let told = match problem.severity {
                Severity::Error => diagnostics.error(problem.span, problem.message.clone()),
                Severity::Warning => diagnostics.warning(problem.span, problem.message.clone()),
            };
            if let Some(hint) = &problem.hint {
                told.hint(hint.clone());
            }
        }
        let name = step.name.value.clone();
        Some(Ask { name, program: program?, client: client::Shared::new(client), layout: layout.build() })
    }
}

// === impl Ask ===

impl Ask {
    /// Asks once, at most for `within`.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(super) async fn once(&self, within: Duration) -> Result<(), String> {
        let ask = self.clone();
        local::run("pacecar-tune", move || async move { ask.send(within).await })
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Asks until it succeeds, at most for `within`.
    ///
    /// # Errors
    /// What went wrong last, in words.
    pub(super) async fn until(&self, within: Duration) -> Result<(), String> {
        let (ask, waiting) = (self.clone(), Arc::new(AtomicBool::new(true)));
        let guard = Waiting(Arc::clone(&waiting));
        let asked = local::run("pacecar-tune", move || async move {
            let until = Instant::now() + within;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                match ask.send(left.min(ONE).max(AGAIN)).await {
                    Ok(()) => return Ok(()),
                    Err(error) if Instant::now() + AGAIN >= until || !waiting.load(Ordering::Relaxed) => {
                        return Err(error);
                    }
                    Err(_) => sleep(AGAIN).await,
                }
            }
        });
        let answer = asked.await.unwrap_or_else(|error| Err(error.to_string()));
        drop(guard);
        answer
    }

    /// On a thread with a `LocalSet`.
    async fn send(&self, within: Duration) -> Result<(), String> {
        let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&self.layout), Instant::now()));
        let traffic = Traffic::default();
        let service = self.client.worker().vu(traffic.clone());
        match timeout(within, self.program.setup(service, recorder, traffic)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{}: {}", self.name, chain(&error.cause))),
            Err(_) => Err(format!("{}: no answer within {}", self.name, humantime::format_duration(within))),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
