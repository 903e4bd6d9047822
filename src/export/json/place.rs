//! Where NDJSON goes: a file, a pipe, or standard output.

use super::super::error::OutputError;
use super::gzip::Packer;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

/// Where NDJSON goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonPlace {
    /// Standard output: `-`, or no name, as in k6.
    Stdout,
    /// A file of this machine; packed where its name ends in `.gz`.
    File(PathBuf),
}

/// A place that is open.
pub(super) struct Opened {
    place: JsonPlace,
    /// None for standard output.
    file: Option<File>,
    /// Whether what was written can be taken back.
    regular: bool,
    /// Where the last whole chunk ended.
    good: u64,
    packer: Option<Packer>,
    /// What must come before the next chunk: the end of a member that a lost chunk cut off.
    owed: Vec<u8>,
}

// === impl JsonPlace ===

impl JsonPlace {
    /// Reads what stands behind `json=`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "-" => Self::Stdout,
            file => Self::File(PathBuf::from(file)),
        }
    }
}

impl fmt::Display for JsonPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(file) => file.display().fmt(f),
        }
    }
}

// === impl Opened ===

impl Opened {
    /// Opens a place; a pipe waits for its reader.
    ///
    /// # Errors
    /// [`OutputError::Open`]
    pub(super) fn open(place: &JsonPlace) -> Result<Self, OutputError> {
        let (file, regular, packed) = match place {
            JsonPlace::Stdout => (None, false, false),
            JsonPlace::File(name) => {
                let refused = |source| OutputError::Open { file: name.clone(), source };
                // A run that is refused leaves the file of the run before as it is.
                let file = OpenOptions::new().write(true).create(true).truncate(false).open(name).map_err(refused)?;
                let regular = file.metadata().map_err(refused)?.is_file();
                let packed = name.extension().is_some_and(|extension| extension == "gz");
                (Some(file), regular, packed)
            }
        };
        let packer = packed.then(Packer::new);
        Ok(Self { place: place.clone(), file, regular, good: 0, packer, owed: Vec::new() })
    }

    pub(super) const fn place(&self) -> &JsonPlace {
        &self.place
    }

    /// Empties a file that was there before.
    pub(super) fn begin(&mut self) {
        self.take_back();
    }

    /// Writes whole lines, or nothing where what was written of them can be taken back.
    pub(super) fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        let packed = match &mut self.packer {
            Some(packer) => Some(packer.pack(chunk)?),
            None => None,
        };
        let bytes = packed.as_deref().unwrap_or(chunk);
        let written = self.put(bytes);
        if written.is_err() {
            self.take_back();
            if let Some(packer) = &mut self.packer {
                let end = packer.give_up();
                self.owed.extend(end);
                // There may be room for these few bytes; else they come later.
                if self.put(&[]).is_err() {
                    self.take_back();
                }
            }
        }
        written
    }

    /// Ends it.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some(packer) = &mut self.packer {
            let end = packer.finish();
            self.put(&end)?;
        }
        match &mut self.file {
            Some(file) => file.flush(),
            None => io::stdout().lock().flush(),
        }
    }

    /// Writes what is owed and these bytes.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { file, owed, .. } = self;
        let all = |to: &mut dyn io::Write| {
            to.write_all(owed)?;
            to.write_all(bytes)?;
            to.flush()
        };
        match file {
            Some(file) => all(file)?,
            None => all(&mut io::stdout().lock())?,
        }
        self.good += (self.owed.len() + bytes.len()) as u64;
        self.owed.clear();
        Ok(())
    }

    /// Cuts a file off behind the last whole chunk.
    fn take_back(&mut self) {
        if let (Some(file), true) = (&mut self.file, self.regular) {
            // What cannot be cut off stays: half a line at most.
            let _ = file.set_len(self.good).and_then(|()| file.seek(SeekFrom::Start(self.good)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_of_before_is_emptied_only_when_the_run_begins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.json");
        std::fs::write(&file, "what was there before, and longer").unwrap();
        let place = JsonPlace::File(file.clone());
        drop(Opened::open(&place).ok().unwrap());
        assert_eq!(std::fs::read_to_string(&file).unwrap().len(), 33);
        let mut opened = Opened::open(&place).ok().unwrap();
        opened.begin();
        opened.write(b"new\n").unwrap();
        opened.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new\n");
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let Err(error) = Opened::open(&JsonPlace::File("/no-such-folder/x.json".into())) else { return };
        assert!(error.to_string().contains("/no-such-folder/x.json"), "{error}");
    }
}
