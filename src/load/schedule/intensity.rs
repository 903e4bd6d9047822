//! An arrival rate over time, piecewise linear, and its exact integral and inverse.
//!
//! The integral up to `t` is how many arrivals are due by then; its inverse says when the
//! n-th is. Even spacing asks for whole numbers, a Poisson process for the partial sums of
//! exponential steps (a change of time), so both are exact over ramps, and fractions carry
//! over from stage to stage.

use std::sync::Arc;
use std::time::Duration;

/// Arrivals per nanosecond over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    pieces: Arc<[Piece]>,
    end: Option<Duration>,
}

/// A linear piece. Jumps leave none behind.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// Nanoseconds from the scenario's start.
    start: f64,
    /// Nanoseconds; infinite for the last piece of an endless rate.
    length: f64,
    /// Arrivals per nanosecond where it starts and ends.
    from: f64,
    to: f64,
    /// The integral up to its start.
    before: f64,
}

/// The integral is summed in floats: a whole number may come out short by this share.
const ROUNDING: f64 = 1e-9;

impl Intensity {
    /// `rate` arrivals per `unit`, for `duration` or without an end.
    #[must_use]
    pub fn constant(rate: f64, unit: Duration, duration: Option<Duration>) -> Self {
        let rate = rate / nanos(unit);
        let length = duration.map_or(f64::INFINITY, nanos);
        let piece = Piece { start: 0.0, length, from: rate, to: rate, before: 0.0 };
        Self { pieces: Arc::from([piece]), end: duration }
    }

    /// From `start` arrivals per `unit` linearly to each stage's target over its duration; 0 jumps.
    #[must_use]
    pub fn ramping(start: f64, unit: Duration, stages: &[(Duration, f64)]) -> Self {
        let unit = nanos(unit);
        let (mut at, mut from, mut before) = (Duration::ZERO, start, 0.0);
        let mut pieces = Vec::with_capacity(stages.len());
        for (duration, target) in stages {
            if !duration.is_zero() {
                let length = nanos(*duration);
                pieces.push(Piece { start: nanos(at), length, from: from / unit, to: target / unit, before });
                // Multiplied first: whole targets and durations then give a whole number where there is one.
                before += length * (from + target) / 2.0 / unit;
                at += *duration;
            }
            from = *target;
        }
        Self { pieces: pieces.into(), end: Some(at) }
    }

    /// The same, and the last stage's target from then on, without an end.
    #[must_use]
    pub fn ramping_held(start: f64, unit: Duration, stages: &[(Duration, f64)]) -> Self {
        let ramp = Self::ramping(start, unit, stages);
        let rate = stages.last().map_or(start, |(_, target)| *target) / nanos(unit);
        let held = Piece {
            start: ramp.end.map_or(0.0, nanos),
            length: f64::INFINITY,
            from: rate,
            to: rate,
            before: ramp.total(),
        };
        Self { pieces: ramp.pieces.iter().copied().chain([held]).collect(), end: None }
    }

    /// When it ends; none where it does not.
    #[must_use]
    pub const fn end(&self) -> Option<Duration> {
        self.end
    }

    /// Arrivals per second at `at`.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> f64 {
        let at = nanos(at);
        let piece = self.pieces.iter().rev().find(|piece| piece.start <= at);
        piece.map_or(0.0, |piece| {
            let share = if piece.length.is_finite() { (at - piece.start) / piece.length } else { 0.0 };
            if share > 1.0 { 0.0 } else { (piece.from + (piece.to - piece.from) * share) * 1e9 }
        })
    }

    /// The highest rate, arrivals per second.
    #[must_use]
    pub fn peak_rate(&self) -> f64 {
        self.pieces.iter().fold(0.0, |peak: f64, piece| peak.max(piece.from).max(piece.to)) * 1e9
    }

    /// How many arrivals are due in all; infinite without an end.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| piece.before + piece.area())
    }

    /// How many arrivals are due by `at`, fractions included: the integral up to then.
    #[must_use]
    pub fn area_by(&self, at: Duration) -> f64 {
        let at = nanos(at);
        let piece = self.pieces.iter().rev().find(|piece| piece.start <= at);
        piece.map_or(0.0, |piece| {
            let into = (at - piece.start).min(piece.length);
            let slope = if piece.length.is_finite() { (piece.to - piece.from) / piece.length } else { 0.0 };
            piece.before + into * (piece.from + slope * into / 2.0)
        })
    }

    /// When the integral reaches `area`; none where it never does. `hint` is the piece to
    /// look in first and is moved on: whoever asks in rising order never looks back.
    pub(super) fn reaches(&self, area: f64, hint: &mut usize) -> Option<Duration> {
        while let Some(piece) = self.pieces.get(*hint) {
            let within = area - piece.before;
            let all = piece.area();
            if all > 0.0 && within <= all + ROUNDING * area.max(1.0) {
                return Some(Duration::from_nanos(
                    (piece.start + piece.time_of(within).min(piece.length)).round() as u64
                ));
            }
            *hint += 1;
        }
        None
    }
}

impl Piece {
    fn area(&self) -> f64 {
        if self.from == 0.0 && self.to == 0.0 { 0.0 } else { self.length * (self.from + self.to) / 2.0 }
    }

    /// How long into the piece `area` has come together: the positive root of
    /// `from·t + (to − from)/(2·length)·t² = area`, in the form that does not cancel.
    fn time_of(&self, area: f64) -> f64 {
        let area = area.max(0.0);
        if area == 0.0 {
            return 0.0;
        }
        if self.from == self.to {
            return area / self.from;
        }
        let slope = (self.to - self.from) / self.length;
        // The rate that is reached, squared; on the way down told from the end, where from the start would cancel.
        let squared = if slope > 0.0 {
            self.from * self.from + 2.0 * slope * area
        } else {
            self.to * self.to - 2.0 * slope * (self.area() - area)
        };
        2.0 * area / (self.from + squared.max(0.0).sqrt())
    }
}

/// Nanoseconds as a float: exact up to 104 days, within 1 µs over centuries.
fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}
