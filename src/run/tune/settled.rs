//! How a tune ends: what ended it before its time, whether the original is back, and what it came to.

use super::leftover::Mark;
use crate::measure::Contains;
use crate::plan::{ApplyDocument, Plan, Rate};
use crate::report::{Exit, Style, TuneText, tune_exit, tune_value};
use crate::run::Source;
use crate::run::compile::Compiled;
use crate::run::completed::{Completed, Findings};
use crate::run::handle::Handle;
use crate::tune::remedy::{Deployment, environment, kubernetes_patch, plan_diff};
use crate::tune::{Outcome, Pods, Setting, Terms, Trial};
use serde_json::Value;

/// What a tune came to.
#[derive(Debug)]
pub struct Tuned {
    /// What it was about.
    pub terms: Terms,
    /// What it concludes; none where it was stopped.
    pub outcome: Option<Outcome>,
    /// The trials, in order.
    pub trials: Vec<Trial>,
    /// What a person should read beside the report.
    pub problems: Vec<String>,
    /// How the command ends.
    pub exit: Exit,
    about: About,
}

/// What of the plan its report needs.
#[derive(Debug)]
pub(super) struct About {
    /// How the plan's file is called, and its text.
    file: String,
    text: String,
    contains: Contains,
    target: Option<Rate>,
    deployment: Option<Deployment>,
}

/// What ends an experiment before its time, and whether the original is back.
#[derive(Debug, Default)]
pub(super) struct Settled {
    findings: Findings,
    restored: Option<Result<(), String>>,
}

// === impl Tuned ===

impl Tuned {
    /// The outcome for people, for a terminal so many columns wide. None where the tune was stopped.
    #[must_use]
    pub fn text(&self, style: Style, columns: usize) -> Option<String> {
        let outcome = self.outcome.as_ref()?;
        let (terms, contains) = (&self.terms, self.about.contains);
        Some(TuneText { terms, outcome, contains, pods: self.pods() }.render(style, columns))
    }

    /// The outcome and every trial, as `--result` writes them. None where the tune was stopped.
    #[must_use]
    pub fn value(&self) -> Option<Value> {
        self.outcome.as_ref().map(|outcome| tune_value(&self.terms, outcome, &self.trials))
    }

    /// The recommended values as an environment file. None where none are.
    #[must_use]
    pub fn environment(&self) -> Option<String> {
        self.recommendation().map(environment)
    }

    /// The recommended values as a patch of the Deployment that was tuned. None where none are, or none was.
    #[must_use]
    pub fn patch(&self) -> Option<String> {
        Some(kubernetes_patch(self.about.deployment.as_ref()?, self.recommendation()?))
    }

    /// What changes in the plan's `original`. None where nothing does.
    #[must_use]
    pub fn diff(&self) -> Option<String> {
        plan_diff(&self.about.file, &self.about.text, self.recommendation()?)
    }

    /// How many pods bear the load that the plan asks for. None where it asks for none, or too little was seen.
    #[must_use]
    pub fn pods(&self) -> Option<Pods> {
        let (target, chosen) = (self.about.target?, self.recommendation()?);
        let seen: Vec<_> = self
            .trials
            .iter()
            .filter(|trial| trial.order.setting == *chosen)
            .filter_map(Trial::believed)
            .flat_map(|measured| measured.loads.iter().copied())
            .collect();
        Pods::of(&seen, target.count / target.per.as_secs_f64(), self.terms.seed)
    }

    fn recommendation(&self) -> Option<&Setting> {
        self.outcome.as_ref().and_then(|outcome| outcome.recommendation.as_ref())
    }
}

// === impl About ===

impl About {
    pub(super) fn of(source: &Source, plan: &Plan, compiled: &Compiled) -> Self {
        let tune = plan.later.tune.as_ref();
        let deployment = match tune.and_then(|tune| tune.apply.as_ref()) {
            Some(ApplyDocument::Kubernetes(document)) => Some(Deployment {
                namespace: document.namespace.value.clone(),
                name: document.deployment.value.clone(),
                container: document.container.value.clone(),
            }),
            _ => None,
        };
        Self {
            file: source.name.clone(),
            text: String::from_utf8_lossy(&source.bytes).into_owned(),
            contains: compiled.goals.as_ref().map_or(Contains::Time, |goals| goals.contains),
            target: tune.and_then(|tune| tune.capacity.as_ref()?.target).map(|target| target.value),
            deployment,
        }
    }
}

// === impl Settled ===

impl Settled {
    /// Asks the guard and the database; what they refuse is told.
    pub(super) async fn admit(&mut self, compiled: &Compiled) -> bool {
        compiled.admit(true, &mut self.findings).await
    }

    /// The experiment ends, for this reason.
    pub(super) fn end(&mut self, exit: Exit, problem: impl Into<String>) {
        let problem = problem.into();
        if problem.is_empty() {
            self.findings.exit(exit);
        } else {
            self.findings.add(exit, problem);
        }
    }

    /// The original was put back, or not.
    pub(super) fn restored(&mut self, restored: Result<(), String>) {
        self.restored = Some(restored);
    }

    /// A run that was cut off has swept what it made, or not.
    pub(super) fn take_swept(&mut self, completed: &Completed) {
        if completed.exit == Exit::CleanupUnfinished {
            self.findings.add(Exit::CleanupUnfinished, completed.problems.join("\n"));
        }
    }

    /// The mark beside the plan goes where the original is back, and stays where it is not.
    pub(super) fn close(&mut self, mark: Option<Mark>, original: Option<&Setting>) {
        match (self.restored.take(), mark, original) {
            (Some(Err(problem)), Some(mark), Some(original)) => {
                let path = mark.keep();
                let problem = format!(
                    "the original, {original}, could not be put back: {problem}\n    \
                     hint: pacecar tune --restore PLAN tries again; {} says what is in effect",
                    path.display()
                );
                self.findings.add(Exit::CleanupUnfinished, problem);
            }
            (Some(Err(problem)), _, _) => self.findings.add(Exit::CleanupUnfinished, problem),
            (_, Some(mark), _) => mark.clear(),
            (_, None, _) => {}
        }
    }

    /// Who stopped it decides the exit code.
    pub(super) fn stopped(&mut self, handle: &Handle) {
        if let Some(exit) = handle.stopped_with() {
            self.findings.exit(exit);
        }
    }

    pub(super) fn tuned(mut self, about: About, terms: Terms, outcome: Option<Outcome>, trials: Vec<Trial>) -> Tuned {
        if let Some(outcome) = &outcome {
            self.findings.exit(tune_exit(outcome.verdict));
        }
        let Completed { problems, exit, .. } = self.findings.complete(None);
        Tuned { terms, outcome, trials, problems, exit, about }
    }
}
