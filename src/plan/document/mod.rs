//! The typed documents of a plan, one file a section.
//!
//! Templates (`{{ … }}`) and JSONPaths stay text with its place: the room that uses them compiles them.

mod cleanup;
mod correlate;
mod data;
mod guard;
mod http;
mod judge;
mod later;
mod scenario;
mod slo;
mod step;
mod tenants;
mod threshold;
mod tune;

pub use cleanup::*;
pub use correlate::*;
pub use data::*;
pub use guard::*;
pub use http::*;
pub use judge::*;
pub use later::*;
pub use scenario::*;
pub use slo::*;
pub use step::*;
pub use tenants::*;
pub use threshold::*;
pub use tune::*;

use super::span::Spanned;

/// A text with its place: a template, a URL, a JSONPath.
pub type Text = Spanned<String>;

/// The whole document. Immutable once read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The plan's name: `^[0-9a-zA-Z_-]+$`. Without one, `plan`.
    pub name: Text,
    /// What the guard checks.
    pub environment: Option<Text>,
    /// What a step's path is appended to. A template is not allowed here.
    pub base_url: Option<Text>,
    /// The synthetic tenants and their users.
    pub tenants: Tenants,
    /// Data files, by name.
    pub data: Vec<DataSource>,
    /// What holds for every request.
    pub http: HttpSettings,
    /// Steps that run once, before the first scenario.
    pub setup: Vec<Step>,
    /// Steps that run once, at the end.
    pub teardown: Vec<Step>,
    /// The workflows. `workflow:` is one called `default` of weight 1.
    pub workflows: Vec<WorkflowDocument>,
    /// The scenarios, in the order of the document.
    pub scenarios: Vec<Scenario>,
    /// The thresholds, in the order of the document.
    pub thresholds: Vec<ThresholdDocument>,
    /// What `-o` takes.
    pub outputs: Vec<Text>,
    /// As `--summary-export`; none where empty.
    pub summary: Option<Text>,
    /// As `--report`; none where empty.
    pub report: Option<Text>,
    /// What is test data and how it is deleted.
    pub cleanup: Option<Cleanup>,
    /// What refuses to start, and what makes a running pacecar yield.
    pub guard: Option<Guard>,
    /// Sections beside the run itself.
    pub later: Later,
}

/// A sequence of steps with a weight.
#[derive(Clone, Debug)]
pub struct WorkflowDocument {
    /// Its name; `default` for `workflow:`.
    pub name: Text,
    /// How often it is drawn, against the others.
    pub weight: Spanned<f64>,
    /// The steps of one iteration, in order.
    pub steps: Vec<Step>,
}
