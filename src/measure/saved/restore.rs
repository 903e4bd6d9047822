//! Plain data → totals: of one worker, or of several as one run.

use super::*;
use crate::measure::cells::{Cell, TrendCell};
use crate::measure::layout::{CheckDef, ScenarioDef, SiteDef};
use crate::measure::metric::{BUILT_IN, FAILURES, ITERATION_TRENDS, failure_index};
use crate::measure::{Layout, LayoutBuilder, MetricId, ScenarioId, Selector, SiteId, SiteTags, Totals};
use crate::plan::During;
use std::sync::Arc;
use thiserror::Error;
use tokio::time::Instant;

/// Why plain data is no totals.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SavedError {
    /// One name, two kinds.
    #[error("the metric {0} is of two kinds")]
    Kind(String),
    /// A figure that its metric cannot have.
    #[error("the figures of {0} are not what its kind has")]
    Figures(String),
    /// A cut through a metric that nothing declares.
    #[error("nothing declares the metric {0}")]
    Unknown(String),
    /// More than any plan has.
    #[error("more scenarios or steps than any plan has")]
    TooMany,
}

/// Totals of several workers under way: what they counted has one layout, which others may still add to.
#[derive(Debug)]
pub struct Restored<'a> {
    workers: Vec<(&'a SavedTotals, Places)>,
    builder: LayoutBuilder,
}

/// Where a worker's things are in the layout of all.
#[derive(Debug, Default)]
struct Places {
    scenarios: Vec<usize>,
    /// By scenario and step, in the order of the file.
    sites: Vec<Vec<usize>>,
}

/// Beyond what a plan may have, so that a damaged file cannot take all memory.
const MOST: usize = 20_000;

// === impl SavedTotals ===

impl SavedTotals {
    /// Puts the layout together in which all of them have their places. Thresholds and judges may then add to it
    /// before [`Restored::totals`].
    ///
    /// # Errors
    /// Where they contradict each other.
    pub fn restore<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Result<Restored<'a>, SavedError> {
        let workers: Vec<_> = workers.into_iter().collect();
        let tags = workers.first().map(|first| first.tags.clone()).unwrap_or_default();
        // A tag that is another one on each worker is none of the whole.
        let shared = |tag: &(String, String)| workers.iter().all(|worker| worker.tags.contains(tag));
        let mut builder = LayoutBuilder::new(tags.into_iter().filter(shared).collect());
        let parts = &mut builder.parts;
        let mut placed = Vec::with_capacity(workers.len());
        for worker in &workers {
            let mut places = Places::default();
            let mut taken = Vec::new();
            for scenario in &worker.scenarios {
                let same = |def: &ScenarioDef| def.name == scenario.name && def.tags == scenario.tags;
                let at = place(&mut parts.scenarios, &mut taken, same, || ScenarioDef {
                    name: scenario.name.clone(),
                    tags: scenario.tags.clone(),
                });
                places.scenarios.push(at);
            }
            let mut taken = Vec::new();
            for (scenario, at) in worker.scenarios.iter().zip(&places.scenarios) {
                let scenario_id = ScenarioId(u16::try_from(*at).map_err(|_| SavedError::TooMany)?);
                let mut sites = Vec::new();
                for step in &scenario.steps {
                    let same = |def: &SiteDef| {
                        def.scenario == scenario_id
                            && (&def.tags.step, &def.tags.method, &def.tags.url)
                                == (&step.step, &step.method, &step.url)
                    };
                    sites.push(place(&mut parts.sites, &mut taken, same, || SiteDef {
                        scenario: scenario_id,
                        tags: SiteTags { step: step.step.clone(), method: step.method.clone(), url: step.url.clone() },
                        share: step.share.clamp(0.0, 1.0),
                    }));
                }
                places.sites.push(sites);
            }
            if parts.scenarios.len() > MOST || parts.sites.len() > MOST {
                return Err(SavedError::TooMany);
            }
            for (scenario, sites) in worker.scenarios.iter().zip(&places.sites) {
                for (step, site) in scenario.steps.iter().zip(sites) {
                    let site = SiteId(u32::try_from(*site).map_err(|_| SavedError::TooMany)?);
                    for check in &step.checks {
                        if !parts.checks.iter().any(|def| def.site == site && def.name == check.name) {
                            parts.checks.push(CheckDef { site, name: check.name.clone() });
                        }
                    }
                }
            }
            placed.push(places);
        }
        for metric in workers.iter().flat_map(|worker| &worker.metrics) {
            builder
                .metric(&metric.name, metric.kind, metric.contains)
                .ok_or_else(|| SavedError::Kind(metric.name.clone()))?;
        }
        for cut in workers.iter().flat_map(|worker| &worker.cuts) {
            let id = builder.find(&cut.metric).ok_or_else(|| SavedError::Unknown(cut.metric.clone()))?;
            builder.series(id, &Selector { tags: cut.tags.clone() }, during(cut));
        }
        for cut in workers.iter().flat_map(|worker| &worker.timelines) {
            let id = builder.find(&cut.metric).ok_or_else(|| SavedError::Unknown(cut.metric.clone()))?;
            builder.timeline(id, &Selector { tags: cut.tags.clone() });
        }
        Ok(Restored { workers: workers.into_iter().zip(placed).collect(), builder })
    }

    /// For how long pauses held the load up.
    #[must_use]
    pub const fn paused(&self) -> Duration {
        self.paused
    }

    /// Cuts, as the plan writes them, that `other` has and this one has not.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> Vec<String> {
        let has = |cut: &&SavedCut| {
            let same =
                |mine: &SavedCut| (&mine.metric, &mine.tags, mine.during) == (&cut.metric, &cut.tags, cut.during);
            self.cuts.iter().any(same)
        };
        let name = |cut: &SavedCut| {
            let tags: Vec<String> = cut.tags.iter().map(|(tag, value)| format!("{tag}:{value}")).collect();
            if tags.is_empty() { cut.metric.clone() } else { format!("{}{{{}}}", cut.metric, tags.join(",")) }
        };
        other.cuts.iter().filter(|cut| cut.cell.is_some() && !has(cut)).map(name).collect()
    }
}

