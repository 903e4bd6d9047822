//! Figures where people already look, while a run lives: k6's NDJSON, InfluxDB, Prometheus, OpenTelemetry.
//!
//! The reporter hands each batch that a worker recorded to every output; each output has a bounded queue and a thread
//! of lower priority. An output that is slow, full or gone loses points and counts them, and delays nothing.

mod error;
mod exports;
mod influxdb;
mod json;
mod news;
mod otlp;
mod output;
mod push;
mod queue;
mod remote;
mod series;
mod settings;
mod sink;
mod tags;

pub use error::OutputError;
pub use exports::{Exported, Exports, OutputFigures};
pub use influxdb::InfluxDb;
pub use json::JsonPlace;
pub use news::{Event, EventKind};
pub use otlp::Otlp;
pub use output::{Environment, Output, compile};
pub use remote::RemoteWrite;
