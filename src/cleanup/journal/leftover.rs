//! Finds what killed runs of a plan left to be undone.

use super::record::{self, Entry};
use super::writer::Journal;
use super::{Log, MARK, Place};
use crate::semconv::RunId;
use rustix::fs::{FlockOperation, flock};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The most bytes of one journal that are read.
const MOST_BYTES: u64 = 256 << 20;

/// The journal of a run that is dead. Locked as long as this lives, so that two do not undo the same.
#[derive(Debug)]
pub struct Leftover {
    /// The run.
    pub run: RunId,
    /// What is to be undone, in the order in which it was created.
    pub entries: Vec<Entry>,
    /// Lines that could not be read.
    pub torn: usize,
    pub(super) place: Place,
}

/// A journal could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct LeftoverError {
    /// The journal, or the folder they are in.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The journals of dead runs of the plan at `plan`; only that of `run` where one is given.
///
/// # Errors
/// Where the folder or a journal in it cannot be read.
pub fn leftovers(plan: &Path, run: Option<RunId>) -> Result<Vec<Leftover>, LeftoverError> {
    let folder = plan.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = plan.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let prefix = format!("{name}{MARK}");
    let failed = |path: &Path, source| LeftoverError { path: path.to_owned(), source };
    let listed = std::fs::read_dir(folder).map_err(|source| failed(folder, source))?;
    let mut found = Vec::new();
    for file in listed {
        let file = file.map_err(|source| failed(folder, source))?;
        let of = file.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<RunId>().ok());
        let Some(of) = of.filter(|of| run.is_none_or(|run| run == *of)) else { continue };
        let path = file.path();
        found.extend(open(&path, of).map_err(|source| failed(&path, source))?);
    }
    found.sort_by_key(|leftover| leftover.run.to_string());
    Ok(found)
}

// === impl Leftover ===

impl Leftover {
    /// Where what becomes of the entries is written down.
    ///
    /// # Errors
    /// Where its thread cannot be started.
    pub fn settle(self) -> io::Result<Log> {
        match self.place {
            Place::File(file, path) => Journal::write_to(file, &path, self.entries.len() as u64).map(Log::File),
            Place::Table(journal) => Ok(Log::Table(journal)),
        }
    }
}

/// None where its run lives, or somebody else undoes it, or it is gone.
fn open(path: &Path, run: RunId) -> io::Result<Option<Leftover>> {
    let mut file = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Between the two whoever had it may have settled it all, or written it anew, and then lives.
    let named = match std::fs::metadata(path) {
        Ok(named) => named,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let held = file.metadata()?;
    if (named.dev(), named.ino()) != (held.dev(), held.ino()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    (&mut file).take(MOST_BYTES).read_to_end(&mut bytes)?;
    let (entries, torn) = record::read(&String::from_utf8_lossy(&bytes));
    if entries.is_empty() {
        std::fs::remove_file(path)?;
        return Ok(None);
    }
    let place = Place::File(file, path.to_owned());
    Ok(Some(Leftover { run, entries: entries.into_values().collect(), torn, place }))
}
