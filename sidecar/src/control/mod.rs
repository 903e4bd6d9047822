//! The control address: k6's REST API, health, metrics and the live page of a run.
//!
//! It lives on a thread of its own at a low priority, with a runtime of its own. Of the run it has
//! a [`Handle`], which neither locks nor allocates anything a worker uses; whatever a client does
//! here costs this thread's time and nothing else.

mod access;
mod address;
pub(crate) mod client;
mod json;
mod metrics;
mod page;
mod routes;
mod server;
mod slos;
pub(crate) mod status;
#[cfg(test)]
mod tests;

pub(crate) use access::Token;
pub(crate) use address::{Address, AddressError, DEFAULT};
pub(crate) use server::Server;

use pacecar::run::Handle;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the routes know of the run.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) handle: Handle,
    /// Told when somebody stops the run: what lingers after its end ends then.
    pub(crate) stopped: Arc<Notify>,
}
