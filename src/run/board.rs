//! Where a run says what it is doing, for whoever asks from another thread.
//!
//! Figures are read only when somebody asks: the one who asks waits for the reporter, never the
//! reporter for him, and no worker knows of either.

use super::progress::Phase;
use super::recent::{Pulse, Recent};
use super::slo::SloBoard;
use crate::load;
use crate::measure::metric::Scope;
use crate::measure::{Contains, MetricId, Reading, Selector, Thresholds, Totals};
use crate::plan::MetricKind;
use crate::report::{GroupReport, MetricReport, TrendStats, live_groups, live_metrics};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How old a figure may be that is told again: so often at most is the reporter asked.
const FRESH: Duration = Duration::from_millis(500);
/// How long the reporter may take to answer before the figures of before are told.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many may wait for the same answer: more are told what is known.
const WAITING: usize = 4;

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The guard and the database are asked.
    #[default]
    Preparing,
    /// It waits to be resumed, and has sent nothing yet.
    PausedBeforeRun,
    /// The setup steps run.
    Setup,
    /// The scenarios run.
    Load,
    /// The teardown steps run, test data is being deleted, or late spans are awaited.
    Teardown,
    /// It is over.
    Ended,
}

/// The figures of a run at one instant.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the load began; to its end, once it is over.
    pub elapsed: Duration,
    /// Metrics and submetrics, as the summary has them.
    pub metrics: Vec<MetricReport>,
    /// Names of those of which a threshold does not hold.
    pub tainted_metrics: BTreeSet<String>,
    /// Whether any threshold does not hold.
    pub tainted: bool,
    /// Steps with their checks.
    pub groups: Vec<GroupReport>,
    /// Every metric by scenario and step.
    pub families: Vec<Family>,
    /// The last seconds.
    pub pulse: Pulse,
}

/// A metric by scenario and step.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: MetricKind,
    /// How its values are to be read.
    pub contains: Contains,
    /// Its figures by place: one at least.
    pub series: Vec<Series>,
}

/// The figures of a metric at one place.
#[derive(Clone, Debug)]
pub struct Series {
    /// `scenario`, `step`: what of it there is.
    pub labels: Vec<(&'static str, String)>,
    /// The figures.
    pub reading: Reading,
}

/// Somebody who wants to know.
pub(super) type Question = oneshot::Sender<Arc<Snapshot>>;

/// What a run is doing.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) plan: String,
    /// VUs that k6 would make before the start.
    planned_vus: u64,
    state: Mutex<State>,
    slos: SloBoard,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    load: Option<Arc<load::Progress>>,
    questions: Option<mpsc::Sender<Question>>,
    last: Option<(Instant, Arc<Snapshot>)>,
}

/// Says that a run is over, however its future ends.
#[derive(Debug)]
pub(super) struct UntilEnd(Arc<Board>);

// === impl Stage ===

impl Stage {
    /// The number that k6 has for it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Preparing => 1,
            Self::PausedBeforeRun => 4,
            Self::Setup => 6,
            Self::Load => 7,
            Self::Teardown => 8,
            Self::Ended => 9,
        }
    }
}

impl From<Phase> for Stage {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Preflight => Self::Preparing,
            Phase::Paused => Self::PausedBeforeRun,
            Phase::Setup => Self::Setup,
            Phase::Load => Self::Load,
            Phase::Teardown | Phase::Cleanup { .. } | Phase::Correlate => Self::Teardown,
        }
    }
}

// === impl Board ===

impl Board {
    pub(super) fn new(plan: &str, planned_vus: u64) -> Arc<Self> {
        Arc::new(Self { plan: plan.to_owned(), planned_vus, state: Mutex::default(), slos: SloBoard::default() })
    }

    /// Where the objectives are shown.
    pub(super) fn slos(&self) -> SloBoard {
        self.slos.clone()
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    /// Whether there was a load.
    pub(super) fn ran(&self) -> bool {
        self.state().load.is_some()
    }

    /// VUs at work, VUs made.
    pub(super) fn vus(&self) -> (u64, u64) {
        let load = self.state().load.clone();
        let Some(load) = load else { return (0, self.planned_vus) };
        let scenarios = load.scenarios(Instant::now());
        (scenarios.iter().map(|it| it.active_vus).sum(), scenarios.iter().map(|it| it.made_vus).sum())
    }

    pub(super) async fn snapshot(&self) -> Arc<Snapshot> {
        let (questions, last) = {
            let state = self.state();
            (state.questions.clone(), state.last.clone())
        };
        let known = |last: Option<(Instant, Arc<Snapshot>)>| last.map(|(_, snapshot)| snapshot).unwrap_or_default();
        let fresh = last.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        let Some(questions) = questions.filter(|_| !fresh) else { return known(last) };
        let (question, answer) = oneshot::channel();
        if questions.try_send(question).is_err() {
            return known(last);
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(snapshot)) => snapshot,
            _ => known(self.state().last.clone()),
        }
    }

