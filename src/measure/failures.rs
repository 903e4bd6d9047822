//! What failed, and the traces of the last few of each kind: what a person looks up first.
//!
//! Told on the path of failures only, so a run that goes well pays nothing, and bounded: so many kinds, so many traces.

use super::layout::{CheckId, Layout, SiteId};
use super::outcome::FailureKind;
use crate::semconv::TraceId;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// There was no whole answer.
    Failure(FailureKind),
    /// The answer's status was not one that the step expects.
    Status(u16),
    /// Another check did not hold.
    Check(CheckId),
}

/// Requests of one step that went wrong alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureGroup {
    /// The scenario.
    pub scenario: String,
    /// The step.
    pub step: String,
    /// What went wrong: `status 500`, `connection reset by peer`, `login json`.
    pub what: String,
    /// How often.
    pub count: u64,
    /// The last few, the latest last.
    pub last: Vec<FailureExample>,
}

/// One request that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureExample {
    /// Its trace.
    pub trace: String,
    /// When it ended, from the run's start.
    #[serde(rename = "at_ms", with = "super::plain::ms")]
    pub at: Duration,
}

/// What was told of failures.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailureLog(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    site: SiteId,
    wrong: Wrong,
    count: u64,
    last: VecDeque<(Duration, TraceId)>,
}

/// The most kinds that are told apart: statuses are the target's to choose.
const MOST: usize = 128;
/// The most traces of each.
const TRACES: usize = 3;

// === impl FailureLog ===

impl FailureLog {
    pub(crate) fn add(&mut self, site: SiteId, wrong: Wrong, trace: TraceId, at: Duration) {
        if let Some(entry) = self.entry(site, wrong) {
            entry.count += 1;
            entry.keep(at, trace);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for theirs in &other.0 {
            if let Some(entry) = self.entry(theirs.site, theirs.wrong) {
                entry.count += theirs.count;
                theirs.last.iter().for_each(|(at, trace)| entry.keep(*at, *trace));
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// With names, the most frequent first.
    pub(crate) fn groups(&self, layout: &Layout) -> Vec<FailureGroup> {
        let named: Vec<FailureGroup> = self.0.iter().filter_map(|entry| entry.named(layout)).collect();
        let mut groups = Vec::new();
        // The same step of two workflows is one.
        merge_groups(&mut groups, &named);
        groups
    }

    /// None where there are too many kinds already.
    fn entry(&mut self, site: SiteId, wrong: Wrong) -> Option<&mut Entry> {
        let found = self.0.iter().position(|entry| entry.site == site && entry.wrong == wrong);
        if found.is_none() {
            if self.0.len() >= MOST {
                return None;
            }
            self.0.push(Entry { site, wrong, count: 0, last: VecDeque::new() });
        }
        let last = self.0.len().saturating_sub(1);
        self.0.get_mut(found.unwrap_or(last))
    }
}

// === impl Entry ===

impl Entry {
    /// Workers hand over in any order; the latest are kept.
    fn keep(&mut self, at: Duration, trace: TraceId) {
        let place = self.last.partition_point(|(known, _)| *known <= at);
        self.last.insert(place, (at, trace));
        if self.last.len() > TRACES {
            self.last.pop_front();
        }
    }

    fn named(&self, layout: &Layout) -> Option<FailureGroup> {
        let site = layout.sites().get(self.site.0 as usize)?;
        let scenario = layout.scenarios().get(usize::from(site.scenario.0))?;
        let what = match self.wrong {
            Wrong::Failure(kind) => kind.as_str().to_owned(),
            Wrong::Status(status) => format!("status {status}"),
            Wrong::Check(check) => layout.checks().get(check.0 as usize)?.name.clone(),
        };
        let last = self.last.iter().map(|(at, trace)| FailureExample { trace: trace.to_string(), at: *at });
        Some(FailureGroup {
            scenario: scenario.name.clone(),
            step: site.tags.step.clone(),
            what,
            count: self.count,
            last: last.collect(),
        })
    }
}

/// Adds groups of other workers: those that are alike become one.
pub(crate) fn merge_groups(into: &mut Vec<FailureGroup>, more: &[FailureGroup]) {
    for group in more {
        let room = into.len() < MOST;
        let same = |known: &&mut FailureGroup| {
            (&known.scenario, &known.step, &known.what) == (&group.scenario, &group.step, &group.what)
        };
        match into.iter_mut().find(same) {
            Some(known) => {
                known.count += group.count;
                known.last.extend(group.last.iter().cloned());
                known.last.sort_by_key(|example| example.at);
                let over = known.last.len().saturating_sub(TRACES);
                known.last.drain(..over);
            }
            None if room => into.push(group.clone()),
            None => {}
        }
    }
    into.sort_by_key(|group| std::cmp::Reverse(group.count));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::measure::{LayoutBuilder, SiteTags};
    use crate::semconv::RunId;

    #[test]
    fn the_last_few_of_each_kind_are_kept_whoever_saw_them() {
        let mut layout = LayoutBuilder::new(Vec::new());
        let scenario = layout.scenario("main", &[]);
        let site = layout.site(scenario, SiteTags { step: "login".into(), ..SiteTags::default() }, 1.0);
        let check = layout.check(site, "json");
        let layout = layout.build();
        let trace = |n| TraceId::of_run(RunId::new(1), n);
        let (mut one, mut other) = (FailureLog::default(), FailureLog::default());
        for n in 0..10 {
            let log = if n % 2 == 0 { &mut one } else { &mut other };
            log.add(site, Wrong::Status(500), trace(n), Duration::from_secs(n));
        }
        other.add(site, Wrong::Check(check), trace(99), Duration::from_secs(1));
        one.merge(&other);
        let groups = one.groups(&layout);
        let told: Vec<_> = groups.iter().map(|group| (group.what.as_str(), group.count)).collect();
        assert_eq!(told, [("status 500", 10), ("login json", 1)]);
        let last: Vec<_> = groups[0].last.iter().map(|example| example.at.as_secs()).collect();
        assert_eq!(last, [7, 8, 9]);
        let mut merged = groups.clone();
        merge_groups(&mut merged, &groups);
        assert_eq!((merged[0].count, merged[0].last.len(), merged.len()), (20, 3, 2));
    }

    #[test]
    fn a_target_that_invents_statuses_does_not_make_it_grow() {
        let mut log = FailureLog::default();
        for status in 0..1000 {
            log.add(SiteId(0), Wrong::Status(status), TraceId([1; 16]), Duration::ZERO);
        }
        assert_eq!(log.0.len(), MOST);
    }
}
