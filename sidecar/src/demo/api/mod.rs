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
mod telemetry;
mod tokens;

pub(super) use settings::ApiSettings;
pub(crate) use settings::SettingError;

use super::store::StoreError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{delete, get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use error::ApiError;
use llm::Llm;
use pacecar::middleware::pool::{Connection, Pool};
use pacecar::middleware::{InFlightLayer, LimitLayer, SyntheticLayer, YieldLayer};
use pacecar::semconv::Secret;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
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
    /// How long a profile's query takes in the database.
    query: Duration,
    /// A hash that no password fits: an unknown user costs the same time as a wrong password.
    nobody: String,
}

/// The API, ready to serve.
pub(super) struct Api {
    shared: Arc<Shared>,
    settings: ApiSettings,
    /// Who proves that he knows it counts as synthetic; without one, who says so.
    secret: Option<Secret>,
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
        let secret = Secret::from_env().map_err(StoreError::Secret)?;
        let pool = pool::open(database_url, &settings)?;
        pool::warm(&pool, settings.pool_min).await;
        let reaper = tokio::spawn(pool::reap(pool.clone(), settings.pool_min, settings.pool_idle));
        let nobody = super::store::hash_password(b"")?;
        let (llm, query) = (Llm::new(&settings), settings.query);
        let shared = Shared { pool, tokens: Tokens::default(), llm, query, nobody };
        let telemetry = Some(Telemetry::start(spans_to));
        Ok(Self { shared: Arc::new(shared), settings, secret, reaper, telemetry })
    }

    /// Serves until `stopped` says so or its sender is gone; open requests get `farewell`.
    pub(super) async fn serve(mut self, listener: TcpListener, stopped: oneshot::Receiver<()>, farewell: Duration) {
        let Some((telemetry, exporter)) = self.telemetry.take() else { return };
        let router =
            layered(router(Arc::clone(&self.shared), telemetry), &self.shared.pool, &self.settings, self.secret.take());
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
        self.shared.pool.inner().close();
    }
}

// === helpers ===

impl Shared {
    /// A connection of the pool, which measures the wait.
    async fn connection(&self) -> Result<Connection, ApiError> {
        Ok(telemetry::acquiring(self.pool.get()).await?)
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
        .route("/admin/pool", get(pool_size).put(resize_pool))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(axum::middleware::from_fn_with_state(telemetry, telemetry::serve))
        .with_state(shared)
}

/// What an API that embeds pacecar puts around its router, the outermost last.
fn layered(router: Router, pool: &Pool, settings: &ApiSettings, secret: Option<Secret>) -> Router {
    let in_flight = InFlightLayer::new();
    let pressure = in_flight.in_flight();
    let limit = |setting: usize| if setting == 0 { usize::MAX } else { setting };
    let yielding = YieldLayer::new(pressure.above(limit(settings.yield_in_flight)))
        .or(pool.waiting_above(limit(settings.yield_pool_waiting)));
    let synthetic = secret.map_or_else(SyntheticLayer::new, |secret| SyntheticLayer::new().secret(secret));
    let router = router.layer(in_flight);
    let router = match settings.limit_per_tenant {
        Some(ceiling) => router.layer(LimitLayer::per_second(ceiling)),
        None => router,
    };
    router.layer(yielding).layer(synthetic)
}

/// `GET /admin/pool`
async fn pool_size(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({ "max": shared.pool.status().max }))
}

/// `PUT /admin/pool`: a knob that turns while the API serves. An API of yours has operators who may.
async fn resize_pool(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    #[derive(Deserialize)]
    struct Size {
        max: NonZeroUsize,
    }
    let Size { max } = auth::read(body)?;
    if max.get() > settings::POOL_MOST {
        return Err(ApiError::Invalid("max is more than the API can have"));
    }
    shared.pool.resize(max);
    // Its connections are there when it says so: who measures next does not measure their making.
    pool::warm(&shared.pool, max.get()).await;
    Ok(pool_size(State(shared)).await)
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn stats(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let (pool, waits) = (shared.pool.status(), shared.pool.waits());
    let calls = shared.llm.calls();
    Json(json!({
        "requests": calls.requests,
        "cacheHits": calls.cache_hits,
        "togetherAI": { "requests": calls.requests.saturating_sub(calls.cache_hits), "failures": calls.failures },
        "pool": {
            "max": pool.max,
            "used": pool.used,
            "pending": pool.waiting,
            "waits": waits.count,
            "waitedMs": u64::try_from(waits.total.as_millis()).unwrap_or(u64::MAX),
        },
    }))
}
