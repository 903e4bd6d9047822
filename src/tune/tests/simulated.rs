//! An API whose best pool size is known: it queues where the pool is too small, and its database slows where the pool
//! is too large.
//!
//! Requests arrive at a rate and each holds a connection for a while; the wait is that of Erlang's C formula, its p95
//! has a closed form. The noise is of the size that was measured on a quiet machine: p95 of sixteen identical runs
//! ranged 2.2-fold. Part of it drifts from trial to trial, part belongs to the arrivals (the same for all trials of a
//! block), the rest to the single trial, more where the pool is nearly full, and one trial in thirty-three is disturbed.

use crate::measure::threshold::Operator;
use crate::measure::trend::Quantile;
use crate::stats::normal;
use crate::tune::{
    Budget, Constraint, ConstraintValue, Hold, Incidents, Knob, Measured, Next, Objective, Order, Outcome, Phase,
    RunTrial, Setting, Terms, Trial, next,
};
use std::time::Duration;

/// What is true of the API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    /// Requests that hold a connection, per second.
    pub(super) rate: f64,
    /// How long one holds it, in ms, where nobody is in its way.
    pub(super) service_ms: f64,
    /// Up to this size the database does not slow.
    pub(super) room: f64,
    /// How much it slows with each connection past that, as a share.
    pub(super) slowing: f64,
}

/// How trials of the same setting differ, as standard deviations of the logarithm of p95.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    /// Of the drift, and how much of it is left after one trial.
    pub(super) drift: (f64, f64),
    /// Of what the arrivals bring.
    pub(super) arrivals: f64,
    /// Of the single trial.
    pub(super) single: f64,
}

/// The API under trial.
pub(super) struct Simulated {
    pub(super) api: Api,
    pub(super) noise: Noise,
    pub(super) random: fastrand::Rng,
    pub(super) drift: f64,
    /// Sizes with which it does not start.
    pub(super) broken: Vec<f64>,
    /// Sizes that lose connections at more load.
    pub(super) weak: Vec<f64>,
    /// The trial, by its place, that the generator spoils.
    pub(super) spoiled: Vec<usize>,
    pub(super) made: usize,
    /// What other knobs do to p95.
    pub(super) others: fn(&Setting) -> f64,
}

/// No difference anywhere: what one connection bears, five do too.
pub(super) const FLAT: Api = Api { rate: 1.0, service_ms: 45.0, room: 99.0, slowing: 0.0 };
/// As it was measured.
pub(super) const MEASURED: Noise = Noise { drift: (0.22, 0.9), arrivals: 0.10, single: 0.12 };
/// All of the same size, and all of it the single trial's: nothing for a block to take out.
pub(super) const HARSH: Noise = Noise { drift: (0.0, 0.0), arrivals: 0.0, single: 0.22 };
/// A trial that is disturbed takes longer by up to this factor.
const DISTURBED: f64 = 1.6;
const DISTURBED_SHARE: f64 = 0.03;
const TRIAL: Duration = Duration::from_secs(30);

// === impl Api ===

impl Api {
    /// An API drawn by lot: its queue ends at 4, 8 or 16 connections, and beyond its database slows a little or much.
    /// Such as are on the edge of what the plan allows are left out: there no answer is right.
    pub(super) fn drawn(random: &mut fastrand::Rng, sizes: &[f64]) -> Self {
        loop {
            let busy = 1.5 + 8.0 * random.f64();
            let rate = 40.0 + 160.0 * random.f64();
            let room = 4.0 + 16.0 * random.f64();
            let api = Self { rate, service_ms: 1000.0 * busy / rate, room, slowing: 0.01 + 0.03 * random.f64() };
            if sizes.iter().all(|size| !(0.72..0.88).contains(&api.utilization(*size))) {
                return api;
            }
        }
    }

    /// Connections in use on average, were there enough of them.
    fn busy(&self, size: f64) -> f64 {
        self.rate * self.service(size) / 1000.0
    }

    fn service(&self, size: f64) -> f64 {
        self.service_ms * (1.0 + self.slowing * (size - self.room).max(0.0))
    }

    /// The true utilisation, 0 to 1.
    pub(super) fn utilization(&self, size: f64) -> f64 {
        (self.busy(size) / size).min(1.0)
    }

    /// The true p95 in ms: exponential service, Erlang's wait; past saturation the backlog of a trial.
    pub(super) fn p95(&self, size: f64) -> f64 {
        let (busy, service) = (self.busy(size), self.service(size));
        let own = service * 20.0_f64.ln();
        if busy >= size * 0.995 {
            return own + TRIAL.as_secs_f64() * 1000.0 * (1.0 - size / busy).max(0.05);
        }
        let waits = erlang_c(size, busy);
        own + if waits > 0.05 { (waits / 0.05).ln() * service / (size - busy) } else { 0.0 }
    }

    pub(super) fn passes(&self, size: f64) -> bool {
        self.utilization(size) < 0.8
    }

