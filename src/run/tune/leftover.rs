//! What a tune has set, beside the plan, for as long as it is set: SIGKILL restores nothing.
//!
//! The file is locked by who wrote it. One that nobody locks is a leftover: its tune is dead, and what it says is still
//! in effect.

use crate::run::Source;
use crate::tune::Setting;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file of a plan, and our hold on it.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: File,
}

/// What a killed tune left in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What is to be restored.
    pub original: Setting,
    /// What was set last; none where it was being set.
    pub applied: Option<Setting>,
}

/// Why a tune cannot write down what it sets.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    /// Another one is at it.
    #[error("another tune of this plan is running")]
    Running,
    /// The file.
    #[error("{}, which says what is in effect, cannot be written: it stands beside the plan", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Behind the plan's name.
const SUFFIX: &str = ".tune";
/// More than any setting takes.
const MOST_BYTES: u64 = 1 << 20;

// === impl Mark ===

impl Mark {
    /// Takes hold of a plan's file, and reads what a killed tune left in it.
    pub(super) fn take(source: &Source) -> Result<(Self, Option<Leftover>), MarkError> {
        let path = path(source);
        let failed = |source| MarkError::Io { path: path.clone(), source };
        // Who had it may have removed it in between: then it is another file by now.
        for _ in 0..8 {
            let mut options = OpenOptions::new();
            let mut file =
                options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(MarkError::Running),
                Err(error) => return Err(failed(error.into())),
            }
            if !is_at(&file, &path) {
                continue;
            }
            let mut text = String::new();
            let read = (&mut file).take(MOST_BYTES).read_to_string(&mut text);
            let leftover = read.ok().and_then(|_| Leftover::read(&text));
            return Ok((Self { path, file }, leftover));
        }
        Err(MarkError::Running)
    }

    /// Writes down what is about to be set, and what is to be restored.
    pub(super) fn write(&mut self, original: &Setting, applied: &Setting) -> Result<(), MarkError> {
        let text = format!(
            "{:#}\n",
            json!({
                "what": "pacecar tune was here: these values are in effect; `pacecar tune --restore PLAN` restores the original",
                "original": object(original),
                "applied": object(applied),
            })
        );
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64))
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| MarkError::Io { path: self.path.clone(), source })
    }

    /// The original is in effect: nothing is left.
    pub(super) fn clear(self) {
        // What cannot be removed is emptied, which is no leftover either.
        let _ = self.file.set_len(0);
        let _ = std::fs::remove_file(&self.path);
    }

    /// Leaves the file for the next start.
    pub(super) fn keep(self) -> PathBuf {
        self.path
    }
}

// === impl Leftover ===

impl Leftover {
    /// Reads the file's text. None of an empty one, or of one that was torn while it was first written: nothing had been
    /// set by then.
    fn read(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let setting = |key: &str| -> Option<Setting> {
            let pairs = value.get(key)?.as_object()?;
            pairs.iter().map(|(knob, value)| Some((knob.clone(), value.as_str()?.to_owned()))).collect()
        };
        Some(Self { original: setting("original")?, applied: setting("applied") })
    }
}

// === helpers ===

fn path(source: &Source) -> PathBuf {
    let name = Path::new(&source.name).file_name().filter(|_| source.name != "-");
    let mut name: OsString = name.unwrap_or("pacecar".as_ref()).to_owned();
    name.push(SUFFIX);
    source.directory.join(name)
}

fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let same =
        |one: &std::fs::Metadata, other: &std::fs::Metadata| one.ino() == other.ino() && one.dev() == other.dev();
    file.metadata().and_then(|one| Ok(same(&one, &std::fs::metadata(path)?))).unwrap_or(false)
}

fn object(setting: &Setting) -> Map<String, Value> {
    setting.iter().map(|(knob, value)| (knob.to_owned(), Value::from(value))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn source(folder: &Path) -> Source {
        Source { name: "plans/p.yaml".to_owned(), bytes: Vec::new(), directory: folder.to_owned() }
    }

    fn setting(value: &str) -> Setting {
        [("PG_POOL_MAX", value)].into_iter().collect()
    }

    #[test]
    fn what_a_dead_tune_left_is_found_and_what_a_living_one_set_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path());
        let (mut mark, leftover) = Mark::take(&source).unwrap();
        assert_eq!(leftover, None);
        mark.write(&setting("16"), &setting("1024")).unwrap();
        mark.write(&setting("16"), &setting("4")).unwrap();
        assert!(matches!(Mark::take(&source), Err(MarkError::Running)));
        drop(mark);
        let (mark, leftover) = Mark::take(&source).unwrap();
        assert_eq!(leftover, Some(Leftover { original: setting("16"), applied: Some(setting("4")) }));
        mark.clear();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(Mark::take(&source).unwrap().1, None);
    }

    #[test]
    fn what_is_no_setting_is_no_leftover() {
        for text in ["", "{", "{}", "[]", r#"{"original":{"A":1}}"#] {
            assert_eq!(Leftover::read(text), None, "{text}");
        }
        let only = Leftover::read(r#"{"original":{"A":"1"}}"#).unwrap();
        assert_eq!((only.original.get("A"), only.applied), (Some("1"), None));
    }

    #[test]
    fn a_plan_from_standard_input_has_its_file_in_the_working_directory() {
        let source = Source { name: "-".to_owned(), bytes: Vec::new(), directory: PathBuf::from(".") };
        assert_eq!(path(&source), Path::new("./pacecar.tune"));
    }
}
