//! Appends to a journal on a thread of its own; who waits at the same time shares one write and one sync.
//!
//! A run without an end would let it grow without one: where most of it is settled it is written
//! anew, without what is, and takes the old one's place in one step.

use super::record::{line_after, line_before};
use crate::measure::{Creation, CreationLog, Fate};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

/// The most lines that share one write.
const GROUP: usize = 1024;
/// From how many bytes on a journal is written anew where three quarters of it are settled.
const LARGE: usize = 4 << 20;

/// An open journal. Clones write to the same one; the thread ends with the last of them, or with [`Journal::finish`].
///
/// The queue to the thread needs no bound of its own: whoever creates waits for his line, so there are at most two
/// lines for each VU in it.
#[derive(Clone, Debug)]
pub struct Journal {
    queue: Sender<Message>,
    path: PathBuf,
}

type Answer = oneshot::Sender<io::Result<()>>;

enum Message {
    Before(u64, String, Answer),
    After(u64, String, bool),
    Finish(oneshot::Sender<()>),
}

/// What the thread owns.
struct Writer {
    file: File,
    path: PathBuf,
    /// Creations that are not settled.
    open: u64,
    /// Their lines, by number; none of a journal that another process left.
    live: Option<BTreeMap<u64, String>>,
    /// Bytes in the file, and from how many on it is written anew.
    size: usize,
    large: usize,
    /// Whether the last write may have left half a line.
    torn: bool,
}

// === impl Journal ===

impl Journal {
    /// Creates the journal, locked.
    ///
    /// # Errors
    /// Where it cannot be created or locked, or its thread cannot be started.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from);
        // The name must outlive a crash of the machine too; not every file system can promise it.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        locked
            .and_then(|()| Self::start(file, path, 0, Some(BTreeMap::new()), LARGE))
            .inspect_err(|_| drop(std::fs::remove_file(path)))
    }

    /// Goes on with a journal that another process left; `file` is locked, and has `open` creations to be settled.
    pub(super) fn write_to(file: File, path: &Path, open: u64) -> io::Result<Self> {
        Self::start(file, path, open, None, LARGE)
    }

    fn start(
        file: File,
        path: &Path,
        open: u64,
        live: Option<BTreeMap<u64, String>>,
        large: usize,
    ) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel();
        // It may end in half a line.
        let writer = Writer { file, path: path.to_owned(), open, live, size: 0, large, torn: open > 0 };
        std::thread::Builder::new().name("pacecar-journal".to_owned()).spawn(move || writer.run(&messages))?;
        Ok(Self { queue, path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is queued, and removes the file where all in it is settled.
    pub async fn finish(self) {
        let (done, finished) = oneshot::channel();
        if self.queue.send(Message::Finish(done)).is_ok() {
            let _ = finished.await;
        }
    }
}

impl CreationLog for Journal {
    fn before(&self, creation: &Creation) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> {
        let (answer, written) = oneshot::channel();
        let gone = || io::Error::other("the journal's thread has ended");
        let sent = self.queue.send(Message::Before(creation.id, line_before(creation), answer)).map_err(|_| gone());
        Box::pin(async move {
            sent?;
            written.await.unwrap_or_else(|_| Err(gone()))
        })
    }

    fn after(&self, id: u64, fate: Fate) {
        let settles = !matches!(fate, Fate::Created { .. });
        // A thread that has ended has told whoever creates; what is not settled is undone once more.
        let _ = self.queue.send(Message::After(id, line_after(id, &fate), settles));
    }
}

// === impl Writer ===

impl Writer {
    /// Writes until the last sender is gone or says that it is through.
    fn run(mut self, messages: &Receiver<Message>) {
        let (mut lines, mut waiting) = (String::new(), Vec::new());
        while let Ok(first) = messages.recv() {
            let (mut created, mut settled, mut finish) = (0, 0, None);
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Before(id, line, answer) => {
                        created += 1;
                        lines.push_str(&line);
                        self.note(id, &line, false);
                        waiting.push(answer);
                    }
                    Message::After(id, line, settles) => {
                        settled += u64::from(settles);
                        lines.push_str(&line);
                        self.note(id, &line, settles);
                    }
                    Message::Finish(done) => finish = Some(done),
                }
                let more = finish.is_none() && waiting.len() < GROUP && lines.len() < GROUP * 256;
                next = if more { messages.try_recv().ok() } else { None };
            }
            let written = self.write(&lines, !waiting.is_empty());
            if written.is_ok() {
                self.open += created;
            }
            self.open = self.open.saturating_sub(settled);
            lines.clear();
            for answer in waiting.drain(..) {
                let _ =
                    answer.send(written.as_ref().map_or_else(|error| Err(io::Error::from(error.kind())), |()| Ok(())));
            }
            // Where that fails, the old one goes on.
            let _ = self.shrink();
            if let Some(done) = finish {
                if self.open == 0 {
                    let _ = std::fs::remove_file(&self.path);
                    // A kill may have left the half of a new one.
                    let _ = std::fs::remove_file(beside(&self.path));
                }
                // With it goes the lock.
                drop(self.file);
                let _ = done.send(());
                return;
            }
        }
    }

    /// Keeps the lines of what is not settled.
    fn note(&mut self, id: u64, line: &str, settles: bool) {
        let Some(live) = &mut self.live else { return };
        if settles {
            live.remove(&id);
        } else {
            live.entry(id).or_default().push_str(line);
        }
    }

    /// Writes the journal anew where most of it is settled. The new one is whole, synced and locked before it takes the
    /// name: whoever looks finds the one or the other, and neither free.
    fn shrink(&mut self) -> io::Result<()> {
        let Some(live) = self.live.as_ref().filter(|_| self.size > self.large) else { return Ok(()) };
        let text: String = live.values().map(String::as_str).collect();
        if text.len() > self.size / 4 {
            return Ok(());
        }
        let beside = beside(&self.path);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        (self.file, self.size, self.torn) = (file, text.len(), false);
        Ok(())
    }

    /// A fate need not be synced: a process that is killed does not take back what it wrote.
    fn write(&mut self, lines: &str, sync: bool) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
        }
        self.torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.torn = false;
        self.size += lines.len();
        if sync { self.file.sync_data() } else { Ok(()) }
    }
}

