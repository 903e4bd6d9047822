//! Who looks: sources of a plan that are polled while a run lives.
//!
//! Each is a task of its own on the control runtime with one look at a time, each look bounded in time and size. One
//! that fails is asked again less and less often, told once, and absent from the result; nothing waits for it.

mod compile;
mod fetch;
mod json;
mod poll;
mod postgres;
mod redis;
mod scrape;

pub use compile::{SourcesPlan, compile};

use super::timelines::Told;
use json::Json;
use poll::poll;
use postgres::Postgres;
use redis::Redis;
use scrape::Scrape;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Sources that look. Dropped, they end at once.
#[derive(Debug)]
pub struct Sources {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// How long sources may take to say farewell, all together.
const FAREWELL: Duration = Duration::from_secs(3);

// === impl SourcesPlan ===

impl SourcesPlan {
    /// Begins to look; what is learned goes to `told`.
    #[must_use]
    pub fn start(&self, told: &mpsc::Sender<Told>) -> Sources {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for json in &self.json {
            tasks.spawn(poll(Json::new(json), json.every, told.clone(), stopped.clone()));
        }
        if let Some(scrape) = &self.scrape {
            tasks.spawn(poll(Scrape::new(scrape), scrape.every, told.clone(), stopped.clone()));
        }
        if let Some(postgres) = &self.postgres {
            tasks.spawn(poll(Postgres::new(postgres), postgres.every, told.clone(), stopped.clone()));
        }
        if let Some(redis) = &self.redis {
            tasks.spawn(poll(Redis::new(redis), redis.every, told.clone(), stopped.clone()));
        }
        Sources { tasks, stop }
    }
}

// === impl Sources ===

impl Sources {
    /// Ends the looking; a source that has a last word gets a moment for it.
    pub async fn finish(mut self) {
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }
}
