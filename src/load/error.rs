//! What can go wrong with the load itself. A target that fails is not an error here.

use thiserror::Error;

/// An error of whoever makes VUs.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why the load could not be played to its end.
#[derive(Debug, Error)]
pub enum LoadError {
    /// No thread, or no runtime on it.
    #[error("starting worker {worker}")]
    Start {
        /// Which, from 0.
        worker: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A worker's thread panicked.
    #[error("worker {worker} panicked: {message}")]
    WorkerPanicked {
        /// Which, from 0.
        worker: usize,
        /// What it said.
        message: String,
    },
    /// A VU could not be made.
    #[error("making a VU on worker {worker}")]
    MakeVu {
        /// Which worker, from 0.
        worker: usize,
        /// Why.
        source: BoxError,
    },
    /// A VU's task panicked.
    #[error("a VU on worker {worker} failed")]
    VuPanicked {
        /// Which worker, from 0.
        worker: usize,
        /// The panic.
        source: tokio::task::JoinError,
    },
}
