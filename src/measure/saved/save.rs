//! Totals → plain data.

use super::*;
use crate::measure::cells::Cell;
use crate::measure::layout::{SeriesDef, SiteDef};
use crate::measure::metric::{CUSTOM_BUILT_IN, FAILURES, ITERATION_TRENDS, REQUEST_TRENDS};
use crate::measure::target::GAUGES;
use crate::measure::{MetricId, Totals};

// === impl Totals ===

impl Totals {
    /// All that was counted, as plain data.
    #[must_use]
    pub fn save(&self) -> SavedTotals {
        let layout = self.layout();
        let own = layout.metrics().filter(|(id, _)| id.index() >= crate::measure::metric::BUILT_IN.len());
        let metric = |metric: &crate::measure::Metric| SavedMetric {
            name: metric.name.clone(),
            kind: metric.kind,
            contains: metric.contains,
        };
        let gauge = |(id, range): (&MetricId, &Range)| Some((self.name(*id)?, *range)).filter(|_| range.count > 0);
        let (gauges, pool_wait) = self.target.parts();
        SavedTotals {
            tags: layout.tags().to_vec(),
            metrics: own.map(|(_, of)| metric(of)).collect(),
            scenarios: (0..layout.scenarios().len()).filter_map(|at| self.scenario(at)).collect(),
            cuts: layout.series.iter().filter_map(|def| self.cut(def)).collect(),
            timelines: layout.timelines.iter().filter_map(|def| self.over_time(def)).collect(),
            vus: *self.vus_ranges().0,
            vus_max: *self.vus_ranges().1,
            target: GAUGES.iter().zip(gauges).filter_map(gauge).collect(),
            pool_wait: pool_wait.clone(),
            failures: self.failures(),
            stale_connections: self.stale_connections(),
            users_shared: self.users_shared(),
            starved: self.starved(),
            paused: self.paused(),
        }
    }

    fn name(&self, metric: MetricId) -> Option<String> {
        self.layout().describe(metric).map(|metric| metric.name.clone())
    }

    fn scenario(&self, at: usize) -> Option<SavedScenario> {
        let layout = self.layout();
        let (def, cells) = (layout.scenarios().get(at)?, self.cells.scenarios.get(at)?);
        let trends = self.cells.iteration_trends.get(at * ITERATION_TRENDS..(at + 1) * ITERATION_TRENDS)?;
        let names =
            [MetricId::ITERATION_DURATION, MetricId::ITERATION_RESPONSE_TIME, MetricId::ITERATION_LAG].into_iter();
        let steps = layout.sites().iter().enumerate().filter(|(_, site)| usize::from(site.scenario.0) == at);
        Some(SavedScenario {
            name: def.name.clone(),
            tags: def.tags.clone(),
            completed: cells.completed,
            scheduled: cells.scheduled,
            never_due: cells.never_due,
            missed: cells.missed,
            cut_off: cells.cut_off.clone(),
            dropped: cells.dropped.clone(),
            data_sent: cells.sent,
            data_received: cells.received,
            trends: named(names.zip(trends).filter_map(|(id, trend)| Some((self.name(id)?, trend)))),
            steps: steps.filter_map(|(at, site)| self.step(at, site)).collect(),
        })
    }

    fn step(&self, at: usize, site: &SiteDef) -> Option<SavedStep> {
        let (layout, cells) = (self.layout(), &self.cells);
        let requests = |expected: bool| {
            let trends = (0..REQUEST_TRENDS).filter_map(|trend| {
                let id = MetricId(u16::try_from(trend).ok()?);
                Some((self.name(id)?, cells.request_trend(at, expected, trend)?))
            });
            let count = cells.requests.get(at).map_or(0, |counts| counts[usize::from(!expected)]);
            SavedRequests { count, trends: named(trends) }
        };
        let failures = FAILURES.iter().zip(cells.failures.get(at)?).filter(|(_, count)| **count > 0);
        let checks = layout.checks().iter().zip(&cells.checks);
        let of_site = checks.filter(|(check, _)| check.site.0 as usize == at);
        Some(SavedStep {
            step: site.tags.step.clone(),
            method: site.tags.method.clone(),
            url: site.tags.url.clone(),
            share: site.share,
            expected: requests(true),
            unexpected: requests(false),
            failures: failures.map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect(),
            cut_off: cells.requests_cut_off.get(at)?.clone(),
            group_duration: cells.groups.get(at)?.clone(),
            custom: self.customs(at),
            checks: of_site.map(|(check, share)| SavedCheck { name: check.name.clone(), share: *share }).collect(),
        })
    }

    /// What a step counted of custom metrics; empty until the first value came.
    fn customs(&self, site: usize) -> BTreeMap<String, SavedCell> {
        let own = self.layout().metrics().map(|(id, _)| id).skip(crate::measure::metric::BUILT_IN.len());
        let ids = CUSTOM_BUILT_IN.into_iter().chain(own);
        let cells = self.cells.customs.get(site).into_iter().flatten();
        ids.zip(cells).filter_map(|(id, cell)| Some((self.name(id)?, plain_cell(cell)?))).collect()
    }

    fn cut(&self, def: &SeriesDef) -> Option<SavedCut> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        Some(SavedCut {
            metric: self.name(def.metric)?,
            tags: def.selector.tags.clone(),
            during: def.during.map(|during| (ms(during.from), during.to.map(ms))),
            cell: def.source.cell.and_then(|cell| plain_cell(self.cells.cuts.get(cell)?)),
        })
    }

    fn over_time(&self, def: &SeriesDef) -> Option<SavedTimeline> {
        let Some(Cell::Timeline(timeline)) = self.cells.cuts.get(def.source.cell?) else { return None };
        let timeline = (**timeline).clone();
        Some(SavedTimeline { metric: self.name(def.metric)?, tags: def.selector.tags.clone(), timeline })
    }
}

fn plain_cell(cell: &Cell) -> Option<SavedCell> {
    Some(match cell {
        Cell::Trend(trend) => SavedCell::Trend {
            histogram: trend.histogram.clone(),
            cut_off: (trend.cut_off.count() > 0).then(|| trend.cut_off.clone()),
            dropped: trend.dropped.clone(),
        },
        Cell::Rate(share) => SavedCell::Rate(*share),
        Cell::Counter(sum) => SavedCell::Counter(*sum),
        Cell::Gauge(range) => SavedCell::Gauge(*range),
        Cell::Timeline(_) | Cell::Tally(_) => return None,
    })
}

/// Those in which something was counted.
fn named<'a>(trends: impl Iterator<Item = (String, &'a Histogram)>) -> BTreeMap<String, Histogram> {
    trends.filter(|(_, trend)| trend.count() > 0).map(|(name, trend)| (name, trend.clone())).collect()
}
