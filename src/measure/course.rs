//! The course of a run, step by step: how many requests, how many of them failed, how long they took.
//!
//! Nobody records it: it is put together from what the workers hand over anyway, each second, so a request costs what it
//! cost without. That makes it a second sharp, and so is what it is for: the eye. It exists where somebody asked for a
//! report or a result.

use super::histogram::Histogram;
use super::layout::{Layout, MetricId};
use super::recorder::Recorder;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A run over time, step by step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Course {
    /// A bin is so many seconds wide, a power of two.
    width_s: u64,
    steps: Vec<String>,
    /// With their places, rising; where nothing was handed over there is none.
    bins: Vec<(u64, Vec<CourseBin>)>,
}

/// What one step did in a bin of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CourseBin {
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// `http_req_duration` in ms.
    pub duration: Histogram,
}

const BINS: u64 = 300;
/// The most steps that are told apart; the last stands for all beyond.
const MOST_STEPS: usize = 50;
/// 32 buckets an octave, 2.2 % wide: more than an eye can see in a chart.
const SCALE: u8 = 5;
/// A handover holds what happened in the second before it; that is its middle.
const HALF: Duration = Duration::from_millis(500);
/// No run is longer.
const WIDEST: u64 = 1 << 24;

// === impl Course ===

impl Default for Course {
    fn default() -> Self {
        Self { width_s: 1, steps: Vec::new(), bins: Vec::new() }
    }
}

impl Course {
    /// Nothing yet, of a run with this layout.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        let mut course = Self::default();
        for site in layout.sites() {
            course.step(&site.tags.step);
        }
        course
    }

    /// Takes what a worker handed over `at`, from the run's start.
    pub fn take(&mut self, layout: &Layout, delta: &Recorder, at: Duration) {
        let cells = &delta.cells;
        let second = at.saturating_sub(HALF).as_secs();
        for (site, (def, [expected, unexpected])) in layout.sites().iter().zip(&cells.requests).enumerate() {
            if expected + unexpected == 0 {
                continue;
            }
            let step = self.step(&def.tags.step);
            let bin = self.bin(second, step);
            bin.requests += expected + unexpected;
            bin.failed += unexpected;
            for expected in [true, false] {
                let trend = cells.request_trend(site, expected, MetricId::HTTP_REQ_DURATION.index());
                trend.into_iter().for_each(|trend| bin.duration.merge(trend));
            }
        }
    }

    /// Adds what another worker did.
    pub fn merge(&mut self, other: &Self) {
        while self.width_s < other.width_s {
            self.double();
        }
        let steps: Vec<usize> = other.steps.iter().map(|step| self.step(step)).collect();
        for (place, bins) in &other.bins {
            for (bin, step) in bins.iter().zip(&steps) {
                self.bin(place * other.width_s, *step).merge(bin);
            }
        }
    }

    /// How wide a bin is.
    #[must_use]
    pub const fn width(&self) -> Duration {
        Duration::from_secs(self.width_s)
    }

    /// The steps, in the order of the plan.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// Each bin with when it begins: what each step did, in the order of [`steps`](Self::steps); it may be shorter.
    pub fn bins(&self) -> impl Iterator<Item = (Duration, &[CourseBin])> {
        self.bins.iter().map(|(place, bins)| (Duration::from_secs(place * self.width_s), bins.as_slice()))
    }

    /// Whether nothing happened.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// Whether it is one that could have been recorded: what comes from a file is not believed.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.width_s.is_power_of_two()
            && self.width_s <= WIDEST
            && self.steps.len() <= MOST_STEPS
            && self.bins.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.bins.iter().all(|(place, bins)| *place < BINS && bins.len() <= self.steps.len())
    }

    fn step(&mut self, name: &str) -> usize {
        self.steps.iter().position(|known| known == name).unwrap_or_else(|| {
            if self.steps.len() < MOST_STEPS {
                self.steps.push(name.to_owned());
            } else if let Some(last) = self.steps.last_mut() {
                "other".clone_into(last);
            }
            self.steps.len() - 1
        })
    }

    fn bin(&mut self, second: u64, step: usize) -> &mut CourseBin {
        while second / self.width_s >= BINS {
            self.double();
        }
        let place = second / self.width_s;
        let at = match self.bins.binary_search_by_key(&place, |(place, _)| *place) {
            Ok(at) => at,
            Err(at) => {
                self.bins.insert(at, (place, Vec::new()));
                at
            }
        };
        let bins = &mut self.bins[at].1;
        while bins.len() <= step {
            bins.push(CourseBin::default());
            bins.last_mut().into_iter().for_each(|bin| bin.duration.scale_down(SCALE));
        }
        &mut bins[step]
    }

    fn double(&mut self) {
        self.width_s *= 2;
        let mut joined: Vec<(u64, Vec<CourseBin>)> = Vec::with_capacity(self.bins.len());
        for (place, bins) in self.bins.drain(..) {
            match joined.last_mut() {
                Some((last, into)) if *last == place / 2 => {
                    for (at, bin) in bins.into_iter().enumerate() {
                        match into.get_mut(at) {
                            Some(known) => known.merge(&bin),
                            None => into.push(bin),
                        }
                    }
                }
                _ => joined.push((place / 2, bins)),
            }
        }
        self.bins = joined;
    }
}

// === impl CourseBin ===

impl CourseBin {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.duration.merge(&other.duration);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::measure::{LayoutBuilder, RecorderHandle, RequestSample, SiteTags, Timings};
    use tokio::time::Instant;

    fn requests(course: &Course) -> u64 {
        course.bins().flat_map(|(_, bins)| bins).map(|bin| bin.requests).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn what_workers_hand_over_stands_in_its_second_and_doubling_loses_nothing() {
        let mut layout = LayoutBuilder::new(Vec::new());
        let scenario = layout.scenario("main", &[]);
        let site = layout.site(scenario, SiteTags { step: "login".into(), ..SiteTags::default() }, 1.0);
        let (layout, start) = (layout.build(), Instant::now());
        let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
        let timings = Timings { waiting: Duration::from_millis(7), ..Timings::default() };
        let sample = RequestSample {
            due: start,
            ended: start,
            timings,
            status: 500,
            expected: false,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        };
        handle.request(site, &sample);
        let delta = handle.swap(Recorder::new(layout.clone(), start));
        let mut course = Course::new(&layout);
        course.take(&layout, &delta, Duration::from_millis(3_050));
        let (at, bins) = course.bins().next().unwrap();
        assert_eq!((at, bins[0].requests, bins[0].failed), (Duration::from_secs(2), 1, 1));
        assert_eq!(bins[0].duration.quantile(0.5), Some(7.0));
        for second in 0..1000 {
            course.take(&layout, &delta, Duration::from_secs(second) + HALF);
        }
        assert!(course.bins.len() <= 300 && course.is_sound(), "{}", course.bins.len());
        assert_eq!((requests(&course), course.width()), (1001, Duration::from_secs(4)));
        let again: Course = serde_json::from_str(&serde_json::to_string(&course).unwrap()).unwrap();
        let mut both = again.clone();
        both.merge(&course);
        assert_eq!((requests(&again), requests(&both)), (1001, 2002));
    }

    #[test]
    fn a_plan_of_very_many_steps_has_a_bound() {
        let mut course = Course::default();
        let steps: Vec<usize> = (0..200).map(|n| course.step(&format!("step{n}"))).collect();
        assert_eq!((course.steps.len(), steps[199]), (MOST_STEPS, MOST_STEPS - 1));
        assert_eq!(course.steps.last().map(String::as_str), Some("other"));
    }
}
