//! A plan in a folder of its own, removed with it.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// A plan on disk.
pub(crate) struct PlanFile {
    folder: Arc<TempDir>,
}

/// Where a plan stands. It stays there as long as this does.
#[derive(Clone)]
pub(crate) struct PlanPath {
    path: PathBuf,
    folder: Arc<TempDir>,
}

/// What `pacecar run` can be called with.
pub(crate) trait Plan {
    fn path(&self) -> &Path;

    /// What must live as long as the program runs.
    fn folder(&self) -> Option<Arc<TempDir>> {
        None
    }
}

impl Plan for PathBuf {
    fn path(&self) -> &Path {
        self
    }
}

impl Plan for PlanPath {
    fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self) -> Option<Arc<TempDir>> {
        Some(Arc::clone(&self.folder))
    }
}

impl AsRef<Path> for PlanPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Deref for PlanPath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl PlanFile {
    /// Writes `text` as `plan.yaml`.
    pub(crate) fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the plan");
        fs::write(folder.path().join("plan.yaml"), text).expect("the plan is written");
        Self { folder: Arc::new(folder) }
    }

    /// Adds a file beside it.
    pub(crate) fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), text).expect("the file is written");
        self
    }

    pub(crate) fn path(&self) -> PlanPath {
        PlanPath { path: self.folder.path().join("plan.yaml"), folder: Arc::clone(&self.folder) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A plan of one step `GET /` that waits a little, so that no test is a busy loop.
pub(crate) fn one_step() -> PlanFile {
    PlanFile::new(
        "\
name: one-step
base_url: ${API_URL}
http: { timeout: 1s }
workflow:
  - { name: home, request: GET /, expect: { status: 200 }, think: 10ms }
scenarios:
  main: { executor: shared-iterations, vus: 1, iterations: 3 }
",
    )
}

/// The guide's workflow, without a database, against [`super::Mode::Api`].
pub(crate) fn three_steps() -> PlanFile {
    PlanFile::new(
        r#"
name: three-steps
base_url: ${API_URL}
tenants: { count: 3, users: 2, password: "${AUTH_PASSWORD:-secret}" }
workflow:
  - name: login
    request: POST /auth/v1/token?grant_type=password
    json: { email: "{{ user.email }}", password: "{{ user.password }}" }
    expect: { status: 200 }
    capture: { token: $.access_token }
  - name: profile
    request: GET /api/user/profile
    auth: { bearer: "{{ token }}" }
    expect: { status: [200, 304], json: { $.email: "{{ user.email }}" } }
  - name: agent
    request: POST /api/llm/chat
    headers: { authorization: "Bearer {{ token }}" }
    json: { prompt: "hello" }
    expect: { status: 200 }
    metrics:
      llm_latency: { trend: duration }
      tokens_per_request: { trend: $.usage.total_tokens }
      cost_per_request: { trend: $.cost }
      cache_hits: { rate: $.cached }
scenarios:
  main: { executor: shared-iterations, vus: 2, iterations: 6 }
thresholds:
  http_req_duration: ["p(95)<60000"]
  "http_req_duration{step:login}": ["p(95)<60000"]
  http_req_failed: ["rate==0"]
"#,
    )
}
