//! How the values of knobs are set: the ways that need nothing of the rest of the house.
//!
//! A request is sent by the client of the run, so the way `http`, and the question whether something is ready, are
//! composed in `run`.

pub mod command;
pub mod guardian;
pub mod kubernetes;
mod output;

pub use command::{Base, CommandError, Hook, Service};
pub use guardian::Guardian;
pub use output::Secrets;
