//! What can be counted, fixed before the first request: metrics, scenarios, sites, checks.
//!
//! A *site* is a step of a scenario: the tags that a step fixes are resolved here, once, so
//! that recording is an index and no string.

use super::metric::{BUILT_IN, Metric, Scope};
use super::selector::{Dynamic, Place, Selector};
use super::tally::{Good, Judging, TallyDef, TallyId};
use super::timeline::{Part, Prepared, Timeline, TimelineId};
use crate::plan::{During, MetricKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A scenario. `setup` and `teardown` are scenarios of their own here, as nothing else tags them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScenarioId(pub u16);

/// A step of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricId(pub u16);

/// A check of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckId(pub u32);

/// k6's `contains`: how a metric's values are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contains {
    /// Milliseconds.
    Time,
    /// Bytes.
    Data,
    /// Plain numbers.
    #[default]
    Default,
}

/// The tags that a step fixes.
#[derive(Clone, Debug, Default)]
pub struct SiteTags {
    /// `step`, and `group` as `::STEP`.
    pub step: String,
    /// `method`.
    pub method: String,
    /// `url` and `name`: as the plan writes it, `{{ … }}` unfilled, without the query.
    pub url: String,
}

/// A scenario as it was added.
#[derive(Clone, Debug)]
pub struct ScenarioDef {
    /// Its name.
    pub name: String,
    /// Its own tags.
    pub tags: Vec<(String, String)>,
}

/// A site as it was added.
#[derive(Clone, Debug)]
pub struct SiteDef {
    /// The scenario it is a step of.
    pub scenario: ScenarioId,
    /// The tags that the step fixes.
    pub tags: SiteTags,
    /// How often an iteration passes through it, 0 to 1.
    pub share: f64,
}

/// A check as it was added.
#[derive(Clone, Debug)]
pub struct CheckDef {
    /// The site whose answers it judges.
    pub site: SiteId,
    /// Its name, `STEP KEY`.
    pub name: String,
}

/// A cut through a metric that something reads: prepared before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesId(pub(crate) u32);

/// Collects what can be counted while a plan is compiled.
#[derive(Debug)]
pub struct LayoutBuilder {
    pub(crate) parts: Parts,
    series: Vec<SeriesDef>,
    timelines: Vec<SeriesDef>,
    tallies: Vec<TallyDef>,
    /// The site that stands for all past the bound.
    other: Option<SiteId>,
    overflowed: u64,
}

/// What can be counted.
#[derive(Debug)]
pub struct Layout {
    pub(crate) parts: Parts,
    pub(crate) series: Vec<SeriesDef>,
    pub(crate) timelines: Vec<SeriesDef>,
    pub(crate) tallies: Vec<TallyDef>,
    pub(crate) cuts: Cuts,
    overflowed: u64,
}

/// What was added, in order of its ids.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) scenarios: Vec<ScenarioDef>,
    pub(crate) sites: Vec<SiteDef>,
    pub(crate) checks: Vec<CheckDef>,
    /// Whether somebody wants to hear of each thing that happens.
    pub(crate) streams: bool,
    /// Whether somebody wants each value of each metric too.
    pub(crate) points: bool,
}

/// A series and where its figures are.
#[derive(Clone, Debug)]
pub(crate) struct SeriesDef {
    pub(crate) metric: MetricId,
    pub(crate) selector: Selector,
    pub(crate) during: Option<During>,
    pub(crate) source: Source,
}

/// Where a series' figures are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// The sites, scenarios or checks (by the metric's scope) that meet the fixed tags.
    pub(crate) places: Vec<usize>,
    /// `expected_response`, where it is asked for.
    pub(crate) expected: Option<bool>,
    /// Whether work that never finished stands here.
    pub(crate) censored: bool,
    /// The prepared cell; without one the base cells of `places` are merged.
    pub(crate) cell: Option<usize>,
}

/// The prepared cells, by the places whose samples may belong there.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    pub(crate) cells: Vec<Prepared>,
    pub(crate) requests: Vec<Vec<Cut>>,
    pub(crate) groups: Vec<Vec<Cut>>,
    pub(crate) customs: Vec<Vec<Cut>>,
    pub(crate) checks: Vec<Vec<Cut>>,
    pub(crate) scenarios: Vec<Vec<Cut>>,
    /// Of each scenario: the cuts of requests in which its dropped iterations stand.
    pub(crate) dropped: Vec<Vec<Cut>>,
    pub(crate) run: Vec<Cut>,
}