/// Where a journal is written anew before it takes the name.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".new");
    PathBuf::from(beside)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::{leftovers, path};
    use super::*;
    use crate::measure::CreationPhase;
    use crate::semconv::RunId;

    fn creation(id: u64) -> Creation {
        Creation {
            id,
            phase: CreationPhase::Iteration,
            scenario: "main".to_owned(),
            step: "agent".to_owned(),
            user: 0,
            group: id,
            method: "DELETE".to_owned(),
            url: None,
        }
    }

    #[tokio::test]
    async fn what_was_waited_for_is_in_the_file_and_a_settled_journal_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        let path = path(&plan, RunId::new(7));
        let journal = Journal::create(&path).unwrap();
        let all: Vec<_> = (0..50).map(|id| journal.before(&creation(id))).collect();
        for written in all {
            written.await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 50);
        assert!(leftovers(&plan, None).unwrap().is_empty(), "the run lives");
        for id in 0..50 {
            journal.after(id, Fate::Undone);
        }
        journal.finish().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_a_dead_run_left_is_found_once_and_goes_when_it_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        let path = path(&plan, RunId::new(7));
        let journal = Journal::create(&path).unwrap();
        journal.before(&creation(1)).await.unwrap();
        journal.before(&creation(2)).await.unwrap();
        journal.after(1, Fate::Undone);
        journal.finish().await;
        // As a kill in the middle of a write leaves it.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"id\":3,\"pha").unwrap();
        let mut found = leftovers(&plan, None).unwrap();
        let leftover = found.pop().unwrap();
        assert_eq!((leftover.run, leftover.entries.len(), leftover.torn), (RunId::new(7), 1, 1));
        assert!(leftovers(&plan, None).unwrap().is_empty(), "somebody else undoes it already");
        assert!(leftovers(&plan, Some(RunId::new(8))).unwrap().is_empty());
        let journal = leftover.settle().unwrap();
        journal.as_log().after(2, Fate::Undone);
        journal.finish().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_run_without_an_end_does_not_let_it_grow() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        let path = path(&plan, RunId::new(7));
        let file = OpenOptions::new().append(true).create_new(true).open(&path).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        let journal = Journal::start(file, &path, 0, Some(BTreeMap::new()), 20_000).unwrap();
        for id in 0..2_000 {
            journal.before(&creation(id)).await.unwrap();
            journal.after(id, Fate::Created { url: format!("http://h/{id}") });
            // Two of them stay open.
            if id % 1_000 != 5 {
                journal.after(id, Fate::Undone);
            }
            assert!(leftovers(&plan, None).unwrap().is_empty(), "the run lives, at every step");
        }
        journal.finish().await;
        assert!(std::fs::metadata(&path).unwrap().len() < 25_000);
        let left = leftovers(&plan, None).unwrap();
        let open: Vec<_> = left[0].entries.iter().map(|entry| entry.creation.url.clone().unwrap()).collect();
        assert_eq!((open, left[0].torn), (vec!["http://h/5".to_owned(), "http://h/1005".to_owned()], 0));
    }
}
