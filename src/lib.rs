//! pacecar plays the tenants of a multi-tenant API at a controlled rate, measures every
//! request on two clocks, judges the run, and deletes the rows that it caused.
//!
//! This crate has two halves.
//!
//! | feature | what it brings | for whom |
//! |---|---|---|
//! | *(none)* | [`middleware`]: tower layers; [`semconv`]: names and codecs | an API that wants to know pacecar's traffic from real traffic |
//! | `limit`, `auth`, `deadpool-postgres`, `runtime` | more of [`middleware`] | the same |
//! | `engine` | everything that makes load and judges it | the sidecar, and tests that embed a run |
//!
//! ARCHITECTURE.md has the map of the house and who may import whom.

pub mod middleware;
pub mod semconv;

#[cfg(feature = "engine")]
pub mod cleanup;
#[cfg(feature = "engine")]
pub mod client;
#[cfg(feature = "engine")]
pub mod correlate;
#[cfg(feature = "engine")]
pub mod export;
#[cfg(feature = "engine")]
pub mod guard;
#[cfg(feature = "engine")]
pub mod judge;
#[cfg(feature = "engine")]
pub mod load;
#[cfg(feature = "engine")]
pub mod measure;
#[cfg(feature = "engine")]
pub mod plan;
#[cfg(feature = "engine")]
mod postgres;
#[cfg(feature = "engine")]
pub mod report;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
pub mod stats;
#[cfg(feature = "engine")]
mod tls;
#[cfg(feature = "engine")]
pub mod tune;
#[cfg(feature = "engine")]
pub mod workflow;
