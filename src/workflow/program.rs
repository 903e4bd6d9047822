//! A plan's workflows, compiled: what every worker reads and none changes.

use super::dataset::Dataset;
use super::environment::Environment;
use super::names::{Audience, Names};
use super::part::Part;
use super::problems::Problems;
use super::restraint::Restraint;
use super::sequence::{Material, Role, Sequence};
use super::site::Site;
use super::tenant::Tenancy;
use super::undo::Undoing;
use super::users::Users;
use super::variable::World;
use crate::measure::{LayoutBuilder, ScenarioId};
use crate::plan::{Diagnostics, Plan, Step, WorkflowDocument};
use crate::semconv::RunId;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A plan's workflows, compiled. Immutable but for what all workers share: who plays which user,
/// how far data files are drawn, what setup captured, and what holds requests back.
pub struct Program {
    pub(crate) run: RunId,
    /// What all dice come from: the run, or a seed that several runs share.
    pub(crate) dice: RunId,
    pub(crate) world: World,
    pub(crate) tenancy: Tenancy,
    pub(crate) users: Users,
    pub(crate) create: Option<Sequence>,
    pub(crate) setup: Phase,
    pub(crate) teardown: Phase,
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) undoing: Undoing,
    pub(crate) restraint: Restraint,
    ids: Vec<ScenarioId>,
}

/// What one scenario plays.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) id: ScenarioId,
    /// The workflows, each with the sum of weights up to and with its own.
    workflows: Vec<(f64, Sequence)>,
}

/// Steps that are played once.
#[derive(Debug, Default)]
pub(crate) struct Phase {
    pub(crate) steps: Sequence,
    /// None where there are no steps.
    pub(crate) scenario: Option<ScenarioId>,
}

/// Compiles what a plan's VUs play. `environment` holds the values of `-e`; data files stand in `base_dir`.
///
/// None where the plan has an error here, which is recorded. Data files are read; nothing is sent.
pub fn compile(
    plan: &Plan,
    environment: &Environment,
    base_dir: &Path,
    run: RunId,
    layout: &mut LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<Arc<Program>> {
    let mut problems = Problems::new(diagnostics);
    let problems = &mut problems;
    let dice = environment.seed().map_or(run, RunId::new);
    let data: Vec<Dataset> = plan
        .data
        .iter()
        .map(|source| Dataset::load(source, base_dir, dice, problems).unwrap_or_else(|| Dataset::unreadable(source)))
        .collect();
    let tenancy = tenancy(plan, environment, run, problems);
    let setup_names = captured(&plan.setup);
    let run_text = run.to_string();
    let material = Material { plan, run: &run_text, data: &data, setup: &setup_names };
    let mut steps = 0;
    let mut scenarios = Vec::with_capacity(plan.scenarios.len());
    for scenario in &plan.scenarios {
        let tags: Vec<_> =
            scenario.tags.iter().map(|(name, value)| (name.value.clone(), value.value.clone())).collect();
        let id = layout.scenario(&scenario.name, &tags);
        let env = environment.overlaid(&scenario.env);
        let role = Role { scenario: id, name: &scenario.name, env: &env, share: 1.0 };
        scenarios.push(Scenario::compile(scenario, &material, role, &mut steps, layout, problems));
    }
    check_unplayed(plan, environment, &material, problems);

    let create = plan.tenants.create.as_slice();
    let setup = Phase::compile(
        &plan.setup,
        "setup",
        &Material { setup: &[], ..material },
        environment,
        &mut steps,
        layout,
        problems,
    );
    let teardown = Phase::compile(&plan.teardown, "teardown", &material, environment, &mut steps, layout, problems);
    let mut create = Phase::compile(create, "create", &material, environment, &mut steps, layout, problems);
    for step in &mut create.steps.steps {
        step.refused = Some(layout.check(step.site, "status"));
    }
    let program = Program {
        run,
        dice,
        users: Users::new(tenancy.users),
        tenancy,
        create: create.scenario.map(|_| create.steps),
        setup,
        teardown,
        ids: scenarios.iter().map(|scenario| scenario.id).collect(),
        scenarios,
        undoing: Undoing::default(),
        restraint: Restraint::default(),
        world: World { data, setup: std::sync::OnceLock::new() },
    };
    (!problems.has_errors()).then(|| Arc::new(program))
}

// === impl Program ===

impl Program {
    /// Leaves to other machines what is theirs of users and of data drawn in order. Before anything is played.
    pub fn limit_to(&mut self, part: &Part) {
        self.users.limit_to(part);
        self.world.data.iter_mut().for_each(|data| data.limit_to(part));
    }

    /// Whether any step asks who its user or tenant is.
    pub(crate) fn is_personal(&self) -> bool {
        let workflows = self.scenarios.iter().flat_map(|scenario| &scenario.workflows);
        self.create.is_some() || workflows.map(|(_, workflow)| workflow).any(|workflow| workflow.personal)
    }

    /// The scenarios' ids, in the order of the plan.
    #[must_use]
    pub fn scenarios(&self) -> &[ScenarioId] {
        &self.ids
    }

    /// What a scenario plays.
    pub(crate) fn scenario(&self, id: ScenarioId) -> Option<&Scenario> {
        self.scenarios.iter().find(|scenario| scenario.id == id)
    }

    /// All that is ever played, in the order in which steps are numbered.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        let workflows = self.scenarios.iter().flat_map(|scenario| scenario.workflows.iter().map(|(_, steps)| steps));
        workflows.chain([&self.setup.steps, &self.teardown.steps]).chain(&self.create)
    }
}

