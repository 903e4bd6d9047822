//! The spans of one request as a tree below its server span, on the client's clock.
//!
//! What comes over the network need not be a tree: parents are missing, ids lead in circles, clocks differ between
//! hosts, children outlive their parents. Here all of that is put right, or left out, once; the path then walks over
//! windows that lie within each other.

use super::{Call, Role, Span};
use crate::semconv::SpanId;

/// The spans of one request below its server span. Times are nanoseconds from the call's start.
pub(super) struct Tree {
    /// The server span's place among the spans.
    pub(super) root: usize,
    /// Of each span: its window, what it is, what is below it. Those that are left out are nobody's child.
    pub(super) nodes: Vec<Node>,
    /// Whether a span between the client's and the server's is missing.
    pub(super) parent_missing: bool,
    /// How long the server says that the request had waited.
    pub(super) queued: u64,
    /// Whether clocks had to be put right.
    pub(super) skewed: bool,
    /// How many spans ended after the answer.
    pub(super) detached: usize,
}

/// One span.
pub(super) struct Node {
    pub(super) role: Role,
    pub(super) foreign: bool,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) children: Vec<usize>,
}

/// How far a child may stick out of its parent and still be within it: starts are whole milliseconds in some SDKs,
/// and two spans of one process may have been begun on two timers.
pub(super) const TOLERANCE: i64 = 2_000_000;

/// Times beyond this many nanoseconds (73 years) from the call are nonsense, and taken to be there: what is added to
/// them afterwards stays within 64 bits.
const FARTHEST: i64 = 1 << 61;

/// How far the head may be off for an answer to count as one that went on after the server span's end.
const STREAM_SLACK: i64 = 5_000_000;

// === impl Tree ===

impl Tree {
    pub(super) fn build(call: &Call, spans: &[Span]) -> Option<Self> {
        let mut ids: Vec<(SpanId, usize)> = spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
        ids.sort_unstable_by_key(|(id, at)| (id.0, *at));
        let find = |id: SpanId| {
            let first = ids.partition_point(|(known, _)| known.0 < id.0);
            ids.get(first).filter(|(known, _)| *known == id).map(|(_, at)| *at)
        };
        let (root, parent_missing) = root(call, spans, &find)?;
        let mut nodes: Vec<Node> = spans
            .iter()
            .map(|span| Node {
                role: span.role,
                foreign: span.service != spans[root].service,
                start: near(span.start.saturating_sub(call.start)),
                end: near(span.end.max(span.start).saturating_sub(call.start)),
                children: Vec::new(),
            })
            .collect();
        let queued = match spans[root].role {
            Role::Server { queued } => queued,
            _ => 0,
        };
        let order = order(spans, root, &find);
        let mut tree = Self { root, nodes: Vec::new(), parent_missing, queued, skewed: false, detached: 0 };
        tree.skewed = put_clocks_right(call, spans, root, &order, &mut nodes);
        tree.nodes = nodes;
        tree.clamp_root(call, &order);
        tree.hang(&order);
        Some(tree)
    }

    /// The server span's window: within the client's, and as long as the answer was being made.
    pub(super) fn window(&self) -> (i64, i64) {
        self.nodes.get(self.root).map_or((0, 0), |node| (node.start, node.end))
    }

    /// A server span may end with the answer's head while its children still make the body.
    fn clamp_root(&mut self, call: &Call, order: &[(usize, usize)]) {
        let total = call.end();
        let receiving = i64::try_from(call.receiving).unwrap_or(i64::MAX);
        let (start, mut end) = self.window();
        if end + STREAM_SLACK >= total - receiving {
            let more = order.iter().filter_map(|(at, _)| self.nodes.get(*at)).map(|node| node.end);
            let streamed = more.filter(|more| *more <= total + TOLERANCE && *more - end <= receiving).max();
            end = end.max(streamed.unwrap_or(end));
        }
        let start = start.clamp(0, total);
        if let Some(node) = self.nodes.get_mut(self.root) {
            (node.start, node.end) = (start, end.clamp(start, total));
        }
    }

