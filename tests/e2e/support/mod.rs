//! What the tests stand on: the program, plans, a database, the sample API, a hostile server.

pub(crate) mod api;
pub(crate) mod apiserver;
pub(crate) mod arrivals;
pub(crate) mod cable;
pub(crate) mod cluster;
pub(crate) mod guardian;
pub(crate) mod hostile;
pub(crate) mod http;
pub(crate) mod influxdb;
pub(crate) mod json;
pub(crate) mod otlp;
pub(crate) mod plan;
pub(crate) mod pooled;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod shelf;

pub(crate) use hostile::{Mode, Server};
pub(crate) use plan::PlanFile;
pub(crate) use program::{Ended, Pacecar, Running};

use std::path::PathBuf;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