/// What is kept of the samples of a cut.
#[derive(Debug)]
enum Keeping {
    /// One figure.
    Sum,
    /// Over time.
    OverTime,
    /// How many were good.
    Judged(Good),
}

/// One prepared cell and what a sample must have to be counted there.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(crate) metric: MetricId,
    pub(crate) cell: usize,
    pub(crate) dynamic: Dynamic,
    during: Option<During>,
}

/// A plan may write any number of steps; this many, each in the two outcomes, are the 2,000 series that are kept.
const MOST_SITES: usize = 1000;
/// What stands for a tag past the bound.
const OTHER: &str = "other";

// === impl LayoutBuilder ===

impl LayoutBuilder {
    /// Nothing but k6's and pacecar's own metrics; `tags` are of the whole run.
    #[must_use]
    pub fn new(tags: Vec<(String, String)>) -> Self {
        let metric = |(name, kind, contains, scope): &(&str, _, _, _)| Metric {
            name: (*name).to_owned(),
            kind: *kind,
            contains: *contains,
            scope: *scope,
        };
        let metrics = BUILT_IN.iter().map(metric).collect();
        Self {
            parts: Parts { tags, metrics, ..Parts::default() },
            series: Vec::new(),
            timelines: Vec::new(),
            tallies: Vec::new(),
            other: None,
            overflowed: 0,
        }
    }

    /// Adds a scenario with its own tags.
    pub fn scenario(&mut self, name: &str, tags: &[(String, String)]) -> ScenarioId {
        self.parts.scenarios.push(ScenarioDef { name: name.to_owned(), tags: tags.to_vec() });
        ScenarioId(u16::try_from(self.parts.scenarios.len() - 1).unwrap_or(u16::MAX))
    }

    /// Adds a step of a scenario. `share` (0 to 1) is how often an iteration of the scenario passes through it: 1, or
    /// its weight among the workflows it draws from. It says how often a dropped iteration stands for this step.
    ///
    /// Past 1,000 sites (2,000 series) the tags become `other`, and [`Layout::overflowed`] counts it.
    pub fn site(&mut self, scenario: ScenarioId, tags: SiteTags, share: f64) -> SiteId {
        if self.parts.sites.len() >= MOST_SITES {
            self.overflowed += 1;
            if let Some(other) = self.other {
                return other;
            }
            let all = SiteTags { step: OTHER.into(), method: OTHER.into(), url: OTHER.into() };
            let id = self.push_site(scenario, all, share);
            self.other = Some(id);
            return id;
        }
        self.push_site(scenario, tags, share)
    }

    /// Adds a check named `STEP KEY` (the `key` is `status`, `json`, …; unfilled). The same key of the same step
    /// in two scenarios is one check of the summary.
    pub fn check(&mut self, site: SiteId, key: &str) -> CheckId {
        let step = self.parts.sites.get(site.0 as usize).map_or(OTHER, |site| &site.tags.step);
        let name = format!("{step} {key}");
        let checks = &mut self.parts.checks;
        let found = checks.iter().position(|check| check.site == site && check.name == name);
        let index = found.unwrap_or_else(|| {
            checks.push(CheckDef { site, name });
            checks.len() - 1
        });
        CheckId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Adds a custom metric, or finds it where a step before declared it with the same kind.
    /// `None` where the name is taken with another kind or is one of the built-in metrics.
    pub fn metric(&mut self, name: &str, kind: MetricKind, contains: Contains) -> Option<MetricId> {
        if let Some(id) = self.find(name) {
            let same = self.parts.metrics.get(id.index()).is_some_and(|metric| metric.kind == kind);
            return (id.index() >= BUILT_IN.len() && same).then_some(id);
        }
        let id = MetricId(u16::try_from(self.parts.metrics.len()).ok()?);
        self.parts.metrics.push(Metric { name: name.to_owned(), kind, contains, scope: Scope::Custom });
        Some(id)
    }

    /// Whether a metric is one that steps define.
    #[must_use]
    pub const fn is_custom(&self, metric: MetricId) -> bool {
        metric.index() >= BUILT_IN.len()
    }

    /// Asks for the stream: recorders then keep each thing that happens until it is handed over.
    pub fn stream(&mut self) {
        self.parts.streams = true;
    }

    /// Asks for the stream with all that outputs write points of: [`super::Mark`]s too.
    pub fn points(&mut self) {
        (self.parts.streams, self.parts.points) = (true, true);
    }

    /// The metric of this name, built in or custom.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<MetricId> {
        self.parts.find(name)
    }

