//! The API's pool of connections, with the settings that its users know from Node.

use super::settings::ApiSettings;
use crate::demo::store::StoreError;
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use pacecar::middleware::pool::Pool;
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
    let pool = deadpool_postgres::Pool::builder(Manager::from_config(config, NoTls, manager))
        .max_size(settings.pool_max.get())
        .wait_timeout(wait)
        .create_timeout(Some(CREATE))
        .recycle_timeout(Some(CREATE))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|_| StoreError::Url)?;
    Ok(Pool::new(pool, "api"))
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

/// Closes what was idle for longer than `idle`, down to `keep`. Ends when it is aborted.
pub(super) async fn reap(pool: Pool, keep: usize, idle: Duration) {
    if idle.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval(idle.max(Duration::from_millis(20)) / 2);
    loop {
        ticks.tick().await;
        let mut spare = pool.inner().status().size.saturating_sub(keep);
        pool.inner().retain(|_, metrics| {
            let goes = spare > 0 && metrics.last_used() >= idle;
            spare -= usize::from(goes);
            !goes
        });
    }
}
