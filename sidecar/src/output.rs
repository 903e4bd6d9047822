//! The one place that prints: results to standard output, everything else to standard error.
//!
//! A closed pipe (`pacecar schema | head`) is the reader's choice, not an error.

use std::io::Write;

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

/// Writes a file that was asked for. A failure is told and changes no exit code: the run stands whatever becomes of its files.
pub(crate) fn file(path: &std::path::Path, what: &str, text: &str) {
    if let Err(failure) = std::fs::write(path, text) {
        error(&format!("{what} cannot be written to {}: {failure}", path.display()));
    }
}
