//! OTLP in: over HTTP (protobuf and JSON) and over gRPC, for traces, metrics and logs.
//!
//! The API sends here what it would send to its collector. What belongs to this run is read and handed to what
//! joins; everything goes on to the real collector. Whoever sends is not trusted: every size, time and count is
//! bounded, and what is not understood is refused, counted and forgotten.
//!
//! gRPC is three unary methods over HTTP/2: they are framed here by hand. tonic would bring axum's router,
//! tower's balancers and generated services, and would decode each message into structs before anybody could
//! look at it as bytes.

mod attributes;
mod body;
mod grpc;
mod http1;
mod intake;
mod listen;
mod points;
mod spans;
mod stats;
mod status;
mod take;

#[cfg(test)]
mod tests;

pub use intake::{Batch, Incoming, Outgoing, intake};
pub use listen::{Bound, Receiver, ReceiverConfig, ReceiverError};
pub use stats::ReceiverStats;
pub use take::{Taken, Taker};
