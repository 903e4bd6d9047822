//! An API that keeps what is created in memory, out of any database's reach: what only `undo` can clean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, post};
use serde_json::{Value, json};

/// A running API with nothing in it. It ends with the process.
pub(crate) struct Shelf {
    pub(crate) url: String,
    things: Arc<Things>,
}

#[derive(Default)]
struct Things(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    /// Who owns it, by id.
    there: BTreeMap<u64, String>,
    made: u64,
    /// Which tokens are good.
    tokens: BTreeMap<String, String>,
    logins: u64,
    /// The ids in the order in which they were deleted.
    deleted: Vec<u64>,
    /// How many are being made.
    making: usize,
    /// How long making one takes.
    slow: Duration,
    /// What DELETE answers in place of deleting.
    stuck: Option<u16>,
}

// === impl Shelf ===

impl Shelf {
    pub(crate) fn start() -> Self {
        let things = Arc::new(Things::default());
        let router = Router::new()
            .route("/login", post(login))
            .route("/things", post(make))
            .route("/things/{id}", delete(remove).put(name))
            .with_state(Arc::clone(&things));
        let (address, found) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { url: format!("http://{}", found.recv().unwrap()), things }
    }

    /// What is there.
    pub(crate) fn there(&self) -> Vec<u64> {
        self.inside(|inside| inside.there.keys().copied().collect())
    }

    /// Takes away what is there.
    pub(crate) fn clear(&self) {
        self.inside(|inside| inside.there.clear());
    }

    /// How many were ever made.
    pub(crate) fn made(&self) -> u64 {
        self.inside(|inside| inside.made)
    }

    /// How many are there whose maker has no answer yet.
    pub(crate) fn making(&self) -> usize {
        self.inside(|inside| inside.making)
    }

    pub(crate) fn deleted(&self) -> Vec<u64> {
        self.inside(|inside| inside.deleted.clone())
    }

    pub(crate) fn logins(&self) -> u64 {
        self.inside(|inside| inside.logins)
    }

    /// No token is good any more.
    pub(crate) fn forget_tokens(&self) {
        self.inside(|inside| inside.tokens.clear());
    }

    /// Making one takes so long from now on.
    pub(crate) fn slow(&self, slow: Duration) {
        self.inside(|inside| inside.slow = slow);
    }

    /// DELETE answers this from now on.
    pub(crate) fn stuck(&self, status: Option<u16>) {
        self.inside(|inside| inside.stuck = status);
    }

    fn inside<T>(&self, work: impl FnOnce(&mut Inside) -> T) -> T {
        work(&mut self.things.0.lock().unwrap())
    }
}

async fn login(State(things): State<Arc<Things>>, body: String) -> (StatusCode, String) {
    let email = serde_json::from_str::<Value>(&body).unwrap()["email"].as_str().unwrap().to_owned();
    let mut inside = things.0.lock().unwrap();
    inside.logins += 1;
    let token = format!("hidden-token-{}", inside.logins);
    inside.tokens.insert(token.clone(), email);
    (StatusCode::OK, json!({ "token": token }).to_string())
}

async fn make(State(things): State<Arc<Things>>, headers: HeaderMap) -> (StatusCode, String) {
    let (id, slow) = {
        let mut inside = things.0.lock().unwrap();
        let Some(owner) = owner(&inside, &headers) else { return (StatusCode::UNAUTHORIZED, String::new()) };
        inside.made += 1;
        let id = inside.made;
        inside.there.insert(id, owner);
        inside.making += 1;
        (id, inside.slow)
    };
    tokio::time::sleep(slow).await;
    things.0.lock().unwrap().making -= 1;
    (StatusCode::CREATED, json!({ "id": id }).to_string())
}

/// Makes one under a number that the client gives.
async fn name(State(things): State<Arc<Things>>, Path(id): Path<u64>) -> StatusCode {
    let slow = {
        let mut inside = things.0.lock().unwrap();
        inside.made += 1;
        inside.there.insert(id, String::new());
        inside.slow
    };
    tokio::time::sleep(slow).await;
    StatusCode::CREATED
}

async fn remove(State(things): State<Arc<Things>>, Path(id): Path<u64>, headers: HeaderMap) -> StatusCode {
    let mut inside = things.0.lock().unwrap();
    if let Some(status) = inside.stuck {
        return StatusCode::from_u16(status).unwrap();
    }
    let by = owner(&inside, &headers);
    match inside.there.get(&id) {
        None => StatusCode::NOT_FOUND,
        Some(owner) if !owner.is_empty() && by.is_none() => StatusCode::UNAUTHORIZED,
        Some(owner) if !owner.is_empty() && by.as_ref() != Some(owner) => StatusCode::FORBIDDEN,
        Some(_) => {
            inside.there.remove(&id);
            inside.deleted.push(id);
            StatusCode::NO_CONTENT
        }
    }
}

fn owner(inside: &Inside, headers: &HeaderMap) -> Option<String> {
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    inside.tokens.get(token).cloned()
}
