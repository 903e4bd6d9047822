//! Reading plans, as their users see it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod errors;
mod fuzz;
mod reading;
mod ready;
mod schema;
mod tune;
mod variables;

use super::{Diagnostics, Plan, Variables, read};

/// Every section and every key.
const EVERYTHING: &str = include_str!("tests/everything.yaml");

fn variables(pairs: &[(&str, &str)]) -> Variables {
    Variables::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), [])
}

/// A plan that must be without errors.
fn good(source: &str) -> Plan {
    good_with(source, &[])
}

fn good_with(source: &str, pairs: &[(&str, &str)]) -> Plan {
    let (plan, diagnostics) = read("p.yaml", source.as_bytes(), &variables(pairs));
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    plan.unwrap()
}

fn problems(source: &str) -> Diagnostics {
    read("p.yaml", source.as_bytes(), &Variables::default()).1
}
