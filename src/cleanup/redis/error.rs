//! Why keys in Redis are not deleted, or not all.

use crate::cleanup::outcome::RefusalKind;
use redis::{ErrorKind, RedisError, ServerErrorKind};
use std::time::Duration;

/// What Redis or its driver said, in one line: the driver's errors repeat what is behind them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Said(RedisError);

/// Why cleanup of Redis does not start, or did not finish. No text of it holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum RedisRefusal {
    /// No connection in time.
    #[error("cannot connect to Redis within {0:?}")]
    ConnectTimeout(Duration),
    /// No connection.
    #[error("cannot connect to Redis")]
    Connect(#[source] Said),
    /// It lets nobody in like this.
    #[error("Redis does not take the user or password of `url`")]
    Login(#[source] Said),
    /// A replica takes no writes, or loses them.
    #[error("this Redis is a replica")]
    Replica,
    /// A cluster spreads keys over servers.
    #[error("this Redis is part of a cluster, whose keys lie on many servers: clusters do not work yet")]
    Cluster,
    /// A right is missing.
    #[error("this user may not {operation} there")]
    MissingRight {
        /// What was asked.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Said,
    },
    /// More than is allowed.
    #[error("the pattern `{pattern}` matches more keys than `max_keys` of {max_keys}")]
    MaxKeys {
        /// As the plan writes it.
        pattern: String,
        /// What is allowed.
        max_keys: u64,
    },
    /// What came back was not asked for.
    #[error("Redis handed back a key that `{0}` does not match; nothing of that answer was deleted")]
    Foreign(String),
    /// Too slow.
    #[error("Redis did not {operation} within {limit:?}")]
    Timeout {
        /// What was asked.
        operation: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It said no.
    #[error("Redis could not {operation}")]
    Server {
        /// What was asked.
        operation: &'static str,
        /// What it said.
        #[source]
        source: Said,
    },
    /// Keys stay, though nothing keeps them.
    #[error("keys are still there after {rounds} rounds")]
    StillThere {
        /// How often it was tried.
        rounds: u32,
    },
}

// === impl RedisRefusal ===

impl RedisRefusal {
    /// What an answer to `operation` that is an error means.
    pub(super) fn of(operation: &'static str, limit: Duration, source: RedisError) -> Self {
        match source.kind() {
            ErrorKind::AuthenticationFailed => Self::Login(Said(source)),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::MissingRight { operation, source: Said(source) },
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Replica,
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot) => {
                Self::Cluster
            }
            _ if matches!(source.code(), Some("WRONGPASS" | "NOAUTH")) => Self::Login(Said(source)),
            _ if source.is_timeout() => Self::Timeout { operation, limit },
            _ => Self::Server { operation, source: Said(source) },
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::MaxKeys { .. } | Self::Foreign(_) => RefusalKind::Guard,
            Self::ConnectTimeout(_)
            | Self::Connect(_)
            | Self::Login(_)
            | Self::Replica
            | Self::Cluster
            | Self::MissingRight { .. }
            | Self::Timeout { .. }
            | Self::Server { .. }
            | Self::StillThere { .. } => RefusalKind::Unable,
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::ConnectTimeout(_) | Self::Connect(_) => {
                "look at the `url` of cleanup.redis, and whether the server runs and can be reached"
            }
            Self::Login(_) => "redis://USER:PASSWORD@HOST:PORT/DATABASE; without USER the default user is meant",
            Self::Replica => "let `url` name the primary",
            Self::Cluster => "leave cleanup.redis out, or let the API give its test keys a time to live",
            Self::MissingRight { .. } => "ACL SETUSER … +scan +unlink +info, and ~PREFIX* for the keys of `match`",
            Self::MaxKeys { .. } => "look at the pattern; where so many keys are right, raise `max_keys`",
            Self::Foreign(_) => "something between pacecar and Redis changes answers: do not delete through it",
            Self::Timeout { .. } => "the server is slow or has very many keys; a replica or a quieter hour may do",
            Self::Server { .. } => "what it said stands above; run `pacecar cleanup` again when that is mended",
            Self::StillThere { .. } => "new traffic keeps making keys; stop it, then run `pacecar cleanup` again",
        }
    }
}
