//! What a name in a template stands for, resolved to a slot when the plan is compiled.
//!
//! Looking a variable up is an index and, at most, a walk into a captured object: no name is
//! searched for while traffic runs.

use super::dataset::Dataset;
use super::tenant::Identity;
use super::value::Got;
use crate::measure::CheckId;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// Where a variable's value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Known when the plan is compiled: `run`, `env.NAME`.
    Constant(Value),
    /// `tenant`
    Tenant,
    /// `tenant.id`
    TenantNumber,
    /// `user`
    User,
    /// `user.id`
    UserNumber,
    /// `user.email`
    Email,
    /// `user.password`
    Password,
    /// `vu`
    Vu,
    /// `iteration`
    Iteration,
    /// `data`
    Data,
    /// `data.NAME`: the row of this data file that the iteration drew.
    Row(usize),
    /// What a step of the same iteration captured.
    Slot(usize),
    /// What a step of `setup:` captured.
    Setup(usize),
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// `.name` or `["name"]`
    Name(String),
    /// `[0]`
    Index(usize),
}

/// A variable and the way into it.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) source: Source,
    pub(crate) path: Box<[Key]>,
    /// The check that fails where it has no value.
    pub(crate) absent: Option<CheckId>,
}

/// A variable has no value, or an expression cannot be evaluated: the check that fails for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing(pub(crate) Option<CheckId>);

/// What one iteration knows.
#[derive(Debug, Default)]
pub(crate) struct Variables {
    pub(crate) identity: Identity,
    pub(crate) vu: u64,
    pub(crate) iteration: u64,
    /// The row drawn of each data file.
    pub(crate) rows: Vec<usize>,
    /// What was captured so far.
    pub(crate) slots: Vec<Option<Value>>,
}

/// What all iterations share.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) data: Vec<Dataset>,
    pub(crate) setup: OnceLock<Vec<Option<Value>>>,
}

/// Where an iteration's variables are looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) world: &'a World,
}

// === impl Variable ===

impl Variable {
    /// Its value.
    pub(crate) fn get<'a>(&'a self, context: Context<'a>) -> Result<Got<'a>, Missing> {
        self.look_up(context).ok_or(Missing(self.absent))
    }

    fn look_up<'a>(&'a self, context: Context<'a>) -> Option<Got<'a>> {
        let got = self.source.get(context)?;
        if self.path.is_empty() {
            return Some(got);
        }
        match got {
            Got::Json(value) => walk(value, &self.path).map(Got::Json),
            Got::Owned(value) => walk(&value, &self.path).cloned().map(Got::Owned),
            Got::Text(_) | Got::Integer(_) => None,
        }
    }
}

// === impl Source ===

impl Source {
    /// Its whole value.
    pub(crate) fn get<'a>(&'a self, Context { variables, world }: Context<'a>) -> Option<Got<'a>> {
        let identity = &variables.identity;
        Some(match self {
            Self::Constant(value) => Got::Json(value),
            Self::Tenant => Got::Owned(json!({ "id": identity.tenant })),
            Self::TenantNumber => Got::Integer(identity.tenant.into()),
            Self::User => Got::Owned(json!({
                "id": identity.user, "email": identity.email(), "password": identity.password()
            })),
            Self::UserNumber => Got::Integer(identity.user.into()),
            Self::Email => Got::Text(identity.email()?),
            Self::Password => Got::Text(identity.password()?),
            Self::Vu => Got::Integer(variables.vu),
            Self::Iteration => Got::Integer(variables.iteration),
            Self::Data => Got::Owned(Value::Object(
                (0..world.data.len())
                    .filter_map(|at| Some((world.data[at].name.clone(), row(variables, world, at)?.clone())))
                    .collect(),
            )),
            Self::Row(at) => Got::Json(row(variables, world, *at)?),
            Self::Slot(at) => Got::Json(variables.slots.get(*at)?.as_ref()?),
            Self::Setup(at) => Got::Json(world.setup.get()?.get(*at)?.as_ref()?),
        })
    }

    /// Whether it can be without a value while traffic runs.
    pub(crate) const fn can_be_missing(&self) -> bool {
        matches!(self, Self::Slot(_) | Self::Setup(_) | Self::Email | Self::Password)
    }
}

fn row<'a>(variables: &Variables, world: &'a World, at: usize) -> Option<&'a Value> {
    world.data.get(at)?.rows.get(*variables.rows.get(at)?)
}

fn walk<'a>(mut value: &'a Value, path: &[Key]) -> Option<&'a Value> {
    for key in path {
        value = match key {
            Key::Name(name) => value.as_object()?.get(name)?,
            Key::Index(index) => value.as_array()?.get(*index)?,
        };
    }
    Some(value)
}
