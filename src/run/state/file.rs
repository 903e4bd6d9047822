//! What outlives a restart in a file beside the plan: `PLAN.state`, where no database keeps it.
//!
//! It is locked while it is changed and replaced as a whole, so of two that change it at once
//! neither is lost, and a kill at any instant leaves the one before or the one after. A file that
//! cannot be read, or that another version wrote, is set aside under another name and told.
//!
//! Its clock stands still for no jump of the machine's: as long as the machine is up, time is what
//! the kernel says has gone by; after a new start it never goes back.

use super::{Entries, MOST_BYTES, SetAside, StateError};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The form of the file. One of another form is set aside and not read.
const VERSION: u64 = 1;
/// How often somebody else's lock is tried again, and how long between.
const TRIES: u32 = 500;
const BETWEEN: Duration = Duration::from_millis(10);

/// The file, and nothing open.
#[derive(Clone, Debug)]
pub(super) struct StateFile(PathBuf);

/// What a change found and left.
#[derive(Debug)]
pub(super) struct Changed<T> {
    pub(super) answer: T,
    pub(super) set_aside: Option<SetAside>,
}

/// A file's content.
#[derive(Debug, Default)]
struct Content {
    entries: Entries,
    clock: Clock,
}

/// When the file was written last, by its own clock and by the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Clock {
    /// Milliseconds since 1970, as far as clocks that jump can tell.
    time: u64,
    /// Since which start of the machine, and how long after it, in milliseconds.
    since_boot: Option<(String, u64)>,
}

// === impl StateFile ===

impl StateFile {
    /// The state of the plan at `plan`.
    pub(super) fn beside(plan: &Path) -> Self {
        Self(with_suffix(plan, ".state"))
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.0
    }

    /// Looks at the entries at this time of the file's clock, and writes them where `change` says that it changed
    /// them. Whole or not at all. Blocks: at most 5 s for another's lock, and for the disk.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Entries, Duration) -> (bool, T),
    ) -> Result<Changed<T>, StateError> {
        let failed = |operation| {
            let path = self.0.clone();
            move |source| StateError::File { path, operation, source }
        };
        let mut file = self.lock()?;
        let read = Content::read(&mut file).map_err(failed("read"))?;
        let (mut content, set_aside) = match read {
            Ok(content) => (content, None),
            Err(reason) => {
                let kept = with_suffix(&self.0, ".set-aside");
                // A copy: the file itself is the lock, and whoever waits for it looks for its name.
                std::fs::copy(&self.0, &kept).map_err(failed("set aside"))?;
                (Content::default(), Some(SetAside { what: self.0.display().to_string(), kept, reason }))
            }
        };
        content.clock = content.clock.now();
        let (changed, answer) = change(&mut content.entries, Duration::from_millis(content.clock.time));
        if changed || set_aside.is_some() {
            self.replace(&content).map_err(failed("write"))?;
        }
        Ok(Changed { answer, set_aside })
    }

    /// Opens the file and holds its lock. It must still be the one of that name once the lock is there.
    fn lock(&self) -> Result<File, StateError> {
        let failed = |source| StateError::File { path: self.0.clone(), operation: "lock", source };
        for _ in 0..TRIES {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.0);
            let file = file.map_err(failed)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let (held, named) = (file.metadata().map_err(failed)?, std::fs::metadata(&self.0));
                    if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
                        return Ok(file);
                    }
                }
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(BETWEEN),
                Err(error) => return Err(failed(error.into())),
            }
        }
        Err(StateError::Busy(self.0.clone()))
    }

    /// Writes beside and renames. With the lock held nobody else has the other name.
    fn replace(&self, content: &Content) -> io::Result<()> {
        let text = content.text();
        if text.len() > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than a state may be"));
        }
        let beside = with_suffix(&self.0, ".new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.0)?;
        // The name must outlive a crash of the machine too; not every file system can promise it.
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

// === impl Content ===

impl Content {
    /// Reads a file; or says why it cannot be read. An empty one is new.
    fn read(file: &mut File) -> io::Result<Result<Self, String>> {
        let mut bytes = Vec::new();
        file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(Ok(Self::default()));
        }
        if bytes.len() > MOST_BYTES {
            return Ok(Err(format!("it is longer than {MOST_BYTES} bytes")));
        }
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is damaged: {error}"))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(version) => return Err(format!("it is of version {version}, and this pacecar writes {VERSION}")),
            None => return Err("it is damaged: it has no version".to_owned()),
        }
        let damaged = || "it is damaged: something is missing".to_owned();
        let time = value.get("time").and_then(Value::as_u64).ok_or_else(damaged)?;
        let since_boot = value
            .get("boot")
            .and_then(|boot| Some((boot.get("id")?.as_str()?.to_owned(), boot.get("ms").and_then(Value::as_u64)?)));
        let entries = value.get("entries").and_then(Value::as_object).ok_or_else(damaged)?;
        let entries = entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Self { entries, clock: Clock { time, since_boot } })
    }

    fn text(&self) -> String {
        let boot = self.clock.since_boot.as_ref().map(|(id, ms)| json!({ "id": id, "ms": ms }));
        let content = json!({ "version": VERSION, "time": self.clock.time, "boot": boot, "entries": self.entries });
        format!("{content}\n")
    }
}

