//! What a run hands to the judge of its generator.

use super::compile::Compiled;
use super::resources;
use crate::judge::{ArrivalsInput, Fidelity, FidelityInput, Generator, Wanted, arrivals};
use crate::measure::Totals;
use std::time::Duration;

/// What the process used while something lasted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// CPU time.
    pub(super) cpu: Duration,
    /// How long its control group was denied the CPU.
    pub(super) throttled: Duration,
}

/// What the process had used when something began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    cpu: Duration,
    throttled: Option<Duration>,
}

// === impl Meter ===

impl Meter {
    pub(super) fn start() -> Self {
        Self { cpu: resources::cpu_time(), throttled: resources::throttled() }
    }

    pub(super) fn stop(self) -> Used {
        let throttled = self.throttled.zip(resources::throttled());
        Used {
            cpu: resources::cpu_time().saturating_sub(self.cpu),
            throttled: throttled.map_or(Duration::ZERO, |(before, after)| after.saturating_sub(before)),
        }
    }
}

// === impl Compiled ===

impl Compiled {
    /// Judges the generator of a run whose load lasted until `end`, from its start.
    pub(super) fn fidelity(&self, totals: &Totals, end: Duration, used: Used) -> Fidelity {
        let workers = self.workers.get() as f64;
        let mut input = FidelityInput::of(totals, end);
        input.cpu_seconds = resources::cpu_time().as_secs_f64();
        input.max_rss_bytes = resources::max_rss_bytes().unwrap_or(0);
        input.throttled = used.throttled;
        input.generator = Generator {
            lasted: totals.unpaused(end),
            cpu: used.cpu,
            cores: workers.min(std::thread::available_parallelism().map_or(workers, |cores| cores.get() as f64)),
            starved: totals.starved().div_f64(workers),
            open: self.load.scenarios().iter().any(|scenario| scenario.peak_rate().is_some()),
        };
        let scenarios = self.load.scenarios().iter().zip(&self.plan.scenarios);
        let judged = scenarios.filter(|(scenario, _)| scenario.peak_rate().is_some()).map(|(scenario, document)| {
            let begins = scenario.start_time();
            let expected = |at: Duration| scenario.expected_by(at.saturating_sub(begins)).unwrap_or(0.0);
            let counts = totals.iterations(Some(scenario.id()));
            arrivals(&ArrivalsInput {
                scenario: &document.name.value,
                wanted: if scenario.is_poisson() { Wanted::Poisson } else { Wanted::Constant },
                starts: &totals.starts(scenario.id()),
                expected: &expected,
                dropped: counts.dropped as f64 / counts.scheduled.max(1) as f64,
            })
        });
        let judged = judged.collect();
        Fidelity::judge_all(input, judged, self.stationarity.judge(totals, end))
    }
}
