//! One connection to Redis, in which nothing can hang.

use super::compile::RedisPlan;
use super::error::RedisRefusal;
use super::pattern::Pattern;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, InfoDict, RedisError, cmd};
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long Redis may take for one answer. It answers one command after the other: a slow one of somebody else counts.
const ANSWER: Duration = Duration::from_secs(15);
/// About how many keys one SCAN looks at: below a millisecond of the server's one thread.
const COUNT: u32 = 1000;

/// A connection. Dropping it closes it.
pub(super) struct Session {
    connection: MultiplexedConnection,
}

// === impl Session ===

impl Session {
    /// Connects, at most 5 s, and looks whether it is a server to delete on.
    pub(super) async fn connect(plan: &RedisPlan) -> Result<Self, RedisRefusal> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let connecting = plan.client.get_multiplexed_async_connection_with_config(&config);
        let connection = match tokio::time::timeout(CONNECT, connecting).await {
            Err(_) => return Err(RedisRefusal::ConnectTimeout(CONNECT)),
            Ok(Err(error)) if error.is_timeout() => return Err(RedisRefusal::ConnectTimeout(CONNECT)),
            Ok(connected) => connected.map_err(|error| match RedisRefusal::of("connect", CONNECT, error) {
                RedisRefusal::Server { source, .. } => RedisRefusal::Connect(source),
                other => other,
            })?,
        };
        let mut this = Self { connection };
        this.look_at_server().await?;
        Ok(this)
    }

    /// One SCAN: the next cursor, 0 at the end, and keys, some perhaps more than once.
    pub(super) async fn scan(&mut self, pattern: &Pattern, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), RedisRefusal> {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern.filled()).arg("COUNT").arg(COUNT);
        let (next, keys): (u64, Vec<Vec<u8>>) = self.ask("SCAN", &scan).await?;
        if keys.iter().any(|key| !pattern.matches(key)) {
            return Err(RedisRefusal::Foreign(pattern.written().to_owned()));
        }
        Ok((next, keys))
    }

    /// Whether a key is there.
    pub(super) async fn exists(&mut self, key: &[u8]) -> Result<bool, RedisRefusal> {
        let mut exists = cmd("EXISTS");
        exists.arg(key);
        self.ask::<u64>("EXISTS", &exists).await.map(|count| count > 0)
    }

    /// Unlinks keys; says how many were there.
    pub(super) async fn unlink(&mut self, keys: &[Vec<u8>]) -> Result<u64, RedisRefusal> {
        let mut unlink = cmd("UNLINK");
        unlink.arg(keys);
        self.ask("UNLINK", &unlink).await
    }

    /// Asks whether this user may unlink a key, without unlinking one.
    ///
    /// Rights are judged when a command is queued, and DISCARD forgets the queue. Who may not use transactions is
    /// asked with a key that nobody has.
    pub(super) async fn may_unlink(&mut self, pattern: &Pattern) -> Result<(), RedisRefusal> {
        let mut unlink = cmd("UNLINK");
        unlink.arg(pattern.prefix());
        if self.query::<()>(&cmd("MULTI")).await.is_ok() {
            let queued = self.query::<redis::Value>(&unlink).await;
            let _ = self.query::<()>(&cmd("DISCARD")).await;
            return queued.map(|_| ()).map_err(|error| RedisRefusal::of("UNLINK", ANSWER, error));
        }
        if pattern.is_exact() {
            return Ok(());
        }
        let mut nobodys = pattern.prefix().to_vec();
        nobodys.extend_from_slice(format!("pacecar-asks-{:016x}", fastrand::u64(..)).as_bytes());
        self.unlink(&[nobodys]).await.map(|_| ())
    }

    /// Refuses a replica and a cluster, where the server tells.
    async fn look_at_server(&mut self) -> Result<(), RedisRefusal> {
        match self.query::<InfoDict>(&cmd("INFO")).await {
            Ok(info) => {
                if matches!(info.get::<String>("role").as_deref(), Some("slave" | "replica")) {
                    return Err(RedisRefusal::Replica);
                }
                if info.get::<u8>("cluster_enabled") == Some(1) {
                    return Err(RedisRefusal::Cluster);
                }
                Ok(())
            }
            // Who may not ask learns it from UNLINK, which a replica and a cluster refuse.
            Err(error) if error.code() == Some("NOPERM") => Ok(()),
            Err(error) => Err(RedisRefusal::of("INFO", ANSWER, error)),
        }
    }

    async fn ask<T: FromRedisValue>(&mut self, operation: &'static str, command: &Cmd) -> Result<T, RedisRefusal> {
        self.query(command).await.map_err(|error| RedisRefusal::of(operation, ANSWER, error))
    }

    async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        command.query_async(&mut self.connection).await
    }
}
