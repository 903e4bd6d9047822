//! The run over time: latency as bands, and below it, in the same time, load, what failed and was dropped, VUs, the pool.

use super::Drawn;
use crate::correlate::timeline::PoolReport;
use crate::measure::threshold::Aggregation;
use crate::measure::{Part, Reading, Timeline, TimelineId};
use crate::report::chart::{Bound, Ink, Kind, Mark, Panel, Panels, Shade, Unit};
use crate::report::saved::Opened;
use std::time::Duration;

/// Points of a line: more than pixels that an eye tells apart.
const POINTS: u64 = 120;
/// Values of a window, at least: quantiles of fewer jump about and say nothing.
const VALUES: u64 = 60;
/// And windows of a run of few requests.
const FEWEST: u64 = 12;
/// What is sampled once a second.
const SAMPLED: Duration = Duration::from_secs(1);
/// Where the tail is so many times the middle, a linear axis shows only the tail.
const SPREAD: f64 = 30.0;
/// A bound so many times above all values would press them to the floor.
const FAR: f64 = 2.5;

/// A run in windows.
struct Windows<'a> {
    result: &'a Opened,
    width: Duration,
    end: Duration,
}

/// The chart; none where the run was too short for one.
pub(super) fn over_time(result: &Opened) -> Option<Drawn> {
    let windows = Windows::of(result)?;
    let panels = windows.panels()?;
    Some(Drawn::new(|size| panels.svg(size)))
}

// === impl Windows ===

impl<'a> Windows<'a> {
    fn of(result: &'a Opened) -> Option<Self> {
        let end = result.report.run.duration;
        let answered = result.totals.timeline(result.shown.duration)?;
        let (bin, all) = (answered.width(), answered.count(&(Duration::ZERO..Duration::MAX)));
        let points = (all / VALUES).clamp(FEWEST, POINTS);
        // Whole bins, so that no two windows share one.
        let bins = (end.as_nanos() / u128::from(points) / bin.as_nanos().max(1)).max(1);
        let width = bin * u32::try_from(bins).unwrap_or(u32::MAX);
        (end >= width * 4).then_some(Self { result, width, end })
    }

    fn panels(&self) -> Option<Panels> {
        let latency = self.latency()?;
        let panels = [Some(latency), self.load(), self.vus(), self.pool()];
        let panels: Vec<Panel> = panels.into_iter().flatten().filter(|panel| !panel.is_empty()).collect();
        let span = (0.0, self.end.as_secs_f64());
        let description = self.describe();
        Some(Panels { title: "The run over time".to_owned(), description, span, panels, shades: self.saturated() })
    }

    /// Each window of a timeline with its middle in seconds.
    fn parts(&self, width: Duration) -> impl Iterator<Item = (f64, Part)> {
        let end = self.end;
        let parts = (0..).map(move |n| width * n..(width * (n + 1)).min(end));
        parts
            .take_while(move |part| part.start < end)
            .map(|part| (f64::midpoint(part.start.as_secs_f64(), part.end.as_secs_f64()), part))
    }

