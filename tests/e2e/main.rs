//! End to end: the program `pacecar` as its users have it, driven through its command line
//! against the sample API on a real Postgres, and against a server that means harm.
//!
//! One binary for all of it, so that it is linked once. Nothing here looks inside: what is
//! read is exit codes, standard output and error, files, database rows, and what came in on
//! the wire.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::zombie_processes,
    reason = "a test says no by panicking; what outlives a test has its guardian"
)]

mod accounts;
mod arrivals;
mod budget;
mod canary;
mod clocks;
mod commands;
mod control;
mod correlate;
mod demo;
mod deploy;
mod docs;
mod faults;
mod fidelity;
mod flags;
mod guard;
mod judges;
mod kills;
mod leases;
mod ledger;
mod lifecycle;
mod middleware;
mod node;
mod outputs;
mod plans;
mod redis;
mod results;
mod secrets;
mod signals;
mod spans;
mod stores;
mod summary;
mod support;
mod sweeps;
mod tenants;
mod terminal;
mod timelines;
mod tune;
mod tune_kubernetes;
mod undo;
mod wire;
mod yields;
