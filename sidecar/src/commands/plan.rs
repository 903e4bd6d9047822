//! What every command that takes a plan does first: read it, and gather the variables.

use crate::cli::{EnvArgs, assignments};
use crate::output;
use pacecar::plan::Variables;
use pacecar::run::Source;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a plan that are read; the room `plan` refuses less, with a place.
const MOST_BYTES: u64 = 16 << 20;

/// A plan's text, or the end of the command: what was wrong is printed already.
pub(crate) enum PlanFile {
    Read(Source),
    Refused,
}

/// Reads the plan at `path`; `-` is standard input, whose data files are beside the working directory.
pub(crate) fn read(path: &Path) -> PlanFile {
    let stdin = path.as_os_str() == "-";
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let done = if stdin {
        std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
    };
    match done {
        Ok(_) => {
            let directory = if stdin { None } else { path.parent() };
            let directory = directory.filter(|parent| !parent.as_os_str().is_empty());
            PlanFile::Read(Source {
                name,
                bytes,
                directory: directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf),
            })
        }
        Err(error) => {
            output::message(&pacecar::plan::unreadable(&name, &error).to_string());
            PlanFile::Refused
        }
    }
}

/// `-e` first, then the process environment. What is not UTF-8 there cannot be named in a plan.
pub(crate) fn variables(args: &EnvArgs) -> Result<Variables, String> {
    let environment =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    Ok(Variables::new(assignments("--env", &args.env)?, environment))
}
