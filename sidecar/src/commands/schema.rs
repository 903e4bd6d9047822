//! `pacecar schema`: the plan's JSON Schema.

use crate::output;
use pacecar::report::Exit;

pub(crate) fn execute() -> Exit {
    match serde_json::to_string_pretty(&pacecar::plan::schema()) {
        Ok(text) => {
            output::result(&format!("{text}\n"));
            Exit::Passed
        }
        Err(error) => {
            output::error(&format!("the schema cannot be written: {error}"));
            Exit::InvalidPlan
        }
    }
}
