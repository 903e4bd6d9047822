//! An experiment over knobs: which value of each serves best, and how sure that is.
//!
//! The half that decides is pure. [`Terms`] say what is tried and what must hold; a search looks at the
//! [`Trial`]s made so far and says what to run next, or what it comes to: plain data in, plain data out. Whoever
//! implements [`RunTrial`] acts. So the search can be put to an API whose best value is known, a thousand times over.

pub mod apply;
pub mod capacity;
mod conclude;
mod evidence;
mod experiment;
mod explain;
mod held;
pub mod keeping;
mod look;
pub mod noise;
pub mod outcome;
mod purse;
pub mod remedy;
mod search;
pub mod setting;
pub mod size;
pub mod terms;
pub mod trial;
mod values;
pub(crate) mod words;

pub use capacity::{Need, Pods};
pub use experiment::{Ended, Experiment, Progress};
pub use outcome::{Improvement, NoiseReport, Outcome, Standing, ValueReport, Verdict};
pub use purse::Purse;
pub use search::{Next, next};
pub use setting::Setting;
pub use terms::{Budget, Constraint, Hold, Infeasible, Knob, Objective, Terms};
pub use trial::{ConstraintValue, Failure, Incidents, Measured, Order, Phase, RunTrial, Trial};

#[cfg(test)]
mod tests;
