//! The one place that prints: results to standard output, everything else to standard error.
//!
//! A closed pipe (`pacecar schema | head`) is the reader's choice, not an error.

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

/// Writes a file that was asked for. A failure is told and changes no exit code: the run stands whatever becomes of its files.
pub(crate) fn file(path: &Path, what: &str, bytes: &[u8]) {
    if let Err(failure) = store(path, bytes) {
        error(&format!("{what} cannot be written to {}: {failure}", path.display()));
    }
}

/// Writes a file as a whole or not at all: who reads it never finds half of one, and a full disk leaves what was there.
fn store(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let there = std::fs::metadata(path);
    // A pipe or a device is written to, never replaced.
    if there.is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, bytes);
    }
    // A link stays one.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = target.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| std::fs::rename(&beside, &target)) {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = std::fs::remove_file(&beside);
            // The folder may be another's, and the file ours.
            if target.is_file() && error.kind() == std::io::ErrorKind::PermissionDenied {
                return std::fs::write(&target, bytes);
            }
            Err(error)
        }
    }
}
