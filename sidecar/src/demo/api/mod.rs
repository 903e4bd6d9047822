//! The sample API: a multi-tenant service of the usual shape.
//!
//! Login, profile, a chat that asks a language model (a stand-in of settable latency) and writes
//! one committed row for each answer. Errors are JSON, bodies are bounded, every wait is too.

mod auth;
mod chat;
mod error;
mod llm;
mod pool;
mod settings;
mod synthetic;
mod telemetry;
mod tokens;

pub(super) use settings::ApiSettings;
pub(crate) use settings::SettingError;

use super::store::StoreError;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{delete, get, post, put};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use deadpool_postgres::Pool;
use error::ApiError;
use llm::Llm;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telemetry::{Exporter, Telemetry};
use tokens::Tokens;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The largest body that is read.
const BODY_MAX: usize = 64 * 1024;

/// What the handlers share.
struct Shared {
    pool: Pool,
    tokens: Tokens,
    llm: Llm,
    waits: Waits,
    /// How long a profile's query takes in the database.
    query: Duration,
    /// A hash that no password fits: an unknown user costs the same time as a wrong password.
    nobody: String,
}

/// What the API itself measures around the taking of connections.
#[derive(Debug, Default)]
struct Waits {
    count: AtomicU64,
    microseconds: AtomicU64,
}

/// The API, ready to serve.
pub(super) struct Api {
    shared: Arc<Shared>,
    /// Closes idle connections; ended by `Drop`.
    reaper: JoinHandle<()>,
    telemetry: Option<(Telemetry, Exporter)>,
}

// === impl Api ===

impl Api {
    /// Opens the pool and its first connections. Its spans go to `spans_to`, or where the environment says.
    pub(super) async fn start(
        database_url: &str,
        settings: ApiSettings,
        spans_to: Option<SocketAddr>,
    ) -> Result<Self, StoreError> {
        let pool = pool::open(database_url, &settings)?;
        pool::warm(&pool, settings.pool_min).await;
        let reaper = tokio::spawn(pool::reap(pool.clone(), settings.pool_min, settings.pool_idle));
        let nobody = super::store::hash_password(b"")?;
        let (llm, query) = (Llm::new(&settings), settings.query);
        let shared = Shared { pool, tokens: Tokens::default(), llm, waits: Waits::default(), query, nobody };
        Ok(Self { shared: Arc::new(shared), reaper, telemetry: Some(Telemetry::start(spans_to)) })
    }

    /// Serves until `stopped` says so or its sender is gone; open requests get `farewell`.
    pub(super) async fn serve(mut self, listener: TcpListener, stopped: oneshot::Receiver<()>, farewell: Duration) {
        let Some((telemetry, exporter)) = self.telemetry.take() else { return };
        let router = router(Arc::clone(&self.shared), telemetry);
        let listener = listener.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let (asked, leave) = oneshot::channel::<()>();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = stopped.await;
            drop(asked);
        });
        let serving = serving.into_future();
        tokio::pin!(serving);
        tokio::select! {
            _ = &mut serving => return,
            _ = leave => {}
        }
        // With it goes the last who records.
        let _ = tokio::time::timeout(farewell, serving).await;
        exporter.finish().await;
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.reaper.abort();
        self.shared.pool.close();
    }
}

// === helpers ===

impl Shared {
    /// A connection of the pool; the wait is measured.
    async fn connection(&self) -> Result<deadpool_postgres::Object, ApiError> {
        let since = tokio::time::Instant::now();
        let got = telemetry::acquiring(self.pool.get()).await;
        let waited = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.waits.count.fetch_add(1, Ordering::Relaxed);
        self.waits.microseconds.fetch_add(waited, Ordering::Relaxed);
        Ok(got?)
    }
}

fn router(shared: Arc<Shared>, telemetry: Telemetry) -> Router {
    Router::new()
        .route("/auth/v1/token", post(auth::token))
        .route("/auth/v1/signup", post(auth::signup))
        .route("/api/user/profile", get(auth::profile))
        .route("/api/llm/chat", post(chat::chat))
        .route("/api/chats/{id}", delete(chat::delete))
        .route("/api/llm/stats", get(stats))
        .route("/api/llm/health", get(health))
        .route("/healthz", get(health))
        .route("/admin/pool", put(pool::resize))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(axum::middleware::from_fn_with_state(telemetry, telemetry::serve))
        .with_state(shared)
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let pool = shared.pool.status();
    let calls = shared.llm.calls();
    Json(json!({
        "requests": calls.requests,
        "cacheHits": calls.cache_hits,
        "togetherAI": { "requests": calls.requests.saturating_sub(calls.cache_hits), "failures": calls.failures },
        "pool": {
            "max": pool.max_size,
            "used": pool.size.saturating_sub(pool.available),
            "pending": pool.waiting,
            "waits": shared.waits.count.load(Ordering::Relaxed),
            "waitedMs": shared.waits.microseconds.load(Ordering::Relaxed) / 1_000,
        },
    }))
}
