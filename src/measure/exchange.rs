//! What the client knows of one request, handed up beside the answer.

use super::outcome::{Proto, TlsVersion};
use super::timings::Timings;
use std::time::Duration;
use tokio::time::Instant;

/// What the client knows of one request. It stands in the extensions of the response
/// (`http::Extensions`), and in a [`super::Failure`]. A target without it (a router in the
/// same process) is timed by the workflow alone.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The phases up to the answer's head; `receiving` is the reader's to fill.
    pub timings: Timings,
    /// When the last hop was sent (its `sending` began), and when its answer's head arrived.
    pub head_at: Option<Instant>,
    /// Which HTTP.
    pub proto: Proto,
    /// Which TLS; none in clear text.
    pub tls: Option<TlsVersion>,
    /// Whether the request came back unsent on a reused connection and went once more on a fresh one.
    pub stale: bool,
    /// For how long the guard held it back (of the last hop): it was due later by as much.
    pub held: Duration,
    /// The redirects that were followed before this answer, in order. Empty nearly always.
    pub hops: Vec<Hop>,
}

/// A redirect that was followed: a request of its own in every count.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Its status: 301, 302, 303, 307, 308.
    pub status: u16,
    /// Its phases.
    pub timings: Timings,
    /// When it was due, that is, when the one before it had ended.
    pub due: Instant,
    /// For how long the guard held it back: it was due later by as much.
    pub held: Duration,
    /// When it ended.
    pub ended: Instant,
    /// Which HTTP.
    pub proto: Proto,
    /// Which TLS.
    pub tls: Option<TlsVersion>,
}
