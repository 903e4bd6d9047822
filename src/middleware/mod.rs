//! What an API embeds: tower layers that know pacecar's requests from real ones.
//!
//! ```text
//! SyntheticLayer   recognises synthetic requests, marks their span, answers Server-Timing
//! YieldLayer       under pressure turns them away first: 503, Retry-After, a marker
//! LimitLayer       a ceiling on them by tenant (feature `limit`)
//! InFlightLayer    counts what is in flight, measures the wait in the queue
//! your handlers
//! ```
//!
//! In this order, the outermost first; each is of use alone, but what yields and what limits needs to be told by
//! [`SyntheticLayer`] what is synthetic. All are generic over bodies, so they go around axum's routers, hyper's and
//! tonic's services alike. A real request costs no allocation.
//!
//! | feature | what it adds |
//! |---|---|
//! | `limit` | `LimitLayer` |
//! | `auth` | `SyntheticLayer::secret`: who counts as synthetic must know a shared secret |
//! | `deadpool-postgres` | `pool`: the waits and metrics of a pool, transactions of synthetic requests |
//! | `runtime` | `runtime`: metrics of tokio's runtime |

mod clock;
pub mod in_flight;
#[cfg(feature = "limit")]
pub mod limit;
#[cfg(feature = "deadpool-postgres")]
pub mod pool;
mod pressure;
mod recognise;
#[cfg(feature = "runtime")]
pub mod runtime;
mod scope;
mod shed;
pub mod synthetic;
#[cfg(test)]
mod tests;
pub mod yielding;

pub use in_flight::{Accepted, InFlight, InFlightBody, InFlightLayer, InFlightService};
#[cfg(feature = "limit")]
pub use limit::{LimitLayer, LimitService};
pub use pressure::Pressure;
pub use recognise::Synthetic;
pub use shed::ResponseFuture as ShedFuture;
pub use synthetic::{SyntheticLayer, SyntheticService};
pub use yielding::{YieldLayer, YieldService};