impl std::fmt::Debug for Program {
    /// The run only: templates hold passwords and values of `-e`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("run", &self.run).finish_non_exhaustive()
    }
}

// === impl Phase ===

impl Phase {
    fn compile(
        documents: &[Step],
        name: &str,
        material: &Material<'_>,
        env: &Environment,
        steps: &mut usize,
        layout: &mut LayoutBuilder,
        problems: &mut Problems<'_>,
    ) -> Self {
        if documents.is_empty() {
            return Self::default();
        }
        let scenario = layout.scenario(name, &[]);
        let role = Role { scenario, name, env, share: 1.0 };
        let steps = Sequence::compile(documents, material, role, steps, layout, problems);
        Self { steps, scenario: Some(scenario) }
    }
}

// === impl Scenario ===

impl Scenario {
    fn compile(
        document: &crate::plan::Scenario,
        material: &Material<'_>,
        role: Role<'_>,
        steps: &mut usize,
        layout: &mut LayoutBuilder,
        problems: &mut Problems<'_>,
    ) -> Self {
        let drawn = played(material.plan, document);
        let all: f64 = drawn.iter().map(|(weight, _)| weight).sum();
        let mut workflows = Vec::with_capacity(drawn.len());
        let mut sum = 0.0;
        for (weight, workflow) in drawn {
            let role = Role { share: weight / all, ..role };
            sum += weight / all;
            workflows.push((sum, Sequence::compile(&workflow.steps, material, role, steps, layout, problems)));
        }
        if workflows.is_empty() {
            // The plan's reader has said so.
            problems.failed();
        }
        Self { id: role.scenario, workflows }
    }

    /// Draws the workflow of an iteration.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Option<&Sequence> {
        if let [(_, only)] = self.workflows.as_slice() {
            return Some(only);
        }
        let drawn = random.f64();
        let found = self.workflows.iter().find(|(sum, _)| drawn < *sum);
        found.or_else(|| self.workflows.last()).map(|(_, steps)| steps)
    }
}

/// The workflows that a scenario plays, with their weights: the one it names, or all that are ever drawn.
fn played<'a>(plan: &'a Plan, scenario: &crate::plan::Scenario) -> Vec<(f64, &'a WorkflowDocument)> {
    match &scenario.exec {
        Some(exec) => {
            let named = plan.workflows.iter().filter(|workflow| workflow.name.value == exec.value);
            named.map(|workflow| (1.0, workflow)).collect()
        }
        None => {
            let weighed = plan.workflows.iter().map(|workflow| (workflow.weight.value, workflow));
            weighed.filter(|(weight, _)| *weight > 0.0).collect()
        }
    }
}

/// Finds the errors of workflows that no scenario plays, without counting anything for them.
fn check_unplayed(plan: &Plan, environment: &Environment, material: &Material<'_>, problems: &mut Problems<'_>) {
    let names: BTreeSet<&str> =
        plan.scenarios.iter().flat_map(|scenario| played(plan, scenario)).map(|(_, it)| it.name.as_str()).collect();
    let mut layout = LayoutBuilder::new(Vec::new());
    for workflow in plan.workflows.iter().filter(|workflow| !names.contains(workflow.name.as_str())) {
        let scenario = layout.scenario(&workflow.name, &[]);
        let role = Role { scenario, name: &workflow.name, env: environment, share: 1.0 };
        Sequence::compile(&workflow.steps, material, role, &mut 0, &mut layout, problems);
    }
}

fn tenancy(plan: &Plan, environment: &Environment, run: RunId, problems: &mut Problems<'_>) -> Tenancy {
    let names = Names {
        audience: Audience::Identity,
        env: environment,
        run: run.to_string(),
        data: &[],
        setup: &[],
        slots: Vec::new(),
        captured: BTreeSet::new(),
        drawn: BTreeSet::new(),
        personal: false,
        any_slot: false,
    };
    let mut site = Site { names, problems, counted: None, absence_fails: false };
    Tenancy::compile(&plan.tenants, &mut site)
}

/// The names that steps capture, each once, in the order of their slots.
fn captured(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for capture in steps.iter().flat_map(|step| &step.capture) {
        if !names.contains(&capture.name.value) {
            names.push(capture.name.value.clone());
        }
    }
    names
}