    /// What the run does now. Once it is over it stays so.
    pub(super) fn enter(&self, stage: Stage) {
        let mut state = self.state();
        if state.stage != Stage::Ended {
            state.stage = stage;
        }
    }

    pub(super) fn until_end(self: &Arc<Self>) -> UntilEnd {
        UntilEnd(Arc::clone(self))
    }

    /// The load begins: from here on somebody answers questions.
    pub(super) fn open(&self, load: Arc<load::Progress>) -> mpsc::Receiver<Question> {
        let (questions, asked) = mpsc::channel(WAITING);
        let mut state = self.state();
        state.questions = Some(questions);
        state.load = Some(load);
        // The reporter speaks up only after a second.
        state.stage = Stage::Load;
        asked
    }

    /// Keeps figures for those who ask next.
    pub(super) fn keep(&self, snapshot: Arc<Snapshot>) {
        self.state().last = Some((Instant::now(), snapshot));
    }

    /// From here on nobody answers: what is kept is told.
    pub(super) fn close(&self, last: Snapshot) {
        let mut state = self.state();
        state.questions = None;
        state.last = Some((Instant::now(), Arc::new(last)));
    }

    /// Nobody panics while holding it; were it so, what is in there is whole all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UntilEnd {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stage = Stage::Ended;
        state.questions = None;
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Reads everything off the totals.
    pub(super) fn of(totals: &Totals, thresholds: &Thresholds, recent: Option<&Recent>, elapsed: Duration) -> Self {
        let failed = thresholds.judge(totals, elapsed).into_iter().filter(|threshold| threshold.failed());
        let tainted_metrics: BTreeSet<String> = failed.map(|threshold| threshold.metric).collect();
        Self {
            elapsed,
            metrics: live_metrics(totals, thresholds, &TrendStats::default(), elapsed),
            tainted: !tainted_metrics.is_empty(),
            tainted_metrics,
            groups: live_groups(totals),
            families: families(totals, elapsed),
            pulse: recent.map(Recent::pulse).unwrap_or_default(),
        }
    }
}

/// Every metric by scenario and step; what is of the whole run has neither.
fn families(totals: &Totals, end: Duration) -> Vec<Family> {
    let layout = totals.layout();
    let scenarios: Vec<_> =
        layout.scenarios().iter().map(|scenario| vec![("scenario", scenario.name.clone())]).collect();
    let mut sites: Vec<Vec<(&'static str, String)>> = Vec::new();
    for site in layout.sites() {
        let Some(scenario) = layout.scenarios().get(usize::from(site.scenario.0)) else { continue };
        let place = vec![("scenario", scenario.name.clone()), ("step", site.tags.step.clone())];
        if !sites.contains(&place) {
            sites.push(place);
        }
    }
    let run = [Vec::new()];
    let mut families = Vec::new();
    for (id, metric) in layout.metrics() {
        let places: &[Vec<_>] = match metric.scope {
            Scope::Request | Scope::Group | Scope::Custom | Scope::Check => &sites,
            Scope::Scenario => &scenarios,
            Scope::Run | Scope::Target => &run,
        };
        let of = |labels: &Vec<(&'static str, String)>| {
            let tags = labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let reading = totals.metric(id, &Selector { tags }, end)?;
            // A counter that is 0 is a figure; a share or a distribution of nothing is none.
            let told = !reading.is_empty() || matches!(reading, Reading::Counter(_));
            told.then(|| Series { labels: labels.clone(), reading })
        };
        let series: Vec<_> = places.iter().filter_map(of).collect();
        if !series.is_empty() {
            families.push(Family { name: metric.name.clone(), kind: metric.kind, contains: metric.contains, series });
        }
    }
    families
}

/// What the seconds of a run are counted from: all requests that were answered.
pub(super) const PULSE: MetricId = MetricId::HTTP_REQ_DURATION;
