//! `scenarios:`: k6's executors with k6's parameter names.

use super::Text;
use crate::plan::span::{Span, Spanned};
use std::time::Duration;

/// One executor with its parameters.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: Text,
    /// Where it stands.
    pub span: Span,
    /// What starts its iterations.
    pub executor: Executor,
    /// How long after the start of the run it begins. Default 0.
    pub start_time: Duration,
    /// How long running iterations get at the end. Default 30 s.
    pub graceful_stop: Duration,
    /// Variables of this scenario, over those of `-e`: `{{ env.NAME }}` in its steps.
    pub env: Vec<(Text, Text)>,
    /// Tags of all its samples.
    pub tags: Vec<(Text, Text)>,
    /// The workflow it runs; without one it draws by weight.
    pub exec: Option<Text>,
}

/// Decides when iterations start.
#[derive(Clone, Debug)]
pub enum Executor {
    /// `iterations` shared by `vus`.
    SharedIterations {
        /// Default 1.
        vus: Spanned<u32>,
        /// Default 1.
        iterations: Spanned<u64>,
        /// Default 10 min.
        max_duration: Duration,
    },
    /// `iterations` for each of `vus`.
    PerVuIterations {
        /// Default 1.
        vus: Spanned<u32>,
        /// Default 1.
        iterations: Spanned<u64>,
        /// Default 10 min.
        max_duration: Duration,
    },
    /// `vus` VUs iterate for `duration`.
    ConstantVus {
        /// Default 1.
        vus: Spanned<u32>,
        /// None where the plan does not say: endless, for a canary only.
        duration: Option<Duration>,
    },
    /// The number of VUs follows `stages`.
    RampingVus {
        /// Default 1.
        start_vus: Spanned<u32>,
        /// At least one.
        stages: Vec<Stage>,
        /// Default 30 s.
        graceful_ramp_down: Duration,
    },
    /// `rate` iterations start per `time_unit`.
    ConstantArrivalRate {
        /// Iterations per time unit.
        rate: Spanned<f64>,
        /// Default 1 s.
        time_unit: Duration,
        /// None: endless, for a canary only.
        duration: Option<Duration>,
        /// Who serves the arrivals.
        vus: ArrivalVus,
        /// How they are spaced.
        arrivals: Arrivals,
    },
    /// The arrival rate follows `stages`.
    RampingArrivalRate {
        /// Iterations per time unit at the start. Default 0.
        start_rate: Spanned<f64>,
        /// Default 1 s.
        time_unit: Duration,
        /// At least one.
        stages: Vec<Stage>,
        /// Who serves the arrivals.
        vus: ArrivalVus,
        /// How they are spaced.
        arrivals: Arrivals,
    },
    /// The number of VUs is set from outside.
    ExternallyControlled {
        /// Default 1.
        vus: Spanned<u32>,
        /// Default: `vus`.
        max_vus: Spanned<u32>,
        /// 0: until it is stopped. None where the plan does not say, as in a canary's.
        duration: Option<Duration>,
    },
}

/// Who serves the arrivals of an open model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivalVus {
    /// VUs made before the start.
    pub pre_allocated: Spanned<u32>,
    /// The most VUs; default: `pre_allocated`.
    pub max: Spanned<u32>,
}

/// How the arrivals of an open model are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// As a Poisson process.
    Poisson,
}

/// A linear change to `target` over `duration`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// How long; 0 jumps.
    pub duration: Duration,
    /// Where it ends: VUs, or iterations per time unit.
    pub target: Spanned<f64>,
}

// === impl Scenario ===

impl Scenario {
    /// What a canary's plan without scenarios runs: an iteration a second, called `default`.
    #[must_use]
    pub fn one_a_second() -> Self {
        Self {
            executor: Executor::ConstantArrivalRate {
                rate: Spanned::nowhere(1.0),
                time_unit: Duration::from_secs(1),
                duration: None,
                vus: ArrivalVus { pre_allocated: Spanned::nowhere(1), max: Spanned::nowhere(10) },
                arrivals: Arrivals::Constant,
            },
            ..Self::single_iteration()
        }
    }

    /// What a plan without scenarios runs, as in k6: one iteration of one VU, called `default`.
    #[must_use]
    pub fn single_iteration() -> Self {
        Self {
            name: Spanned::nowhere("default".to_owned()),
            span: Span::NONE,
            executor: Executor::SharedIterations {
                vus: Spanned::nowhere(1),
                iterations: Spanned::nowhere(1),
                max_duration: Duration::from_secs(600),
            },
            start_time: Duration::ZERO,
            graceful_stop: Duration::from_secs(30),
            env: Vec::new(),
            tags: Vec::new(),
            exec: None,
        }
    }
}