    /// The sizes that it is right to recommend: those passing ones that are the smallest within some margin between
    /// 10 % and 25 % of the best, which is what the search promises.
    pub(super) fn right(&self, sizes: &[f64]) -> Vec<f64> {
        let passing: Vec<f64> = sizes.iter().copied().filter(|size| self.passes(*size)).collect();
        let best = passing.iter().map(|size| self.p95(*size)).fold(f64::INFINITY, f64::min);
        let within = |margin: f64| passing.iter().copied().find(|size| self.p95(*size) <= best * (1.0 + margin));
        let mut right: Vec<f64> = (10..=25).filter_map(|percent| within(f64::from(percent) / 100.0)).collect();
        right.dedup();
        right
    }
}

/// The share of requests that wait for one of `size` connections of which `busy` are in use on average.
fn erlang_c(size: f64, busy: f64) -> f64 {
    // Erlang's B by its recursion, then C.
    let blocked = (1..=size as u32).fold(1.0, |b, n| busy * b / (f64::from(n) + busy * b));
    blocked / (1.0 - busy / size * (1.0 - blocked))
}

// === impl Simulated ===

impl Simulated {
    pub(super) fn new(api: Api, noise: Noise, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let drift = noise.drift.0 * gauss(&mut random);
        Self {
            api,
            noise,
            random,
            drift,
            broken: Vec::new(),
            weak: Vec::new(),
            spoiled: Vec::new(),
            made: 0,
            others: |_| 1.0,
        }
    }

    pub(super) fn trial(&mut self, order: &Order) -> Trial {
        let size: f64 = order.setting.get("POOL").and_then(|size| size.parse().ok()).unwrap_or(f64::NAN);
        let (sd, left) = self.noise.drift;
        self.drift = left * self.drift + sd * (1.0 - left * left).sqrt() * gauss(&mut self.random);
        let arrivals = self.noise.arrivals * gauss(&mut fastrand::Rng::with_seed(order.seed));
        let full = 1.0 + 2.0 * self.api.utilization(size).powi(8);
        let single = self.noise.single * full * gauss(&mut self.random);
        let disturbed = self.random.f64() < DISTURBED_SHARE;
        let disturbance = if disturbed { 1.0 + (DISTURBED - 1.0) * self.random.f64() } else { 1.0 };
        let p95 =
            (self.others)(&order.setting) * self.api.p95(size) * (self.drift + arrivals + single).exp() * disturbance;
        let utilization = (self.api.utilization(size) * (1.0 + 0.03 * gauss(&mut self.random))).min(1.0);
        let resets = u64::from(order.phase == Phase::Hold && self.weak.contains(&size)) * 12;
        let spoiled = self.spoiled.contains(&self.made);
        self.made += 1;
        let value = |name: &str, value: f64| ConstraintValue { name: name.into(), value: Some(value), of: None };
        let requests = (self.api.rate * order.factor * order.duration.as_secs_f64()) as u64;
        let measured = Measured {
            objective: Quantile { value: p95, censored: false },
            p95,
            constraints: vec![value("pool_utilization", utilization), value("connection_reset", 0.0)],
            utilization: Some(utilization),
            requests,
            throughput: self.api.rate * order.factor,
            incidents: Incidents { resets, ..Incidents::default() },
            invalid: if spoiled { vec!["lag p(99) was 80 ms".into()] } else { Vec::new() },
            ..Measured::default()
        };
        let result = if self.broken.contains(&size) {
            Err(crate::tune::Failure::NotReady { within: Duration::from_secs(20), last: "503".into() })
        } else {
            Ok(measured)
        };
        Trial { order: order.clone(), result, took: order.warmup + order.duration + Duration::from_secs(2) }
    }

    /// Until the search is done.
    pub(super) fn run(&mut self, terms: &Terms) -> (Outcome, Vec<Trial>) {
        let mut trials = Vec::new();
        loop {
            match next(terms, &trials) {
                Next::Done(outcome) => return (*outcome, trials),
                Next::Run(order) => trials.push(self.trial(&order)),
            }
        }
    }
}

impl RunTrial for Simulated {
    async fn run(&mut self, order: &Order) -> Option<Trial> {
        Some(self.trial(order))
    }
}

/// The pool's sizes tried, one of them today's, with the budget of the documentation.
pub(super) fn terms(sizes: &[f64], original: Option<f64>, seed: u64) -> Terms {
    Terms {
        knobs: vec![Knob { name: "POOL".into(), values: sizes.iter().map(ToString::to_string).collect() }],
        original: original.map(pool),
        infeasible: Vec::new(),
        objective: Objective { metric: "http_req_response_time".into(), stat: "p(95)".into() },
        constraints: vec![
            Constraint { name: "pool_utilization".into(), operator: Operator::Less, bound: 0.8 },
            Constraint { name: "connection_reset".into(), operator: Operator::Equal, bound: 0.0 },
        ],
        warmup: Duration::from_secs(5),
        duration: TRIAL,
        hold: Some(Hold { factor: 2.0, duration: Duration::from_secs(60) }),
        budget: Budget { trials: 60, time: Duration::from_secs(3600) },
        seed,
    }
}

pub(super) fn pool(size: f64) -> Setting {
    [("POOL", size.to_string())].into_iter().collect()
}

fn gauss(random: &mut fastrand::Rng) -> f64 {
    normal::quantile(random.f64().clamp(1e-12, 1.0 - 1e-12))
}
