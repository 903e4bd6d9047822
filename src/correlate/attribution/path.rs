//! The critical path through a tree of spans, and what each stretch of it was waiting for.
//!
//! From the end of a span back: whoever returned last was waited for; before it began, the one that had returned last
//! by then; where nobody was under way, the span itself was at work. Where children overlap, each instant belongs to
//! one of them.

use super::tree::{Node, Tree};
use super::{Part, Parts, Role};

/// How deep the tree is followed: past it a span counts with all that is below it.
const DEEPEST: usize = 64;

/// What is waited for in the window of the tree's root.
pub(super) fn walk(tree: &Tree) -> Parts {
    let mut parts = Parts::default();
    let (from, to) = tree.window();
    let Some(root) = tree.nodes.get(tree.root) else { return parts };
    // Before the first middleware or handler the framework had not begun: where there is one to tell.
    let handlers = root.children.iter().filter_map(|at| tree.nodes.get(*at));
    let begun = handlers.filter(|node| node.role == Role::Handler).map(|node| node.start).min();
    let class = if root.role == Role::Queue { Part::ServerQueue } else { Part::App };
    let mut walker = Walker { tree, parts: &mut parts, begun: begun.unwrap_or(from).clamp(from, to) };
    walker.follow(root, (from, to), class, 0);
    parts
}

struct Walker<'a> {
    tree: &'a Tree,
    parts: &'a mut Parts,
    /// When the first handler began; the window's start where nobody says.
    begun: i64,
}

// === impl Walker ===

impl Walker<'_> {
    /// Attributes a window of a span, whose own time is `class`.
    fn follow(&mut self, node: &Node, (from, to): (i64, i64), class: Part, depth: usize) {
        let mut cursor = to;
        let mut left: Vec<&Node> = Vec::new();
        if depth < DEEPEST {
            left.extend(node.children.iter().filter_map(|at| self.tree.nodes.get(*at)));
        }
        while cursor > from {
            left.retain(|child| child.start < cursor && child.end > from);
            // Of several that were under way the one that returned first had been waited for nearest.
            let last = left.iter().enumerate().max_by_key(|(_, child)| {
                (child.end.min(cursor), std::cmp::Reverse(child.end), std::cmp::Reverse(child.start))
            });
            let Some(at) = last.map(|(at, _)| at) else { break };
            let child = left.swap_remove(at);
            let window = (child.start.max(from), child.end.min(cursor));
            self.own(window.1, cursor, class, depth);
            if window.1 > window.0 {
                self.follow(child, window, below(class, child), depth + 1);
                cursor = window.0;
            } else {
                cursor = cursor.min(window.1);
            }
        }
        self.own(from, cursor, class, depth);
    }

    /// A span's own time from one instant to another.
    fn own(&mut self, from: i64, to: i64, class: Part, depth: usize) {
        if to <= from {
            return;
        }
        let before = if depth == 0 && class == Part::App { (to.min(self.begun) - from).max(0) } else { 0 };
        self.parts[Part::ServerQueue] += u64::try_from(before).unwrap_or(0);
        self.parts[class] += u64::try_from(to - from - before).unwrap_or(0);
    }
}

/// What a span's own time is, below one whose own time is `above`.
fn below(above: Part, child: &Node) -> Part {
    match child.role {
        Role::Pool => Part::PoolWait,
        Role::Connect => Part::Connect,
        Role::Db => Part::Db,
        Role::Queue => Part::ServerQueue,
        // A driver's own calls over the network are the database's.
        Role::Upstream if matches!(above, Part::Db | Part::PoolWait | Part::Connect) => above,
        Role::Upstream => Part::Upstream,
        // Behind a proxy's queue the work begins; another service's work is no work of the API's.
        Role::Server { .. } if child.foreign && above == Part::App => Part::Upstream,
        Role::Server { .. } | Role::Handler | Role::Internal if above == Part::ServerQueue => Part::App,
        Role::Server { .. } | Role::Handler | Role::Internal => above,
    }
}
