//! The one place that prints: results to standard output, everything else to standard error.
//!
//! A closed pipe (`pacecar schema | head`) is the reader's choice, not an error.

use crate::store::Place;
use std::io::Write;
use std::path::Path;

/// Prints a result.
pub(crate) fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints what went wrong, or what the user should know, beside the results.
pub(crate) fn message(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Prints one error line.
pub(crate) fn error(text: &str) {
    message(&format!("pacecar: {text}\n"));
}

/// Writes a file that was asked for: to a path, or to the address of a store. A failure is told and changes no exit
/// code: the run stands whatever becomes of its files.
pub(crate) fn file(place: &Path, what: &str, bytes: &[u8]) {
    let told = place.display();
    let written = match place.to_str().map(str::parse::<Place>) {
        Some(Ok(place)) => place.write(bytes.to_vec()).map_err(|failure| pacecar::run::chain(&failure)),
        Some(Err(problem)) => Err(problem.to_string()),
        None => Place::File(place.to_owned()).write(bytes.to_vec()).map_err(|failure| pacecar::run::chain(&failure)),
    };
    if let Err(failure) = written {
        error(&format!("{what} cannot be written to {told}: {failure}"));
    }
}
