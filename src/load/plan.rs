//! The load of a run as a value: what [`super::compile`] makes of the plan's scenarios.

use super::schedule::{Intensity, Segment, Spacing, Stripes, VuRamp};
use crate::measure::ScenarioId;
use std::time::Duration;

/// What one worker surely starts in a second: far below what it can, so that nothing waits for want of workers.
const A_WORKERS_RATE: f64 = 500.0;

/// The load of a run: its scenarios and the part of them that this machine plays.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub(super) scenarios: Vec<ScenarioPlan>,
    pub(super) segment: Segment,
}

/// One scenario, checked.
#[derive(Clone, Debug)]
pub struct ScenarioPlan {
    pub(super) id: ScenarioId,
    pub(super) start_time: Duration,
    pub(super) graceful_stop: Duration,
    pub(super) model: Model,
    /// What of its VUs this machine has.
    pub(super) part: Stripes,
    /// What it adds to the VUs that k6 would make before the start, on this machine. VUs of
    /// scenarios that do not overlap are the same ones.
    pub(super) adds_vus: u64,
}

/// What starts iterations.
#[derive(Clone, Debug)]
pub(super) enum Model {
    SharedIterations { vus: u32, iterations: u64, max_duration: Duration },
    PerVuIterations { vus: u32, iterations: u64, max_duration: Duration },
    ConstantVus { vus: u32, duration: Option<Duration> },
    RampingVus(VuRamp),
    ArrivalRate(ArrivalRate),
    ExternallyControlled { vus: u32, max_vus: u32, duration: Option<Duration> },
}

/// An open model.
#[derive(Clone, Debug)]
pub(super) struct ArrivalRate {
    pub(super) intensity: Intensity,
    pub(super) spacing: Spacing,
    pub(super) pre_allocated: u32,
    pub(super) max: u32,
    /// Whether it lasts to its planned end though nothing more is due: k6's constant rate
    /// does, its ramping rate does not.
    pub(super) to_the_end: bool,
}

// === impl LoadPlan ===

impl LoadPlan {
    /// The scenarios, in the order of the plan.
    #[must_use]
    pub fn scenarios(&self) -> &[ScenarioPlan] {
        &self.scenarios
    }

    /// Gives the Poisson arrivals another seed, the same one for the same `seed`: trials that are compared meet the
    /// same arrivals.
    pub fn reseed(&mut self, seed: u64) {
        for scenario in &mut self.scenarios {
            if let Model::ArrivalRate(ArrivalRate { spacing: Spacing::Poisson { seed: own }, .. }) = &mut scenario.model
            {
                *own ^= seed;
            }
        }
    }

    /// The part of the run that this machine plays.
    #[must_use]
    pub const fn segment(&self) -> &Segment {
        &self.segment
    }

    /// The longest it can take, with start times and graceful stops; none where a scenario is endless.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.scenarios.iter().try_fold(Duration::ZERO, |longest, scenario| Some(longest.max(scenario.longest()?)))
    }

    /// The VUs that k6 would make before the start, on this machine: the start of `vus_max`.
    #[must_use]
    pub fn planned_vus(&self) -> u64 {
        self.scenarios.iter().map(|scenario| scenario.adds_vus).sum()
    }

    /// The most VUs that can exist at once on this machine.
    #[must_use]
    pub fn max_vus(&self) -> u64 {
        self.scenarios.iter().map(|scenario| scenario.part.count(u64::from(scenario.model.max_vus()))).sum()
    }

    /// How many workers are of use, at least one. Each more costs a thread, a recorder and two wakings a second, and
    /// would have nothing to do. Where the rate is known it says; where it is not, each VU may be worth a worker.
    #[must_use]
    pub fn useful_workers(&self) -> u64 {
        let useful = |scenario: &ScenarioPlan| match scenario.peak_rate() {
            // It may be scaled to any number while it runs.
            _ if matches!(scenario.model, Model::ExternallyControlled { .. }) => u64::from(super::compile::MAX_VUS),
            Some(rate) => (rate / A_WORKERS_RATE).ceil() as u64,
            None => scenario.part.count(u64::from(scenario.model.max_vus())),
        };
        self.scenarios.iter().map(useful).sum::<u64>().max(1)
    }

    /// The VUs of scenario `index` that worker `worker` of `workers` has.
    pub(super) fn part(&self, index: usize, worker: usize, workers: usize) -> Stripes {
        let Some(scenario) = self.scenarios.get(index) else { return Stripes::nothing() };
        if let Model::ArrivalRate(open) = &scenario.model {
            // Arrivals cannot cross threads: with a handful of VUs one thread would drop what a free
            // VU of another could have served. A handful of VUs is no work for many threads either.
            let few = scenario.part.count(u64::from(open.max)) < 4 * workers as u64;
            if few {
                return if index % workers == worker { scenario.part.clone() } else { Stripes::nothing() };
            }
        }
        scenario.part.split(worker, workers)
    }

    /// Settles what each scenario adds to the VUs that exist, once all scenarios are known.
    pub(super) fn settle_pool(&mut self) {
        let mut changes: Vec<(Duration, i64)> = Vec::new();
        let mut so_far = 0;
        for scenario in &mut self.scenarios {
            scenario.reserve(&mut changes);
            changes.sort_by_key(|(at, _)| *at);
            let (mut vus, mut most, mut at) = (0_i64, 0_i64, Duration::ZERO);
            for (when, change) in &changes {
                if *when != at {
                    most = most.max(vus);
                    at = *when;
                }
                vus += change;
            }
            let most = u64::try_from(most.max(vus)).unwrap_or(0);
            scenario.adds_vus = most.saturating_sub(so_far);
            so_far = most.max(so_far);
        }
    }
}

