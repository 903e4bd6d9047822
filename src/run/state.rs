//! What of a run must outlive it: the budget that is spent, the windows of SLOs.
//!
//! It stands in Postgres where cleanup has one, else in a file beside the plan. A change is atomic
//! in both, so that two processes of one plan add up. Nothing of it is on the path of a request:
//! whoever needs it there asks ahead.

mod file;

use super::completed::chain;
use super::settings::Source;
use crate::cleanup::{CleanupPlan, Refusal, Shelf};
use file::{Changed, StateFile};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

/// The most bytes of a state, or of one of its values.
const MOST_BYTES: usize = 1 << 20;
/// How long what cannot be written waits before it is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Values by key.
type Entries = BTreeMap<String, Value>;

/// What outlives a run. Clones are of the same one.
#[derive(Clone, Debug)]
pub(super) struct State(Arc<Shared>);

/// Where the state of a plan stands.
#[derive(Clone, Debug)]
pub(super) enum StatePlace {
    /// In the database of cleanup, under the plan's name.
    Postgres(Box<CleanupPlan>, String),
    /// In a file beside the plan at this path.
    Beside(PathBuf),
}

/// What stood there could not be read, and was set aside.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} was set aside as {}, because {reason}: what it kept begins anew", kept.display())]
pub(super) struct SetAside {
    /// What it was.
    what: String,
    /// Where it is now.
    kept: PathBuf,
    /// Why.
    reason: String,
}

/// Why the state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    /// The database says no.
    #[error("the state in the database")]
    Database(#[source] Refusal),
    /// The disk says no.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        operation: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody has the file and does not let go.
    #[error("{} is locked by another process", .0.display())]
    Busy(PathBuf),
    /// A value is larger than a state may be.
    #[error("{key} is {bytes} bytes, more than a state may be")]
    TooLarge {
        /// Its key.
        key: &'static str,
        /// How much it is.
        bytes: usize,
    },
    /// The thread that was to write is gone.
    #[error("the state could not be written: {0}")]
    Thread(String),
}

#[derive(Debug)]
struct Shared {
    place: Mutex<Place>,
    /// What is to be written, the latest of each key.
    queued: Lock<BTreeMap<&'static str, Value>>,
    wake: Notify,
    /// Writes what is queued; ended by `Drop`.
    writer: Lock<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Place {
    Postgres { plan: Box<CleanupPlan>, name: String, shelf: Option<Shelf> },
    File(StateFile),
}

// === impl StatePlace ===

impl StatePlace {
    /// In Postgres where cleanup has one, else beside the plan; that of a plan from standard input is called by its
    /// name.
    pub(super) fn of(cleanup: Option<&CleanupPlan>, source: &Source, name: &str) -> Self {
        match cleanup {
            Some(plan) => Self::Postgres(Box::new(plan.clone()), name.to_owned()),
            None => {
                let file = Path::new(&source.name).file_name().filter(|_| source.name != "-");
                Self::Beside(source.directory.join(file.unwrap_or(name.as_ref())))
            }
        }
    }
}

// === impl State ===

impl State {
    /// Opens the state, and proves that it can be written. What could not be read and was set aside is told.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub(super) async fn open(place: StatePlace) -> Result<(Self, Option<SetAside>), StateError> {
        let place = match place {
            StatePlace::Postgres(plan, name) => {
                let shelf = Shelf::open(&plan).await.map_err(StateError::Database)?;
                Place::Postgres { plan, name, shelf: Some(shelf) }
            }
            StatePlace::Beside(plan) => Place::File(StateFile::beside(&plan)),
        };
        let mut set_aside = None;
        if let Place::File(file) = &place {
            let file = file.clone();
            set_aside = blocking(move || file.change(|_, _| (true, ()))).await?.set_aside;
        }
        let shared = Arc::new(Shared {
            place: Mutex::new(place),
            queued: Lock::default(),
            wake: Notify::new(),
            writer: Lock::default(),
        });
        let weak = Arc::downgrade(&shared);
        let writer = tokio::spawn(async move {
            // Each round holds it only as long as it writes: the last owner ends this task.
            loop {
                let Some(shared) = weak.upgrade() else { return };
                let written = Self(Arc::clone(&shared)).write_queued().await;
                if let Err(error) = written {
                    tracing::warn!(error = chain(&error), "the state cannot be written; it is tried again");
                    drop(shared);
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                shared.wait().await;
            }
        });
        *lock(&shared.writer) = Some(writer);
        Ok((Self(shared), set_aside))
    }

    /// The value of a key: what was put last, by whichever process.
    ///
    /// # Errors
    /// Where it cannot be read.
    #[allow(dead_code, reason = "the windows of SLOs are kept by the canary")]
    pub(super) async fn get(&self, key: &'static str) -> Result<Option<Value>, StateError> {
        if let Some(value) = lock(&self.0.queued).get(key) {
            return Ok(Some(value.clone()));
        }
        self.update(key, |value, _| (None, value)).await
    }

    /// Sets a value: at once for [`State::get`], soon for others. Never waits; of several the latest is written.
    #[allow(dead_code, reason = "the windows of SLOs are kept by the canary")]
    pub(super) fn put(&self, key: &'static str, value: Value) {
        lock(&self.0.queued).insert(key, value);
        self.0.wake.notify_one();
    }

