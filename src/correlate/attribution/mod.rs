//! Where the time of one request went: plain data in, plain data out.
//!
//! The spans that an API recorded for a request become a tree below its server span; the critical path through the
//! tree (CRISP, Zhang et al., USENIX ATC 2022: from the child that returned last back through those that ended before
//! it began) says which of them the answer waited for, and each stretch of it is one kind of waiting. What lies
//! between client and server span is the network's. Everything is counted in whole nanoseconds, so that the parts add
//! up to what the client saw, exactly; nothing is counted twice, and what has no evidence is nobody's.

mod classify;
mod path;
mod server_timing;
#[cfg(test)]
mod tests;
mod tree;

pub use classify::classify;
pub use server_timing::by_server_timing;

use crate::semconv::SpanId;
use std::ops::{Index, IndexMut};

/// What a request waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Between the client and the server span.
    Network,
    /// At the server, before the handler began.
    ServerQueue,
    /// For a connection of the pool.
    PoolWait,
    /// For a new connection to the database.
    Connect,
    /// For the database.
    Db,
    /// For whoever else the API asked: a language model, another service.
    Upstream,
    /// For the API's own work.
    App,
    /// For something that no span tells of.
    Unexplained,
}

/// The parts of a request in nanoseconds. They add up to its total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts([u64; Part::ALL.len()]);

/// What the client saw of a request, or of one hop of it. Times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The client span.
    pub span: SpanId,
    /// When the first byte was about to be sent, since the Unix epoch, on the client's clock.
    pub start: i64,
    /// k6's sending.
    pub sending: u64,
    /// k6's waiting.
    pub waiting: u64,
    /// k6's receiving.
    pub receiving: u64,
    /// What must be taken from the server's clock to get the client's, as far as that is known.
    pub offset: i64,
    /// How long the way to the server takes at its fastest, from the first byte sent; none where nobody knows.
    pub way: Option<u64>,
    /// Whether the server is on this machine, so that no network can have held the request up.
    pub local: bool,
    /// Whether all spans that came are there: where some were thrown away, the API's own time is unexplained.
    pub complete: bool,
}

/// A span, as far as attribution looks at it. Times in nanoseconds since the Unix epoch, on its service's clock.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Itself.
    pub id: SpanId,
    /// Its parent.
    pub parent: Option<SpanId>,
    /// Whose clock it is on: a number of the service.
    pub service: u16,
    /// What it stands for.
    pub role: Role,
    /// When it began.
    pub start: i64,
    /// When it ended.
    pub end: i64,
}

/// What a span stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers a request.
    Server {
        /// How long the request waited before, where the server says so; in nanoseconds.
        queued: u64,
    },
    /// Waits before the handler.
    Queue,
    /// A framework's middleware or handler: the request is being worked on.
    Handler,
    /// Waits for a connection of a pool; opening one may be in it.
    Pool,
    /// Opens a connection to a database.
    Connect,
    /// Asks a database.
    Db,
    /// Asks somebody else.
    Upstream,
    /// Anything else within a process.
    Internal,
}

/// Where the time of one request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The parts.
    pub parts: Parts,
    /// The server span: its place among the spans that were given.
    pub server: usize,
    /// Whether clocks had to be put right beyond what was known of them.
    pub skewed: bool,
    /// Spans that ended after the answer: nothing waited for them.
    pub detached: usize,
}

/// The largest excess before the server span that is still the network's: a millisecond is the resolution of Node's
/// starts, and a scheduler's turn is a few.
const WAY_SLACK: u64 = 5_000_000;
/// How many times the fastest way the excess must be.
const WAY_FACTOR: u64 = 4;

/// Attributes a request to its spans; none where there is no span that could be the server's.
#[must_use]
pub fn attribute(call: &Call, spans: &[Span]) -> Option<Attribution> {
    let tree = tree::Tree::build(call, spans)?;
    let (from, to) = tree.window();
    let mut parts = path::walk(&tree);
    let outside = call.total().saturating_sub(u64::try_from(to - from).unwrap_or(0));
    parts[if tree.parent_missing { Part::Unexplained } else { Part::Network }] += outside;
    if !tree.parent_missing {
        // What the server says itself of the time before goes first; it may have counted from within its span.
        let queued = tree.queued;
        let before = parts.shift(Part::Network, Part::ServerQueue, queued);
        parts.shift(Part::App, Part::ServerQueue, queued - before);
        if queued == 0
            && let Some(way) = call.way
        {
            let arrived = call.sending.max(way);
            let excess = u64::try_from(from).unwrap_or(0).saturating_sub(arrived);
            if excess >= WAY_SLACK.max(way.saturating_mul(WAY_FACTOR)) {
                // Between two hosts a lost packet takes as long as a server that is busy: nobody knows which it was.
                let waited = if call.local { Part::ServerQueue } else { Part::Unexplained };
                parts.shift(Part::Network, waited, excess);
            }
        }
    }
    if !call.complete {
        parts.shift(Part::App, Part::Unexplained, u64::MAX);
    }
    Some(Attribution { parts, server: tree.root, skewed: tree.skewed, detached: tree.detached })
}

// === impl Part ===

impl Part {
    /// All parts, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::ServerQueue,
        Self::PoolWait,
        Self::Connect,
        Self::Db,
        Self::Upstream,
        Self::App,
        Self::Unexplained,
    ];

    /// Its key in the summary.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::ServerQueue => "server_queue",
            Self::PoolWait => "pool_wait",
            Self::Connect => "connect",
            Self::Db => "db",
            Self::Upstream => "upstream",
            Self::App => "app",
            Self::Unexplained => "unexplained",
        }
    }
}

// === impl Parts ===

impl Parts {
    /// All of them together: the request's total.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every part with its nanoseconds.
    pub fn iter(&self) -> impl Iterator<Item = (Part, u64)> + '_ {
        Part::ALL.into_iter().zip(self.0)
    }

    /// Moves up to so much from one part to another. Answers how much there was.
    pub(crate) fn shift(&mut self, from: Part, to: Part, most: u64) -> u64 {
        let moved = self[from].min(most);
        self[from] -= moved;
        self[to] += moved;
        moved
    }
}

impl Index<Part> for Parts {
    type Output = u64;

    fn index(&self, part: Part) -> &u64 {
        &self.0[part as usize]
    }
}

impl IndexMut<Part> for Parts {
    fn index_mut(&mut self, part: Part) -> &mut u64 {
        &mut self.0[part as usize]
    }
}

// === impl Call ===

impl Call {
    /// k6's `http_req_duration`.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.sending.saturating_add(self.waiting).saturating_add(self.receiving)
    }

    /// The total, as a place on the time axis.
    pub(crate) fn end(&self) -> i64 {
        i64::try_from(self.total()).unwrap_or(i64::MAX)
    }
}