    /// What is known of a metric.
    #[must_use]
    pub fn describe(&self, metric: MetricId) -> Option<&Metric> {
        self.parts.metrics.get(metric.index())
    }

    /// The names of all metrics, in order of their ids.
    pub fn metric_names(&self) -> impl Iterator<Item = &str> {
        self.parts.metrics.iter().map(|metric| metric.name.as_str())
    }

    /// Prepares a cut through a metric, of all of the run or a part of it. The same cut twice is one series.
    pub fn series(&mut self, metric: MetricId, selector: &Selector, during: Option<During>) -> SeriesId {
        let same = |def: &SeriesDef| def.metric == metric && def.selector == *selector && def.during == during;
        let index = self.series.iter().position(same).unwrap_or_else(|| {
            let selector = selector.clone();
            self.series.push(SeriesDef { metric, selector, during, source: Source::default() });
            self.series.len() - 1
        });
        SeriesId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Prepares a cut through a metric over time. The same cut twice is one timeline.
    pub fn timeline(&mut self, metric: MetricId, selector: &Selector) -> TimelineId {
        let same = |def: &SeriesDef| def.metric == metric && def.selector == *selector;
        let index = self.timelines.iter().position(same).unwrap_or_else(|| {
            let (selector, source) = (selector.clone(), Source::default());
            self.timelines.push(SeriesDef { metric, selector, during: None, source });
            self.timelines.len() - 1
        });
        TimelineId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Prepares a cut through a metric whose samples are judged one by one.
    pub fn tally(&mut self, metric: MetricId, selector: &Selector, good: Good) -> TallyId {
        let (selector, source) = (selector.clone(), Source::default());
        self.tallies.push(TallyDef { series: SeriesDef { metric, selector, during: None, source }, good });
        TallyId(u32::try_from(self.tallies.len() - 1).unwrap_or(u32::MAX))
    }

    /// Whether any sample can meet the selector, by what has been added so far. The tag that cannot be met otherwise.
    ///
    /// # Errors
    /// The first tag that nothing carries, or that nothing carries with this value.
    pub fn can_meet(&self, metric: MetricId, selector: &Selector) -> Result<(), String> {
        let Some(scope) = self.describe(metric).map(|metric| metric.scope) else { return Ok(()) };
        for (tag, value) in &selector.tags {
            let one = Selector { tags: vec![(tag.clone(), value.clone())] };
            if one.dynamic(scope).is_none() || self.parts.places(scope, &one).is_empty() {
                return Err(format!("{tag}:{value}"));
            }
        }
        Ok(())
    }

    /// Fixes it.
    #[must_use]
    pub fn build(mut self) -> Arc<Layout> {
        let mut cuts = Cuts::of(&self.parts);
        for series in &mut self.series {
            cuts.resolve(&self.parts, series, &Keeping::Sum);
        }
        for timeline in &mut self.timelines {
            cuts.resolve(&self.parts, timeline, &Keeping::OverTime);
        }
        for tally in &mut self.tallies {
            cuts.resolve(&self.parts, &mut tally.series, &Keeping::Judged(tally.good));
        }
        let (series, timelines, tallies) = (self.series, self.timelines, self.tallies);
        Arc::new(Layout { parts: self.parts, series, timelines, tallies, cuts, overflowed: self.overflowed })
    }

    fn push_site(&mut self, scenario: ScenarioId, tags: SiteTags, share: f64) -> SiteId {
        self.parts.sites.push(SiteDef { scenario, tags, share: share.clamp(0.0, 1.0) });
        SiteId(u32::try_from(self.parts.sites.len() - 1).unwrap_or(u32::MAX))
    }
}

// === impl Layout ===

impl Layout {
    /// The metric of this name, built in or custom.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<MetricId> {
        self.parts.find(name)
    }

    /// What is known of a metric.
    #[must_use]
    pub fn describe(&self, metric: MetricId) -> Option<&Metric> {
        self.parts.metrics.get(metric.index())
    }

    /// All metrics with their ids, built in and custom.
    pub fn metrics(&self) -> impl Iterator<Item = (MetricId, &Metric)> {
        (0..).map(MetricId).zip(&self.parts.metrics)
    }

    /// The scenarios, in order of their ids.
    #[must_use]
    pub fn scenarios(&self) -> &[ScenarioDef] {
        &self.parts.scenarios
    }

    /// The sites, in order of their ids.
    #[must_use]
    pub fn sites(&self) -> &[SiteDef] {
        &self.parts.sites
    }

    /// The checks, in order of their ids.
    #[must_use]
    pub fn checks(&self) -> &[CheckDef] {
        &self.parts.checks
    }

    /// The tags of the whole run.
    #[must_use]
    pub fn tags(&self) -> &[(String, String)] {
        &self.parts.tags
    }

    /// Whether recorders keep a stream.
    #[must_use]
    pub const fn streams(&self) -> bool {
        self.parts.streams
    }

    /// Whether recorders keep marks too.
    #[must_use]
    pub const fn wants_points(&self) -> bool {
        self.parts.points
    }

    /// Whether anything that is read asks for requests by tenant.
    #[must_use]
    pub fn asks_for_tenants(&self) -> bool {
        let tallies = self.tallies.iter().map(|tally| &tally.series);
        let all = self.series.iter().chain(&self.timelines).chain(tallies);
        all.into_iter().any(|cut| cut.selector.tags.iter().any(|(tag, _)| tag == "tenant"))
    }

    /// How many samples of a tally an iteration of each scenario makes, by scenario.
    #[must_use]
    pub fn samples_per_iteration(&self, tally: TallyId) -> BTreeMap<usize, f64> {
        let Some(cut) = self.tallies.get(tally.0 as usize).map(|def| &def.series) else { return BTreeMap::new() };
        let places = &cut.source.places;
        match self.describe(cut.metric).map(|metric| metric.scope) {
            Some(Scope::Scenario) => places.iter().map(|scenario| (*scenario, 1.0)).collect(),
            Some(Scope::Check) => {
                let site = |check: &usize| Some(self.parts.checks.get(*check)?.site.0 as usize);
                let mut all = BTreeMap::new();
                for (scenario, share) in places.iter().filter_map(site).flat_map(|site| self.parts.shares(&[site])) {
                    *all.entry(scenario).or_insert(0.0) += share;
                }
                all
            }
            _ => self.parts.shares(places),
        }
    }

    /// How many sites had to share the tag `other`.
    #[must_use]
    pub const fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Where the figures of an unprepared cut are. None where it would have needed a prepared cell.
    pub(crate) fn source(&self, metric: MetricId, selector: &Selector) -> Option<Source> {
        let scope = self.describe(metric)?.scope;
        let Some(dynamic) = selector.dynamic(scope) else { return Some(Source::default()) };
        (!dynamic.needs_sample()).then(|| self.parts.source(scope, selector, &dynamic))
    }
}

// === impl Parts ===

impl Parts {
    fn find(&self, name: &str) -> Option<MetricId> {
        let index = self.metrics.iter().position(|metric| metric.name == name)?;
        u16::try_from(index).ok().map(MetricId)
    }

