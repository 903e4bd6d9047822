//! Where the server's programs are: in `PATH`, or where packages put them.
//!
//! Debian keeps `initdb` and `postgres` out of `PATH`, one directory a version.

use std::fs;
use std::path::{Path, PathBuf};

/// The two programs a cluster needs, of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Makes a cluster.
    pub(super) initdb: PathBuf,
    /// Serves it.
    pub(super) postgres: PathBuf,
}

// === impl Binaries ===

impl Binaries {
    /// Those in `PATH`, else the newest that a package put under `/usr`.
    pub(super) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .find_map(|directory| Self::of(&directory))
            .or_else(|| Self::newest_below(Path::new("/usr/lib/postgresql"), ""))
            .or_else(|| Self::newest_below(Path::new("/usr"), "pgsql-"))
    }

    fn of(directory: &Path) -> Option<Self> {
        let found = Self { initdb: directory.join("initdb"), postgres: directory.join("postgres") };
        // Absolute, because the programs run in another directory than ours.
        (directory.is_absolute() && found.initdb.is_file() && found.postgres.is_file()).then_some(found)
    }

    /// Looks into `parent/PREFIXversion/bin`, the highest version first.
    fn newest_below(parent: &Path, prefix: &str) -> Option<Self> {
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
            .ok()?
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name();
                let version = name.to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .collect();
        versions.sort();
        versions.iter().rev().find_map(|(_, directory)| Self::of(directory))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_newest_version_that_is_whole_wins() {
        let parent = tempfile::tempdir().unwrap();
        for (version, programs) in [("9.6", 2), ("15", 2), ("16", 2), ("17", 1), ("junk", 2)] {
            let bin = parent.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for program in ["initdb", "postgres"].iter().take(programs) {
                fs::write(bin.join(program), "").unwrap();
            }
        }
        let found = Binaries::newest_below(parent.path(), "").unwrap();
        assert_eq!(found.initdb, parent.path().join("16/bin/initdb"));
        assert_eq!(Binaries::newest_below(&parent.path().join("none"), ""), None);
    }
}
