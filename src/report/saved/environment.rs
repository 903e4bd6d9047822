//! On what a run was played: enough to tell two machines apart, and nothing that names one.

use serde::{Deserialize, Serialize};

/// On what a run was played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// `linux`.
    pub os: String,
    /// The kernel's release.
    pub kernel: String,
    /// `x86_64`.
    pub arch: String,
    /// Cores that the process could use.
    pub cores: u32,
    /// Threads that made the load.
    pub workers: u32,
    /// The version of pacecar.
    pub pacecar: String,
}

// === impl Environment ===

impl Environment {
    /// This machine, with so many threads that make load.
    #[must_use]
    pub fn here(workers: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self {
            os: std::env::consts::OS.to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            workers,
            pacecar: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}
