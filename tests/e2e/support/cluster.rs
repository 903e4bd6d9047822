//! As much of Kubernetes' API as a tune asks for, on a socket: one Deployment, whose rollouts take a few looks.
//!
//! The answers have the shapes that a kube-apiserver gives, recorded; `make e2e` asks a real one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What the cluster has and heard.
#[derive(Default)]
pub(crate) struct State {
    /// The container's environment.
    pub(crate) env: Vec<Value>,
    generation: i64,
    /// Looks until the rollout is through.
    looks: u32,
    /// Whether a rollout never goes on.
    pub(crate) stuck: bool,
    /// Whether whoever asks may not patch.
    pub(crate) forbids: bool,
    /// Method, path, content type and body of each request.
    pub(crate) heard: Vec<(String, String, String, Value)>,
    /// The values that were patched, in order.
    pub(crate) patched: Vec<String>,
}

/// A cluster. Its thread ends with the process.
pub(crate) struct Cluster {
    pub(crate) state: Arc<Mutex<State>>,
    port: u16,
}

// === impl Cluster ===

impl Cluster {
    /// One whose Deployment `api` has this environment.
    pub(crate) fn start(env: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let env = env.as_array().expect("a list").clone();
        let state = Arc::new(Mutex::new(State { env, generation: 1, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || answer(&stream, &state));
            }
        });
        Self { state, port }
    }

    /// Writes the kubeconfig that leads here.
    pub(crate) fn kubeconfig(&self, path: &Path) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{ name: c, context: {{ cluster: c, user: u }} }}]\n\
             clusters: [{{ name: c, cluster: {{ server: 'http://127.0.0.1:{}' }} }}]\n\
             users: [{{ name: u, user: {{ token: 'the-token' }} }}]\n",
            self.port
        );
        std::fs::write(path, text).expect("it is written");
    }
}

/// Answers one request.
fn answer(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length, mut kind, mut token) = (String::new(), 0, String::new(), false);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = lower.strip_prefix("content-type:") {
            value.trim().clone_into(&mut kind);
        }
        token |= lower == "authorization: bearer the-token";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut words = first.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (status, answer) =
        if token { state.lock().unwrap().serve(&method, &path, &kind, &body) } else { refuse(401, "Unauthorized") };
    let text = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    (&mut &*stream).write_all(format!("{head}{text}").as_bytes()).ok()
}

fn refuse(code: u16, message: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code }))
}

// === impl State ===

impl State {
    /// The value of a variable of the container.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        self.env.iter().find(|entry| entry["name"] == name).cloned()
    }

    fn serve(&mut self, method: &str, path: &str, kind: &str, body: &Value) -> (u16, Value) {
        self.heard.push((method.to_owned(), path.to_owned(), kind.to_owned(), body.clone()));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (method, path) {
            ("GET", "/apis/apps/v1/namespaces/staging/deployments/api") => (200, self.deployment()),
            ("PATCH", "/apis/apps/v1/namespaces/staging/deployments/api") if self.forbids => refuse(
                403,
                "deployments.apps \"api\" is forbidden: User \"u\" cannot patch resource \"deployments\" in API group \"apps\"",
            ),
            ("PATCH", "/apis/apps/v1/namespaces/staging/deployments/api") => {
                if !query.contains("dryRun=All") {
                    self.patch(&body["spec"]["template"]["spec"]["containers"][0]);
                }
                (200, self.deployment())
            }
            _ => refuse(404, "the server could not find the requested resource"),
        }
    }

    /// A strategic merge patch of the environment: entries by name, null takes away.
    fn patch(&mut self, container: &Value) {
        let before = self.env.clone();
        for change in container["env"].as_array().into_iter().flatten() {
            let name = &change["name"];
            if let Some(value) = change["value"].as_str() {
                self.patched.push(value.to_owned());
            }
            if !self.env.iter().any(|entry| entry["name"] == *name) {
                self.env.push(json!({ "name": name }));
            }
            let entry = self.env.iter_mut().find(|entry| entry["name"] == *name).expect("just there");
            for (key, value) in change.as_object().into_iter().flatten() {
                match value {
                    Value::Null => drop(entry.as_object_mut().expect("an entry").remove(key)),
                    value => entry[key] = value.clone(),
                }
            }
        }
        if self.env != before {
            self.generation += 1;
            self.looks = 3;
        }
    }

    fn deployment(&mut self) -> Value {
        self.looks = self.looks.saturating_sub(u32::from(!self.stuck));
        let (generation, looks) = (self.generation, self.looks);
        let looks = if self.stuck { looks.min(1) } else { looks };
        let (observed, updated) = (generation - i64::from(looks > 1), if looks > 0 { 1 } else { 2 });
        let condition = if self.stuck && generation > 1 {
            json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                    "message": "ReplicaSet \"api-5f\" has timed out progressing." })
        } else {
            json!({ "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "" })
        };
        json!({
            "kind": "Deployment", "apiVersion": "apps/v1",
            "metadata": { "name": "api", "namespace": "staging", "generation": generation },
            "spec": { "replicas": 2, "template": { "spec": { "containers": [
                { "name": "pacecar", "image": "b" }, { "name": "web", "image": "a", "env": self.env }] } } },
            "status": { "observedGeneration": observed, "replicas": 2, "updatedReplicas": updated,
                        "availableReplicas": updated, "conditions": [condition] },
        })
    }
}