    /// Replaces a value by what `change` makes of it, at this time of the place's clock (only differences mean
    /// something); none leaves it. Atomic among all processes of the plan.
    ///
    /// # Errors
    /// Where it cannot be read or written: then nothing has changed, unless a connection broke on the last word.
    pub(super) async fn update<T: Send + 'static>(
        &self,
        key: &'static str,
        change: impl FnOnce(Option<Value>, Duration) -> (Option<Value>, T) + Send + 'static,
    ) -> Result<T, StateError> {
        match &mut *self.0.place.lock().await {
            Place::Postgres { plan, name, shelf } => {
                let mut open = match shelf.take() {
                    Some(open) => open,
                    None => Shelf::open(plan).await.map_err(StateError::Database)?,
                };
                // Without an answer the connection is not trusted again.
                let shelved = open.change(name, key, change).await.map_err(StateError::Database)?;
                *shelf = Some(open);
                if shelved.set_aside {
                    tracing::warn!(key, "what the database kept is of another version, and was set aside");
                }
                Ok(shelved.answer)
            }
            Place::File(file) => {
                let file = file.clone();
                let changed = blocking(move || {
                    file.change(|entries, now| {
                        let (value, answer) = change(entries.get(key).cloned(), now);
                        let changed = value.map(|value| entries.insert(key.to_owned(), value)).is_some();
                        (changed, answer)
                    })
                });
                let Changed { answer, set_aside } = changed.await?;
                if let Some(set_aside) = set_aside {
                    tracing::warn!("{set_aside}");
                }
                Ok(answer)
            }
        }
    }

    /// Writes what is queued, within 5 s.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) async fn close(self) -> Result<(), StateError> {
        let late = || StateError::Thread("it took too long".to_owned());
        tokio::time::timeout(LAST_WORDS, self.write_queued()).await.unwrap_or_else(|_| Err(late()))
    }

    /// Writes what is queued; what could not be written stays, unless there is something newer.
    async fn write_queued(&self) -> Result<(), StateError> {
        loop {
            let Some((key, value)) = lock(&self.0.queued).first_key_value().map(|(key, value)| (*key, value.clone()))
            else {
                return Ok(());
            };
            let bytes = value.to_string().len();
            if bytes > MOST_BYTES / 2 {
                lock(&self.0.queued).remove(key);
                return Err(StateError::TooLarge { key, bytes });
            }
            let written = value.clone();
            self.update(key, move |_, _| (Some(written), ())).await?;
            let mut queued = lock(&self.0.queued);
            if queued.get(key) == Some(&value) {
                queued.remove(key);
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Waits for something to write, and looks up now and then whether anybody is still there.
    async fn wait(self: Arc<Self>) {
        let _ = tokio::time::timeout(AGAIN, self.wake.notified()).await;
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(writer) = lock(&self.writer).take() {
            writer.abort();
        }
    }
}

// === helpers ===

fn lock<T>(lock: &Lock<T>) -> std::sync::MutexGuard<'_, T> {
    // Nobody panics while holding one; what is in there is whole all the same.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StateError::Thread(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    async fn open(plan: &Path) -> State {
        State::open(StatePlace::Beside(plan.to_owned())).await.unwrap().0
    }

    #[tokio::test]
    async fn what_is_put_is_there_at_once_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        let state = open(&plan).await;
        assert_eq!(state.get("slo").await.unwrap(), None);
        state.put("slo", json!(1));
        state.put("slo", json!({ "fast": [1, 2] }));
        assert_eq!(state.get("slo").await.unwrap(), Some(json!({ "fast": [1, 2] })));
        state.close().await.unwrap();
        let state = open(&plan).await;
        assert_eq!(state.get("slo").await.unwrap(), Some(json!({ "fast": [1, 2] })));
        assert_eq!(state.get("budget").await.unwrap(), None);
    }

    #[tokio::test]
    async fn two_that_change_a_value_at_once_add_up_beside_what_is_put() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("plan.yaml");
        let (one, other) = (open(&plan).await, open(&plan).await);
        let add = |state: State| async move {
            for n in 0..20 {
                state.put("slo", json!(n));
                let sum = |value: Option<Value>, _| {
                    (Some(json!(value.and_then(|value| value.as_u64()).unwrap_or(0) + 1)), ())
                };
                state.update("budget", sum).await.unwrap();
            }
            state.close().await.unwrap();
        };
        tokio::join!(add(one), add(other));
        let state = open(&plan).await;
        assert_eq!(state.get("budget").await.unwrap(), Some(json!(40)));
        assert_eq!(state.get("slo").await.unwrap(), Some(json!(19)));
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_an_error_and_a_damaged_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = StatePlace::Beside(folder.path().join("none").join("plan.yaml"));
        assert!(matches!(State::open(missing).await, Err(StateError::File { operation: "lock", .. })));
        let plan = folder.path().join("plan.yaml");
        std::fs::write(folder.path().join("plan.yaml.state"), "garbage").unwrap();
        let (state, set_aside) = State::open(StatePlace::Beside(plan)).await.unwrap();
        assert!(set_aside.unwrap().to_string().contains("plan.yaml.state.set-aside"));
        assert_eq!(state.get("budget").await.unwrap(), None);
    }

    #[test]
    fn the_place_is_beside_the_plan_or_called_by_its_name() {
        let place = |name: &str| {
            let source = Source { name: name.to_owned(), bytes: Vec::new(), directory: PathBuf::from("/plans") };
            match StatePlace::of(None, &source, "tenants") {
                StatePlace::Beside(path) => path,
                StatePlace::Postgres(..) => panic!("no database"),
            }
        };
        assert_eq!(place("/plans/a.yaml"), PathBuf::from("/plans/a.yaml"));
        assert_eq!(place("-"), PathBuf::from("/plans/tenants"));
    }
}