// === impl Restored ===

impl Restored<'_> {
    /// The layout, to which thresholds and judges add what they read.
    pub const fn layout(&mut self) -> &mut LayoutBuilder {
        &mut self.builder
    }

    /// The totals of all. `later` says of each worker by how much the end of all lies past its own: what never
    /// finished is not older for it. Where workers played `together` their VUs add up.
    ///
    /// # Errors
    /// Where a figure is none that its metric can have.
    pub fn totals(self, later: &[Duration], together: bool) -> Result<Totals, SavedError> {
        let Self { workers, builder } = self;
        let layout = builder.build();
        let mut totals = Totals::new(Arc::clone(&layout), Instant::now());
        let mut paused = Duration::ZERO;
        for (at, (worker, places)) in workers.iter().enumerate() {
            let filling = Filling {
                layout: &layout,
                places,
                later: later.get(at).copied().unwrap_or_default(),
                together: together && at > 0,
            };
            filling.fill(worker, &mut totals)?;
            paused = paused.max(worker.paused);
        }
        totals.set_paused(paused);
        Ok(totals)
    }
}

/// One worker's figures on their way into the totals of all.
struct Filling<'a> {
    layout: &'a Layout,
    places: &'a Places,
    later: Duration,
    /// Whether gauges of VUs add up to what is there already.
    together: bool,
}

// === impl Filling ===