    /// Hangs each span below the nearest of its ancestors that it does not outlive. Who outlives the server span was
    /// not waited for, with all that is below it.
    fn hang(&mut self, order: &[(usize, usize)]) {
        let (from, to) = self.window();
        // Of each span: below which it hangs; itself where it is left out.
        let mut above: Vec<usize> = (0..self.nodes.len()).collect();
        for (at, parent) in order {
            let (start, end) = (self.nodes[*at].start, self.nodes[*at].end);
            let left_out = *parent != self.root && above[*parent] == *parent;
            if end > to + TOLERANCE {
                self.detached += 1;
                continue;
            }
            if left_out || start >= to || (end <= from && start < from) {
                continue;
            }
            let mut below = *parent;
            while below != self.root && end > self.nodes[below].end + TOLERANCE {
                below = above[below];
            }
            above[*at] = below;
            self.nodes[below].children.push(*at);
        }
    }
}

/// The server span: the outermost that answers the client span. Where that one is missing, the longest without a
/// parent, and `true`.
fn root(call: &Call, spans: &[Span], find: &impl Fn(SpanId) -> Option<usize>) -> Option<(usize, bool)> {
    let rank = |at: &usize| {
        let span = &spans[*at];
        let answers = matches!(span.role, Role::Server { .. } | Role::Queue);
        (answers, span.end - span.start, std::cmp::Reverse(span.start))
    };
    let answering = (0..spans.len()).filter(|at| spans[*at].parent == Some(call.span)).max_by_key(rank);
    if let Some(at) = answering {
        return Some((at, false));
    }
    let orphan = |at: &usize| {
        let span = &spans[*at];
        matches!(span.role, Role::Server { .. }) && span.parent.is_none_or(|parent| find(parent).is_none())
    };
    (0..spans.len()).filter(orphan).max_by_key(rank).map(|at| (at, true))
}

/// All spans but the root, each behind its parent, with the parent. What has no parent among them hangs at the root;
/// what leads in circles is left out.
fn order(spans: &[Span], root: usize, find: &impl Fn(SpanId) -> Option<usize>) -> Vec<(usize, usize)> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    for (at, span) in spans.iter().enumerate().filter(|(at, _)| *at != root) {
        let parent = span.parent.and_then(find).filter(|parent| *parent != at).unwrap_or(root);
        below[parent].push(at);
    }
    let mut order = Vec::with_capacity(spans.len());
    let mut seen = vec![false; spans.len()];
    seen[root] = true;
    let mut next = vec![root];
    while let Some(parent) = next.pop() {
        for at in std::mem::take(&mut below[parent]) {
            if !std::mem::replace(&mut seen[at], true) {
                order.push((at, parent));
                next.push(at);
            }
        }
    }
    order
}

/// Moves the spans of each service by what its clock is off. The server span must lie within what the client saw, and
/// the span that answers a call to another service within that call; where it does not, it is put into the middle, as
/// NTP would. Answers whether anything had to be moved that way.
fn put_clocks_right(call: &Call, spans: &[Span], root: usize, order: &[(usize, usize)], nodes: &mut [Node]) -> bool {
    let mut moved = vec![0_i64; spans.len()];
    let mut skewed = false;
    let mut centre = |node: &Node, offset: i64, (from, to): (i64, i64)| {
        // What other requests told of the clock; then, for one of them may have been wrong, the clock as it is.
        for offset in [offset, 0] {
            if node.start - offset >= from - TOLERANCE && node.end - offset <= to + TOLERANCE {
                return offset;
            }
        }
        skewed = true;
        let (length, room) = (node.end - node.start, to - from);
        let wished = if length <= room { from + (room - length) / 2 } else { from };
        near(node.start - wished)
    };
    if let Some(node) = nodes.get(root) {
        moved[root] = centre(node, near(call.offset), (0, near(call.end())));
    }
    for (at, parent) in order {
        let same = spans[*at].service == spans[*parent].service;
        let answers = spans[*parent].role == Role::Upstream && matches!(spans[*at].role, Role::Server { .. });
        moved[*at] = if !same && answers {
            let of = |time: i64| near(time - moved[*parent]);
            let window = (of(nodes[*parent].start), of(nodes[*parent].end));
            centre(&nodes[*at], 0, window)
        } else if same {
            moved[*parent]
        } else {
            0
        };
    }
    for (node, moved) in nodes.iter_mut().zip(moved) {
        node.start = near(node.start - moved);
        node.end = near(node.end - moved);
    }
    skewed
}

/// A time from the call, within what can be reckoned with.
fn near(time: i64) -> i64 {
    time.clamp(-FARTHEST, FARTHEST)
}
