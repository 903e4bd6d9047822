//! The API's pool of connections, with the settings that its users know from Node, and its size set while it runs.

use super::Shared;
use super::error::ApiError;
use super::settings::ApiSettings;
use crate::demo::store::StoreError;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use serde::Deserialize;
use serde_json::{Value, json};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::NoTls;

/// How long a new connection may take.
const CREATE: Duration = Duration::from_secs(5);

/// Makes the pool; opens nothing yet.
pub(super) fn open(url: &str, settings: &ApiSettings) -> Result<Pool, StoreError> {
    let mut config: tokio_postgres::Config = url.trim().parse().map_err(|_| StoreError::Url)?;
    config.application_name("api").connect_timeout(CREATE);
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let wait = (!settings.pool_wait.is_zero()).then_some(settings.pool_wait);
    Pool::builder(Manager::from_config(config, NoTls, manager))
        .max_size(settings.pool_max.get())
        .wait_timeout(wait)
        .create_timeout(Some(CREATE))
        .recycle_timeout(Some(CREATE))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|_| StoreError::Url)
}

/// Opens the first connections, so that the first requests do not pay for them.
pub(super) async fn warm(pool: &Pool, connections: usize) {
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        match pool.get().await {
            Ok(connection) => held.push(connection),
            // The first request will say what is wrong.
            Err(_) => break,
        }
    }
}

/// What `PUT /admin/pool` takes.
#[derive(Deserialize)]
struct Size {
    max: NonZeroUsize,
}

/// The largest pool.
const MOST: usize = 10_000;

/// `PUT /admin/pool`: another size, from now on. Whoever can reach the API may do it: the API is there to be tried on, and
/// listens on loopback.
pub(super) async fn resize(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let Size { max } = super::auth::read(body)?;
    if max.get() > MOST {
        return Err(ApiError::Invalid("`max` is at most 10000"));
    }
    shared.pool.resize(max.get());
    // Its connections are there when it says so: whoever measures next does not measure their making.
    warm(&shared.pool, max.get()).await;
    Ok(Json(json!({ "max": shared.pool.status().max_size })))
}

/// Closes what was idle for longer than `idle`, down to `keep`. Ends when it is aborted.
pub(super) async fn reap(pool: Pool, keep: usize, idle: Duration) {
    if idle.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval(idle.max(Duration::from_millis(20)) / 2);
    loop {
        ticks.tick().await;
        let mut spare = pool.status().size.saturating_sub(keep);
        pool.retain(|_, metrics| {
            let goes = spare > 0 && metrics.last_used() >= idle;
            spare -= usize::from(goes);
            !goes
        });
    }
}
