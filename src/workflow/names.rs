//! Which names a template may use where it stands: what is known is resolved, what is not is a problem of the plan.

use super::dataset::Dataset;
use super::environment::Environment;
use super::problems::did_you_mean;
use super::variable::{Key, Source};
use serde_json::Value;
use std::collections::BTreeSet;

/// Names that no capture may take.
pub(crate) const BUILT_IN: [&str; 7] = ["tenant", "user", "data", "env", "run", "vu", "iteration"];

/// For whom a template is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A user's email or password: `tenant` and `user` are numbers from 1.
    Identity,
    /// A step: `tenant` and `user` are objects.
    Step,
}

/// The names a template may use.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) audience: Audience,
    pub(crate) env: &'a Environment,
    pub(crate) run: String,
    pub(crate) data: &'a [Dataset],
    /// What the steps of `setup:` capture.
    pub(crate) setup: &'a [String],
    /// What the steps of this sequence capture.
    pub(crate) slots: Vec<String>,
    /// Which slots a step so far has filled.
    pub(crate) captured: BTreeSet<usize>,
    /// Which data files are drawn from.
    pub(crate) drawn: BTreeSet<usize>,
    /// Whether a step asks who its user or tenant is.
    pub(crate) personal: bool,
    /// Whether slots that only a later step fills may be named, as in `when`.
    pub(crate) any_slot: bool,
}

/// A name that stands for nothing.
#[derive(Debug)]
pub(crate) struct Unknown {
    /// What is wrong.
    pub(crate) message: String,
    /// What was meant, perhaps.
    pub(crate) hint: Option<String>,
}

// === impl Names ===

