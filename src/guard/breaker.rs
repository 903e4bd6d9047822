//! The circuit breaker of `pause_when`: when traffic pauses, when one iteration tries, when it goes on.
//!
//! A condition trips when it holds over a whole window. The pause lasts while it holds, and every now
//! and then one iteration is let through as a probe: where what came since no longer holds the
//! condition, the pause is over. Without a sample there is no pause, so it is over, too, where even
//! the probe brought none. Then windows begin anew, so that
//! what was before the pause does not trip it again.
//!
//! Pure: it is told the time and the figures once a second, and answers what to do.

use super::condition::Condition;
use super::window::{Slice, Window};
use crate::measure::{Probe, Reading};
use std::time::Duration;

/// How much of the shortest tripped window goes by between two probes.
const SHARE: u32 = 3;
/// The least and the most between two probes.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(10);
/// How long after its end was seen a probe's last figures are here: by the next look.
const HANDED_OVER: Duration = Duration::from_millis(500);
/// How long a probe may be under way before another may try.
const LONGEST: Duration = Duration::from_secs(120);

/// Watches conditions.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    watched: Vec<Watched>,
    trying: Trying,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// Traffic pauses, or stays paused, for this reason.
    Pause(String),
    /// It stays paused for this reason, and one iteration is let through.
    Try(String),
    /// Traffic goes on.
    Resume,
}

#[derive(Clone, Debug)]
struct Watched {
    condition: Condition,
    window: Window,
    /// When its window began to fill: it trips only when it is full.
    since: Duration,
    /// The figure for which traffic pauses.
    tripped: Option<f64>,
    /// What came since the probe was let through.
    tried: Option<Slice>,
}

/// How far the probe is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trying {
    #[default]
    Not,
    /// From then on the next may go.
    NotBefore(Duration),
    /// Since then one may go, or is under way.
    Since(Duration),
    /// It was over then.
    Over(Duration),
}

// === impl Breaker ===

impl Breaker {
    /// Watches these conditions, from 0 on.
    #[must_use]
    pub fn new(conditions: Vec<Condition>) -> Self {
        let watch = |condition: Condition| Watched {
            window: Window::new(condition.over),
            condition,
            since: Duration::ZERO,
            tripped: None,
            tried: None,
        };
        Self { watched: conditions.into_iter().map(watch).collect(), trying: Trying::Not }
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Looks at all series `at` a time since the load's start, once a second. `read` gives a series' whole so far, and
    /// of a gauge its latest value where the reading is another; `probe` is what became of the one that was let
    /// through; `alone`: nobody else holds the traffic, so that a probe can go.
    pub fn look(
        &mut self,
        at: Duration,
        mut read: impl FnMut(&Condition) -> Option<(Reading, Option<f64>)>,
        probe: Probe,
        alone: bool,
    ) -> Move {
        for watched in &mut self.watched {
            if let Some((reading, latest)) = read(&watched.condition) {
                let new = watched.window.look(at, reading, latest);
                if let Some(tried) = &mut watched.tried {
                    tried.add(&new);
                }
            }
        }
        let paused = self.is_tripped();
        for watched in &mut self.watched {
            watched.judge(at, alone);
        }
        if !self.is_tripped() {
            return if paused { self.resume(at) } else { Move::Stay };
        }
        if !paused {
            self.trying = self.next(at);
        }
        self.step(at, probe, alone)
    }

    /// The reason of now; none where traffic goes.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let tripped = self.watched.iter().filter_map(|watched| Some(watched.condition.reason(watched.tripped?)));
        let reasons: Vec<_> = tripped.collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    fn is_tripped(&self) -> bool {
        self.watched.iter().any(|watched| watched.tripped.is_some())
    }

    /// Moves the probe on.
    fn step(&mut self, at: Duration, probe: Probe, alone: bool) -> Move {
        match (self.trying, probe) {
            (Trying::Since(_), Probe::Over) => self.trying = Trying::Over(at),
            // It was called back, because somebody else holds the traffic too.
            (Trying::Since(_), Probe::None) => self.trying = self.next(at),
            (Trying::Since(since), Probe::UnderWay(_)) if at.saturating_sub(since) > LONGEST => {
                self.trying = self.next(at);
            }
            (Trying::Over(over), _) if at.saturating_sub(over) >= HANDED_OVER => {
                for watched in &mut self.watched {
                    watched.judge_probe(at);
                }
                if !self.is_tripped() {
                    return self.resume(at);
                }
                self.trying = self.next(at);
            }
            _ => {}
        }
        let reason = self.reason().unwrap_or_default();
        match self.trying {
            Trying::NotBefore(then) if at >= then && alone => {
                self.trying = Trying::Since(at);
                for watched in &mut self.watched {
                    watched.tried = watched.window.nothing();
                }
                Move::Try(reason)
            }
            _ => Move::Pause(reason),
        }
    }

    fn next(&self, at: Duration) -> Trying {
        let tripped = self.watched.iter().filter(|watched| watched.tripped.is_some());
        let shortest = tripped.map(|watched| watched.condition.over).min().unwrap_or(MOST);
        Trying::NotBefore(at + (shortest / SHARE).clamp(LEAST, MOST))
    }

    fn resume(&mut self, at: Duration) -> Move {
        self.trying = Trying::Not;
        for watched in &mut self.watched {
            watched.window.clear();
            (watched.since, watched.tripped, watched.tried) = (at, None, None);
        }
        Move::Resume
    }
}

// === impl Watched ===

impl Watched {
    /// Judges the window. Where a probe `can_go`, what it brings is waited for.
    fn judge(&mut self, at: Duration, can_go: bool) {
        let figure = self.window.figure(at, self.condition.expression.aggregation);
        self.tripped = match (self.tripped, figure) {
            (Some(before), None) => can_go.then_some(before),
            (Some(_), Some(figure)) => self.condition.holds(figure).then_some(figure),
            (None, Some(figure)) => {
                let full = at.saturating_sub(self.since) >= self.condition.over;
                (full && self.condition.holds(figure)).then_some(figure)
            }
            (None, None) => None,
        };
    }

    /// Judges what came since the probe was let through; where that is nothing, the window says.
    fn judge_probe(&mut self, at: Duration) {
        let Condition { expression, over, .. } = &self.condition;
        let brought = self.tried.take().and_then(|tried| tried.figure(expression.aggregation, *over));
        let figure = brought.or_else(|| self.window.figure(at, expression.aggregation));
        if !figure.is_some_and(|figure| self.condition.holds(figure)) {
            self.tripped = None;
        }
    }
}

#[cfg(test)]
mod tests;