    /// The sites, scenarios or checks (by scope) that meet the fixed tags; one for the run.
    fn places(&self, scope: Scope, selector: &Selector) -> Vec<usize> {
        let meets = |place: Place<'_>| selector.meets(scope, &self.tags, &place);
        let site = |site: &SiteId| self.sites.get(site.0 as usize);
        let of_site = |site: &'_ SiteDef, check: Option<&str>| {
            let scenario = self.scenarios.get(usize::from(site.scenario.0));
            meets(Place { scenario, site: Some(site), check })
        };
        let pick = |count: usize, meets: &dyn Fn(usize) -> bool| (0..count).filter(|i| meets(*i)).collect();
        match scope {
            Scope::Request | Scope::Group | Scope::Custom => {
                pick(self.sites.len(), &|i| self.sites.get(i).is_some_and(|site| of_site(site, None)))
            }
            Scope::Check => pick(self.checks.len(), &|i| {
                let check = self.checks.get(i);
                check.is_some_and(|check| site(&check.site).is_some_and(|site| of_site(site, Some(&check.name))))
            }),
            Scope::Scenario => pick(self.scenarios.len(), &|i| {
                meets(Place { scenario: self.scenarios.get(i), site: None, check: None })
            }),
            Scope::Run | Scope::Target => pick(1, &|_| meets(Place { scenario: None, site: None, check: None })),
        }
    }

    /// How many of these sites an iteration of each scenario passes through, by scenario.
    pub(crate) fn shares(&self, sites: &[usize]) -> BTreeMap<usize, f64> {
        let mut shares = BTreeMap::new();
        for site in sites.iter().filter_map(|site| self.sites.get(*site)) {
            *shares.entry(usize::from(site.scenario.0)).or_insert(0.0) += site.share;
        }
        shares
    }