impl Names<'_> {
    /// What the name at the front of an expression stands for.
    pub(crate) fn root(&mut self, name: &str) -> Result<Source, Unknown> {
        let identity = self.audience == Audience::Identity;
        self.personal |= matches!(name, "tenant" | "user");
        match name {
            "tenant" if identity => return Ok(Source::TenantNumber),
            "user" if identity => return Ok(Source::UserNumber),
            "run" => return Ok(Source::Constant(Value::String(self.run.clone()))),
            "env" => return Ok(Source::Constant(self.environment())),
            "knobs" if self.env.knobs().is_some() => return Ok(Source::Constant(self.knobs())),
            _ if identity => return Err(self.unknown(name)),
            "tenant" => return Ok(Source::Tenant),
            "user" => return Ok(Source::User),
            "vu" => return Ok(Source::Vu),
            "iteration" => return Ok(Source::Iteration),
            "data" => {
                self.drawn.extend(0..self.data.len());
                return Ok(Source::Data);
            }
            _ => {}
        }
        if let Some(slot) = self.slots.iter().position(|slot| slot == name) {
            // A slot that `setup:` fills too starts with setup's value.
            if self.any_slot || self.captured.contains(&slot) || self.setup.iter().any(|setup| setup == name) {
                return Ok(Source::Slot(slot));
            }
        }
        match self.setup.iter().position(|setup| setup == name) {
            Some(at) => Ok(Source::Setup(at)),
            None => Err(self.unknown(name)),
        }
    }

    /// What a name with the way into it stands for, and what of the way is left to walk.
    pub(crate) fn resolve(&mut self, name: &str, mut path: Vec<Key>) -> Result<(Source, Vec<Key>), Unknown> {
        self.personal |= matches!(name, "tenant" | "user");
        let (Audience::Step, Some(Key::Name(first))) = (self.audience, path.first()) else {
            if name == "env" {
                return self.env_value(path);
            }
            if self.audience == Audience::Identity && matches!(name, "tenant" | "user") && !path.is_empty() {
                let message = format!("here `{name}` is a number and has no parts");
                return Err(Unknown { message, hint: Some(format!("write `{{{{ {name} }}}}`")) });
            }
            return Ok((self.root(name)?, path));
        };
        let source = match (name, first.as_str()) {
            ("env", _) => return self.env_value(path),
            ("knobs", knob) if self.env.knobs().is_some() => match self.env.knobs().and_then(|knobs| knobs.get(knob)) {
                Some(value) => Source::Constant(value.clone()),
                None => {
                    return Err(no_such(
                        "knobs",
                        knob,
                        self.env.knobs().into_iter().flat_map(|knobs| knobs.keys().map(String::as_str)),
                    ));
                }
            },
            ("tenant", "id") => Source::TenantNumber,
            ("tenant", other) => return Err(no_such("tenant", other, ["id"])),
            ("user", "id") => Source::UserNumber,
            ("user", "email") => Source::Email,
            ("user", "password") => Source::Password,
            ("user", other) => return Err(no_such("user", other, ["id", "email", "password"])),
            ("data", file) => match self.data.iter().position(|data| data.name == *file) {
                Some(at) => {
                    self.drawn.insert(at);
                    if let Some(Key::Name(column)) = path.get(1) {
                        self.data[at].check_column(column)?;
                    }
                    Source::Row(at)
                }
                None => return Err(no_such("data", file, self.data.iter().map(|data| data.name.as_str()))),
            },
            _ => return Ok((self.root(name)?, path)),
        };
        path.remove(0);
        if !path.is_empty() && !matches!(source, Source::Row(_)) {
            return Err(Unknown { message: format!("`{name}` has no such part"), hint: None });
        }
        Ok((source, path))
    }

    /// Whether the first key into a data file's row is there in every row.
    pub(crate) fn always_there(&self, source: &Source, path: &[Key]) -> bool {
        match (source, path) {
            (Source::Row(_), []) => true,
            (Source::Row(at), [Key::Name(column)]) => self.data[*at].has_everywhere(column),
            (Source::Row(_), _) => false,
            (source, path) => path.is_empty() && !source.can_be_missing(),
        }
    }

    fn env_value(&self, path: Vec<Key>) -> Result<(Source, Vec<Key>), Unknown> {
        match path.as_slice() {
            [Key::Name(name)] => match self.env.get(name) {
                Some(value) => Ok((Source::Constant(Value::String(value.to_owned())), Vec::new())),
                None => {
                    let near = did_you_mean(name, self.env.iter().map(|(name, _)| name));
                    let hint =
                        near.unwrap_or_else(|| format!("give it with `-e {name}=…`, or in the scenario's `env`"));
                    Err(Unknown { message: format!("`env.{name}` is not set"), hint: Some(hint) })
                }
            },
            [] => Ok((Source::Constant(self.environment()), Vec::new())),
            _ => Err(Unknown { message: "a value of `env` is a text and has no parts".to_owned(), hint: None }),
        }
    }

    fn environment(&self) -> Value {
        Value::Object(self.env.iter().map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))).collect())
    }

    fn knobs(&self) -> Value {
        Value::Object(self.env.knobs().cloned().unwrap_or_default())
    }

    fn unknown(&self, name: &str) -> Unknown {
        let slots = self.slots.iter().enumerate();
        if self.audience == Audience::Step && slots.clone().any(|(_, slot)| slot == name) {
            return Unknown {
                message: format!("`{name}` is used before a step captures it"),
                hint: Some("move the step that captures it to the front".to_owned()),
            };
        }
        let mut known: Vec<&str> = match self.audience {
            Audience::Identity => vec!["tenant", "user", "env", "run"],
            Audience::Step => BUILT_IN.to_vec(),
        };
        if self.audience == Audience::Step {
            known.extend(slots.filter(|(at, _)| self.captured.contains(at)).map(|(_, slot)| slot.as_str()));
            known.extend(self.setup.iter().map(String::as_str));
        }
        let hint =
            did_you_mean(name, known.iter().copied()).unwrap_or_else(|| format!("known here: {}", known.join(", ")));
        Unknown { message: format!("nothing gives `{name}` a value"), hint: Some(hint) }
    }
}

fn no_such<'a>(of: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Unknown {
    let known: Vec<&str> = known.into_iter().collect();
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(hint) => hint,
        None if known.is_empty() => format!("`{of}` has no parts here"),
        None => format!("`{of}` has: {}", known.join(", ")),
    };
    Unknown { message: format!("`{of}.{name}` is unknown"), hint: Some(hint) }
}