// === impl Clock ===

impl Clock {
    fn now(&self) -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.advanced(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), since_boot())
    }

    /// The clock at a time of the machine.
    fn advanced(&self, wall: u64, since_boot: Option<(String, u64)>) -> Self {
        let time = match (&self.since_boot, &since_boot) {
            // The same start: what has gone by is known, whatever became of the machine's clock.
            (Some((before, then)), Some((boot, now))) if before == boot && self.time > 0 => {
                self.time.saturating_add(now.saturating_sub(*then))
            }
            _ => wall.max(self.time),
        };
        Self { time, since_boot }
    }
}

// === helpers ===

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Which start of the machine this is, and how many milliseconds ago that was.
#[cfg(target_os = "linux")]
fn since_boot() -> Option<(String, u64)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(uptime.tv_sec).ok()?;
    Some((id.trim().to_owned(), seconds * 1000 + u64::try_from(uptime.tv_nsec).ok()? / 1_000_000))
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> Option<(String, u64)> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn add(file: &StateFile, amount: u64) -> Changed<u64> {
        let change = |entries: &mut Entries, _| {
            let sum = entries.get("sum").and_then(Value::as_u64).unwrap_or(0) + amount;
            entries.insert("sum".to_owned(), sum.into());
            (true, sum)
        };
        file.change(change).unwrap()
    }

    #[test]
    fn what_is_written_is_read_by_the_next_and_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("plan.yaml"));
        assert_eq!(add(&file, 2).answer, 2);
        assert_eq!(add(&StateFile::beside(&folder.path().join("plan.yaml")), 3).answer, 5);
        assert_eq!(file.path(), folder.path().join("plan.yaml.state"));
        assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["plan.yaml.state"], "nothing else stays");
    }

    #[test]
    fn of_many_that_change_it_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("plan.yaml"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let file = file.clone();
                std::thread::spawn(move || (0..25).for_each(|_| drop(add(&file, 1))))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(add(&file, 0).answer, 100);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::beside(&folder.path().join("plan.yaml"));
        let entry = r#"{"version":1,"time":1,"entries":{"sum":7}}"#;
        for (text, told) in [
            ("{\"version\":1,", "damaged"),
            ("\0\0\0\0", "damaged"),
            ("[]", "no version"),
            (r#"{"version":2,"time":1,"entries":{}}"#, "version 2"),
            (r#"{"version":1,"entries":{}}"#, "missing"),
            (&" ".repeat(MOST_BYTES + 1), "longer"),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let changed = add(&file, 1);
            let aside = changed.set_aside.unwrap();
            assert!(aside.reason.contains(told), "{}", aside.reason);
            assert_eq!((changed.answer, std::fs::read_to_string(&aside.kept).unwrap().as_str()), (1, text));
            assert!(add(&file, 1).set_aside.is_none());
        }
        std::fs::write(file.path(), entry).unwrap();
        assert_eq!(add(&file, 1).answer, 8);
    }

    #[test]
    fn a_text_cut_anywhere_is_no_content() {
        let content = Content {
            entries: Entries::from_iter([("slo".to_owned(), json!({ "a": [1, 2.5] }))]),
            clock: Clock { time: 5, since_boot: Some(("x".to_owned(), 3)) },
        };
        let text = content.text();
        for cut in 1..text.trim_end().len() {
            assert!(Content::parse(&text.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
        let read = Content::parse(text.as_bytes()).unwrap();
        assert_eq!((read.entries, read.clock), (content.entries, content.clock));
    }

    #[test]
    fn time_goes_by_as_the_kernel_says_and_never_back() {
        let boot = |id: &str, ms| Some((id.to_owned(), ms));
        let clock = Clock { time: 1_000_000, since_boot: boot("a", 500) };
        let after = |wall, since_boot| clock.advanced(wall, since_boot).time;
        assert_eq!(after(1_000_100, boot("a", 600)), 1_000_100);
        assert_eq!(after(9_999_999, boot("a", 600)), 1_000_100, "the machine's clock was put forward");
        assert_eq!(after(0, boot("a", 600)), 1_000_100, "or back");
        assert_eq!(after(1_200_000, boot("b", 10)), 1_200_000, "a new start");
        assert_eq!(after(7, boot("b", 10)), 1_000_000);
        assert_eq!(after(1_200_000, None), 1_200_000);
        assert_eq!(Clock::default().advanced(77, boot("a", 1)).time, 77);
    }
}
