//! The way in which a plan's values are set, composed: commands of `tune`, requests of the client.

use super::ask::{Ask, Asker};
use crate::plan::{
    ApplyDocument, CommandDocument, Diagnostics, Kind, KubernetesDocument, Step, TuneDocument, Variables,
};
use crate::run::completed::chain;
use crate::tune::apply::kubernetes::{Cluster, Deployment};
use crate::tune::apply::{Base, CommandError, Guardian, Hook, Secrets, Service};
use crate::tune::{Failure, Setting};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Sets values.
pub(super) enum Driver {
    /// Starts the API itself with them.
    Process(Box<Process>),
    /// Runs a command that sets them.
    Exec(Box<Exec>),
    /// Sends a request that sets them.
    Http(Box<Http>),
    /// Patches a Deployment.
    Kubernetes(Box<Kubernetes>),
}

/// A Deployment, in a cluster that is looked for when the tune begins.
pub(super) struct Kubernetes {
    document: KubernetesDocument,
    secrets: Secrets,
    found: Option<Deployment>,
}

/// The API as a process of ours.
pub(super) struct Process {
    base: Base,
    ready: Ask,
    within: Duration,
    running: Option<Service>,
}

/// A command that sets values.
pub(super) struct Exec {
    base: Base,
    ready: Option<Ask>,
    within: Duration,
    /// While it runs.
    running: Option<Hook>,
}

/// A request that sets values.
pub(super) struct Http {
    asker: Asker,
    step: Step,
    /// Each knob's values as JSON has them.
    typed: BTreeMap<(String, String), Value>,
    within: Duration,
}

/// How long what is ended gets between trials, in which nobody waits.
const GRACE: Duration = Duration::from_secs(5);
/// And when the tune itself is to end: within five seconds with all that is around it.
const SHORT_GRACE: Duration = Duration::from_secs(2);
/// How long a request that puts the original back may take where somebody waits.
const SOON: Duration = Duration::from_secs(4);
/// How long somebody else may take to answer before ours has begun.
const GLANCE: Duration = Duration::from_secs(1);

// === impl Driver ===

impl Driver {
    /// Compiles the way of a plan. Every problem is told.
    pub(super) fn compile(
        tune: &TuneDocument,
        asker: &Asker,
        variables: &Variables,
        directory: &Path,
        guardian: Guardian,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let base = |command: &CommandDocument| Base {
            command: command.command.iter().map(|word| word.value.clone()).collect(),
            directory: directory.to_owned(),
            environment: environment(variables),
            secrets: Secrets::new(variables.given.values().map(String::as_str)),
            guardian: guardian.clone(),
        };
        match tune.apply.as_ref()? {
            ApplyDocument::Process(command) => {
                let ready = asker.compile(command.ready.as_ref()?, None, diagnostics)?;
                let within = command.within.value;
                Some(Self::Process(Box::new(Process { base: base(command), ready, within, running: None })))
            }
            ApplyDocument::Exec(command) => {
                let ready = match &command.ready {
                    Some(step) => Some(asker.compile(step, None, diagnostics)?),
                    None => None,
                };
                Some(Self::Exec(Box::new(Exec {
                    base: base(command),
                    ready,
                    within: command.within.value,
                    running: None,
                })))
            }
            ApplyDocument::Http(step) => {
                let http = Http::new(tune, step, asker);
                // What any setting is wrong with, the first one is.
                let first = tune
                    .knobs
                    .iter()
                    .filter_map(|knob| Some((knob.name.value.clone(), knob.values.first()?.text.value.clone())));
                http.compile(&first.collect(), diagnostics)?;
                Some(Self::Http(Box::new(http)))
            }
            ApplyDocument::Kubernetes(document) => {
                let secrets = Secrets::new(variables.given.values().map(String::as_str));
                Some(Self::Kubernetes(Box::new(Kubernetes { document: document.clone(), secrets, found: None })))
            }
        }
    }

    /// Asks whether the values of these knobs can be set at all, before the first is.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn admit(&mut self, knobs: impl Iterator<Item = &str>) -> Result<(), String> {
        match self {
            Self::Kubernetes(kubernetes) => kubernetes.deployment()?.admit(knobs).await.map_err(|error| chain(&error)),
            Self::Process(_) | Self::Exec(_) | Self::Http(_) => Ok(()),
        }
    }

    /// Sets these values, and waits until they are in effect.
    pub(super) async fn apply(&mut self, setting: &Setting) -> Result<(), Failure> {
        match self {
            Self::Process(process) => process.apply(setting).await,
            Self::Exec(exec) => exec.apply(setting).await,
            Self::Http(http) => http.apply(setting, http.within).await.map_err(Failure::NotApplied),
            Self::Kubernetes(kubernetes) => {
                let deployment = kubernetes.deployment().map_err(Failure::NotApplied)?;
                deployment.apply(setting).await.map_err(|error| Failure::NotApplied(chain(&error)))
            }
        }
    }

    /// Ends the trials: the original is set again, or what was started is ended. `soon`: somebody waits.
    ///
    /// # Errors
    /// What is left, in words.
    pub(super) async fn restore(&mut self, original: Option<&Setting>, soon: bool) -> Result<(), String> {
        match (self, original) {
            (Self::Process(process), _) => process.stop(if soon { SHORT_GRACE } else { GRACE }).await,
            (Self::Exec(exec), None) => {
                exec.stop().await;
                Ok(())
            }
            (_, None) => Ok(()),
            (Self::Exec(exec), Some(original)) => exec.run(original).await.map_err(|error| chain(&error)),
            (Self::Http(http), Some(original)) => {
                http.apply(original, if soon { http.within.min(SOON) } else { http.within }).await
            }
            (Self::Kubernetes(kubernetes), Some(original)) => {
                kubernetes.deployment()?.restore(original, soon).await.map_err(|error| chain(&error))
            }
        }
    }

    /// Whether there is something to restore: values that outlive the tune.
    pub(super) const fn leaves_something(&self) -> bool {
        !matches!(self, Self::Process(_))
    }

    /// Whether what sets values is on its way once it was begun, and lands though nobody waits for it.
    pub(super) const fn lands_by_itself(&self) -> bool {
        matches!(self, Self::Http(_) | Self::Kubernetes(_))
    }

    /// Why the target is gone, where it is and that can be known.
    pub(super) fn lost(&self) -> Option<String> {
        match self {
            Self::Process(process) => process.running.as_ref().and_then(Service::has_ended),
            _ => None,
        }
    }
}

