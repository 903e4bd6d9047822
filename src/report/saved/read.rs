//! Bytes → a result. What is none, was cut off, or is of a version that is not known is refused, and why is said.

use super::{FORMAT, SavedRun, VERSION};
use crate::measure::SavedError;
use crate::plan::units::LONGEST;
use serde::Deserialize;
use std::time::Duration;
use thiserror::Error;

/// Why something is no result, or results are no one run.
#[derive(Debug, Error)]
pub enum ResultError {
    /// Not JSON at all.
    #[error("this is no result: not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The JSON ends in the middle.
    #[error("the result is cut off")]
    CutOff(#[source] serde_json::Error),
    /// JSON, and none of pacecar's.
    #[error("this is no result of pacecar's: it has no `format: {FORMAT}`")]
    Foreign,
    /// Written by a later version.
    #[error("the result has version {found}, and this pacecar knows up to {VERSION}")]
    Version {
        /// What it has.
        found: u64,
    },
    /// A part is not what it should be.
    #[error("the result is damaged")]
    Damaged(#[source] serde_json::Error),
    /// Figures that nobody can have counted.
    #[error("the result is damaged")]
    Figures(#[from] SavedError),
    /// A threshold or a judge that is none.
    #[error("the result is damaged: {0}")]
    Questions(String),
    /// None was given.
    #[error("there is no result to merge")]
    Nothing,
    /// Two that are not of one plan.
    #[error("{one} is of the plan {this}, {other} of {that}: only results of one plan are one run")]
    Plans {
        /// The first.
        one: String,
        /// Its plan.
        this: String,
        /// The other.
        other: String,
        /// Its plan.
        that: String,
    },
    /// The same run, given twice.
    #[error("{one} and {other} hold the same run: it would count twice")]
    Twice {
        /// The first.
        one: String,
        /// The other.
        other: String,
    },
}

/// More than any Job has.
const MOST_WORKERS: usize = 100_000;

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    version: Option<u64>,
}

/// Reads a result.
///
/// # Errors
/// [`ResultError`], which does not name the file: the caller does.
pub fn read(bytes: &[u8]) -> Result<SavedRun, ResultError> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| {
        let text = bytes.trim_ascii();
        // A number that ends in its middle is no error of an end to serde.
        let open = text.first() == Some(&b'{') && text.last() != Some(&b'}');
        if !text.is_empty() && (error.is_eof() || open) {
            ResultError::CutOff(error)
        } else if error.is_data() {
            ResultError::Foreign
        } else {
            ResultError::NotJson(error)
        }
    })?;
    let version = match head {
        Head { format: Some(format), version: Some(version) } if format == FORMAT => version,
        _ => return Err(ResultError::Foreign),
    };
    if version == 0 || version > u64::from(VERSION) {
        return Err(ResultError::Version { found: version });
    }
    let run: SavedRun = serde_json::from_slice(bytes).map_err(ResultError::Damaged)?;
    let long = |lasted: Duration| lasted > LONGEST;
    if run.workers.is_empty() || run.workers.len() > MOST_WORKERS {
        return Err(ResultError::Questions("as many workers as nobody has".to_owned()));
    }
    if long(run.run.duration) || long(run.run.paused) || run.workers.iter().any(|worker| long(worker.duration)) {
        return Err(ResultError::Questions("it lasted longer than any run".to_owned()));
    }
    if !run.course.is_sound() {
        return Err(ResultError::Questions("its course is none".to_owned()));
    }
    Ok(run)
}