// === impl ScenarioPlan ===

impl ScenarioPlan {
    /// Which.
    #[must_use]
    pub const fn id(&self) -> ScenarioId {
        self.id
    }

    /// How long after the start of the run it begins.
    #[must_use]
    pub const fn start_time(&self) -> Duration {
        self.start_time
    }

    /// How long it is planned to start iterations; none where endless.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        match &self.model {
            Model::SharedIterations { max_duration, .. } | Model::PerVuIterations { max_duration, .. } => {
                Some(*max_duration)
            }
            Model::ConstantVus { duration, .. } | Model::ExternallyControlled { duration, .. } => *duration,
            Model::RampingVus(ramp) => (!ramp.held).then(|| ramp.duration()),
            Model::ArrivalRate(open) => open.intensity.end(),
        }
    }

    /// How many iterations this machine is to do, where that is fixed.
    #[must_use]
    pub fn target(&self) -> Option<u64> {
        match self.model {
            Model::SharedIterations { vus, iterations, .. } => {
                Some(self.part.by_seats(u64::from(vus)).count(iterations))
            }
            Model::PerVuIterations { vus, iterations, .. } => {
                Some(self.part.count(u64::from(vus)).saturating_mul(iterations))
            }
            _ => None,
        }
    }

    /// The planned arrival rate of this machine, iterations a second, in an open model.
    #[must_use]
    pub fn rate_at(&self, since_its_start: Duration) -> Option<f64> {
        self.open().map(|open| open.intensity.rate_at(since_its_start) * self.share(open))
    }

    /// The highest arrival rate of this machine, iterations a second, in an open model.
    #[must_use]
    pub fn peak_rate(&self) -> Option<f64> {
        self.open().map(|open| open.intensity.peak_rate() * self.share(open))
    }

    /// How many arrivals its whole schedule has up to a time from its start, fractions included, in an open model.
    #[must_use]
    pub fn expected_by(&self, since_its_start: Duration) -> Option<f64> {
        self.open().map(|open| open.intensity.area_by(since_its_start))
    }

    /// Whether its arrivals are a Poisson process.
    #[must_use]
    pub fn is_poisson(&self) -> bool {
        self.open().is_some_and(|open| matches!(open.spacing, Spacing::Poisson { .. }))
    }

    const fn open(&self) -> Option<&ArrivalRate> {
        match &self.model {
            Model::ArrivalRate(open) => Some(open),
            _ => None,
        }
    }

    fn share(&self, open: &ArrivalRate) -> f64 {
        self.part.count(u64::from(open.max)) as f64 / f64::from(open.max.max(1))
    }

    /// From the run's start to when the last iteration is cut off.
    fn longest(&self) -> Option<Duration> {
        Some(self.start_time + self.duration()? + self.graceful_stop)
    }

    /// Adds when VUs are held and let go, from the run's start: k6's execution requirements.
    fn reserve(&self, changes: &mut Vec<(Duration, i64)>) {
        if let Model::RampingVus(ramp) = &self.model {
            for k in 0..self.part.count(u64::from(ramp.peak())) {
                let index = self.part.nth(k).and_then(|index| u32::try_from(index).ok());
                let mut held: Option<(Duration, Duration)> = None;
                for span in index.map(|index| ramp.spans(index)).unwrap_or_default() {
                    match &mut held {
                        Some((_, until)) if span.on <= *until => *until = span.cut,
                        _ => {
                            hold(changes, self.start_time, held.replace((span.on, span.cut)));
                        }
                    }
                }
                hold(changes, self.start_time, held);
            }
            return;
        }
        let vus = self.part.count(u64::from(self.model.planned_vus()));
        let vus = i64::try_from(vus).unwrap_or(i64::MAX);
        changes.push((self.start_time, vus));
        if let Some(end) = self.longest() {
            changes.push((end, -vus));
        }
    }
}

fn hold(changes: &mut Vec<(Duration, i64)>, start: Duration, held: Option<(Duration, Duration)>) {
    if let Some((from, until)) = held {
        changes.extend([(start + from, 1), (start + until, -1)]);
    }
}

// === impl Model ===

impl Model {
    /// VUs that k6 makes before the start.
    fn planned_vus(&self) -> u32 {
        match self {
            Self::ArrivalRate(open) => open.pre_allocated,
            _ => self.max_vus(),
        }
    }

    /// The most VUs at once.
    pub(super) fn max_vus(&self) -> u32 {
        match self {
            Self::SharedIterations { vus, .. } | Self::PerVuIterations { vus, .. } | Self::ConstantVus { vus, .. } => {
                *vus
            }
            Self::RampingVus(ramp) => ramp.peak(),
            Self::ArrivalRate(open) => open.max,
            Self::ExternallyControlled { max_vus, .. } => *max_vus,
        }
    }
}