// === impl Process ===

impl Process {
    async fn apply(&mut self, setting: &Setting) -> Result<(), Failure> {
        self.stop(GRACE).await.map_err(Failure::NotApplied)?;
        if self.ready.once(GLANCE).await.is_ok() {
            let name = &self.ready.name;
            return Err(Failure::NotApplied(format!(
                "{name} is answered already, by a process that tune did not start: end that one first"
            )));
        }
        let service = Service::start(&self.base, setting).map_err(|error| Failure::NotApplied(chain(&error)))?;
        let service = self.running.insert(service);
        let ready = tokio::select! {
            biased;
            how = service.ended() => return Err(Failure::NotApplied(how)),
            ready = self.ready.until(self.within) => ready,
        };
        match ready {
            // Another's answer is no sign of ours: it may have ended because its port is taken.
            Ok(()) => service.has_ended().map_or(Ok(()), |how| Err(Failure::NotApplied(how))),
            Err(last) => {
                let said = service.last_words();
                let last = if said.is_empty() { last } else { format!("{last}; it said: {said}") };
                self.stop(SHORT_GRACE).await.map_err(Failure::NotApplied)?;
                Err(Failure::NotReady { within: self.within, last })
            }
        }
    }

    async fn stop(&mut self, grace: Duration) -> Result<(), String> {
        let Some(service) = self.running.take() else { return Ok(()) };
        service.stop(grace).await.map_err(|error| format!("what tune started does not end: {error}"))
    }
}

// === impl Exec ===

impl Exec {
    async fn apply(&mut self, setting: &Setting) -> Result<(), Failure> {
        self.run(setting).await.map_err(|error| Failure::NotApplied(chain(&error)))?;
        let Some(ready) = &self.ready else { return Ok(()) };
        ready.until(self.within).await.map_err(|last| Failure::NotReady { within: self.within, last })
    }

    /// Runs it with these values, after the one before has ended: two would undo each other's work.
    async fn run(&mut self, setting: &Setting) -> Result<(), CommandError> {
        self.stop().await;
        let hook = self.running.insert(Hook::start(&self.base, setting)?);
        let done = hook.done(self.within).await;
        self.stop().await;
        done
    }

    async fn stop(&mut self) {
        if let Some(hook) = self.running.take() {
            hook.stop().await;
        }
    }
}

// === impl Http ===

impl Http {
    fn new(tune: &TuneDocument, step: &Step, asker: &Asker) -> Self {
        let values = tune.knobs.iter().flat_map(|knob| knob.values.iter().map(|value| (&knob.name.value, value)));
        let today = tune.original.iter().map(|(name, value)| (&name.value, value));
        // Where the two write one value in two ways, the one that is tried has it.
        let typed =
            today.chain(values).map(|(name, value)| ((name.clone(), value.text.value.clone()), json(&value.kind)));
        Self { asker: asker.clone(), step: step.clone(), typed: typed.collect(), within: asker.timeout() }
    }

    fn compile(&self, setting: &Setting, diagnostics: &mut Diagnostics) -> Option<Ask> {
        let value = |knob: &str, text: &str| {
            let known = self.typed.get(&(knob.to_owned(), text.to_owned()));
            known.cloned().unwrap_or_else(|| Value::from(text))
        };
        let knobs: Map<String, Value> =
            setting.iter().map(|(knob, text)| (knob.to_owned(), value(knob, text))).collect();
        self.asker.compile(&self.step, Some(knobs), diagnostics)
    }

    async fn apply(&self, setting: &Setting, within: Duration) -> Result<(), String> {
        let mut told = Diagnostics::new("");
        let ask = self.compile(setting, &mut told).ok_or_else(|| told.to_string())?;
        ask.once(within).await
    }
}

// === impl Kubernetes ===

impl Kubernetes {
    /// The Deployment; its cluster is looked for once.
    fn deployment(&mut self) -> Result<&mut Deployment, String> {
        if self.found.is_none() {
            let cluster = Cluster::here().map_err(|error| chain(&error))?;
            self.found = Some(Deployment::new(&self.document, cluster, self.secrets.clone()));
        }
        self.found.as_mut().ok_or_else(String::new)
    }
}

// === helpers ===

/// What a command starts with: the process environment, and what `-e` gives over it, as the plan sees it.
fn environment(variables: &Variables) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    all.extend(variables.given.iter().map(|(name, value)| (name.into(), value.into())));
    all
}

fn json(kind: &Kind) -> Value {
    match kind {
        Kind::Bool(value) => Value::from(*value),
        Kind::Int(value) => Value::from(*value),
        Kind::Float(value) => Value::from(*value),
        Kind::Text(text) => Value::from(text.as_str()),
        Kind::Null | Kind::List(_) | Kind::Map(_) => Value::Null,
    }
}