impl Filling<'_> {
    fn fill(&self, worker: &SavedTotals, totals: &mut Totals) -> Result<(), SavedError> {
        for (scenario, (at, sites)) in worker.scenarios.iter().zip(self.places.scenarios.iter().zip(&self.places.sites))
        {
            self.scenario(scenario, *at, totals);
            for (step, site) in scenario.steps.iter().zip(sites) {
                self.step(step, *site, totals)?;
            }
        }
        for cut in &worker.cuts {
            self.cut(cut, totals)?;
        }
        for timeline in &worker.timelines {
            self.timeline(timeline, totals)?;
        }
        let (vus, vus_max) = totals.vus_ranges_mut();
        self.gauge(vus, &worker.vus, true);
        self.gauge(vus_max, &worker.vus_max, true);
        totals.target.add(&worker.pool_wait, |metric| {
            let name = &self.layout.describe(metric)?.name;
            worker.target.get(name).copied()
        });
        crate::measure::failures::merge_groups(&mut totals.read_failures, &worker.failures);
        totals.cells.stale_connections += worker.stale_connections;
        totals.cells.users_shared += worker.users_shared;
        totals.cells.starved += worker.starved;
        Ok(())
    }

    fn scenario(&self, scenario: &SavedScenario, at: usize, totals: &mut Totals) {
        if let Some(cells) = totals.cells.scenarios.get_mut(at) {
            cells.completed += scenario.completed;
            cells.scheduled += scenario.scheduled;
            cells.never_due += scenario.never_due;
            cells.missed += scenario.missed;
            cells.sent += scenario.data_sent;
            cells.received += scenario.data_received;
            cells.cut_off.merge_later(&scenario.cut_off, self.later);
            cells.dropped.merge_later(&scenario.dropped, self.later);
        }
        let names = [MetricId::ITERATION_DURATION, MetricId::ITERATION_RESPONSE_TIME, MetricId::ITERATION_LAG];
        for (number, id) in names.into_iter().enumerate() {
            if let Some(trend) = self.layout.describe(id).and_then(|metric| scenario.trends.get(&metric.name))
                && let Some(into) = totals.cells.iteration_trends.get_mut(at * ITERATION_TRENDS + number)
            {
                into.merge(trend);
            }
        }
    }

    fn step(&self, step: &SavedStep, site: usize, totals: &mut Totals) -> Result<(), SavedError> {
        let layout = Arc::clone(totals.layout());
        let cells = &mut totals.cells;
        for (requests, expected) in [(&step.expected, true), (&step.unexpected, false)] {
            if let Some(counts) = cells.requests.get_mut(site) {
                counts[usize::from(!expected)] += requests.count;
            }
            for (number, into) in cells.request_trends_mut(site, expected).into_iter().flatten().enumerate() {
                let name = BUILT_IN.get(number).map(|(name, ..)| *name).unwrap_or_default();
                requests.trends.get(name).into_iter().for_each(|trend| into.merge(trend));
            }
        }
        if let Some(counts) = cells.failures.get_mut(site) {
            for kind in FAILURES {
                counts[failure_index(kind)] += step.failures.get(kind.as_str()).copied().unwrap_or(0);
            }
        }
        if let Some(dues) = cells.requests_cut_off.get_mut(site) {
            dues.merge_later(&step.cut_off, self.later);
        }
        if let Some(group) = cells.groups.get_mut(site) {
            group.merge(&step.group_duration);
        }
        for (name, saved) in &step.custom {
            // One that this version does not know is ignored.
            let Some(cell) = layout.find(name).and_then(|id| cells.custom_mut(&layout, site, id)) else { continue };
            self.cell(saved, cell).ok_or_else(|| SavedError::Figures(name.clone()))?;
        }
        for check in &step.checks {
            let same = |def: &CheckDef| def.site.0 as usize == site && def.name == check.name;
            if let Some(into) = layout.checks().iter().position(same).and_then(|at| cells.checks.get_mut(at)) {
                if check.share.passes > check.share.total {
                    return Err(SavedError::Figures(check.name.clone()));
                }
                into.merge(&check.share);
            }
        }
        Ok(())
    }

    fn cut(&self, cut: &SavedCut, totals: &mut Totals) -> Result<(), SavedError> {
        let wrong = || SavedError::Figures(cut.metric.clone());
        let (Some(saved), Some(id)) = (&cut.cell, self.layout.find(&cut.metric)) else { return Ok(()) };
        let during = during(cut);
        let same = self
            .layout
            .series
            .iter()
            .find(|def| def.metric == id && def.selector.tags == cut.tags && def.during == during);
        let Some(cell) = same.and_then(|def| totals.cells.cuts.get_mut(def.source.cell?)) else { return Ok(()) };
        match (saved, cell) {
            (SavedCell::Gauge(range), Cell::Gauge(into)) => self.gauge(into, range, is_of_vus(id)),
            (saved, cell) => self.cell(saved, cell).ok_or_else(wrong)?,
        }
        Ok(())
    }

    fn timeline(&self, saved: &SavedTimeline, totals: &mut Totals) -> Result<(), SavedError> {
        let Some(id) = self.layout.find(&saved.metric) else { return Ok(()) };
        let same = self.layout.timelines.iter().find(|def| def.metric == id && def.selector.tags == saved.tags);
        let Some(Cell::Timeline(into)) = same.and_then(|def| totals.cells.cuts.get_mut(def.source.cell?)) else {
            return Ok(());
        };
        if !saved.timeline.is_sound() || saved.timeline.kind() != into.kind() {
            return Err(SavedError::Figures(saved.metric.clone()));
        }
        if self.together && is_of_vus(id) {
            into.add_levels(&saved.timeline);
        } else {
            into.merge_later(&saved.timeline, self.later);
        }
        Ok(())
    }

    fn cell(&self, saved: &SavedCell, cell: &mut Cell) -> Option<()> {
        match (saved, cell) {
            (SavedCell::Trend { histogram, cut_off, dropped }, Cell::Trend(into)) => {
                let TrendCell { histogram: all, cut_off: cut, dropped: drops } = &mut **into;
                all.merge(histogram);
                cut_off.iter().for_each(|dues| cut.merge_later(dues, self.later));
                for (dues, scenario) in dropped.iter().zip(&self.places.scenarios) {
                    if drops.len() <= *scenario {
                        drops.resize_with(scenario + 1, Dues::new);
                    }
                    drops.get_mut(*scenario)?.merge_later(dues, self.later);
                }
            }
            (SavedCell::Rate(share), Cell::Rate(into)) if share.passes <= share.total => into.merge(share),
            (SavedCell::Counter(sum), Cell::Counter(into)) => *into += sum,
            (SavedCell::Gauge(range), Cell::Gauge(into)) => into.merge(range),
            _ => return None,
        }
        Some(())
    }

    fn gauge(&self, into: &mut Range, range: &Range, of_vus: bool) {
        if self.together && of_vus && into.count > 0 && range.count > 0 {
            into.add(range);
        } else {
            into.merge(range);
        }
    }
}

fn is_of_vus(metric: MetricId) -> bool {
    metric == MetricId::VUS || metric == MetricId::VUS_MAX
}

fn during(cut: &SavedCut) -> Option<During> {
    let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
    cut.during.map(|(from, to)| During { from: time(from), to: to.map(time) })
}

/// The first that is the same and not taken yet, so that two alike stay two; a new one where there is none.
fn place<T>(known: &mut Vec<T>, taken: &mut Vec<usize>, same: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    let found = known.iter().enumerate().position(|(at, item)| same(item) && !taken.contains(&at));
    let at = found.unwrap_or_else(|| {
        known.push(new());
        known.len() - 1
    });
    taken.push(at);
    at
}
