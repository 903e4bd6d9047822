//! Judges over simulated targets, whose truth is known, and over plans.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod breaking_point;
mod compiled;
mod drift;
mod recovery;

use super::figure::Course;
use crate::measure::threshold::Aggregation;
use crate::measure::{Contains, Timeline};
use crate::plan::MetricKind;
use crate::stats::series;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn seconds(at: f64) -> Duration {
    Duration::from_secs_f64(at.max(0.0))
}

/// A target that was observed: what went in, what came out.
struct Target {
    figure: Timeline,
    failed: Timeline,
    arrivals: Timeline,
    vus: Timeline,
    random: fastrand::Rng,
    end: Duration,
}

impl Target {
    fn new(seed: u64, end: u64) -> Self {
        Self {
            figure: Timeline::from_due(Vec::new()),
            failed: Timeline::new(MetricKind::Rate),
            arrivals: Timeline::from_due(Vec::new()),
            vus: Timeline::new(MetricKind::Gauge),
            random: fastrand::Rng::with_seed(seed),
            end: s(end),
        }
    }

    /// A request (and the iteration that it is) that was due at `due` s and took `took` ms. What does not end before the
    /// run does is cut off.
    fn request(&mut self, due: f64, took: f64, failed: bool) {
        let (from, at) = (seconds(due), seconds(due + took / 1e3));
        if at >= self.end {
            self.figure.cut_off(from, self.end);
            self.arrivals.cut_off(from, self.end);
            return;
        }
        self.figure.record(took, at);
        self.arrivals.record(took, at);
        self.failed.record(f64::from(u8::from(failed)), at);
    }

    /// A response time around `middle`: log-normal, p(95) about a third above it.
    fn around(&mut self, middle: f64) -> f64 {
        middle * (0.18 * series::normal(&mut self.random)).exp()
    }

    /// Requests at `rate` a second, each as `respond` has it: milliseconds (around which it lies), and the
    /// probability that it fails.
    fn serve(mut self, rate: f64, respond: impl Fn(f64) -> (f64, f64)) -> Self {
        let mut at = 0.0;
        while at < self.end.as_secs_f64() {
            let (middle, failing) = respond(at);
            let took = self.around(middle);
            let failed = self.random.f64() < failing;
            self.request(at, took, failed);
            at += series::exponential(&mut self.random) / rate;
        }
        self
    }

    fn course(&self) -> Course<'_> {
        Course {
            stat: Aggregation::Percentile(95.0),
            contains: Contains::Time,
            is_failed: false,
            figure: &self.figure,
            failed: &self.failed,
            arrivals: &self.arrivals,
            vus: &self.vus,
            end: self.end,
        }
    }
}
