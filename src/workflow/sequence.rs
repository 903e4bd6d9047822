//! Steps that are played one after another: a workflow, setup, teardown, the making of an account.

use super::dataset::Dataset;
use super::environment::Environment;
use super::names::{Audience, Names};
use super::play::Hand;
use super::problems::Problems;
use super::site::Site;
use super::step::Step;
use super::template::without_query;
use super::variable::World;
use crate::measure::{LayoutBuilder, ScenarioId, SiteTags};
use crate::plan::{self, Plan};
use std::collections::BTreeSet;

/// Steps that are played one after another.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    pub(crate) steps: Vec<Step>,
    /// Of each name that its steps capture, by slot: where setup's capture of the same name is, which it starts with.
    initial: Vec<Option<usize>>,
    /// The data files that a row is drawn of.
    drawn: Vec<usize>,
    /// Whether a step asks who its user or tenant is: only then does it matter that two VUs are the same one.
    pub(crate) personal: bool,
}

/// What all sequences are compiled with.
#[derive(Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) run: &'a str,
    pub(crate) data: &'a [Dataset],
    /// What the steps of `setup:` capture.
    pub(crate) setup: &'a [String],
}

/// In whose name a sequence is played.
#[derive(Clone, Copy)]
pub(crate) struct Role<'a> {
    pub(crate) scenario: ScenarioId,
    pub(crate) name: &'a str,
    pub(crate) env: &'a Environment,
    /// How often an iteration plays it, 0 to 1.
    pub(crate) share: f64,
}

// === impl Sequence ===

impl Sequence {
    /// Compiles steps. `steps` counts those of the whole program.
    pub(crate) fn compile(
        documents: &[plan::Step],
        material: &Material<'_>,
        role: Role<'_>,
        steps: &mut usize,
        layout: &mut LayoutBuilder,
        problems: &mut Problems<'_>,
    ) -> Self {
        let mut slots: Vec<String> = Vec::new();
        for capture in documents.iter().flat_map(|step| &step.capture) {
            if !slots.contains(&capture.name.value) {
                slots.push(capture.name.value.clone());
            }
        }
        let base = material.plan.base_url.as_ref().map(|base| base.value.as_str()).filter(|base| !base.is_empty());
        let mut this = Self::default();
        let (mut captured, mut drawn) = (BTreeSet::new(), BTreeSet::new());
        for document in documents {
            let tags = SiteTags {
                step: document.name.value.clone(),
                method: document.method.value.clone(),
                url: without_query(&document.url.value),
            };
            let id = layout.site(role.scenario, tags, role.share);
            let names = Names {
                audience: Audience::Step,
                env: role.env,
                run: material.run.to_owned(),
                data: material.data,
                setup: material.setup,
                slots: slots.clone(),
                captured,
                drawn,
                personal: this.personal,
                any_slot: false,
            };
            let mut site = Site { names, problems, counted: Some((layout, id)), absence_fails: true };
            let step = Step::compile(document, *steps, role.name, base, &material.plan.http, &mut site);
            (captured, drawn, this.personal) = (site.names.captured, site.names.drawn, site.names.personal);
            if let Some(step) = step {
                *steps += 1;
                this.steps.push(step);
            }
        }
        let in_setup = |slot: &String| material.setup.iter().position(|name| name == slot);
        this.initial = slots.iter().map(in_setup).collect();
        this.drawn = drawn.into_iter().collect();
        this
    }

    /// Lays out an iteration's variables: setup's values, and a row of each data file.
    pub(crate) fn deal(&self, world: &World, hand: &mut Hand) {
        let setup = world.setup.get();
        let variables = &mut hand.variables;
        variables.slots.clear();
        variables.slots.extend(self.initial.iter().map(|at| setup?.get((*at)?)?.clone()));
        variables.rows.resize(world.data.len(), 0);
        for at in &self.drawn {
            if let (Some(row), Some(data)) = (variables.rows.get_mut(*at), world.data.get(*at)) {
                *row = data.draw(&mut hand.random);
            }
        }
    }
}
