//! Results and what is made of them: read from where they are, written to where they are wanted.

use crate::store::{Place, PlaceError};
use crate::{logging, output};
use pacecar::report::{self, Exit, Opened, RunReport, SavedRun, Style};
use pacecar::run::chain;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than any result: a file that is none must not take all memory.
const MOST_BYTES: u64 = 1 << 30;

/// Where a run's files are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// `--summary-export`
    pub(crate) summary: Option<String>,
    /// `--result`
    pub(crate) result: Option<String>,
    /// `--report`
    pub(crate) report: Option<String>,
    /// `--junit`
    pub(crate) junit: Option<String>,
}

/// Reads a result; where it is none, that is told, naming it.
pub(crate) fn read(name: &str) -> Result<SavedRun, Exit> {
    let refused = |problem: String| {
        output::error(&format!("{name}: {problem}"));
        Exit::InvalidPlan
    };
    let unreadable = |why: String| refused(format!("the result cannot be read: {why}"));
    let bytes = if name == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MOST_BYTES).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| unreadable(error.to_string()))?
    } else {
        let place: Place = name.parse().map_err(|error: PlaceError| refused(error.to_string()))?;
        place.read().map_err(|error| unreadable(chain(&error)))?
    };
    report::saved::read(&bytes).map_err(|error| refused(chain(&error)))
}

/// Opens a result; where its figures are none, that is told, naming it.
pub(crate) fn open(name: &str, run: SavedRun) -> Result<Opened, Exit> {
    run.open().map_err(|error| {
        output::error(&format!("{name}: {}", chain(&error)));
        Exit::InvalidPlan
    })
}

/// Tells what is no place for a file; the command ends there.
pub(crate) fn refuse(checked: Result<(), Vec<String>>) -> Result<(), Exit> {
    checked.map_err(|problems| {
        problems.iter().for_each(|problem| output::error(problem));
        Exit::InvalidPlan
    })
}

/// Prints the summary.
pub(crate) fn print(report: &RunReport) {
    let style = if logging::colour(&std::io::stdout()) { Style::Coloured } else { Style::Plain };
    output::result(&report::text(report, style));
}

// === impl Wanted ===

impl Wanted {
    /// Whether each is a place that a file can go to: asked before anything is sent.
    ///
    /// # Errors
    /// What is none, with its flag.
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let all = [
            ("--summary-export", &self.summary),
            ("--result", &self.result),
            ("--report", &self.report),
            ("--junit", &self.junit),
        ];
        let problem = |(flag, place): (&str, &Option<String>)| {
            let error = place.as_ref()?.parse::<Place>().err()?;
            Some(format!("{flag}: {error}"))
        };
        let problems: Vec<String> = all.into_iter().filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Whether all that is counted is to be kept.
    pub(crate) const fn keeps(&self) -> bool {
        self.result.is_some() || self.report.is_some()
    }

    /// Writes what is wanted of a run. What cannot be written is told and changes no exit code: the run stands.
    pub(crate) fn write(&self, report: &RunReport, saved: Option<&SavedRun>) {
        if let Some(file) = &self.summary {
            let text = format!("{:#}\n", report::summary(report));
            output::file(Path::new(file), "the summary", text.as_bytes());
        }
        if let Some(file) = &self.junit {
            output::file(Path::new(file), "the test cases", report::junit(report).as_bytes());
        }
        let Some(saved) = saved else { return };
        if let Some(file) = &self.result {
            output::file(Path::new(file), "the result", &saved.to_json());
        }
        if let Some(file) = &self.report {
            match page(saved) {
                Ok(page) => output::file(Path::new(file), "the report", format!("{page}\n").as_bytes()),
                Err(problem) => output::error(&problem),
            }
        }
    }
}

/// The report of a result, or why there is none.
fn page(saved: &SavedRun) -> Result<String, String> {
    let opened = saved.clone().open().map_err(|error| chain(&error))?;
    report::html(&opened).map_err(|error| chain(&error))
}

/// An empty name is as if the flag were not there: a variable that is set to nothing.
pub(crate) fn named(flag: Option<&String>) -> Option<String> {
    flag.filter(|name| !name.trim().is_empty()).cloned()
}

/// A path as it was given.
pub(crate) fn path(flag: Option<&PathBuf>) -> Option<String> {
    flag.map(|path| path.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}
