//! `tune:`: an experiment over knobs.

use super::{FigureDocument, Rate, Step, Text};
use crate::plan::node::Kind;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// An experiment over knobs.
#[derive(Clone, Debug)]
pub struct TuneDocument {
    /// Where the section stands.
    pub span: Span,
    /// What is turned, in the order of the document: at least one.
    pub knobs: Vec<KnobDocument>,
    /// Today's value of each knob: the baseline, and what is restored. Empty where the plan does not say.
    pub original: Vec<(Text, KnobValue)>,
    /// How a value is set. None where the document has an error there.
    pub apply: Option<ApplyDocument>,
    /// The scenario of a trial. None where the document has an error there.
    pub scenario: Option<Text>,
    /// Whether the scenario may be a closed model. Default false.
    pub allow_closed: bool,
    /// How long a trial takes.
    pub trial: TrialDocument,
    /// What is to be improved. Default `p(95)` of `http_req_response_time`.
    pub objective: FigureDocument,
    /// What must hold.
    pub constraints: Vec<ConstraintDocument>,
    /// What the recommended value must also hold.
    pub hold: HoldDocument,
    /// Whether all replicas together fit the database. None where nobody asks.
    pub capacity: Option<CapacityDocument>,
    /// The knob that is the size of the API's pool: what is read back is held against it. None where no name says so.
    pub pool_knob: Option<Text>,
    /// How much the experiment may take.
    pub budget: TuneBudgetDocument,
}

/// A knob and the values that are tried.
#[derive(Clone, Debug)]
pub struct KnobDocument {
    /// Its name: that of an environment variable.
    pub name: Text,
    /// At least one, none twice.
    pub values: Vec<KnobValue>,
}

/// A value of a knob.
#[derive(Clone, Debug, PartialEq)]
pub struct KnobValue {
    /// As an environment has it.
    pub text: Text,
    /// As JSON has it: a number, a truth or a text.
    pub kind: Kind,
}

/// How a value is set.
#[derive(Clone, Debug)]
pub enum ApplyDocument {
    /// The API itself, started anew for each trial, knobs as environment.
    Process(CommandDocument),
    /// A command that sets the knobs, which it has as environment.
    Exec(CommandDocument),
    /// A request, `{{ knobs.NAME }}` filled.
    Http(Box<Step>),
    /// The environment of a Deployment's container.
    Kubernetes(KubernetesDocument),
}

/// A command, and when what it started is ready.
#[derive(Clone, Debug)]
pub struct CommandDocument {
    /// Where it stands.
    pub span: Span,
    /// The program and its arguments: at least the program.
    pub command: Vec<Text>,
    /// The request that succeeds once it is ready. A process has one always, `GET /healthz` by default.
    pub ready: Option<Box<Step>>,
    /// How soon it must be ready, and how long `exec` may take. Default 20 s.
    pub within: Spanned<Duration>,
}

/// The environment of a Deployment's container.
#[derive(Clone, Debug)]
pub struct KubernetesDocument {
    /// Where it stands.
    pub span: Span,
    /// The Deployment's namespace.
    pub namespace: Text,
    /// Its name.
    pub deployment: Text,
    /// The container.
    pub container: Text,
    /// How soon the rollout must be through. Default 5 min.
    pub within: Spanned<Duration>,
}

/// How long a trial takes.
#[derive(Clone, Copy, Debug)]
pub struct TrialDocument {
    /// Never measured. Default 5 s.
    pub warmup: Spanned<Duration>,
    /// Measured, from when the target has settled. Default 30 s.
    pub duration: Spanned<Duration>,
}

/// What must hold.
#[derive(Clone, Debug)]
pub struct ConstraintDocument {
    /// `metric` or `metric{tag:value,…}`.
    pub metric: Text,
    /// `operator number`, or `aggregation operator number`.
    pub expression: Text,
}

/// More load, that the recommended value must hold too.
#[derive(Clone, Copy, Debug)]
pub struct HoldDocument {
    /// How many times the load. Default 2.
    pub factor: Spanned<f64>,
    /// For how long. Default 60 s.
    pub duration: Spanned<Duration>,
}

/// Whether all replicas together fit the database: replicas × max × (1 + surge) + reserve ≤ `max_connections`.
#[derive(Clone, Debug)]
pub struct CapacityDocument {
    /// Where it stands.
    pub span: Span,
    /// How many replicas. Default 2.
    pub replicas: Spanned<u64>,
    /// The share that is added while a deployment rolls. Default 0.25.
    pub surge: Spanned<f64>,
    /// Connections kept for others. Default 10.
    pub reserve: Spanned<u64>,
    /// The requests that all replicas together are to bear: how many would, is then said.
    pub target: Option<Spanned<Rate>>,
}

/// How much the experiment may take.
#[derive(Clone, Copy, Debug)]
pub struct TuneBudgetDocument {
    /// The most trials. Default 60.
    pub trials: Spanned<u64>,
    /// The most time. Default 60 min.
    pub time: Spanned<Duration>,
}