    fn timeline(&self, id: TimelineId) -> Option<&'a Timeline> {
        self.result.totals.timeline(id).filter(|timeline| !timeline.is_empty())
    }

    fn latency(&self) -> Option<Panel> {
        let felt = self.timeline(self.result.shown.response_time)?;
        let quantiles: Vec<(f64, Option<[f64; 4]>)> = self
            .parts(self.width)
            .map(|(at, part)| {
                let Reading::Trend(trend) = felt.reading(&part, self.end) else { return (at, None) };
                let of = |q| trend.quantile(q).map(|figure| figure.value);
                (at, of(0.5).zip(of(0.9)).zip(of(0.95).zip(of(0.99))).map(|((a, b), (c, d))| [a, b, c, d]))
            })
            .collect();
        let known = || quantiles.iter().filter_map(|(_, known)| *known);
        let high = known().map(|[.., p99]| p99).fold(0.0, f64::max);
        let low = known().map(|[p50, ..]| p50).fold(f64::INFINITY, f64::min);
        let between = |low: usize, high: usize| -> Vec<(f64, Option<(f64, f64)>)> {
            quantiles.iter().map(|(at, known)| (*at, known.map(|known| (known[low], known[high])))).collect()
        };
        let line = |which: usize| -> Vec<(f64, Option<f64>)> {
            quantiles.iter().map(|(at, known)| (*at, known.map(|known| known[which]))).collect()
        };
        let marks = vec![
            Mark::Band { name: "p(99)".into(), ink: Ink::Tail, points: between(2, 3) },
            Mark::Band { name: "p(95)".into(), ink: Ink::Body, points: between(0, 2) },
            Mark::Line { name: String::new(), ink: Ink::Upper, points: line(2) },
            Mark::Line { name: "median".into(), ink: Ink::Middle, points: line(0) },
        ];
        let bounds: Vec<Bound> = self.bounds().into_iter().filter(|bound| bound.at <= high * FAR).collect();
        let kind = if low.is_finite() && high > low.max(0.5) * SPREAD { Kind::Log } else { Kind::Linear };
        Some(Panel { label: "Response time".into(), unit: Unit::Time, kind, height: 190.0, marks, bounds })
    }

    /// What thresholds ask of a percentile of all requests.
    fn bounds(&self) -> Vec<Bound> {
        let of_all = ["http_req_response_time", "http_req_duration"];
        let mut bounds: Vec<Bound> = Vec::new();
        for threshold in &self.result.report.thresholds {
            let percentile = matches!(threshold.aggregation, Aggregation::Percentile(_) | Aggregation::Med);
            let Ok(expression) = threshold.expression.parse::<crate::measure::threshold::Expression>() else {
                continue;
            };
            if percentile && threshold.during.is_none() && of_all.contains(&threshold.metric.as_str()) {
                let name = threshold.expression.trim().to_owned();
                bounds.push(Bound { at: expression.bound, name });
            }
        }
        bounds
    }

    fn load(&self) -> Option<Panel> {
        let answered = self.timeline(self.result.shown.duration)?;
        let rate = |count: f64, part: &Part| count / (part.end - part.start).as_secs_f64().max(1e-9);
        let requests = self.parts(self.width).map(|(at, part)| (at, Some(rate(answered.count(&part) as f64, &part))));
        let requests: Vec<_> = requests.collect();
        let ground = requests.iter().map(|(at, value)| (*at, value.map(|value| (0.0, value)))).collect();
        let course = self.result.course();
        let bars = |of: &dyn Fn(&crate::measure::CourseBin) -> u64| -> Vec<(f64, f64, f64)> {
            course
                .bins()
                .map(|(from, bins)| {
                    let to = from + course.width();
                    let count: u64 = bins.iter().map(of).sum();
                    let to = to.min(self.end).max(from + Duration::from_millis(1));
                    (from.as_secs_f64(), to.as_secs_f64(), count as f64 / course.width().as_secs_f64())
                })
                .collect()
        };
        let mut marks = vec![
            Mark::Band { name: "requests".into(), ink: Ink::Body, points: ground },
            Mark::Line { name: String::new(), ink: Ink::Upper, points: requests },
        ];
        let failed = Mark::Bars { name: "failed".into(), ink: Ink::Bad, bars: bars(&|bin| bin.failed) };
        if !failed.is_empty() {
            marks.push(failed);
        }
        if let Some(dropped) = self.timeline(self.result.shown.dropped) {
            let bars =
                self.parts(self.width.max(SAMPLED)).filter_map(|(_, part)| match dropped.reading(&part, self.end) {
                    Reading::Counter(sum) => Some((part.start.as_secs_f64(), part.end.as_secs_f64(), rate(sum, &part))),
                    _ => None,
                });
            let dropped = Mark::Bars { name: "iterations dropped".into(), ink: Ink::Missing, bars: bars.collect() };
            if !dropped.is_empty() {
                marks.push(dropped);
            }
        }
        let label = "Load".to_owned();
        Some(Panel { label, unit: Unit::PerSecond, kind: Kind::Linear, height: 90.0, marks, bounds: Vec::new() })
    }

    /// The level of what is sampled; where no sample fell into a window the line goes on to the next.
    fn level(&self, id: TimelineId) -> Option<Vec<(f64, Option<f64>)>> {
        let timeline = self.timeline(id)?;
        let width = self.width.max(SAMPLED);
        let level = |(at, part): (f64, Part)| Some((at, Some(timeline.level(&part)?)));
        Some(self.parts(width).filter_map(level).collect())
    }

    fn vus(&self) -> Option<Panel> {
        let points = self.level(self.result.shown.vus)?;
        let marks = vec![Mark::Line { name: String::new(), ink: Ink::Level, points }];
        let label = "VUs at work".to_owned();
        Some(Panel { label, unit: Unit::Count, kind: Kind::Linear, height: 56.0, marks, bounds: Vec::new() })
    }

    fn pool_report(&self) -> Option<&'a PoolReport> {
        self.result.report.correlation.as_ref()?.timelines.as_ref()?.timelines.pool.as_ref()
    }

    fn pool(&self) -> Option<Panel> {
        let used = self.level(self.result.shown.pool_used)?;
        let ground = used.iter().map(|(at, value)| (*at, value.map(|value| (0.0, value)))).collect();
        let mut marks = vec![
            Mark::Band { name: "connections in use".into(), ink: Ink::LevelBody, points: ground },
            Mark::Line { name: String::new(), ink: Ink::Level, points: used },
        ];
        if let Some(points) = self.level(self.result.shown.pool_pending) {
            marks.push(Mark::Line { name: "requests waiting".into(), ink: Ink::Second, points });
        }
        let size = self.pool_report().and_then(|pool| pool.max);
        let bounds =
            size.map(|at| Bound { at, name: format!("pool of {}", Unit::Count.label(at)) }).into_iter().collect();
        let label = "Database pool".to_owned();
        Some(Panel { label, unit: Unit::Count, kind: Kind::Linear, height: 80.0, marks, bounds })
    }

    /// When the pool had nothing left.
    fn saturated(&self) -> Vec<Shade> {
        let stretches = self.pool_report().map(|pool| pool.saturated.as_slice()).unwrap_or_default();
        stretches.iter().map(|window| Shade { from: window.from.as_secs_f64(), to: window.to.as_secs_f64() }).collect()
    }

    fn describe(&self) -> String {
        let Some(felt) = self.timeline(self.result.shown.response_time) else { return String::new() };
        let p95 = |part: &Part| match felt.reading(part, self.end) {
            Reading::Trend(trend) => trend.quantile(0.95).map(|figure| figure.value),
            _ => None,
        };
        let each: Vec<(f64, f64)> = self.parts(self.width).filter_map(|(at, part)| Some((at, p95(&part)?))).collect();
        let worst = each.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
        let best = each.iter().copied().min_by(|one, other| one.1.total_cmp(&other.1));
        let stretches = self.saturated().len();
        let mut text = match best.zip(worst) {
            Some(((_, best), (at, worst))) => format!(
                "p(95) of the response time lay between {} and {}, highest at {at:.0} s.",
                Unit::Time.told(best),
                Unit::Time.told(worst)
            ),
            None => String::new(),
        };
        if stretches > 0 {
            text.push_str(" The pool was saturated in the shaded stretches.");
        }
        text
    }
}