    /// The empty timeline of a cut whose places are known.
    fn over_time(&self, cut: &SeriesDef) -> Prepared {
        let timeline = match cut.metric {
            MetricId::HTTP_REQ_RESPONSE_TIME => Timeline::from_due(self.dropped_shares(cut)),
            MetricId::ITERATION_RESPONSE_TIME => Timeline::from_due(Vec::new()),
            metric => Timeline::new(self.metrics.get(metric.index()).map_or(MetricKind::Trend, |metric| metric.kind)),
        };
        Prepared::OverTime(Box::new(timeline))
    }

    /// By scenario, how often its dropped iteration stands in a cut of requests.
    fn dropped_shares(&self, cut: &SeriesDef) -> Vec<f64> {
        let mut shares = vec![0.0; self.scenarios.len()];
        for (scenario, share) in self.shares(&cut.source.places) {
            shares.get_mut(scenario).into_iter().for_each(|known| *known = share);
        }
        shares
    }

    /// The empty tally of a cut whose places are known.
    fn judged(&self, cut: &SeriesDef, good: Good) -> Prepared {
        let of_requests = cut.metric == MetricId::HTTP_REQ_RESPONSE_TIME;
        let shares = if of_requests { self.dropped_shares(cut) } else { Vec::new() };
        Prepared::Judged(Box::new(Judging::new(good, shares)))
    }

    fn source(&self, scope: Scope, selector: &Selector, dynamic: &Dynamic) -> Source {
        Source {
            places: self.places(scope, selector),
            expected: dynamic.expected,
            censored: dynamic.takes_censored(),
            cell: None,
        }
    }
}

// === impl Cuts ===

impl Cuts {
    fn of(parts: &Parts) -> Self {
        let (sites, checks) = (parts.sites.len(), parts.checks.len());
        Self {
            requests: vec![Vec::new(); sites],
            groups: vec![Vec::new(); sites],
            customs: vec![Vec::new(); sites],
            checks: vec![Vec::new(); checks],
            scenarios: vec![Vec::new(); parts.scenarios.len()],
            dropped: vec![Vec::new(); parts.scenarios.len()],
            ..Self::default()
        }
    }

    /// Finds the places of a series, and prepares a cell where the base cells cannot answer it: they only have sums.
    fn resolve(&mut self, parts: &Parts, series: &mut SeriesDef, keeping: &Keeping) {
        let Some(metric) = parts.metrics.get(series.metric.index()) else { return };
        let Some(dynamic) = series.selector.dynamic(metric.scope) else { return };
        series.source = parts.source(metric.scope, &series.selector, &dynamic);
        if matches!(keeping, Keeping::Sum) && !dynamic.needs_sample() && series.during.is_none() {
            return;
        }
        let cell = self.cells.len();
        self.cells.push(match keeping {
            Keeping::Sum => Prepared::Whole(metric.kind),
            Keeping::OverTime => parts.over_time(series),
            Keeping::Judged(good) => parts.judged(series, *good),
        });
        series.source.cell = Some(cell);
        let cut = Cut { metric: series.metric, cell, dynamic, during: series.during };
        if series.metric == MetricId::HTTP_REQ_RESPONSE_TIME && series.source.censored {
            for (scenario, _) in parts.shares(&series.source.places) {
                if let Some(cuts) = self.dropped.get_mut(scenario) {
                    cuts.push(cut.clone());
                }
            }
        }
        let by_place = match metric.scope {
            Scope::Request => &mut self.requests,
            Scope::Group => &mut self.groups,
            Scope::Custom => &mut self.customs,
            Scope::Check => &mut self.checks,
            Scope::Scenario => &mut self.scenarios,
            Scope::Run | Scope::Target => {
                if !series.source.places.is_empty() {
                    self.run.push(cut);
                }
                return;
            }
        };
        for place in &series.source.places {
            if let Some(cuts) = by_place.get_mut(*place) {
                cuts.push(cut.clone());
            }
        }
    }
}

// === impl Cut ===

impl Cut {
    /// The part of the run that is asked for; none is all of it.
    pub(crate) fn part(&self) -> Option<Part> {
        self.during.map(|during| during.from..during.to.unwrap_or(Duration::MAX))
    }

    /// Whether a sample that ended `at` (from the run's start) lies in the part of the run that is asked for.
    #[inline]
    pub(crate) fn holds(&self, at: Duration) -> bool {
        self.during.is_none_or(|during| at >= during.from && during.to.is_none_or(|to| at < to))
    }
}
